"""Damaged input of `retry_report`: an error that names the file, or no row lost or repeated in silence."""

from __future__ import annotations

import json
import logging
import threading
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.bulk import runner
from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator

from ..kills.label_server import LabelServer
from .corpus import fuzz, saved
from .damages import KINDS, damaged

#: No damage of one byte makes one of these out of another.
KEYS = [f"{number:02}" * 4 for number in range(10, 34)]
REFUSED, LOST = set(KEYS[3:8]), set(KEYS[12:17])
NAMES = ["report.csv", "report.jsonl", "report.parquet", "report.csv.gz", "report.jsonl.zst"]
REFUSAL = (200, "", {"status": "error", "message": "Something is wrong"})


@pytest.fixture(scope="module")
def server():
    with LabelServer() as server, pytest.MonkeyPatch.context() as patch:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        connection = {"host": server.url, "password": "1-some-key", "extra": {"max_retries": 0}}
        patch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps({"conn_type": "cytechbot", **connection}))
        patch.setattr(runner, "_FIRST_WAIT", 0.01)
        yield server
        server.shutdown()


def assign(**fields):
    task = CyTechBotAssignLabelsOperator(
        task_id="t", page_id="9", label_ids="5", rows=KEYS, on_error="report", **fields
    )
    return task.execute({})


@pytest.fixture(scope="module")
def reports(server, tmp_path_factory):
    """By name: the content of a report and the manifest of its run."""
    folder = tmp_path_factory.mktemp("reports")
    found = {}
    for name in NAMES:
        server.script = {key: [REFUSAL] for key in REFUSED} | {key: ["lose"] for key in LOST}
        manifest = assign(report_path=str(folder / name))
        assert (manifest["counts"]["refused"], manifest["counts"]["failed"]) == (len(REFUSED), len(LOST))
        found[name] = (folder / name).read_bytes(), manifest
    server.script = {}
    return found


@contextmanager
def warnings_of_keys():
    """Gather from the log how many keys of a report the source does not have."""

    class Handler(logging.Handler):
        def emit(self, record):
            if record.levelno == logging.WARNING and "retry_report" in record.msg:
                found.append(record.args[0])

    found, handler, log = [], Handler(), logging.getLogger("airflow_provider_cytechbot.bulk.job")
    log.addHandler(handler)
    yield found
    log.removeHandler(handler)


def attempt(report):
    try:
        return assign(retry_report=report)
    except CyTechBotError as error:
        return error


DAMAGE = st.tuples(st.sampled_from(KINDS), st.integers(0, 10_000), st.integers(1, 255))


@fuzz(examples=100, longest=3_000)
@saved("reports")
@given(name=st.sampled_from(NAMES), damage=DAMAGE, has_manifest=st.booleans())
def test_a_damaged_report_loses_and_repeats_nothing_in_silence(
    server, reports, tmp_path_factory, name, damage, has_manifest
):
    content, manifest = reports[name]
    path = tmp_path_factory.mktemp("damaged") / name
    how, at, bits = damage
    if how == "swap":  # another report has the same name
        path.write_bytes(reports[NAMES[at % len(NAMES)]][0])
    elif how != "remove":
        path.write_bytes(damaged(content, how, at, bits))
    report = {**manifest, "report_uri": str(path)} if has_manifest else str(path)
    server.received.clear()
    with warnings_of_keys() as warned:
        again = attempt(report)
    if isinstance(again, CyTechBotError):
        assert name in str(again)
        assert not server.received
        return
    assert set(server.received) <= REFUSED | LOST
    assert set(server.received.values()) <= {1}
    assert again["counts"]["succeeded"] == again["rows"] == server.received.total()
    missing = len(REFUSED | LOST) - len(server.received)
    # Without a manifest, a report that ends at the end of a line is one that somebody may have edited.
    if has_manifest or how in ("flip", "append") or path.read_bytes() == content:
        assert missing == sum(warned)
