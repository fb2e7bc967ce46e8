"""Compression of whole files: gzip and zstd, by the fastest compressor that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_cytechbot.api.fields import refuse

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

NONE = "none"
SUFFIXES = {".gz": "gzip", ".zst": "zstd"}
KNOWN = (*SUFFIXES.values(), NONE)


def check_installed(compression: str) -> None:
    """
    Look whether the compressor is there.

    :param compression: One of :data:`KNOWN`.
    :raises CyTechBotFieldError: It is not; the message says how to install it.
    """
    if compression == "zstd" and not find_spec("zstandard"):
        raise refuse(
            "compression",
            "is 'zstd', which needs zstandard",
            "Install it: pip install 'airflow-provider-cytechbot[compression]'.",
        )


@contextmanager
def compressed(file: IO[bytes], compression: str) -> Iterator[SupportsWrite[bytes]]:
    """
    Give access to a file through a compression, finishing it at the end but leaving the file open.

    The same content gives the same bytes: no name and no time is written into the file's header.

    :param file: The file to write to.
    :param compression: One of :data:`KNOWN`.
    """
    if compression == NONE:
        yield file
        return
    with _open_gzip(file) if compression == "gzip" else _open_zstd(file) as sink:
        yield sink


def _open_gzip(file: IO[bytes]) -> Any:
    # Level 1 of isal makes what level 2 of zlib makes, ten times as fast.
    try:
        from isal.igzip import IGzipFile
    except ImportError:
        from gzip import GzipFile

        return GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0)
    return IGzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0)


def _open_zstd(file: IO[bytes]) -> Any:
    import zstandard

    return zstandard.ZstdCompressor(level=1, write_checksum=True).stream_writer(file, closefd=False)
