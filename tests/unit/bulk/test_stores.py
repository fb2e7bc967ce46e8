from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.bulk.ledger import Ledger
from airflow_provider_cytechbot.bulk.options import BulkOptions
from airflow_provider_cytechbot.bulk.owner import Owner
from airflow_provider_cytechbot.bulk.shards import Shard
from airflow_provider_cytechbot.bulk.stores import Stores


@pytest.fixture
def open_stores(tmp_path):
    opened = []

    def open_stores(*names, **options):
        paths = {"state_path": tmp_path / "state", "report_path": tmp_path / "out" / "report.csv"}
        ledger = Ledger()
        opened.append(ledger)
        owner = Owner(dag_id="d", task_id="t", run_id="r", host="elsewhere")
        chosen = {name: str(paths[name]) for name in names}
        stores = Stores(BulkOptions(owner=owner, **chosen, **options), {"server": "s"}, ledger.database)
        stores.begin(lambda error: pytest.fail(str(error)))
        return stores

    yield open_stores
    for ledger in opened:
        ledger.close()


@pytest.mark.parametrize(
    ("names", "shards", "expected"),
    [
        ((), 1, set()),
        (("report_path",), 1, {"out/.report.csv.journal"}),
        (("state_path",), 1, {"state"}),
        (("state_path", "report_path"), 1, {"state"}),
        (("state_path", "report_path"), 2, {"state", "state/shard-0-of-2", "out/.report.csv.journal"}),
    ],
)
def test_where_something_is_stored(open_stores, tmp_path, names, shards, expected):
    stores = open_stores(*names, shard=Shard(0, shards))
    assert stores.state.is_durable is bool(names)
    assert stores.uri == (str(tmp_path / "state") if "state_path" in names else None)
    stores.close_journal()
    stores.write_state()
    stores.end(is_complete=True)
    folders = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert folders == expected


def test_only_planning_stores_nothing(open_stores, tmp_path):
    stores = open_stores("state_path", "report_path", plan_only=True)
    assert not stores.state.is_durable
    stores.end(is_complete=False)
    assert list(tmp_path.iterdir()) == []


def test_open_stores_are_closed_if_the_next_cannot_be_opened(open_stores, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(CyTechBotError):
        open_stores("state_path", "report_path", shard=Shard(0, 2))
    assert '"has_ended":true' in (tmp_path / "state" / "shard-0-of-2" / "beat-000001.json").read_text()
