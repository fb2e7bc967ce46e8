"""Reading JSON Lines: one object a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from airflow_provider_cytechbot.formats.lines import Lines, UnreadableFileError


def read_json_lines(file: IO[bytes]) -> Iterator[dict[str, object]]:
    """
    Yield the objects of a file as rows. Whole numbers stay exact; a number with a fraction is a float.

    :param file: The file, uncompressed.
    :raises UnreadableFileError: A line is no JSON object.
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
