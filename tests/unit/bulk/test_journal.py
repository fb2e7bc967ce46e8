from __future__ import annotations

import threading
import time

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotStorageError, CyTechBotStorageRefusedError
from airflow_provider_cytechbot.bulk import journal as journal_module
from airflow_provider_cytechbot.bulk.journal import (
    Begun,
    Head,
    Journal,
    Remembered,
    Saved,
    Settlement,
    journal_files,
    read_journal,
)

HEAD = Head("run", 1, 0)


@pytest.fixture
def errors():
    return []


@pytest.fixture
def journal(folder, errors):
    return Journal(folder, 3, HEAD, lambda: None, errors.append)


def read(folder):
    files, missing = journal_files(folder.names())
    assert not missing
    return [record for file in files for record in read_journal(folder, file)[1]]


def wait_until(condition):
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends, "not within the time limit"
        time.sleep(0.005)


def test_every_record_is_read_as_it_was_written(journal, folder):
    records = [
        Begun("a", b"\x00step"),
        Begun("a", None),
        Saved("ä", b"\xff"),
        Saved("a", None),
        Remembered("group", "7"),
        Settlement("a", b"12345678", "assign", "f", "refused", "no", None, "2026-01-01", True, b"v", False),
    ]
    for record in records:
        journal.add(record)
    journal.close()
    assert read(folder) == records
    ((file,), _) = journal_files(folder.names())
    assert (file.claim, read_journal(folder, file)[0]) == (3, HEAD)


def test_a_record_is_durable_soon(journal, folder):
    journal.add(Begun("a", b"s"))
    began = time.monotonic()
    wait_until(folder.names)
    assert time.monotonic() - began < 1
    journal.close()


def test_many_records_do_not_wait(journal, folder, monkeypatch):
    monkeypatch.setattr(journal_module, "WAIT", 60)
    for number in range(journal_module.MOST_RECORDS):
        journal.add(Begun(str(number), b"s"))
    wait_until(folder.names)
    journal.close()


def test_flushed_means_durable(journal, folder, monkeypatch):
    monkeypatch.setattr(journal_module, "WAIT", 60)
    journal.add(Begun("a", b"s"))
    journal.flushed().result(10)
    assert read(folder) == [Begun("a", b"s")]
    journal.close()


def test_many_files_become_one(journal, folder, monkeypatch):
    monkeypatch.setattr(journal_module, "FILES_OF_A_ROLL", 5)
    for number in range(12):
        journal.add(Begun(str(number), b"s"))
        journal.flushed().result(10)
    journal.close()
    assert folder.names() == [
        "journal-000003-00000001-00000005.bin",
        "journal-000003-00000006-00000010.bin",
        "journal-000003-00000011-00000011.bin",
        "journal-000003-00000012-00000012.bin",
    ]
    assert [record.key for record in read(folder)] == [str(number) for number in range(12)]


def test_parts_of_a_larger_file_are_read_once():
    names = ["journal-000003-00000001-00000002.bin", "journal-000003-00000002-00000002.bin"]
    files, missing = journal_files(names)
    assert [file.name for file in files] == names[:1]
    assert not missing


@pytest.mark.parametrize(
    ("lost", "first"),
    [(1, "journal-000003-00000001-00000001.bin"), (2, "journal-000003-00000002-00000002.bin")],
)
def test_a_lost_file_is_found(journal, folder, lost, first):
    for number in range(3):
        journal.add(Begun(str(number), b"s"))
        journal.flushed().result(10)
    journal.close()
    folder.remove([f"journal-000003-{lost:08}-{lost:08}.bin"])
    assert journal_files(folder.names())[1] == {3: first}


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:20] + b"x" + data[21:], lambda _: b""]
)
def test_a_damaged_file_is_an_error(journal, folder, damage):
    journal.add(Begun("a", b"step"))
    journal.close()
    ((file,), _) = journal_files(folder.names())
    folder.write(file.name, damage(folder.read(file.name)))
    with pytest.raises(CyTechBotStorageRefusedError, match="is damaged"):
        read_journal(folder, file)


def test_a_call_that_is_cut_off_while_its_step_is_written_does_not_end_the_journal(folder, errors):
    is_checked, goes_on = threading.Event(), threading.Event()

    def check():
        is_checked.set()
        goes_on.wait(10)

    journal = Journal(folder, 3, HEAD, check, errors.append)
    journal.add(Begun("a", b"s"))
    written = journal.flushed()
    assert is_checked.wait(10)
    journal.add(Begun("b", b"s"))
    waiting, other = journal.flushed(), journal.flushed()
    assert waiting.cancel()
    assert not written.cancel()  # nor does this raise an error in the journal's thread
    goes_on.set()
    other.result(10)
    journal.add(Begun("c", b"s"))
    journal.close()
    assert [record.key for record in read(folder)] == ["a", "b", "c"]
    assert errors == []


class TestFailures:
    @pytest.fixture(autouse=True)
    def short_waits(self, monkeypatch):
        monkeypatch.setattr(journal_module, "_WAIT_BEFORE_RETRY", 0.001)

    @pytest.fixture
    def failures(self, folder, monkeypatch):
        """Let the next writes fail."""
        failures = []
        write = folder.write

        def fail(name, data):
            if failures:
                raise failures.pop()
            write(name, data)

        monkeypatch.setattr(folder, "write", fail)
        return failures

    def test_a_temporary_failure_is_repeated(self, journal, folder, failures, errors):
        failures += [CyTechBotStorageError("no answer.")] * 2
        journal.add(Begun("a", b"s"))
        journal.close()
        assert read(folder) == [Begun("a", b"s")]
        assert errors == []

    @pytest.mark.parametrize("kind", [CyTechBotStorageError, CyTechBotStorageRefusedError])
    def test_a_failure_that_stays_ends_the_journal(self, journal, folder, failures, errors, kind):
        error = kind("no room.")
        failures += [error] * 3
        journal.add(Begun("a", b"s"))
        with pytest.raises(kind):
            journal.flushed().result(10)
        failures.clear()
        journal.add(Begun("b", b"s"))
        with pytest.raises(kind):
            journal.flushed().result(10)
        with pytest.raises(kind):
            journal.close()
        assert errors == [error]
        assert folder.names() == []

    def test_nothing_is_begun_after_a_takeover(self, folder, errors):
        def check():
            raise CyTechBotStorageRefusedError("taken over.")

        journal = Journal(folder, 3, HEAD, check, errors.append)
        journal.add(Begun("a", b"s"))
        with pytest.raises(CyTechBotStorageRefusedError, match="taken over"):
            journal.flushed().result(10)
        assert read(folder) == [Begun("a", b"s")]  # for the try that has taken over
