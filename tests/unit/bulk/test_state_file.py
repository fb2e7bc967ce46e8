from __future__ import annotations

import gzip
import os

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotStorageRefusedError
from airflow_provider_cytechbot.bulk import state_file
from airflow_provider_cytechbot.bulk.state_file import VERSION, StateHead, StoredState, write_state

HEAD = StateHead(VERSION, {"server": "https://a", "operation": "assign"}, "ff00", {"group": "7"})
ENTRIES = [("1", b"\x00\xff", None, None), ("2", None, b"step", "run"), ("ä", b"v", b"", "r")]


def read(folder):
    return [entry for batch in StoredState(folder, "s.gz").entries() for entry in batch]


def test_a_state_is_read_as_it_was_written(folder):
    write_state(folder, "s.gz", HEAD, ENTRIES)
    assert StoredState(folder, "s.gz").head == HEAD
    assert read(folder) == ENTRIES


@pytest.mark.parametrize("number", [0, 1, 2_000, 2_001, 4_000])
def test_any_number_of_entries(folder, number):
    entries = [(str(each), b"v", None, None) for each in range(number)]
    write_state(folder, "s.gz", HEAD, iter(entries))
    assert read(folder) == entries


def test_labels_need_less_than_20_bytes_beside_the_key(folder):
    keys = [str(24994546734900000 + each) for each in range(20_000)]
    write_state(folder, "s.gz", HEAD, ((key, os.urandom(8), None, None) for key in keys))
    alone = len(gzip.compress("".join(keys).encode(), 1))
    assert len(folder.read("s.gz")) - alone < 20 * len(keys)


def test_an_error_in_the_middle_leaves_no_file(folder):
    def entries():
        yield ENTRIES[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_state(folder, "s.gz", HEAD, entries())
    assert folder.names() == []


def cut(data):
    return data[:-9]


def cut_in_the_text(data):
    return gzip.compress(gzip.decompress(data)[:-30])


def cut_at_a_line(data):
    return gzip.compress(b"".join(gzip.decompress(data).splitlines(keepends=True)[:-1]))


def without_entries(data):
    first, *_, last = gzip.decompress(data).splitlines(keepends=True)
    return gzip.compress(first + last)


def other_value(data):
    return gzip.compress(gzip.decompress(data).replace(b'"1"', b'"3"'))


def appended(data):
    return data + data


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        cut_in_the_text,
        cut_at_a_line,
        without_entries,
        other_value,
        appended,
        lambda _: b"",
        lambda _: b"text",
    ],
)
def test_damage_is_an_error(folder, damage):
    write_state(folder, "s.gz", HEAD, ENTRIES)
    folder.write("s.gz", damage(folder.read("s.gz")))
    with pytest.raises(CyTechBotStorageRefusedError, match=r"s\.gz, is damaged"):
        read(folder)


@pytest.mark.parametrize("version", [VERSION + 1, VERSION + 10])
def test_a_newer_version_is_refused(folder, version, monkeypatch):
    head = StateHead(version, {}, "", {})
    write_state(folder, "s.gz", head, [])
    with pytest.raises(CyTechBotStorageRefusedError, match="newer version"):
        StoredState(folder, "s.gz")


def test_a_line_without_end_is_not_read_into_memory(folder, monkeypatch):
    monkeypatch.setattr(state_file, "_LONGEST_LINE", 100)
    folder.write("s.gz", gzip.compress(b"[" * 1_000))
    with pytest.raises(CyTechBotStorageRefusedError, match="is damaged"):
        read(folder)
