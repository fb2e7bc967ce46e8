from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotStorageRefusedError
from airflow_provider_cytechbot.exports.earlier_export import EarlierExport
from airflow_provider_cytechbot.formats.file_types import FileType
from airflow_provider_cytechbot.storage.locations import StorageLocation

EMPTY_ROW = {"flow_campaign_id": "7", "flow_name": "F", "subscriber_id": "1", "extracted_at": "now"}
ROW = EMPTY_ROW | {"Why?": "Because"}


def earlier(folder, name="a.csv"):
    location = StorageLocation.from_parameter("path", f"{folder}/{name}")
    return EarlierExport(location, FileType.of(name, None, None))


def write(folder, *names, content=b"x"):
    for name in names:
        (folder / name).write_bytes(content)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def csv_of(*rows):
    return "".join(
        ",".join(map(str, row)) + "\r\n" for row in ([*ROW], *(row.values() for row in rows))
    ).encode()


def lines_of(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet_of(*rows):
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_pylist(list(rows), schema=pa.schema([(name, pa.string()) for name in ROW])), sink
    )
    return sink.getvalue().to_pybytes()


class TestNames:
    @pytest.mark.parametrize(
        ("name", "part", "manifest"),
        [
            ("a.csv", "a-00002.csv", "_a.csv.manifest.json"),
            ("a.b.csv.gz", "a-00002.b.csv.gz", "_a.b.csv.gz.manifest.json"),
        ],
    )
    def test_parts_and_manifest_are_beside_the_file(self, tmp_path, name, part, manifest):
        found = earlier(tmp_path, name)
        assert found.part(2).path.name == part
        assert found.manifest.path.name == manifest


class TestRefuse:
    @pytest.mark.parametrize("name", ["a.csv", "a-00001.csv", "a-00007.csv", "_a.csv.manifest.json"])
    def test_refuses_each_file_of_an_earlier_export(self, tmp_path, name):
        write(tmp_path, name)
        with pytest.raises(CyTechBotStorageRefusedError, match="is there already"):
            earlier(tmp_path).refuse()

    def test_accepts_files_of_other_exports(self, tmp_path):
        write(tmp_path, "b.csv", "a.jsonl", "a-00001.jsonl", "_b.csv.manifest.json")
        write(tmp_path, "a-1.csv", "a-00001.csv.bak", "ba-00001.csv", "a-0000x.csv")
        earlier(tmp_path).refuse()


class TestRemove:
    NAMES = ("a.csv", "a-00001.csv", "a-00002.csv", "a-00003.csv", "_a.csv.manifest.json", "b.csv")

    @pytest.fixture(autouse=True)
    def files(self, tmp_path):
        write(tmp_path, *self.NAMES)

    @pytest.mark.parametrize(
        ("method", "arguments", "removed"),
        [
            ("remove_file", {}, {"a.csv"}),
            ("remove_manifest", {}, {"_a.csv.manifest.json"}),
            ("remove_parts", {"after": 0}, {"a-00001.csv", "a-00002.csv", "a-00003.csv"}),
            ("remove_parts", {"after": 2}, {"a-00003.csv"}),
            ("remove_parts", {"after": 3}, set()),
        ],
    )
    def test_removes_only_its_own_files(self, tmp_path, method, arguments, removed):
        for _ in range(2):  # the second time, there is nothing to remove
            getattr(earlier(tmp_path), method)(**arguments)
            assert set(names_in(tmp_path)) == set(self.NAMES) - removed

    @pytest.mark.parametrize("lost", [(1,), (2,), (1, 2)], ids=str)
    @pytest.mark.parametrize("listed", [3, 0], ids=["listed", "not listed"])
    def test_removes_parts_behind_lost_ones_if_they_were_listed(self, tmp_path, lost, listed):
        for number in lost:
            (tmp_path / f"a-{number:05d}.csv").unlink()
        uris = [f"s3://b/a-{number:05d}.csv" for number in range(1, listed + 1)]
        write(tmp_path, "_a.csv.manifest.json", content=json.dumps({"uris": uris}).encode())
        write(tmp_path, "a-00009.csv")
        found = earlier(tmp_path)
        found.remove_manifest()
        found.remove_parts(after=0)
        kept = set(names_in(tmp_path)) - {"a.csv", "b.csv"}
        assert "a-00009.csv" in kept  # somebody else's
        assert ("a-00003.csv" in kept) == (not listed)

    @pytest.mark.parametrize(
        "content",
        [b"", b"[", b"null", b'{"uris": 5}', b'{"uris": [5, null, "a-1.csv", "a-0000000000000001.csv"]}'],
        ids=["empty", "cut", "null", "number", "other names"],
    )
    def test_a_damaged_manifest_lists_nothing(self, tmp_path, content):
        write(tmp_path, "_a.csv.manifest.json", content=content)
        found = earlier(tmp_path)
        found.remove_manifest()
        found.remove_parts(after=0)
        assert set(names_in(tmp_path)) == {"a.csv", "b.csv"}

    def test_a_folder_that_cannot_be_listed_is_no_error(self, tmp_path, monkeypatch):
        def refuse(location):
            raise location.failures.refused("cannot be listed.", "")

        monkeypatch.setattr(StorageLocation, "names", refuse)
        with pytest.raises(CyTechBotStorageRefusedError, match="is there already"):
            earlier(tmp_path).refuse()
        write(tmp_path, "a-00003.csv", content=csv_of(ROW))
        assert earlier(tmp_path).has_answers()

    def test_a_folder_of_the_name_is_left_alone(self, tmp_path):
        (tmp_path / "a.csv").unlink()
        (tmp_path / "a.csv").mkdir()
        earlier(tmp_path).remove_file()
        assert (tmp_path / "a.csv").is_dir()


