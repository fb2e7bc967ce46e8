"""Compression of whole files: gzip and zstd, by the fastest compressor that is installed."""

from __future__ import annotations

import gzip
import io
import zlib
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

from airflow_provider_cytechbot.api.fields import field_error

NONE = "none"
SUFFIXES = {".gz": "gzip", ".zst": "zstd"}
KNOWN = (*SUFFIXES.values(), NONE)

#: zlib's ``wbits`` for a gzip file with the largest window.
_GZIP = 31

#: A zstd block of 4 bytes can hold 128 KiB: little is decompressed at a time, so that memory stays bounded.
_ZSTD_READ = 1024


class Compressor(Protocol):
    """Compresses the bytes of a file. It writes nothing itself, so it needs no closing."""

    def compress(self, data: bytes, /) -> bytes:
        """Return the compressed bytes that are ready."""
        ...

    def flush(self) -> bytes:
        """Return the remaining bytes, at the end."""
        ...


def check_installed(compression: str) -> None:
    """
    Check that the library of a compression is installed.

    :param compression: One of :data:`KNOWN`.
    :raises CyTechBotFieldError: It is not. The hint names the package.
    """
    if compression == "zstd" and not find_spec("zstandard"):
        raise field_error(
            "compression",
            "is 'zstd', which needs zstandard",
            "Install it: pip install 'airflow-provider-cytechbot[compression]'.",
        )


def compressor(compression: str) -> Compressor:
    """
    Return a compressor. Its output depends on the content alone: it contains no name and no time.

    :param compression: One of :data:`KNOWN`.
    """
    if compression == NONE:
        return _Uncompressed()
    if compression == "zstd":
        import zstandard

        # The library compresses in a thread of its own.
        return zstandard.ZstdCompressor(level=1, write_checksum=True, threads=1).compressobj()
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.compressobj(6, wbits=_GZIP)
    # isal level 1 compresses like zlib level 2, ten times faster.
    faster: Compressor = isal_zlib.compressobj(1, wbits=_GZIP)
    return faster


def decompressed(file: IO[bytes], compression: str) -> IO[bytes]:
    """
    Return a file that reads the content of a compressed file.

    :param file: The compressed file.
    :param compression: One of :data:`KNOWN`.
    """
    if compression == "gzip":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if compression == "zstd":
        return cast("IO[bytes]", _ZstdFile(file))
    return file


class DamagedFileError(Exception):
    """A zstd file is cut short or damaged."""


#: What reading a compressed file raises if it is cut short or damaged.
DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, DamagedFileError)


class _ZstdFile(io.RawIOBase):
    """
    Reads zstd frames. The reader of the library does not report a file that was cut short.

    :param file: The compressed file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._compressed = b""
        self._content = memoryview(b"")
        self._frame: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        while not self._content:
            self._compressed = self._compressed or self._file.read(_ZSTD_READ)
            if not self._compressed:
                if self._frame is not None:
                    raise DamagedFileError("it ends early")
                return 0
            self._content = memoryview(self._decompress())
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._content))
        target[:size] = self._content[:size]
        self._content = self._content[size:]
        return size

    def _decompress(self) -> bytes:
        import zstandard

        if self._frame is None:
            self._frame = zstandard.ZstdDecompressor().decompressobj()
        try:
            content: bytes = self._frame.decompress(self._compressed)
        except zstandard.ZstdError as error:
            raise DamagedFileError(str(error)) from None
        self._compressed = self._frame.unused_data if self._frame.eof else b""
        if self._frame.eof:
            self._frame = None
        return content


class _Uncompressed:
    def compress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""
