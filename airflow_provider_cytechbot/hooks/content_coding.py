"""The compression of a body on its way, read so that it is known whether all of it has come."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

#: What is asked for. Only what can be checked: other codings may end anywhere without a word.
ACCEPTED = "gzip"

_PLAIN = frozenset({"", "identity"})
_COMPRESSED = frozenset({ACCEPTED, "x-gzip", "deflate"})
#: What zlib calls its largest window, and either framing: that of gzip, or its own, HTTP's "deflate".
_GZIP_OR_ZLIB = 47


def is_accepted(coding: str) -> bool:
    """
    Return whether there is a decoder for a body.

    :param coding: The answer's ``Content-Encoding``, empty where it has none.
    """
    return coding.strip().lower() in _PLAIN | _COMPRESSED


class ContentDecoder:
    """
    Decompresses a body block by block. What a block holds too much waits for the next.

    HTTP libraries take a gzip stream without its check sum, or without its end, for a whole one.

    :param coding: The answer's ``Content-Encoding``, if it :func:`is_accepted`.
    :param block_size: How many decompressed bytes a block has at most.
    """

    def __init__(self, coding: str, block_size: int) -> None:
        is_plain = coding.strip().lower() in _PLAIN
        self._stream = None if is_plain else zlib.decompressobj(_GZIP_OR_ZLIB)
        self._block_size = block_size
        self._is_empty = True

    def decode(self, data: bytes) -> Iterator[bytes]:
        """
        Yield the blocks that some of the body makes.

        :param data: Some bytes, cut anywhere.
        :raises zlib.error: They are damaged.
        """
        self._is_empty = False
        if self._stream is None:
            yield data
            return
        while data:
            if self._stream.eof:  # one gzip stream may follow another
                self._stream = zlib.decompressobj(_GZIP_OR_ZLIB)
            if block := self._stream.decompress(data, self._block_size):
                yield block
            data = self._stream.unconsumed_tail or self._stream.unused_data

    @property
    def is_whole(self) -> bool:
        """Whether the body may end here."""
        return self._stream is None or self._stream.eof or self._is_empty
