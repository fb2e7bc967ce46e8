"""Rows of files, read in a stream: CSV, JSON Lines and Parquet, also compressed, one file or a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from functools import partial
from typing import IO, Protocol, Self

from airflow_provider_cytechbot.api.fields import field_error
from airflow_provider_cytechbot.formats import compression as compressions
from airflow_provider_cytechbot.formats.file_types import RAW, FileType
from airflow_provider_cytechbot.formats.lines import UnreadableFileError

_HIDDEN = ("_", ".")


class Failures(Protocol):
    """The errors of a location."""

    def refused(self, problem: str, hint: str) -> Exception:
        """Return the error for a location that cannot be used."""
        ...

    def translate_errors(self, *, has_begun: bool = False) -> AbstractContextManager[None]:
        """Convert every exception of a storage in the block."""
        ...


class Location(Protocol):
    """A file or a folder, as :class:`~airflow_provider_cytechbot.storage.locations.StorageLocation`."""

    @property
    def field(self) -> str:
        """The operator's parameter that names it."""
        ...

    @property
    def path(self) -> object:
        """The path, whose text ends with the suffix of the file."""
        ...

    @property
    def failures(self) -> Failures:
        """The errors of this location."""
        ...

    def child(self, name: str) -> Self:
        """Return a location in this folder."""
        ...

    def names(self) -> list[str]:
        """Return the sorted names of the files and folders in this folder."""
        ...

    def is_folder(self) -> bool:
        """Return whether the location is a folder."""
        ...

    def open(self) -> IO[bytes]:
        """Open the file for reading."""
        ...


def read_rows(
    location: Location,
    file_format: str | None = None,
    *,
    compression: str | None = None,
    delimiter: str | None = None,
) -> Iterator[dict[str, object]]:
    """
    Return an iterator over the rows of a file, which is opened with the first row.

    Memory does not grow with the number of rows. CSV values are text; JSON Lines and Parquet keep their
    types, whole numbers exactly.

    :param location: The file.
    :param file_format: ``csv``, ``jsonl`` or ``parquet``; by default that of the suffix.
    :param compression: ``gzip``, ``zstd`` or ``none``; by default that of the suffix.
    :param delimiter: What separates the fields of a CSV file; by default what its header shows.
    :raises CyTechBotFieldError: The format or the compression is not known, or not installed.
    :raises CyTechBotStorageRefusedError: The file is missing or unreadable (while iterating).
    :raises CyTechBotStorageError: The storage failed (while iterating).
    """
    file_type = FileType.of(str(location.path), file_format, compression, field=location.field)
    if file_type.file_format == RAW:
        raise field_error(
            location.field, "is a file of format 'raw', which has no rows", "Give CSV, JSON Lines or Parquet."
        )
    return _rows(location, file_type, _reader(file_type, delimiter))


def read_folder(
    location: Location,
    file_format: str | None = None,
    *,
    compression: str | None = None,
    delimiter: str | None = None,
) -> Iterator[dict[str, object]]:
    """
    Return an iterator over the rows of all data files in a folder, in the order of their names.

    Names that begin with ``_`` or ``.`` are skipped: manifests, markers, hidden parts.

    :param location: The folder.
    :param file_format: As of :func:`read_rows`, for every file.
    :param compression: As of :func:`read_rows`, for every file.
    :param delimiter: As of :func:`read_rows`, for every file.
    :raises CyTechBotStorageRefusedError: The folder has no data files, files of several formats, or folders.
    """
    names = [name for name in location.names() if not name.startswith(_HIDDEN)]
    if not names:
        raise location.failures.refused("has no data files.", "Check the path.")
    files = [location.child(name) for name in names]
    for file in files:
        _refuse_folder(file)
    formats = {
        FileType.of(str(file.path), file_format, compression, field=location.field).file_format: name
        for file, name in zip(files, names, strict=True)
    }
    if len(formats) > 1:
        found = ", ".join(f"{name} ({kind})" for kind, name in formats.items())
        raise location.failures.refused(
            f"has files of several formats: {found}.", "Keep files of one format in a folder."
        )
    readers = [read_rows(file, file_format, compression=compression, delimiter=delimiter) for file in files]
    return (row for rows in readers for row in rows)


def _refuse_folder(location: Location) -> None:
    if location.is_folder():
        raise location.failures.refused(
            "is a folder inside a folder of data files, which is not read.", "Give the folder of the files."
        )


def _reader(file_type: FileType, delimiter: str | None) -> Callable[[IO[bytes]], Iterator[dict[str, object]]]:
    if file_type.file_format == "parquet":
        from airflow_provider_cytechbot.formats.parquet import read_parquet

        return read_parquet
    if file_type.file_format == "csv":
        from airflow_provider_cytechbot.formats.csv_records import read_csv

        return partial(read_csv, delimiter=delimiter)
    from airflow_provider_cytechbot.formats.json_lines import read_json_lines

    return read_json_lines


def _rows(
    location: Location,
    file_type: FileType,
    reader: Callable[[IO[bytes]], Iterator[dict[str, object]]],
) -> Iterator[dict[str, object]]:
    failures = location.failures
    with failures.translate_errors(has_begun=False):
        file = location.open()
    with closing(file), failures.translate_errors(has_begun=True):
        try:
            yield from reader(compressions.decompressed(file, file_type.file_compression))
        except UnreadableFileError as error:
            raise failures.refused(f"{error.problem}.", error.hint) from None
        except compressions.DAMAGE as error:
            raise failures.refused(
                f"cannot be decompressed as {file_type.file_compression} ({error}).",
                "The file was cut short or damaged, or has a wrong suffix: write it again.",
            ) from None
