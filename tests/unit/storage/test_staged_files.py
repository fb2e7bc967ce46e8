from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS

from airflow_provider_cytechbot.api.errors import CyTechBotStorageError, CyTechBotStorageRefusedError
from airflow_provider_cytechbot.storage.locations import StorageLocation
from airflow_provider_cytechbot.storage.staged_files import (
    UPLOAD_BLOCK_SIZE,
    StagedFile,
    WriteOptions,
    whole_or_nothing,
)

from ...full_disk import files_of_at_most
from ..stores import FakeS3, FakeS3File, StorageError, store

HAS_RELATIVE_PATHS = pytest.mark.skipif(
    not AIRFLOW_V_3_2_PLUS, reason="ObjectStoragePath has no relative paths before Airflow 3.2"
)
LARGE = b"x" * (UPLOAD_BLOCK_SIZE + 1)


def write(path, *contents, then=lambda: None):
    """Write an export, do something more before its end, and return its file."""
    with whole_or_nothing(StorageLocation("path", path)) as file:
        for content in contents:
            file.write(content)
        then()
    return file


def fail(*_, error=StorageError("cannot"), **__):  # noqa: B008
    raise error


@pytest.mark.parametrize(
    "contents", [(b"rows",), (), (b"",), (LARGE, b"more")], ids=["small", "none", "empty", "large"]
)
def test_file_is_there_when_the_block_has_ended(folder, contents):
    write(folder.path(), *contents)
    assert folder.files() == {"answers.jsonl": b"".join(contents)}


def test_nothing_is_there_before(folder):
    with whole_or_nothing(StorageLocation("path", folder.path())) as file:
        file.write(LARGE)
        assert "answers.jsonl" not in folder.files()


def test_file_that_was_there_is_replaced_at_the_end(folder):
    write(folder.path(), b"old")
    with whole_or_nothing(StorageLocation("path", folder.path())) as file:
        file.write(LARGE)
        assert folder.files()["answers.jsonl"] == b"old"
    assert folder.files() == {"answers.jsonl": LARGE}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("before", [{}, {"answers.jsonl": b"old"}], ids=["new", "old"])
@pytest.mark.parametrize("content", [b"", b"half", LARGE], ids=["empty", "small", "large"])
def test_error_leaves_what_was_there(folder, before, content, error):
    for name, old in before.items():
        write(folder.path(name), old)

    with pytest.raises(error):
        write(folder.path(), content, then=partial(fail, error=error))

    assert folder.files() == before
    assert not FakeS3.uploads


def test_size_is_that_of_the_bytes_written(folder):
    with whole_or_nothing(StorageLocation("path", folder.path())) as file:
        file.write(LARGE)
        file.write(b"four")
        assert file.size == len(LARGE) + 4


def test_folders_are_made(folder):
    write(folder.path("a/b/answers.jsonl"), b"rows")
    assert folder.files() == {"a/b/answers.jsonl": b"rows"}


@pytest.fixture
def interruption():
    """Let SIGTERM interrupt, as it does in a task."""

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    yield lambda: signal.raise_signal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)


def step_with_signal(owner, name, *, monkeypatch, interruption, first):
    """Let a signal arrive before or after a step."""
    step = getattr(owner, name)

    def interrupted(*arguments, **options):
        if first:
            interruption()
        result = step(*arguments, **options)
        if not first:
            interruption()
        return result

    monkeypatch.setattr(owner, name, interrupted)


class TestOptions:
    OPTIONS = WriteOptions("text/csv", "gzip", {"ACL": "private"})

    def write(self, path, content=b"x"):
        with whole_or_nothing(StorageLocation("path", path), options=self.OPTIONS) as file:
            file.write(content)

    @pytest.mark.parametrize("content", [b"x", b""])
    def test_of_s3_are_parameters_of_its_calls(self, s3, content):
        self.write(ObjectStoragePath("s3://bucket/a"), content)
        wanted = {"ContentType": "text/csv", "ContentEncoding": "gzip", "ACL": "private"}
        assert s3.parameters_of["bucket/a"].items() >= wanted.items()

    def test_of_google_cloud_storage_have_the_type_of_the_encoding(self, s3, monkeypatch):
        monkeypatch.setitem(store._STORE_CACHE, "gs", store.ObjectStore("gs", None, fs=FakeS3()))
        self.write(ObjectStoragePath("gs://bucket/a"))
        found = s3.parameters_of["bucket/a"]
        assert (found["content_type"], found["ACL"]) == ("application/gzip", "private")

    def test_of_local_files_are_ignored(self, tmp_path):
        self.write(ObjectStoragePath(f"file://{tmp_path}/a"))
        assert (tmp_path / "a").read_bytes() == b"x"


