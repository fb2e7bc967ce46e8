"""Lines of a file that is read: bounded in length, counted, and without the byte order mark."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any, cast

#: The longest line, CSV record or JSON object that is read, in bytes. It bounds the memory of a reader.
MAX_LINE_BYTES = 32 * 1024 * 1024

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BUFFER_BYTES = 256 * 1024


class UnreadableFileError(Exception):
    """
    A file's content cannot be read as its format.

    :param problem: What is wrong, as the rest of a sentence that begins with the file.
    :param hint: What to do.
    """

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


class Lines:
    """
    Iterates over the lines of a binary file, with their line ends.

    ``number`` is the number of the line that was yielded last, from 1.

    :param file: The file, at its beginning.
    """

    def __init__(self, file: IO[bytes]) -> None:
        # Filesystems of fsspec read line by line slowly.
        self._file = io.BufferedReader(cast("Any", file), _BUFFER_BYTES)
        self.number = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield each line."""
        while line := self._file.readline(MAX_LINE_BYTES + 1):
            self.number += 1
            if len(line) > MAX_LINE_BYTES:
                raise UnreadableFileError(
                    f"has a line of more than {MAX_LINE_BYTES:,} bytes, line {self.number}",
                    "Check that the file has the format of its suffix.",
                )
            if self.number == 1:
                line = line.removeprefix(_BYTE_ORDER_MARK)
            yield line
