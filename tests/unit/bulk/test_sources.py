from __future__ import annotations

import gzip
import json
import sqlite3
import sys
from types import ModuleType, SimpleNamespace

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError, CyTechBotStorageError
from airflow_provider_cytechbot.bulk import sources
from airflow_provider_cytechbot.bulk.sources import rows_of_files, rows_of_list, rows_of_query


class Lazy:
    """What Airflow gives for the output of a mapped task: a sequence, but not a list."""

    def __len__(self):
        return 2

    def __iter__(self):
        return iter(["1", "2"])


@pytest.mark.parametrize("rows", [["1", "2"], ("1", "2"), Lazy(), iter(["1", "2"]), {"1": 0, "2": 0}.keys()])
def test_any_iterable_is_a_list(rows):
    assert list(rows_of_list(rows)) == ["1", "2"]


@pytest.mark.parametrize("rows", ["1,2", "['1']", b"1", {"subscriber_id": "1"}, 5, None])
def test_values_that_are_not_a_list_of_rows_are_refused(rows):
    with pytest.raises(CyTechBotFieldError, match=r"'rows'.*render_template_as_native_obj"):
        rows_of_list(rows)


@pytest.mark.parametrize(
    ("output", "rows"),
    [
        ([[{"a": 1}, {"a": 2}], [], [{"a": 3}]], [{"a": 1}, {"a": 2}, {"a": 3}]),
        ([({"a": 1},), {"a": 2}], [{"a": 1}, {"a": 2}]),
        ([[]], []),
        ([["1", "2"], ("3", "4")], [["1", "2"], ("3", "4")]),
        ([[{"a": 1}, "2"]], [[{"a": 1}, "2"]]),
    ],
)
def test_the_lists_of_a_mapped_task_are_joined_if_they_hold_mappings(output, rows):
    assert list(rows_of_list(output)) == rows


class TestFiles:
    def test_csv_and_compressed_json_lines(self, tmp_path):
        (tmp_path / "rows.csv").write_text("subscriber_id,segment\n24994546734902201,VIP\n")
        with gzip.open(tmp_path / "rows.jsonl.gz", "wt") as file:
            file.write('{"subscriber_id": 24994546734902201}\n')
        assert list(rows_of_files(str(tmp_path / "rows.csv"))) == [
            {"subscriber_id": "24994546734902201", "segment": "VIP"}
        ]
        (row,) = rows_of_files(tmp_path / "rows.jsonl.gz")
        assert row == {"subscriber_id": 24994546734902201}

    def test_a_folder_of_parts_and_a_manifest(self, tmp_path):
        for part in (1, 2):
            (tmp_path / f"part-{part}.jsonl").write_text(json.dumps({"n": part}) + "\n")
        (tmp_path / "_SUCCESS").touch()
        assert [row["n"] for row in rows_of_files(f"file://{tmp_path}")] == [1, 2]
        manifest = {"uris": [f"file://{tmp_path}/part-2.jsonl"], "rows": 1}
        assert [row["n"] for row in rows_of_files(manifest)] == [2]
        assert list(rows_of_files({"uris": [], "rows": 0})) == []

    def test_the_manifest_of_a_bulk_write_names_its_report(self, tmp_path):
        (tmp_path / "report.csv").write_text("key,outcome\n7,failed\n")
        manifest = {"report_uri": str(tmp_path / "report.csv"), "rows": 1}
        assert list(rows_of_files(manifest, "retry_report")) == [{"key": "7", "outcome": "failed"}]

    @pytest.mark.parametrize(
        "path",
        [{"rows": 1}, {"report_uri": None}, {"uris": "text"}, {"uris": [5]}, "{'uris': ['a']}", 5, ["a"], ""],
    )
    def test_values_that_are_not_a_path_are_refused(self, path):
        with pytest.raises(CyTechBotFieldError, match="'path'"):
            list(rows_of_files(path))

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(CyTechBotStorageError):
            list(rows_of_files(str(tmp_path / "none.csv")))


def use_database(monkeypatch, connect):
    """Let the connection ``warehouse`` open a database by a hook of its own, whatever providers are there."""
    hooks = pytest.importorskip("airflow.providers.common.sql.hooks.sql")
    hook = type(
        "WarehouseHook",
        (hooks.DbApiHook,),
        {"__init__": lambda self: None, "get_conn": lambda self: connect()},
    )
    connection = SimpleNamespace(get_hook=lambda: hook(), password="wh-secret-1", extra_dejson={})
    monkeypatch.setattr(
        "airflow.providers.common.compat.sdk.BaseHook.get_connection", lambda conn_id: connection
    )


