"""Where a file or folder is on an object storage, and what is there already."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from airflow_provider_cytechbot.storage.failures import StorageFailures

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

_HALF_A_SCHEME = re.compile(r"[a-z][a-z0-9+-]*:/(?!/)")

#: What a file that is read from a store holds in memory, in bytes. fsspec's own default is ten times as much.
READ_BLOCK_SIZE = 5 * 1024 * 1024


class StorageLocation(NamedTuple):
    """
    Where a file or a folder of an export is.

    :param field: The operator's parameter that says so, for errors.
    :param path: The place.
    """

    field: str
    path: ObjectStoragePath

    @classmethod
    def from_parameter(cls, field: str, path: str) -> StorageLocation:
        """
        Return the place that a parameter names.

        :param field: The parameter.
        :param path: Anything that ``ObjectStoragePath`` opens. One without a scheme may be relative: what is
            returned means the same file to a task that runs in another folder.
        :raises CyTechBotStorageRefusedError: No filesystem opens it, or its connection is unknown.
        """
        from airflow.providers.common.compat.sdk import BaseHook, ObjectStoragePath

        failures = StorageFailures(f"Field {field!r}", path)
        if _HALF_A_SCHEME.match(path):
            raise failures.refused("has a scheme without two slashes.", "Write s3://bucket/… or file:///….")
        # Not left to ObjectStoragePath: before Airflow 3.2 it lets a relative path begin in the root folder.
        path = path if "://" in path else str(Path(path).absolute())
        with failures.translate_errors():
            try:
                place = cls(field, ObjectStoragePath(path))
                _ = place.path.fs
            except (ImportError, ValueError) as error:
                if isinstance(error, ImportError) or not _has_filesystem(path.partition("://")[0]):
                    raise failures.unknown_scheme(error) from None
                raise
            # The property is new in Airflow 3.2; before, the id is one of the options.
            conn_id = getattr(place.path, "conn_id", None) or place.path.storage_options.get("conn_id")
            if conn_id:
                # Without it some filesystems go on with the worker's own credentials, or with none.
                BaseHook.get_connection(conn_id)
        return place

    @property
    def failures(self) -> StorageFailures:
        """What can go wrong there."""
        return StorageFailures(f"Field {self.field!r}", str(self.path))

    def sibling(self, name: str) -> StorageLocation:
        """Return the place of another file in the same folder."""
        return self._replace(path=self.path.with_name(name))

    def child(self, name: str) -> StorageLocation:
        """Return a place in this folder."""
        return self._replace(path=self.path / name)

    # Below, the filesystem is asked and not the path, which knows no filesystem that was attached by hand.

    def exists(self) -> bool:
        """Return whether something is there."""
        with self.failures.translate_errors():
            return bool(self.path.fs.exists(self.path.path))

    def is_folder(self) -> bool:
        """Return whether the location is a folder, or on an object store the beginning of names."""
        with self.failures.translate_errors():
            return bool(self.path.fs.isdir(self.path.path))

    def refuse_existing(self) -> None:
        """
        Look whether the place is free.

        :raises CyTechBotStorageRefusedError: It is not.
        """
        if self.exists():
            raise self.failures.refused("is there already, and overwrite is false.", "Choose another place.")

    def names(self) -> list[str]:
        """Return the names of what is in this folder, sorted; none if it is missing."""
        fs = self.path.fs
        with self.failures.translate_errors():
            fs.invalidate_cache(self.path.path)  # another task may have written there since
            try:
                found = fs.ls(self.path.path, detail=False)
            except FileNotFoundError:
                found = []
        return sorted(name.rstrip("/").rpartition("/")[2] for name in found)

    def open(self) -> IO[bytes]:
        """Open the file for reading."""
        with self.failures.translate_errors():
            file: IO[bytes] = self.path.fs.open(self.path.path, "rb", block_size=READ_BLOCK_SIZE)
            return file

    def remove(self) -> None:
        """Remove the file, if it is there."""
        with self.failures.translate_errors(has_begun=True), suppress(FileNotFoundError):
            self.path.fs.rm_file(self.path.path)


def _has_filesystem(scheme: str) -> bool:
    try:
        from airflow.sdk.io import has_fs
    except ImportError:  # before Airflow 3.1
        from airflow.io import has_fs  # type: ignore[attr-defined,no-redef]
    return bool(has_fs(scheme))
