"""The charset of a body, which servers and proxies may choose though JSON is UTF-8."""

from __future__ import annotations

import codecs
import re

#: How the text of a body begins in UTF-16. Its first two characters are ASCII, or a byte order mark.
_UTF_16 = re.compile(rb"(?P<utf_16_le>\xff\xfe|[^\x00]\x00)|(?P<utf_16_be>\xfe\xff|\x00[^\x00])", re.DOTALL)
_CHARSET = re.compile(r"\bcharset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
#: Browsers read ISO-8859-1 as Windows-1252, too, which has quotes and the euro where it has control codes.
_WINDOWS_1252 = frozenset(
    {"iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "latin-1", "l1", "windows-1252", "cp1252", "x-cp1252"}
)
_FALLBACK = "cytechbot.windows-1252"


def _decode_as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    wrong = error.object[error.start : error.end]
    text = "".join(
        byte.decode("cp1252", "ignore") or byte.decode("latin-1")
        for byte in (wrong[at : at + 1] for at in range(len(wrong)))
    )
    return text, error.end


codecs.register_error(_FALLBACK, _decode_as_windows_1252)


class CharsetDecoder:
    """
    Converts a body to UTF-8 block by block.

    Bytes that are UTF-8 stay as they are whatever the ``Content-Type`` names, because many web servers put a
    default there. Other bytes are read as ISO-8859-1 or Windows-1252 if it names one of them. If not, they
    stay as they are, and the reader of the JSON refuses them. UTF-16 is recognised by its first two bytes.

    :param content_type: The answer's ``Content-Type``, if it has one.
    """

    def __init__(self, content_type: str | None) -> None:
        found = _CHARSET.search(content_type or "")
        self._is_windows_1252 = found is not None and found[1].lower() in _WINDOWS_1252
        self._decoder: codecs.IncrementalDecoder | None = None
        self._begin: bytes | None = b""

    def decode(self, block: bytes) -> bytes:
        """
        Return the UTF-8 that the next block makes.

        :param block: Some bytes, cut anywhere.
        """
        if self._begin is not None:
            self._begin = block = self._begin + block
            if len(block) < 2:
                return b""
            self._begin = None
            self._choose(block)
        if self._decoder is None:
            return block
        return self._decoder.decode(block).encode(errors="surrogatepass")

    def finish(self) -> bytes:
        """Return the UTF-8 of the bytes that are left at the body's end."""
        if self._begin is not None:
            return self._begin
        if self._decoder is None:
            return b""
        left, _ = self._decoder.getstate()
        return left  # half a character: no UTF-8 either

    def _choose(self, begin: bytes) -> None:
        if found := _UTF_16.match(begin):
            # Half a pair is passed on, and refused with what else is not UTF-8.
            self._decoder = codecs.getincrementaldecoder(str(found.lastgroup))("surrogatepass")
        elif self._is_windows_1252:
            self._decoder = codecs.getincrementaldecoder("utf-8")(_FALLBACK)
