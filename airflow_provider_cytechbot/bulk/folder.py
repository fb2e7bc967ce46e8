"""The folder of a state or a journal: small files that appear whole, on any object storage."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_cytechbot.api.errors import CyTechBotStorageError
from airflow_provider_cytechbot.storage.staged_files import whole_or_nothing

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.errors import CyTechBotStorageRefusedError
    from airflow_provider_cytechbot.storage.locations import StorageLocation

_S3 = frozenset({"s3", "s3a", "s3n"})
_LOCAL = frozenset({"", "file", "local"})
#: Stores whose objects appear as a whole by themselves, and that can refuse a second one of the same name.
_OBJECT_STORES = _S3 | {"gs", "gcs", "abfs", "abfss", "adl", "az"}


_RESTORE_HINT = (
    "Restore it from a backup. If there is none, remove the whole folder: the next run then begins without a "
    "state and sends every row again."
)

#: What decoding a damaged file raises.
BAD_CONTENT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
#: The bytes of a file's digest.
DIGEST_SIZE = 16


def new_digest(name: str) -> blake2b:
    """
    Return the digest of a file without content. A file under another one's name counts as damaged, too.

    :param name: The file's name.
    """
    return blake2b(name.encode(), digest_size=DIGEST_SIZE)


class Folder:
    """
    A folder that only the runs of one bulk write use.

    :param location: Where it is.
    """

    def __init__(self, location: StorageLocation) -> None:
        self._location = location
        self._protocol = location.path.protocol

    def __str__(self) -> str:
        return str(self._location.path)

    @property
    def creates_exclusively(self) -> bool:
        """Whether of two writers that create the same file at once, one fails."""
        return self._protocol in _LOCAL or self._protocol in _OBJECT_STORES

    def child(self, name: str) -> Folder:
        """Return a folder in this folder."""
        return Folder(self._location.child(name))

    def location_of(self, name: str) -> StorageLocation:
        """Return the location of a file."""
        return self._location.child(name)

    def names(self) -> list[str]:
        """Return the sorted names of all files; none if the folder is missing."""
        return self._location.names()

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        location = self._location.child(name)
        with location.failures.translate_errors(), location.open() as file:
            return file.read()

    def create(self, name: str, data: bytes) -> bool:
        """
        Write a file unless one of the name exists, and return whether it was written.

        :param name: Its name.
        :param data: Its content.
        """
        location = self._location.child(name)
        try:
            if self._protocol in _S3:
                # One request with a condition. Not every S3 server completes an upload exclusively.
                with location.failures.translate_errors(has_begun=True):
                    location.path.fs.pipe_file(location.path.path, data, mode="create")
            else:
                with whole_or_nothing(location, overwrite=False) as file:
                    file.write(data)
        except CyTechBotStorageError:
            if name not in self.names():
                raise
            # Libraries send a request again after a lost response: then the file is this one.
            return self.read(name) == data
        return True

    def write(self, name: str, data: bytes) -> None:
        """
        Write a file, in place of an existing one.

        :param name: Its name.
        :param data: Its content.
        """
        location = self._location.child(name)
        if self._protocol in _OBJECT_STORES:
            # One request, where an upload that can be discarded needs three.
            with location.failures.translate_errors(has_begun=True):
                location.path.fs.pipe_file(location.path.path, data)
            return
        with whole_or_nothing(location) as file:
            file.write(data)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files. What cannot be removed stays: a later run removes it."""
        paths = [self._location.child(name).path.path for name in names]
        if paths:
            with suppress(Exception):
                self._location.path.fs.rm(paths)

    def refused(self, problem: str, hint: str) -> CyTechBotStorageRefusedError:
        """
        Return the error for a folder that cannot be used. A retry does not help.

        :param problem: What is wrong, as the rest of a sentence that begins with the folder.
        :param hint: What to do.
        """
        return self._location.failures.refused(problem, hint)

    def damaged(self, name: str) -> CyTechBotStorageRefusedError:
        """Return the error for a file that cannot be read."""
        return self._location.child(name).failures.refused("is damaged.", _RESTORE_HINT)

    def lost(self, what: str) -> CyTechBotStorageRefusedError:
        """
        Return the error for a folder in which a file is missing.

        :param what: What is missing.
        """
        return self.refused(f"has lost {what}: there are traces of earlier runs.", _RESTORE_HINT)
