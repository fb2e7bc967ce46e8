from __future__ import annotations

import json

import pytest

from airflow_provider_cytechbot.sandbox.php_json import encode, lists_as_objects


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a/b", rb'"a\/b"'),
        ("é", rb'"\u00e9"'),
        ("\U0001f44d", rb'"\ud83d\udc4d"'),
        ('line\n"quoted"\\', rb'"line\n\"quoted\"\\"'),
        ("</b>", rb'"<\/b>"'),
        ({"id": 29, "data": [], "none": None, "yes": True}, b'{"id":29,"data":[],"none":null,"yes":true}'),
    ],
)
def test_written_as_php_does(value, written):
    assert encode(value) == written
    assert json.loads(written) == value


@pytest.mark.parametrize(
    ("value", "objects"),
    [
        ([], []),
        (["a"], {"0": "a"}),
        ({"data": [{"x": [1, 2]}, None]}, {"data": {"0": {"x": {"0": 1, "1": 2}}, "1": None}}),
        ("text", "text"),
    ],
)
def test_lists_as_objects(value, objects):
    assert lists_as_objects(value) == objects
