"""The earlier export at a path, whatever its parameters were: one file, or parts with their manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING, cast

from airflow_provider_cytechbot.api.errors import CyTechBotStorageRefusedError
from airflow_provider_cytechbot.formats import compression
from airflow_provider_cytechbot.formats.file_types import RAW
from airflow_provider_cytechbot.formats.reading import read_rows

if TYPE_CHECKING:
    from airflow_provider_cytechbot.formats.file_types import FileType
    from airflow_provider_cytechbot.storage.locations import StorageLocation

#: A body of the API with at least one subscriber: ``data`` is not an empty list or object.
_BODY_WITH_DATA = re.compile(rb'"data"\s*:\s*[\[{]\s*[^\s\]}]')
#: The beginning of a body or a manifest that is read, in bytes.
_HEAD_SIZE = 64 * 1024


class EarlierExport:
    """
    Finds and removes the files of an earlier export to the same path.

    A manifest is not needed to find parts: a run that was killed among its parts has left none.

    :param location: The path of the export.
    :param file_type: The type of its files.
    """

    def __init__(self, location: StorageLocation, file_type: FileType) -> None:
        self._file = location
        self._file_type = file_type

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

    def has_rows(self) -> bool:
        """Return whether the earlier export holds rows. An unreadable file counts as one with rows."""
        files = [self._file] if _is_file(self._file) else []
        return any(map(self._has_row, files)) or self._is_listed() or any(map(self._has_row, self._parts()))

    def remove_file(self) -> None:
        """Remove the one file."""
        if _is_file(self._file):
            self._file.remove()

    def remove_manifest(self) -> None:
        """Remove the manifest. Without one, no reader takes old and new parts for one export."""
        if _is_file(self.manifest):
            self.manifest.remove()

    def remove_parts(self, after: int) -> None:
        """
        Remove the parts with higher numbers, the last one first: their numbers never have a gap.

        :param after: The number of the last part to keep.
        """
        for part in reversed(list(self._parts(after))):
            part.remove()

    def _parts(self, after: int = 0) -> Iterator[StorageLocation]:
        number = after + 1
        while _is_file(part := self.part(number)):
            yield part
            number += 1

    def _is_listed(self) -> bool:
        if not _is_file(self.manifest):
            return False
        with suppress(CyTechBotStorageRefusedError, ValueError, RecursionError), self.manifest.open() as file:
            found = json.loads(file.read())
            return isinstance(found, dict) and found.get("rows") not in (0, None)
        return False

    def _has_row(self, file: StorageLocation) -> bool:
        file_format, codec = self._file_type
        try:
            if file_format == RAW:
                with closing(file.open()) as body, file.failures.translate_errors():
                    head = compression.decompressed(body, codec).read(_HEAD_SIZE)
                return _BODY_WITH_DATA.search(head) is not None
            with closing(cast("Generator[object]", read_rows(file, file_format, compression=codec))) as rows:
                return next(rows, None) is not None
        except CyTechBotStorageRefusedError:
            return True


def _is_file(location: StorageLocation) -> bool:
    # Credentials that only allow writing cannot find an earlier export; the new one is written all the same.
    with suppress(CyTechBotStorageRefusedError):
        return location.exists() and not location.is_folder()
    return False
