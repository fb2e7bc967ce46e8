"""JSON as PHP's `json_encode` writes it by default: no spaces, slashes and non-ASCII characters escaped."""

from __future__ import annotations

import json
from typing import Any


def encode(value: Any) -> bytes:
    """
    Return a value as a PHP server writes it.

    :param value: anything JSON can hold
    :return: the text as ASCII bytes
    """
    # A slash occurs inside strings only, so the plain replacement cannot hit anything else.
    return json.dumps(value, separators=(",", ":")).replace("/", "\\/").encode("ascii")


def lists_as_objects(value: Any) -> Any:
    """
    Return a value with its lists as objects of their indexes, as PHP writes arrays with a gap in their keys.

    :param value: anything JSON can hold; an empty list stays one
    """
    if isinstance(value, dict):
        return {name: lists_as_objects(each) for name, each in value.items()}
    if isinstance(value, list) and value:
        return {str(index): lists_as_objects(each) for index, each in enumerate(value)}
    return value
