"""State files: the value of each key after a run, whole or not at all."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, TYPE_CHECKING, cast

import msgspec

from airflow_provider_cytechbot.bulk.claim import newer_version
from airflow_provider_cytechbot.bulk.folder import BAD_CONTENT, new_digest
from airflow_provider_cytechbot.storage.staged_files import whole_or_nothing

if TYPE_CHECKING:
    from airflow_provider_cytechbot.bulk.folder import Folder

VERSION = 1
_ENTRIES_AT_ONCE = 2_000
_BAD_FILE = (EOFError, gzip.BadGzipFile, zlib.error, *BAD_CONTENT)
_LONGEST_LINE = 64 * 1024 * 1024

#: Key, value, step and the run that recorded the step.
Entry = tuple[str, bytes | None, bytes | None, str | None]


class StateHead(msgspec.Struct):
    """
    The first line of a state file.

    :param version: The version of the format.
    :param identity: What the state is about.
    :param salt: The salt of its digests, in hexadecimal; empty if there are none.
    :param header: What the resource remembers.
    """

    version: int
    identity: dict[str, str]
    salt: str
    header: dict[str, str]


class _Foot(msgspec.Struct):
    digest: str


class _Version(msgspec.Struct):
    version: int


_entries = msgspec.json.Decoder(list[Entry])


def write_state(folder: Folder, name: str, head: StateHead, entries: Iterable[Entry]) -> None:
    """
    Write a state file.

    :param folder: The folder.
    :param name: The file's name.
    :param head: Its head.
    :param entries: Its entries, sorted by key.
    """
    digest = new_digest(name)
    entries = iter(entries)
    with (
        whole_or_nothing(folder.location_of(name)) as staged,
        gzip.GzipFile(
            filename="", mode="wb", compresslevel=1, fileobj=cast("IO[bytes]", staged), mtime=0
        ) as file,
    ):

        def write(line: bytes) -> None:
            digest.update(line)
            file.write(line + b"\n")

        write(msgspec.json.encode(head))
        while batch := list(islice(entries, _ENTRIES_AT_ONCE)):
            write(msgspec.json.encode(batch))
        file.write(msgspec.json.encode(_Foot(digest.hexdigest())) + b"\n")


class StoredState:
    """
    A state file. Its head is read at once, its entries in a stream.

    :param folder: The folder.
    :param name: The file's name.
    :raises CyTechBotStorageRefusedError: It is damaged, or a newer version wrote it.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self._folder, self._name = folder, name
        self._lines = self._read_lines()
        self.head = self._decode_head(next(self._lines, b""))

    def entries(self) -> Iterator[list[Entry]]:
        """Yield the entries, many at a time."""
        try:
            for line in self._lines:
                yield _entries.decode(line)
        except BAD_CONTENT:
            raise self._folder.damaged(self._name) from None

    def _decode_head(self, line: bytes) -> StateHead:
        try:
            if msgspec.json.decode(line, type=_Version).version > VERSION:
                raise newer_version(self._folder)
            return msgspec.json.decode(line, type=StateHead)
        except BAD_CONTENT:
            raise self._folder.damaged(self._name) from None

    def _read_lines(self) -> Iterator[bytes]:
        """Yield all lines but the last, which proves that they are whole."""
        location = self._folder.location_of(self._name)
        digest, before = new_digest(self._name), b""
        with location.failures.translate_errors(has_begun=True), location.open() as source:
            try:
                with gzip.GzipFile(fileobj=source) as file:
                    while line := file.readline(_LONGEST_LINE):
                        if before:
                            digest.update(before)
                            yield before
                        before = line.rstrip(b"\n")
                if msgspec.json.decode(before, type=_Foot).digest != digest.hexdigest():
                    raise self._folder.damaged(self._name)
            except _BAD_FILE:
                raise self._folder.damaged(self._name) from None