class TestQueries:
    @pytest.fixture
    def database(self, tmp_path, monkeypatch):
        path = tmp_path / "warehouse.db"
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE people (id INTEGER, segment TEXT)")
            rows = [(24994546734900000 + each, "VIP" if each % 2 else "Dog") for each in range(2_500)]
            connection.executemany("INSERT INTO people VALUES (?, ?)", rows)
        connection.close()
        use_database(monkeypatch, lambda: sqlite3.connect(path))
        return path

    def test_rows_are_fetched_in_chunks(self, database):
        rows = list(rows_of_query("SELECT id AS subscriber_id, segment FROM people ORDER BY id", "warehouse"))
        assert len(rows) == 2_500
        assert rows[1] == {"subscriber_id": 24994546734900001, "segment": "VIP"}

    @pytest.mark.parametrize("parameters", [("VIP",), {"segment": "VIP"}])
    def test_parameters(self, database, parameters):
        mark = "?" if isinstance(parameters, tuple) else ":segment"
        sql = f"SELECT id FROM people WHERE segment = {mark}"
        assert len(list(rows_of_query(sql, "warehouse", parameters))) == 1_250

    @pytest.mark.parametrize(
        ("sql", "message"),
        [
            ("DELETE FROM people", "is not a query"),
            ("SELECT id, segment AS id FROM people", "several columns"),
        ],
    )
    def test_a_statement_without_usable_columns_is_refused(self, database, sql, message):
        with pytest.raises(CyTechBotFieldError, match=message):
            list(rows_of_query(sql, "warehouse"))

    def test_a_connection_without_a_database_is_refused(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "cytechbot", "host": "a"}))
        monkeypatch.setattr(
            "airflow.providers.common.compat.sdk.BaseHook.get_connection",
            lambda conn_id: type("C", (), {"get_hook": lambda self: object()})(),
        )
        with pytest.raises(CyTechBotFieldError, match="not a connection to a database"):
            list(rows_of_query("SELECT 1", "warehouse"))


def raising(kind, text):
    return type(kind, (Exception,), {})(text)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ProgrammingError", CyTechBotFieldError),
        ("DataError", CyTechBotFieldError),
        ("OperationalError", CyTechBotStorageError),
        ("InterfaceError", CyTechBotStorageError),
        ("SomeDriversError", CyTechBotStorageError),
    ],
)
@pytest.mark.parametrize("where", ["connect", "execute", "fetchmany"])
def test_an_error_of_the_database_names_the_connection_and_hides_secrets(monkeypatch, kind, expected, where):
    error = raising(kind, "no access with wh-secret-1 for ann@example.com\n[parameters: 'Ann']")

    class Cursor(ServerCursor):
        description = (("id",),)

        def execute(self, *_):
            if where == "execute":
                raise error

        def fetchmany(self, size):
            raise error

    def connect():
        if where == "connect":
            raise error
        return connection_of("driver", Cursor(), [])

    use_database(monkeypatch, connect)
    with pytest.raises(expected, match="'warehouse' raised") as raised:
        list(rows_of_query("SELECT 1", "warehouse"))
    for secret in ("wh-secret-1", "ann@example.com", "Ann"):
        assert secret not in str(raised.value)
    assert raised.value.__context__ is None


def test_an_unknown_connection_of_a_query_is_named():
    with pytest.raises(CyTechBotFieldError, match="'nowhere'"):
        list(rows_of_query("SELECT 1", "nowhere"))


class ServerCursor:
    """As psycopg's: it has a description only after the first rows."""

    name = "named"
    description = None

    def __init__(self):
        self.chunks = [[(1,), (2,)], []]
        self.closed = False

    def execute(self, *_):
        pass

    def fetchmany(self, size):
        assert size == sources.FETCH_SIZE
        self.description = [("id",)]
        return self.chunks.pop(0)

    def close(self):
        self.closed = True


def connection_of(driver, cursor, calls):
    def cursor_of(self, *args, **kwargs):
        calls.append((args, kwargs))
        return cursor

    kind = type("Connection", (), {"cursor": cursor_of, "close": lambda self: calls.append("closed")})
    kind.__module__ = f"{driver}.extensions"
    return kind()


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_postgres_keeps_the_result_on_the_server(monkeypatch, driver):
    calls, cursor = [], ServerCursor()
    hook = type("Hook", (), {"get_conn": lambda self: connection_of(driver, cursor, calls)})()
    monkeypatch.setattr(sources, "_database_hook", lambda conn_id: hook)
    assert list(rows_of_query("SELECT 1", "warehouse")) == [{"id": 1}, {"id": 2}]
    assert calls == [((), {"name": "cytechbot_bulk"}), "closed"]
    assert cursor.closed
    assert cursor.itersize == sources.FETCH_SIZE


def test_mysql_keeps_the_result_on_the_server(monkeypatch):
    cursors = ModuleType("MySQLdb.cursors")
    cursors.SSCursor = object()
    monkeypatch.setitem(sys.modules, "MySQLdb", ModuleType("MySQLdb"))
    monkeypatch.setitem(sys.modules, "MySQLdb.cursors", cursors)
    calls = []
    sources._streaming_cursor(connection_of("MySQLdb", None, calls))
    assert calls == [((cursors.SSCursor,), {})]
