"""JSON Lines, written and read: one object a line, UTF-8."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TYPE_CHECKING

from airflow_provider_cytechbot.formats.lines import Lines, UnreadableFileError

if TYPE_CHECKING:
    from airflow_provider_cytechbot.formats.table import Column, Table

_NEEDS_ESCAPES = re.compile(r'["\\\x00-\x1f]').search


class JsonLinesEncoder:
    """
    Encodes rows as lines.

    :param columns: The columns, in order.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        import msgspec  # thirteen times faster than the standard library

        self._columns = [column.name for column in columns]
        self._json = msgspec.json.Encoder()
        self._row: Callable[..., object]
        if any(map(_NEEDS_ESCAPES, self._columns)):
            # msgspec accepts such a name as a key of a dictionary, but not as the name of a field.
            self._row = lambda *values: dict(zip(self._columns, values, strict=True))
            return
        # Most names of columns are not valid names of attributes.
        attributes = [f"column_{at}" for at in range(len(columns))]
        self._row = msgspec.defstruct(
            "Row", attributes, rename=dict(zip(attributes, self._columns, strict=True)), gc=False
        )

    def header(self) -> bytes:
        """Return the beginning of the file, which is empty."""
        return b""

    def encode(self, table: Table) -> bytes:
        """Return a line for each row."""
        rows = map(self._row, *(table.values(name) for name in self._columns))
        return self._json.encode_lines(list(rows))

    def footer(self) -> bytes:
        """Return the end of the file, which is empty."""
        return b""


def read_json_lines(file: IO[bytes]) -> Iterator[dict[str, object]]:
    """
    Yield the objects of a file as rows. Whole numbers stay exact; a number with a fraction is a float.

    :param file: The file, uncompressed.
    :raises UnreadableFileError: A line is not a JSON object.
    """
    import msgspec

    decode = msgspec.json.Decoder(dict[str, object]).decode
    lines = Lines(file)
    for line in lines:
        if line.isspace() or not line:
            continue
        try:
            yield decode(line)
        except UnicodeDecodeError:
            problem, hint = "is not UTF-8", "Save the file as UTF-8."
        except msgspec.ValidationError:
            problem, hint = "is not a JSON object", 'Write an object for each row: {"column": "value"}.'
        except (msgspec.MsgspecError, RecursionError) as error:
            problem, hint = f"is not valid JSON ({error})", "Write each object on a line of its own."
        else:
            continue
        raise UnreadableFileError(f"has a line that {problem}, line {lines.number}", hint)