class TestSecondSignal:
    STEPS = pytest.mark.parametrize("step", ["file.close", "fs.rm_file", "file.discard"])

    @STEPS
    @pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
    def test_during_the_removal_leaves_nothing(self, folder, monkeypatch, interruption, step, first):
        patch = {"monkeypatch": monkeypatch, "interruption": interruption, "first": first}

        def write_and_interrupt():
            with whole_or_nothing(StorageLocation("path", folder.path())) as staged:
                staged.write(b"new" * 3_000_000)
                kind, name = step.split(".")
                owner = staged._writer.file if kind == "file" else folder.path().fs
                if hasattr(owner, name):
                    step_with_signal(owner, name, **patch)
                interruption()

        with pytest.raises(KeyboardInterrupt):
            write_and_interrupt()
        assert folder.files() == {}
        assert not FakeS3.uploads

    @pytest.mark.parametrize("opener", [whole_or_nothing, StagedFile])
    def test_during_the_creation_leaves_nothing(self, folder, monkeypatch, interruption, opener):
        location = StorageLocation("path", folder.path())
        step_with_signal(
            type(location.path.fs), "open", monkeypatch=monkeypatch, interruption=interruption, first=False
        )
        with pytest.raises(KeyboardInterrupt):
            opener(location).__enter__()
        assert folder.files() == {}
        assert not FakeS3.uploads


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("protocol", ["s3", "gs", "abfs"])
@pytest.mark.parametrize("content", [b"rows", b"", LARGE], ids=["small", "empty", "large"])
class TestLostAnswer:
    """The store has completed the upload, and the answer was lost: the library sends the request again."""

    @pytest.fixture
    def location(self, s3, protocol, monkeypatch):
        if protocol == "gs":
            monkeypatch.setitem(store._STORE_CACHE, "gs", store._STORE_CACHE["s3"])
        return StorageLocation("path", ObjectStoragePath(f"{protocol}://bucket/answers.jsonl"))

    def test_own_object_is_a_success(self, s3, location, overwrite, content):
        with whole_or_nothing(location, overwrite=overwrite) as file:
            file.write(content)
            s3.failing.add("answer")
        assert s3.objects == {"bucket/answers.jsonl": content}

    def test_object_of_another_process_is_not(self, s3, location, overwrite, content):
        staged = StagedFile(location, overwrite=overwrite)
        staged.write(content)
        staged.finish()
        s3.objects["bucket/answers.jsonl"] = content
        s3.failing.add("complete")
        with pytest.raises(CyTechBotStorageError, match="complete failed"):
            staged.commit()
        staged.discard()
        assert s3.objects == {"bucket/answers.jsonl": content}

    def test_failure_before_the_object_is_there_is_an_error(self, s3, location, overwrite, content):
        staged = StagedFile(location, overwrite=overwrite)
        staged.write(content)
        staged.finish()
        s3.failing.add("complete")
        with pytest.raises(CyTechBotStorageError, match="complete failed"):
            staged.commit()
        staged.discard()
        assert (s3.objects, s3.uploads) == ({}, {})


class TestObjectStore:
    @pytest.fixture
    def path(self, s3):
        return ObjectStoragePath("s3://bucket/answers.jsonl")

    @pytest.mark.parametrize("stage", ["part", "complete"])
    @pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
    def test_failing_store_is_left_as_it_was(self, path, s3, stage, content):
        write(path, b"old")
        s3.failing.add(stage)

        with pytest.raises(CyTechBotStorageError, match=f"{stage} failed"):
            write(path, content)

        assert s3.objects == {"bucket/answers.jsonl": b"old"}
        assert not s3.uploads

    def test_store_that_cannot_be_opened(self, path, s3):
        s3.failing.add("open")
        with pytest.raises(CyTechBotStorageError, match="open failed"):
            write(path, b"rows")
        assert not s3.objects

    def test_bucket_is_not_made(self, path, s3):
        s3.buckets.clear()
        with pytest.raises(CyTechBotStorageRefusedError, match="FileNotFoundError"):
            write(path, b"rows")

    def test_discarded_file_is_closed_for_good(self, path, monkeypatch):
        opened = []
        monkeypatch.setattr(FakeS3File, "_initiate_upload", lambda file: opened.append(file))
        monkeypatch.setattr(FakeS3File, "_upload_chunk", lambda file, final=False: None)
        with pytest.raises(StorageError, match="cannot"):
            write(path, LARGE, then=fail)
        assert opened[0].closed  # or the garbage collector would complete it

    def test_discard_that_fails_hides_no_error(self, path, s3, monkeypatch):
        monkeypatch.setattr(FakeS3File, "discard", fail)
        with pytest.raises(ValueError, match="gone wrong"):
            write(path, LARGE, then=partial(fail, error=ValueError("gone wrong")))
        assert not s3.objects

    def test_memory_stays_small(self, path, s3):
        write(path, LARGE)
        assert s3.block_sizes == [5 * 1024 * 1024]

    @pytest.mark.parametrize("protocol", ["s3a", "gs", "gcs"])
    def test_object_stores_are_written_to_at_once(self, s3, protocol, monkeypatch):
        monkeypatch.setitem(store._STORE_CACHE, protocol, store._STORE_CACHE["s3"])
        write(ObjectStoragePath(f"{protocol}://bucket/answers.jsonl"), b"rows")
        assert s3.objects == {"bucket/answers.jsonl": b"rows"}

    def test_connection_of_the_store_is_used(self, s3, monkeypatch):
        monkeypatch.setattr(store, "_STORE_CACHE", {"s3-aws_default": store._STORE_CACHE["s3"]})
        write(ObjectStoragePath("s3://aws_default@bucket/answers.jsonl"), b"rows")
        assert s3.objects == {"bucket/answers.jsonl": b"rows"}


