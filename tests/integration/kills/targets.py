"""Folders on storages, and how to look into them without the provider."""

from __future__ import annotations

from ..object_store import BUCKET


class LocalTarget:
    def __init__(self, folder):
        self.uri, self._folder = str(folder), folder

    def names(self):
        """What a reader sees: a file that is hidden is none."""
        files = (each for each in self._folder.rglob("*") if each.is_file())
        return sorted(each.relative_to(self._folder).as_posix() for each in files if each.name[0] != ".")

    def leftovers(self):
        """Return the names of unfinished files."""
        return [each.name for each in self._folder.rglob(".*")]

    def read(self, name):
        return (self._folder / name).read_bytes()


class S3Target:
    uri = f"s3://aws_default@{BUCKET}"

    def __init__(self, store):
        self._store = store
        self.read = store.read
        self.leftovers = store.uploads

    def names(self):
        return sorted(self._store.objects())
