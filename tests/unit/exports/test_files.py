from __future__ import annotations

import gzip
import json

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotStorageError, CyTechBotStorageRefusedError
from airflow_provider_cytechbot.exports.files import ExportFiles, WrittenFile
from airflow_provider_cytechbot.formats.file_types import FileType
from airflow_provider_cytechbot.formats.table import Column, Table
from airflow_provider_cytechbot.storage.locations import StorageLocation
from airflow_provider_cytechbot.storage.staged_files import StagedFile

COLUMNS = [Column("n", "", "integer")]


def rows(*numbers):
    return Table(len(numbers), {"n": list(numbers)})


def export_files(folder, name="a.jsonl", **options):
    file_type = FileType.of(name, None, None)
    files = ExportFiles(StorageLocation.from_parameter("path", f"{folder}/{name}"), file_type, **options)
    files.open()
    files.start(lambda: file_type.encoder(COLUMNS))
    return files


def write(folder, *tables, **options):
    files = export_files(folder, **options)
    for table in tables:
        files.write(table)
    files.finish()
    files.commit({"rows": sum(table.rows for table in tables)})
    return files


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def numbers_in(content):
    return [json.loads(line)["n"] for line in content.splitlines()]


class TestOneFile:
    @pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
    def test_has_all_rows(self, tmp_path, name):
        files = write(tmp_path, rows(1, 2), rows(), rows(3), name=name)
        content = contents(tmp_path)[name]
        text = gzip.decompress(content) if name.endswith("gz") else content
        assert numbers_in(text) == [1, 2, 3]
        assert files.written == [WrittenFile(f"{tmp_path}/{name}", 3, len(content))]
        assert (files.uris, files.size) == ([f"{tmp_path}/{name}"], len(content))

    def test_appears_with_the_commit(self, tmp_path):
        files = export_files(tmp_path)
        files.write(rows(1))
        files.finish()
        assert not (tmp_path / "a.jsonl").exists()
        files.commit({})
        assert numbers_in(contents(tmp_path)["a.jsonl"]) == [1]

    def test_takes_a_body_as_it_is(self, tmp_path):
        file_type = FileType.of("a.json", None, None)
        files = ExportFiles(StorageLocation.from_parameter("path", f"{tmp_path}/a.json"), file_type)
        files.open()
        files.write_bytes(b'{"data":')
        files.write_bytes(b"[]}")
        files.count(5)
        files.finish()
        files.commit({})
        assert contents(tmp_path) == {"a.json": b'{"data":[]}'}
        assert files.written == [WrittenFile(f"{tmp_path}/a.json", 5, 11)]


class TestParts:
    @pytest.mark.parametrize(
        ("tables", "expected"),
        [
            ([rows(1, 2, 3, 4, 5)], [[1, 2], [3, 4], [5]]),
            ([rows(1), rows(2, 3), rows(4)], [[1, 2], [3, 4]]),
            ([rows(1, 2)], [[1, 2]]),
            ([], [[]]),
        ],
        ids=["one table", "several tables", "one full part", "no rows"],
    )
    def test_have_as_many_rows_as_wanted(self, tmp_path, tables, expected):
        write(tmp_path, *tables, max_rows=2)
        found = contents(tmp_path)
        manifest = json.loads(found.pop("_a.jsonl.manifest.json"))
        assert manifest == {"rows": sum(map(len, expected))}
        assert [numbers_in(found[name]) for name in sorted(found)] == expected
        assert sorted(found) == [f"a-{number:05d}.jsonl" for number in range(1, len(expected) + 1)]

    def test_replace_one_file_and_more_parts(self, tmp_path):
        write(tmp_path, rows(1, 2, 3))
        write(tmp_path, rows(1, 2, 3), max_rows=1)
        assert set(contents(tmp_path)) == {
            "_a.jsonl.manifest.json", "a-00001.jsonl", "a-00002.jsonl", "a-00003.jsonl"
        }  # fmt: skip
        write(tmp_path, rows(1, 2, 3), max_rows=2)
        assert set(contents(tmp_path)) == {"_a.jsonl.manifest.json", "a-00001.jsonl", "a-00002.jsonl"}
        write(tmp_path, rows(1))
        assert set(contents(tmp_path)) == {"a.jsonl"}


class TestDiscard:
    @pytest.mark.parametrize("options", [{}, {"max_rows": 1}], ids=str)
    def test_leaves_nothing_and_the_earlier_export(self, tmp_path, options):
        (tmp_path / "a.jsonl").write_bytes(b"old")
        files = export_files(tmp_path, **options)
        files.write(rows(1, 2, 3))
        for _ in range(2):
            files.discard()
            assert contents(tmp_path) == {"a.jsonl": b"old"}

    def test_removes_the_folders_that_it_made(self, tmp_path):
        files = export_files(tmp_path / "new" / "folder", max_rows=1)
        files.write(rows(1, 2))
        files.discard()
        assert list(tmp_path.iterdir()) == []

    def test_keeps_what_is_committed(self, tmp_path):
        files = write(tmp_path, rows(1))
        files.discard()
        assert numbers_in(contents(tmp_path)["a.jsonl"]) == [1]


class TestWithoutOverwrite:
    def test_an_earlier_export_is_refused_when_opened(self, tmp_path):
        write(tmp_path, rows(1))
        with pytest.raises(CyTechBotStorageRefusedError, match="is there already"):
            export_files(tmp_path, overwrite=False)


class TestCommitThatFails:
    @pytest.fixture(
        params=[CyTechBotStorageError("the disk is full"), KeyboardInterrupt()], ids=["full disk", "stopped"]
    )
    def fail_at_the_third(self, request, tmp_path, monkeypatch):
        """Let the commit of three parts fail, or be stopped, at the third."""
        commit, committed = StagedFile.commit, []

        def commit_or_fail(staged):
            if len(committed) == 2:
                raise request.param
            commit(staged)
            committed.append(staged)

        def fail(**options):
            files = export_files(tmp_path, max_rows=1, **options)
            files.write(rows(1, 2, 3))
            files.finish()
            monkeypatch.setattr(StagedFile, "commit", commit_or_fail)
            with pytest.raises(type(request.param)):
                files.commit({})
            files.discard()

        return fail

    @pytest.mark.parametrize("overwrite", [True, False])
    def test_removes_the_parts_of_a_first_export(self, tmp_path, fail_at_the_third, overwrite):
        fail_at_the_third(overwrite=overwrite)
        assert contents(tmp_path) == {}

    def test_keeps_parts_beside_those_of_an_earlier_export(self, tmp_path, fail_at_the_third):
        write(tmp_path, rows(7, 8, 9), max_rows=1)
        fail_at_the_third()
        found = contents(tmp_path)
        assert [numbers_in(found[name]) for name in sorted(found)] == [[1], [2], [9]]


class TestReplacesAnswers:
    @pytest.mark.parametrize(("overwrite", "numbers", "expected"), [(True, [1], True), (True, [], False)])
    def test_if_the_earlier_export_has_some(self, tmp_path, overwrite, numbers, expected):
        write(tmp_path, rows(*numbers))
        files = export_files(tmp_path, overwrite=overwrite)
        assert files.replaces_answers(()) == expected
        files.discard()

    def test_not_without_overwrite(self, tmp_path):
        files = export_files(tmp_path, overwrite=False)
        write(tmp_path, rows(1))
        assert not files.replaces_answers(())
        files.discard()