class TestFiles:
    @pytest.fixture
    def path(self, tmp_path):
        return ObjectStoragePath(f"file://{tmp_path}/answers.jsonl")

    def test_folder_at_the_path_is_refused_and_left_alone(self, path, tmp_path):
        (tmp_path / "answers.jsonl").mkdir()
        with pytest.raises(
            CyTechBotStorageRefusedError, match=r"file://.*/answers.jsonl is there already and is not a file"
        ):
            write(path, b"rows")
        assert list(tmp_path.rglob("*")) == [tmp_path / "answers.jsonl"]

    def test_folder_that_appears_meanwhile_is_left_alone(self, path, tmp_path):
        with pytest.raises(CyTechBotStorageError, match="directory"):
            write(path, b"rows", then=(tmp_path / "answers.jsonl").mkdir)
        assert list(tmp_path.rglob("*")) == [tmp_path / "answers.jsonl"]

    def test_device_at_the_path_is_refused_and_left_alone(self, path, tmp_path):
        os.mkfifo(tmp_path / "answers.jsonl")
        with pytest.raises(CyTechBotStorageRefusedError, match="is not a file"):
            write(path, b"rows")
        assert stat.S_ISFIFO((tmp_path / "answers.jsonl").stat().st_mode)

    def test_file_in_place_of_the_folder(self, tmp_path):
        (tmp_path / "folder").write_text("a file")
        with pytest.raises(CyTechBotStorageRefusedError, match="folder"):
            write(ObjectStoragePath(f"file://{tmp_path}/folder/answers.jsonl"), b"rows")
        assert (tmp_path / "folder").read_text() == "a file"

    @pytest.mark.parametrize("umask", [0o022, 0o077])
    def test_mode_is_that_of_any_new_file(self, path, tmp_path, umask):
        before = os.umask(umask)
        try:
            write(path, b"rows")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "answers.jsonl").stat().st_mode) == 0o666 & ~umask

    @HAS_RELATIVE_PATHS
    @pytest.mark.parametrize("name", ["answers.jsonl", "folder/answers.jsonl", "./answers.jsonl"])
    def test_relative_path(self, tmp_path, monkeypatch, name):
        monkeypatch.chdir(tmp_path)
        write(ObjectStoragePath(name), b"rows")
        assert (tmp_path / name).read_bytes() == b"rows"

    @HAS_RELATIVE_PATHS
    def test_part_of_a_relative_path_is_beside_it(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with whole_or_nothing(StorageLocation("path", ObjectStoragePath("answers.jsonl"))):
            (part,) = tmp_path.iterdir()
        assert part.name.endswith(".part")

    def test_name_as_long_as_can_be(self, tmp_path):
        name = "n" * 255
        write(ObjectStoragePath(f"file://{tmp_path}/{name}"), b"rows")
        assert [path.name for path in tmp_path.iterdir()] == [name]

    @pytest.mark.parametrize("name", ["with space.jsonl", "date=2026-01-01", "ü#?%20;&.jsonl", ".hidden"])
    def test_odd_names(self, tmp_path, name):
        write(ObjectStoragePath(f"file://{tmp_path}/{name}"), b"rows")
        assert [path.name for path in tmp_path.iterdir()] == [name]

    def test_two_at_once_do_not_meet(self, path, tmp_path):
        folder = StorageLocation("path", path)
        with whole_or_nothing(folder) as one, whole_or_nothing(folder) as other:
            one.write(b"one")
            other.write(b"other")
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"answers.jsonl": b"one"}

    def test_two_at_once_do_not_overwrite_each_other(self, path, tmp_path, monkeypatch):
        one = StagedFile(StorageLocation("path", path), overwrite=False)
        other = StagedFile(StorageLocation("path", path), overwrite=False)
        for name, file in (("one", one), ("other", other)):
            file.write(name.encode())
            file.finish()
        # As when both have just looked, and neither has yet appeared.
        monkeypatch.setattr(type(path.fs), "exists", lambda self, path: False)
        one.commit()
        with pytest.raises(CyTechBotStorageRefusedError, match="something is there"):
            other.commit()
        other.discard()
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"answers.jsonl": b"one"}

    def test_filesystem_without_hard_links(self, path, tmp_path, monkeypatch):
        monkeypatch.setattr("os.link", partial(fail, error=OSError("not supported")))
        folder = StorageLocation("path", path)
        with whole_or_nothing(folder, overwrite=False) as one:
            one.write(b"one")
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"answers.jsonl": b"one"}

    def test_lost_answer_to_a_link_is_a_success(self, path, tmp_path, monkeypatch):
        link = os.link

        def link_twice(*names):
            link(*names)
            link(*names)

        monkeypatch.setattr("os.link", link_twice)
        with whole_or_nothing(StorageLocation("path", path), overwrite=False) as file:
            file.write(b"rows")
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"answers.jsonl": b"rows"}

    @pytest.mark.parametrize("before", [None, b"old"])
    def test_lost_answer_to_a_rename_is_a_success(self, path, tmp_path, monkeypatch, before):
        if before:
            write(path, before)
        replace = Path.replace

        def replace_twice(*names):
            replace(*names)
            replace(*names)

        monkeypatch.setattr(Path, "replace", replace_twice)
        write(path, b"rows")
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"answers.jsonl": b"rows"}

    def test_hidden_file_that_was_removed_is_an_error(self, path, tmp_path):
        write(path, b"old")

        def remove_part():
            next(tmp_path.glob(".*.part")).unlink()

        with pytest.raises(CyTechBotStorageError):
            write(path, b"rows", then=remove_part)
        assert (tmp_path / "answers.jsonl").read_bytes() == b"old"

    def test_lost_answer_to_a_move_is_a_success(self, memory, monkeypatch):
        move = memory.mv

        def move_twice(*names):
            move(*names)
            raise TimeoutError("too late")

        monkeypatch.setattr(memory, "mv", move_twice)
        location = StorageLocation("path", ObjectStoragePath("memory://bucket/answers.jsonl"))
        with whole_or_nothing(location, overwrite=False) as file:
            file.write(b"rows")
        assert memory.cat_file("/bucket/answers.jsonl") == b"rows"

    def test_full_disk(self, path, tmp_path):
        write(path, b"old")
        with (
            pytest.raises(CyTechBotStorageError, match=r"no room left .*File too large"),
            files_of_at_most(100_000),
        ):
            write(path, *[b"x" * 50_000] * 5)
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"answers.jsonl": b"old"}

    def test_disk_that_is_full_at_the_last_buffer(self, path, tmp_path):
        with (
            pytest.raises(CyTechBotStorageError, match=r"no room left .*File too large"),
            files_of_at_most(500),
        ):
            write(path, b"x" * 1000)  # less than a buffer
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is denied to root")
    def test_folder_without_permission(self, path, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(CyTechBotStorageRefusedError, match="permissions"):
            write(path, b"rows")

    def test_move_that_fails(self, memory, monkeypatch):
        monkeypatch.setattr(memory, "mv", fail)
        with pytest.raises(CyTechBotStorageError, match="cannot"):
            write(ObjectStoragePath("memory://bucket/answers.jsonl"), b"rows")
        assert not memory.store

    def test_a_killed_process_leaves_no_file_at_the_target(self, tmp_path):
        program = """
            import os, sys
            from airflow_provider_cytechbot.storage.locations import StorageLocation
            from airflow_provider_cytechbot.storage.staged_files import whole_or_nothing

            with whole_or_nothing(StorageLocation.from_parameter("path", sys.argv[1])) as file:
                file.write(b"half")
                os.kill(os.getpid(), 9)
        """
        path = tmp_path / "answers.jsonl"
        subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(path)], check=False)
        (left,) = tmp_path.iterdir()
        assert left.name.startswith(".")
        assert left.name.endswith(".part")
