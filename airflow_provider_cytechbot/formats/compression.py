"""Compression of whole files: gzip and zstd, by the fastest compressor that is installed."""

from __future__ import annotations

import zlib
from importlib.util import find_spec
from typing import Protocol

from airflow_provider_cytechbot.api.fields import field_error

NONE = "none"
SUFFIXES = {".gz": "gzip", ".zst": "zstd"}
KNOWN = (*SUFFIXES.values(), NONE)

#: What zlib calls a gzip file around its stream, with the largest window.
_GZIP = 31


class Compressor(Protocol):
    """Turns the bytes of a file into fewer. It writes nothing itself, so it can be dropped at any time."""

    def compress(self, data: bytes, /) -> bytes:
        """Return what can be written by now."""
        ...

    def flush(self) -> bytes:
        """Return the rest, at the end."""
        ...


def check_installed(compression: str) -> None:
    """
    Look whether the compressor is there.

    :param compression: One of :data:`KNOWN`.
    :raises CyTechBotFieldError: It is not; the message says how to install it.
    """
    if compression == "zstd" and not find_spec("zstandard"):
        raise field_error(
            "compression",
            "is 'zstd', which needs zstandard",
            "Install it: pip install 'airflow-provider-cytechbot[compression]'.",
        )


def compressor(compression: str) -> Compressor:
    """
    Return what compresses a file. The same content gives the same bytes: they hold no name and no time.

    :param compression: One of :data:`KNOWN`.
    """
    if compression == NONE:
        return _Uncompressed()
    if compression == "zstd":
        import zstandard

        # A thread of the library's own compresses, beside Python.
        return zstandard.ZstdCompressor(level=1, write_checksum=True, threads=1).compressobj()
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.compressobj(6, wbits=_GZIP)
    # Its first level makes what the second of zlib makes, ten times as fast.
    faster: Compressor = isal_zlib.compressobj(1, wbits=_GZIP)
    return faster


class _Uncompressed:
    def compress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""
