"""Whether a disk takes anything at all, known before the API is asked."""

from __future__ import annotations

from typing import IO


def check_room(file: IO[bytes]) -> None:
    """
    Look whether an empty file can grow. A disk without room makes new files all the same.

    :param file: The file, which is empty afterwards too.
    :raises OSError: It cannot.
    """
    file.write(b"?")
    file.flush()
    file.seek(0)
    file.truncate()
