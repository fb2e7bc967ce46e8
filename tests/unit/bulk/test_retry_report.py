from __future__ import annotations

import json

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError, CyTechBotStorageRefusedError
from airflow_provider_cytechbot.bulk.ledger import Ledger
from airflow_provider_cytechbot.bulk.outcomes import OUTCOMES
from airflow_provider_cytechbot.bulk.retry_report import keys_without_row, read_report
from airflow_provider_cytechbot.bulk.shards import WHOLE, Shard


@pytest.fixture
def report(tmp_path):
    """Write a report of JSON Lines and return its path."""
    path = tmp_path / "report.jsonl"

    def write(*lines):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return str(path)

    return write


def line(key, outcome):
    return {"key": key, "outcome": outcome}


def manifest(uri, **counts):
    return {"report_uri": uri, "rows": sum(counts.values()), "counts": dict.fromkeys(OUTCOMES, 0) | counts}


def test_rows_that_are_not_done_remain(report):
    path = report(*(line(outcome, outcome) for outcome in OUTCOMES))
    assert dict(read_report(path)) == {
        "refused": True,
        "invalid": True,
        "ambiguous": False,
        "failed": True,
        "not_attempted": True,
    }


def test_another_file_is_no_report(report):
    path = report({"subscriber_id": "1"})
    with pytest.raises(CyTechBotFieldError, match=r"'retry_report' names .*report\.jsonl, which is not the"):
        list(read_report(path))


def test_keys_are_text_or_whole_numbers_with_or_without_space_around_them(report):
    path = report(line(24994546734902201, "failed "), line(" k ", "refused"), line("", "invalid"))
    assert list(read_report(path)) == [("24994546734902201", True), ("k", True), ("", True)]


@pytest.mark.parametrize("outcome", ["", "Failed", "faile", None, 5, True, ["failed"], {"failed": 1}])
def test_an_outcome_that_no_report_has_is_damage(report, outcome):
    path = report(line("a", "succeeded"), line("b", outcome))
    with pytest.raises(CyTechBotFieldError, match=r"report\.jsonl, which is damaged: line 2 .*Restore"):
        list(read_report(path))


@pytest.mark.parametrize("outcome", ["failed", "invalid"])
@pytest.mark.parametrize("key", [2.5, 2.499e16, True, ["a"], {"a": 1}])
def test_a_key_of_another_type_is_damage(report, key, outcome):
    path = report(line(key, outcome))
    with pytest.raises(CyTechBotFieldError, match="line 1 has the key"):
        list(read_report(path))


@pytest.mark.parametrize("outcome", sorted({*OUTCOMES} - {"invalid"}))
@pytest.mark.parametrize("key", [None, "", " "])
def test_only_an_invalid_row_has_no_key(report, key, outcome):
    path = report(line(key, outcome))
    with pytest.raises(CyTechBotFieldError, match="line 1 has the key"):
        list(read_report(path))


def test_a_report_agrees_with_its_manifest(report):
    path = report(line("a", "failed"), line("b", "succeeded"))
    assert list(read_report(manifest(path, failed=1, succeeded=1))) == [("a", True)]
    assert list(read_report({"report_uri": path})) == [("a", True)]


@pytest.mark.parametrize(
    "counts", [{"failed": 2, "succeeded": 1}, {"failed": 1}, {"failed": 1, "refused": 1}, {}]
)
def test_a_report_that_was_cut_short_or_written_again_is_refused(report, counts):
    path = report(line("a", "failed"), line("b", "succeeded"))
    with pytest.raises(CyTechBotFieldError, match=r"report\.jsonl, which has other rows than its manifest"):
        list(read_report(manifest(path, **counts)))


@pytest.mark.parametrize("counts", ["text", 5, [1], {"failed": "1"}])
def test_counts_of_another_type_are_refused(report, counts):
    path = report(line("a", "failed"))
    with pytest.raises(CyTechBotFieldError, match="other rows than its manifest"):
        list(read_report({"report_uri": path, "counts": counts}))


def test_a_missing_report_is_refused(tmp_path):
    with pytest.raises(CyTechBotStorageRefusedError, match=r"no\.csv"):
        list(read_report(str(tmp_path / "no.csv")))


def test_keys_without_a_row_are_counted():
    ledger = Ledger()
    try:
        ledger.add_invalid([(1, "a", "bad"), (2, None, "bad")])
        ledger.remember_keys([("a", True), ("b", True), ("c", True), ("d", False), ("", True)])
        assert keys_without_row(ledger, WHOLE) == (2, "b")
        both = [keys_without_row(ledger, Shard(number, 2))[0] for number in range(2)]
        assert sum(both) == 2
    finally:
        ledger.close()
