"""Locations of files and folders on any object storage, and what exists there."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from airflow_provider_cytechbot.api.fields import field_error
from airflow_provider_cytechbot.storage.failures import StorageFailures

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

_HALF_A_SCHEME = re.compile(r"[a-z][a-z0-9+-]*:/(?!/)")

#: How many bytes of a file are read at a time. fsspec's default is ten times as much.
READ_BLOCK_SIZE = 5 * 1024 * 1024


def path_text(field: str, path: str | ObjectStoragePath) -> str:
    """
    Return a path parameter as text, with the id of its connection.

    :param field: The parameter.
    :param path: Its value.
    :raises CyTechBotStorageRefusedError: The path has options, such as an endpoint or a key. Airflow does not
        use them, and they would be visible in the DAG.
    """
    options = [name for name in getattr(path, "storage_options", ()) if name != "conn_id"]
    if options:
        raise StorageFailures(f"Field {field!r}", str(path)).refused(
            f"has options that Airflow does not use ({', '.join(options)}).",
            "Put them into a connection and name it in the path: s3://my_conn@bucket/….",
        )
    return str(path)


class StorageLocation(NamedTuple):
    """
    The location of a file or a folder.

    :param field: The operator's parameter that names it, for errors.
    :param path: The path.
    """

    field: str
    path: ObjectStoragePath

    @classmethod
    def from_parameter(cls, field: str, path: str | ObjectStoragePath) -> StorageLocation:
        """
        Return the location that a parameter names.

        :param field: The parameter.
        :param path: Anything that ``ObjectStoragePath`` opens. One without a scheme may be relative, or begin
            with ``~``; the location is absolute.
        :raises CyTechBotFieldError: It is empty.
        :raises CyTechBotStorageRefusedError: No filesystem opens it, its connection is unknown, or it has
            options.
        """
        from airflow.providers.common.compat.sdk import BaseHook, ObjectStoragePath

        text = path_text(field, path)
        if not text.strip():
            raise field_error(
                field, "is empty", "Give a path: without one it would be the folder of the worker."
            )
        failures = StorageFailures(f"Field {field!r}", text)
        if _HALF_A_SCHEME.match(text):
            raise failures.refused("has a scheme without two slashes.", "Write s3://bucket/… or file:///….")
        with failures.translate_errors():
            if "://" not in text:
                # Before Airflow 3.2, ObjectStoragePath puts a relative path into the root folder.
                text = str(_expanded(failures, text).absolute())
            if "://" not in text or text.startswith("file://"):
                _attach_local_filesystem()
            try:
                location = cls(field, ObjectStoragePath(text))
                _ = location.path.fs
            except (ImportError, ValueError) as error:
                if isinstance(error, ImportError) or not _has_filesystem(text.partition("://")[0]):
                    raise failures.unknown_scheme(error) from None
                raise
            # The property is new in Airflow 3.2; before, the id is one of the options.
            conn_id = getattr(location.path, "conn_id", None) or location.path.storage_options.get("conn_id")
            if conn_id:
                # Without it some filesystems use the worker's own credentials, or none.
                BaseHook.get_connection(conn_id)
        return location

    @property
    def failures(self) -> StorageFailures:
        """The errors of this location."""
        return StorageFailures(f"Field {self.field!r}", str(self.path))

    def sibling(self, name: str) -> StorageLocation:
        """Return the location of another file in the same folder."""
        return self._replace(path=self.path.with_name(name))

    def child(self, name: str) -> StorageLocation:
        """Return a location in this folder."""
        return self._replace(path=self.path / name)

    # The methods below use the filesystem: methods of the path ignore one that was attached by hand.

    def exists(self) -> bool:
        """Return whether a file or folder exists here."""
        with self.failures.translate_errors():
            return bool(self.path.fs.exists(self.path.path))

    def is_folder(self) -> bool:
        """Return whether the location is a folder, or on an object store the beginning of names."""
        with self.failures.translate_errors():
            return bool(self.path.fs.isdir(self.path.path))

    def size(self) -> int:
        """Return the size of the file in bytes."""
        fs = self.path.fs
        with self.failures.translate_errors():
            fs.invalidate_cache(self.path.path)  # another task may have written there
            return int(fs.size(self.path.path) or 0)

    def refuse_existing(self) -> None:
        """
        Check that nothing exists here.

        :raises CyTechBotStorageRefusedError: A file or folder does.
        """
        if self.exists():
            raise self.failures.refused("is there already, and overwrite is false.", "Choose another path.")

    def names(self) -> list[str]:
        """Return the sorted names of the files and folders in this folder; none if it is missing."""
        fs = self.path.fs
        with self.failures.translate_errors():
            fs.invalidate_cache(self.path.path)  # another task may have written there
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
        """Remove the file, if it exists."""
        with self.failures.translate_errors(has_begun=True), suppress(FileNotFoundError):
            self.path.fs.rm_file(self.path.path)


def _expanded(failures: StorageFailures, path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise failures.refused("names an unknown user's home folder.", "Write ./~… for a name.") from None


def _attach_local_filesystem() -> None:
    """Attach the filesystem of local paths, for which Airflow would import that of each provider first."""
    from fsspec import filesystem  # type: ignore[import-untyped]

    try:
        from airflow.sdk.io.store import attach
    except ImportError:  # Airflow 2
        from airflow.io.store import attach  # type: ignore[import-not-found,no-redef]
    attach("file", fs=filesystem("file"))  # one that was attached before stays


def _has_filesystem(scheme: str) -> bool:
    try:
        from airflow.sdk.io import has_fs
    except ImportError:  # before Airflow 3.1
        from airflow.io import has_fs  # type: ignore[attr-defined,no-redef]
    return bool(has_fs(scheme))
