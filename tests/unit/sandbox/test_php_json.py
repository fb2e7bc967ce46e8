from __future__ import annotations

import json

import pytest

from airflow_provider_cytechbot.sandbox.php_json import encode


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