class TestHasAnswers:
    WRITERS = pytest.mark.parametrize(
        ("name", "content_of"),
        [
            ("a.csv", csv_of),
            ("a.jsonl", lines_of),
            ("a.parquet", parquet_of),
            ("a.jsonl.gz", lambda *rows: gzip.compress(lines_of(*rows))),
        ],
        ids=["csv", "jsonl", "parquet", "gzip"],
    )

    @WRITERS
    @pytest.mark.parametrize(
        ("rows", "expected"),
        [
            ((), False),
            ((ROW,), True),
            ((EMPTY_ROW | {"Why?": ""},), False),
            ((EMPTY_ROW | {"Why?": ""}, ROW), True),
        ],
        ids=["no rows", "an answer", "a subscriber", "both"],
    )
    def test_only_if_a_row_has_an_answer(self, tmp_path, name, content_of, rows, expected):
        write(tmp_path, name, content=content_of(*rows))
        assert earlier(tmp_path, name).has_answers() == expected

    def test_not_if_there_is_nothing(self, tmp_path):
        assert not earlier(tmp_path).has_answers()

    def test_not_because_of_columns_of_subscribers(self, tmp_path):
        write(tmp_path, "a.jsonl", content=lines_of(EMPTY_ROW | {"email": "ann@example.com"}))
        assert earlier(tmp_path, "a.jsonl").has_answers()
        assert not earlier(tmp_path, "a.jsonl").has_answers(["email"])

    @pytest.mark.parametrize(("row", "expected"), [(EMPTY_ROW, False), (ROW, True)])
    def test_in_any_part(self, tmp_path, row, expected):
        write(tmp_path, "a-00001.jsonl", content=lines_of(EMPTY_ROW))
        write(tmp_path, "a-00002.jsonl", content=lines_of(row))
        write(tmp_path, "_a.jsonl.manifest.json", content=b'{"rows": 2}')
        assert earlier(tmp_path, "a.jsonl").has_answers() == expected

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b'{"rows": 2}', True),
            (b'{"rows": 0}', False),
            (b"{}", True),
            (b"[", True),
            (b"[" * 9999, True),
            (b"\xff", True),
            (b"", True),
        ],
    )
    def test_by_the_manifest_of_parts_that_are_elsewhere(self, tmp_path, content, expected):
        write(tmp_path, "_a.csv.manifest.json", content=content)
        assert earlier(tmp_path).has_answers() == expected

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b'{"id":null,"flow_name":null,"data":[]}', False),
            (b'{"flow_name":"{data}","data": {}}', False),
            (b'{"data" : {"1":[],"2":[ ]},"flow_name":"F"}', False),
            (b'{"data":{"1":[],"2":[{"id":"1"}]}}', True),
            (b'{"data":{"1":{"0":{"id":"1"}}}}', True),
            (b"not JSON", True),
            (
                b'{"data":{' + b",".join(b'"%d":[]' % at for at in range(200_000)) + b"}}",
                True,
            ),  # too long to look
            (b'{"data":{"1":[{"question":"Why?","answer":null},{"question":"How?","answer" : ""}]}}', False),
            (b'{"data":{"1":[{"answer":null}],"2":[{"answer":"so"}]}}', True),
            (b'{"data":{"1":[{"answer":null}],"2":[{"answer":5}]}}', True),
            (b'{"data":{"1":[{"answer":null},{"ans', True),  # cut
            (b'{"data":{"1":[' + b'{"answer":null},' * 200_000 + b'{"answer":""}]}}', False),
            (b'{"data":{"1":[' + b'{"answer":null},' * 200_000 + b'{"answer":"so"}]}}', True),
        ],
        ids=range(13),
    )
    @pytest.mark.parametrize("compress", [bytes, gzip.compress])
    def test_in_the_body_of_an_answer(self, tmp_path, body, expected, compress):
        name = "a.json" if compress is bytes else "a.json.gz"
        write(tmp_path, name, content=compress(body))
        assert earlier(tmp_path, name).has_answers() == expected

    def test_if_the_first_part_is_lost(self, tmp_path):
        write(tmp_path, "a-00003.csv", content=csv_of(ROW))
        assert earlier(tmp_path).has_answers()

    @pytest.mark.parametrize("name", ["a.csv.gz", "a.parquet", "a.jsonl", "a.json.gz"])
    def test_if_a_file_cannot_be_read(self, tmp_path, name):
        write(tmp_path, name, content=b"\x1f\x8b damaged")
        assert earlier(tmp_path, name).has_answers()
