"""The earlier export at a path, whatever its parameters were: one file, or parts with their manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from typing import TYPE_CHECKING, cast

from airflow_provider_cytechbot.api.errors import CyTechBotStorageRefusedError
from airflow_provider_cytechbot.exports.layouts import COLUMNS_OF_AN_ANSWER, COLUMNS_OF_EACH_ROW
from airflow_provider_cytechbot.formats import compression
from airflow_provider_cytechbot.formats.file_types import RAW
from airflow_provider_cytechbot.formats.reading import read_rows

if TYPE_CHECKING:
    from airflow_provider_cytechbot.formats.file_types import FileType
    from airflow_provider_cytechbot.storage.locations import StorageLocation

#: A body of the API without answers: ``data`` is an empty list, or no subscriber in it has an answer.
_BODY_WITHOUT_ANSWERS = re.compile(rb'"data"\s*:\s*(?:\[\s*\]|\{[^{}]*\})')
#: The beginning of an answer in such a body that is neither null nor empty.
_ANSWER_IN_BODY = re.compile(rb'"answer"\s*:\s*(?:"[^"]|[^\s"n])')
_EMPTY_ANSWER_IN_BODY = re.compile(rb'"answer"\s*:\s*(?:null|"")')
_BLOCK_SIZE = 1024 * 1024
#: How much of a block is searched again with the next one: more than the beginning of an answer takes.
_OVERLAP = 1024

#: The columns of the long layout; only one of them has answers.
_COLUMNS_OF_LONG_ROWS = {column.name for column in COLUMNS_OF_AN_ANSWER}


class EarlierExport:
    """
    Finds and removes the files of an earlier export to the same path.

    A manifest is not needed to find parts: a run that was killed among its parts has left none. It is needed
    behind a part that was lost, where a file of such a name can be somebody else's: only those that it lists
    are removed.

    :param location: The path of the export.
    :param file_type: The type of its files.
    """

    def __init__(self, location: StorageLocation, file_type: FileType) -> None:
        self._file = location
        self._file_type = file_type
        self._listed: set[int] = set()

    @property
    def manifest(self) -> StorageLocation:
        """The manifest of parts. Readers of folders skip names that begin with an underscore."""
        return self._file.sibling(f"_{self._file.path.name}.manifest.json")

    def part(self, number: int) -> StorageLocation:
        """Return the location of a part."""
        stem, dot, suffixes = self._file.path.name.partition(".")
        return self._file.sibling(f"{stem}-{number:05d}{dot}{suffixes}")

    def refuse(self) -> None:
        """
        Check that there is no earlier export.

        :raises CyTechBotStorageRefusedError: There is one.
        """
        for location in (self._file, self.manifest, self.part(1)):
            location.refuse_existing()
        for part in self._present_parts():
            part.refuse_existing()

    def exists(self) -> bool:
        """Return whether there is an earlier export, or a part of one."""
        return any(map(_is_file, (self._file, self.manifest, self.part(1))))

    def has_answers(self, subscriber_fields: Collection[str] = ()) -> bool:
        """
        Return whether the earlier export has answers. A file that cannot be read counts as one that has.

        :param subscriber_fields: The columns that hold fields of the subscriber, and no answers.
        """
        no_answers = {column.name for column in COLUMNS_OF_EACH_ROW} | set(subscriber_fields)
        parts = self._present_parts()
        files = [*([self._file] if _is_file(self._file) else []), *parts]
        # Without parts, they were moved elsewhere, and their manifest is what is left of them.
        return any(self._has_answer(file, no_answers) for file in files) or (not parts and self._is_listed())

    def remove_file(self) -> None:
        """Remove the one file."""
        if _is_file(self._file):
            self._file.remove()

    def remove_manifest(self) -> None:
        """
        Remove the manifest. Without one, no reader takes old and new parts for one export.

        The parts that it lists are remembered for :meth:`remove_parts`.
        """
        if _is_file(self.manifest):
            self._listed = self._listed_parts()
            self.manifest.remove()

    def remove_parts(self, after: int) -> None:
        """
        Remove the parts with higher numbers, the last one first.

        :param after: The number of the last part to keep.
        """
        for part in reversed(list(self._parts(after))):
            part.remove()

    def _parts(self, after: int) -> Iterator[StorageLocation]:
        """Yield the parts up to a gap in their numbers, then those that the manifest listed."""
        number = after + 1
        while _is_file(part := self.part(number)):
            yield part
            number += 1
        for listed in sorted(self._listed):
            if listed > number and _is_file(part := self.part(listed)):
                yield part

    def _present_parts(self) -> list[StorageLocation]:
        """Return all files that have the name of a part."""
        numbers: set[int] = set()
        folder = self._file._replace(path=self._file.path.parent)
        # Credentials that do not allow to list a folder may allow to look at a file.
        with suppress(CyTechBotStorageRefusedError):
            numbers = self._numbers(folder.names())
        first = list(self._parts(after=0))
        numbers.difference_update(range(1, len(first) + 1))
        return first + list(map(self.part, sorted(numbers)))

    def _listed_parts(self) -> set[int]:
        manifest = self._read_manifest()
        uris = manifest.get("uris") if isinstance(manifest, dict) else None
        names = uris if isinstance(uris, list) else []
        return self._numbers(each.rpartition("/")[2] for each in names if isinstance(each, str))

    def _numbers(self, names: Iterable[str]) -> set[int]:
        """Return the numbers of names of parts."""
        stem, dot, suffixes = self._file.path.name.partition(".")
        name = re.compile(rf"{re.escape(stem)}-(\d{{5,9}}){re.escape(dot + suffixes)}", re.ASCII)
        return {int(match[1]) for each in names if (match := name.fullmatch(each))}

    def _is_listed(self) -> bool:
        """Return whether the manifest lists rows. One that cannot be read counts as one that does."""
        if not _is_file(self.manifest):
            return False
        manifest = self._read_manifest()
        return not (isinstance(manifest, dict) and manifest.get("rows") == 0)

    def _read_manifest(self) -> object:
        """Return the content of the manifest; ``None`` if it cannot be read."""
        with suppress(CyTechBotStorageRefusedError, ValueError, RecursionError):
            with self.manifest.open() as file, self.manifest.failures.translate_errors():
                content = file.read()
            return json.loads(content)
        return None

    def _has_answer(self, file: StorageLocation, no_answers: Collection[str]) -> bool:
        file_format, codec = self._file_type
        try:
            if not file.size():
                return False
            if file_format == RAW:
                return _body_has_answers(file, codec)
            with closing(
                cast("Generator[dict[str, object]]", read_rows(file, file_format, compression=codec))
            ) as rows:
                return any(
                    row[name] not in (None, "")
                    for row in rows
                    for name in _columns_of_answers(row, no_answers)
                )
        except CyTechBotStorageRefusedError:
            return True


def _body_has_answers(file: StorageLocation, codec: str) -> bool:
    """Return whether a body has answers. What is no body of the API counts as one that has."""
    is_without_answers, tail = False, b""
    with closing(file.open()) as body, file.failures.translate_errors():
        content = compression.decompressed(body, codec)
        try:
            while block := content.read(_BLOCK_SIZE):
                text = tail + block
                if _ANSWER_IN_BODY.search(text):
                    return True
                is_without_answers = is_without_answers or any(
                    each.search(text) for each in (_BODY_WITHOUT_ANSWERS, _EMPTY_ANSWER_IN_BODY)
                )
                tail = text[-_OVERLAP:]
        except compression.DAMAGE:
            return True
    return not is_without_answers or not tail.rstrip().endswith(b"}")


def _columns_of_answers(row: Mapping[str, object], no_answers: Collection[str]) -> Iterable[str]:
    if row.keys() >= _COLUMNS_OF_LONG_ROWS:
        return ("answer",)
    return (name for name in row if name not in no_answers)


def _is_file(location: StorageLocation) -> bool:
    # Credentials that only allow writing cannot find an earlier export; the new one is written all the same.
    with suppress(CyTechBotStorageRefusedError):
        return location.exists() and not location.is_folder()
    return False
