"""Decompression of a body that also checks that the body is complete, and its conversion to UTF-8."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.transport.charsets import CharsetDecoder

if TYPE_CHECKING:
    from airflow_provider_cytechbot.transport.failures import TransportFailures

#: The codings that a request accepts: only those whose end can be checked.
ACCEPTED = "gzip"
#: How many bytes a block of a body has at most. Larger ones only cost memory.
BLOCK_SIZE = 64 * 1024

#: How many gzip streams without content a body may have: with more of them, it need never end.
_MAX_EMPTY_STREAMS = 100

_PLAIN = frozenset({"", "identity"})
_COMPRESSED = frozenset({ACCEPTED, "x-gzip", "deflate"})
#: What zlib calls its largest window, and either framing: that of gzip, or its own, HTTP's "deflate".
_GZIP_OR_ZLIB = 47


class ContentDecoder:
    """
    Decompresses a body block by block, with blocks of limited size, and converts it to UTF-8.

    HTTP libraries accept a gzip stream without its check sum or its end as complete.

    :param headers: The answer's headers, with names in any case.
    :param failures: Makes the errors of the call that is answered.
    :raises CyTechBotTransportError: There is no decoder for it.
    """

    def __init__(self, headers: Mapping[str, str], failures: TransportFailures) -> None:
        name = headers.get("Content-Encoding", "").strip().lower()
        if name not in _PLAIN | _COMPRESSED:
            raise failures.unknown_coding()
        self._stream = None if name in _PLAIN else zlib.decompressobj(_GZIP_OR_ZLIB)
        self._charset = CharsetDecoder(headers.get("Content-Type"))
        self._failures = failures
        self._is_empty = True
        self._has_content = False
        self._empty_streams = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        """
        Yield the blocks that some of the body makes.

        :param data: Some bytes, cut anywhere.
        :raises CyTechBotTransportError: They are damaged.
        """
        yield from filter(None, map(self._charset.decode, self._decompress(data)))

    def finish(self) -> bytes:
        """
        Check that the body may end here, and return the end of its last block, which is mostly empty.

        :raises CyTechBotTransportError: It may not end here.
        """
        if self._stream is not None and not self._stream.eof and not self._is_empty:
            raise self._failures.compression_cut_off()
        return self._charset.finish()

    def _decompress(self, data: bytes) -> Iterator[bytes]:
        self._is_empty = False
        if self._stream is None:
            yield data
            return
        while data:
            if self._stream.eof:  # one gzip stream may follow another
                self._stream = zlib.decompressobj(_GZIP_OR_ZLIB)
                self._has_content = False
            try:
                block = self._stream.decompress(data, BLOCK_SIZE)
            except zlib.error:
                break
            if block:
                self._has_content = True
                yield block
            if self._stream.eof and not self._has_content:
                self._empty_streams += 1
                if self._empty_streams > _MAX_EMPTY_STREAMS:
                    break
            data = self._stream.unconsumed_tail or self._stream.unused_data
        else:
            return
        raise self._failures.damaged()
