"""Filesystems for tests: object stores that behave as s3fs and adlfs do, and fail on request."""

from __future__ import annotations

from typing import Any, ClassVar

from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

try:
    from airflow.sdk.io import store
except ImportError:  # Airflow 2
    from airflow.io import store  # noqa: F401 - for the fixtures


class StorageError(OSError):
    """The error of a store that fails on request."""


class Memory(MemoryFileSystem):
    """fsspec's own, with a store for each instance."""

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.store, self.pseudo_dirs = {}, [""]


class FakeS3(AbstractFileSystem):
    """
    Objects that appear when their upload is completed, as s3fs makes them.

    Closing a file completes its upload, even after an exception, unless it was opened without autocommit:
    then `commit` does; `discard` aborts it; what is neither stays in `uploads`, and costs its owner money.
    Buckets are not made on the way.
    """

    protocol = "s3"
    cachable = False
    buckets: ClassVar[set[str]] = set()
    objects: ClassVar[dict[str, bytes]] = {}
    uploads: ClassVar[dict[int, bytearray]] = {}
    metadata_of: ClassVar[dict[str, dict[str, str]]] = {}
    #: The parameters of the last write, by object.
    parameters_of: ClassVar[dict[str, dict[str, Any]]] = {}
    #: The stages that fail: open, part, complete, and answer, which is lost after the object has appeared.
    failing: ClassVar[set[str]] = set()
    block_sizes: ClassVar[list[int]] = []

    @classmethod
    def fail(cls, stage: str) -> None:
        if stage in cls.failing:
            raise StorageError(f"{stage} failed")

    def _open(self, path: str, mode: str = "rb", block_size: Any = None, **kwargs: Any) -> Any:
        self.fail("open")
        if path.split("/")[0] not in self.buckets:
            raise FileNotFoundError(path)
        return FakeS3File(self, path, mode, block_size=block_size, **kwargs)

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        if path not in self.objects:
            raise FileNotFoundError(path)
        metadata = self.metadata_of.get(path, {})
        return {"name": path, "size": len(self.objects[path]), "type": "file", "metadata": metadata}

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        folder = self._strip_protocol(path).rstrip("/") + "/"
        names = [name for name in self.objects if name.startswith(folder)]
        if not names:
            raise FileNotFoundError(path)
        return list(map(self.info, names)) if detail else names

    def metadata(self, path: str) -> dict[str, str]:
        return self.metadata_of[self._strip_protocol(path)]

    @property
    def _kwargs_helper(self) -> FakeS3:
        return self

    @staticmethod
    def filter_dict(method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        assert method == "create_multipart_upload"
        known = ("ACL", "ServerSideEncryption", "ContentType", "ContentEncoding", "Metadata", "StorageClass")
        return {name: value for name, value in parameters.items() if name in known}

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        path = self._strip_protocol(path)
        self.parameters_of[path] = kwargs
        self.complete(path, value, kwargs.get("Metadata", {}), is_exclusive=mode == "create")

    @classmethod
    def complete(cls, path: str, content: bytes, metadata: dict[str, str], *, is_exclusive: bool) -> None:
        """Let an object appear, as the library does that sends the request again after a lost answer."""
        for _ in range(2 if "answer" in cls.failing else 1):
            cls.fail("complete")
            if is_exclusive and path in cls.objects:
                raise FileExistsError(path)
            cls.objects[path], cls.metadata_of[path] = content, metadata
        cls.fail("answer")

    def _rm(self, path: str) -> None:
        del self.objects[path]

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        raise AssertionError("an object store has no folders")


class FakeAzure(FakeS3):
    """
    Blobs that appear when the list of their blocks is committed, as adlfs does whenever it closes a file.

    It has no autocommit. Blocks on no list cost nothing, and need not be discarded.
    """

    protocol = "abfs"

    def _open(self, path: str, mode: str = "rb", block_size: Any = None, **kwargs: Any) -> Any:
        return FakeAzureFile(self, path, mode, block_size=block_size)


class FakeS3File(AbstractBufferedFile):
    DEFAULT_BLOCK_SIZE = 50 * 2**20
    upload = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.s3_additional_kwargs: dict[str, Any] = {}
        self.metadata: dict[str, str] = {}  # gcsfs's
        self.content_type: str | None = None  # gcsfs's
        super().__init__(*args, **kwargs)

    def _initiate_upload(self) -> None:
        self.fs.block_sizes.append(self.blocksize)
        self.upload = id(self)
        self.fs.uploads[self.upload] = bytearray()

    def _upload_chunk(self, final: bool = False) -> bool:
        self.fs.fail("part")
        self.fs.uploads[self.upload] += self.buffer.getvalue()
        if final and self.autocommit:
            self.commit()
        return True

    def commit(self) -> None:
        content = bytes(self.fs.uploads[self.upload])
        self.fs.parameters_of[self.path] = {**self.s3_additional_kwargs, **self.kwargs}
        self.fs.parameters_of[self.path] |= {"content_type": self.content_type}
        metadata = self.s3_additional_kwargs.get("Metadata", self.metadata)
        self.fs.complete(self.path, content, metadata, is_exclusive="x" in self.mode)
        self.fs.uploads.pop(self.upload)

    def discard(self) -> None:
        self.fs.uploads.pop(self.upload, None)
        self.buffer = None

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.objects[self.path][start:end]


class FakeAzureFile(AbstractBufferedFile):
    DEFAULT_BLOCK_SIZE = 50 * 2**20
    metadata: Any = None

    def _initiate_upload(self) -> None:
        self._block_list: list[bytes] = []

    def _upload_chunk(self, final: bool = False) -> bool:
        self.fs.fail("part")
        if self.path.split("/")[0] not in self.fs.buckets:
            raise RuntimeError("Failed to upload block") from FileNotFoundError(self.path)
        self._block_list += [self.buffer.getvalue()] if self.buffer.tell() else []
        if final:
            content = b"".join(self._block_list)
            self.fs.complete(self.path, content, self.metadata, is_exclusive="x" in self.mode)
        return True

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.objects[self.path][start:end]
