"""After all other tests of this folder: no secret is in anything that they wrote, in any encoding."""

from __future__ import annotations

import base64
import gzip
import html
import json
from urllib.parse import quote, quote_plus

import pytest

pytest.importorskip("airflow.providers.celery", reason="make test-distributed runs this")

from .conftest import SECRETS

pytestmark = pytest.mark.slow


def normalised(content):
    """
    Return content in which a text has fewer forms: without backslashes, in lower case, decompressed.

    JSON in JSON in SQL has one, three or seven backslashes before the same character.
    """
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    return content.replace(b"\\", b"").lower()


def forms(secret):
    """Return a secret in every encoding in which it could be written, as :func:`normalised` leaves it."""
    raw = secret.encode()
    marked_up = {
        html.escape(each, quote=marks)
        for each in (secret, json.dumps(secret)[1:-1])
        for marks in (True, False)
    }
    text = {
        secret,
        ascii(secret)[1:-1],
        repr(raw)[2:-1],
        json.dumps(secret)[1:-1],
        *marked_up,
        *(each.encode("ascii", "xmlcharrefreplace").decode() for each in marked_up),
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        quote(quote(secret, safe=""), safe=""),
        quote(quote_plus(secret), safe=""),
        raw.hex(),
    }
    found = {each.encode() for each in text}
    for shift in range(3):  # base64 of any text that has the secret within
        encoded = base64.b64encode(b"." * shift + raw)
        whole = encoded[4 if shift else 0 : len(encoded) // 4 * 4 - 4]
        found |= {whole, whole.translate(bytes.maketrans(b"+/", b"-_"))}
    return {normalised(each) for each in found}


def find_secrets(secrets, written):
    """Return where which secret was written, given the content by place."""
    wanted = {name: forms(secret) for name, secret in secrets.items()}
    return [
        f"the {name} in {place}"
        for place, content in ((place, normalised(content)) for place, content in written)
        for name, each in wanted.items()
        if any(form in content for form in each)
    ]


def written_forms(secret):
    """Return texts as programs would write them with a secret."""
    as_json = json.dumps({"password": secret})
    return {
        "as it is": f"x{secret}x",
        "form": f"key={quote_plus(secret)}&x=1",
        "path": f"/path/{quote(secret, safe='')}",
        "form in a URL": f"?next={quote('?key=' + quote_plus(secret), safe='')}",
        "percent signs in lower case": f"key={quote_plus(secret).lower()}",
        "JSON": as_json,
        "JSON in UTF-8": json.dumps({"password": secret}, ensure_ascii=False),
        "JSON in JSON": json.dumps([as_json]),
        "JSON in JSON in JSON": json.dumps(json.dumps([as_json])),
        "JSON as an SQL string": "E'" + as_json.replace("\\", "\\\\") + "'",
        "repr": repr([secret]),
        "repr of bytes": repr([secret.encode()]),
        "ASCII": ascii([secret]),
        "HTML": f"<b>{html.escape(secret)}</b>",
        "XML": html.escape(secret).encode("ascii", "xmlcharrefreplace").decode(),
        "hex": secret.encode().hex().upper(),
        **{
            f"base64 after {before}": base64.b64encode(f"{'x' * before}{secret} and more".encode()).decode()
            for before in range(3)
        },
        "base64 for URLs": base64.urlsafe_b64encode(f"x{secret}".encode()).decode(),
    }


@pytest.mark.parametrize("name", SECRETS)
def test_each_encoding_of_a_secret_would_be_found(name):
    secrets = {name: SECRETS[name]}
    written = {how: text.encode() for how, text in written_forms(SECRETS[name]).items()}
    written["gzip"] = gzip.compress(written["JSON"])
    assert find_secrets(secrets, written.items()) == [f"the {name} in {how}" for how in written]
    assert find_secrets(secrets, [("another text", b"nothing of that kind" * 9)]) == []


def test_no_secret_is_written_anywhere(airflow, store):
    """Database, each statement that changed it, Redis, logs of all processes and tasks, files and objects."""
    written = airflow.written()
    # What is searched has what the tests did.
    kinds = ("the database", "postgres.log", "Redis", "worker-1.log", "worker-2.log", "scheduler.log")
    for kind in kinds:
        (content,) = (content for place, content in written.items() if place.endswith(kind))
        assert b"distributed_export" in content, kind
    assert any("task_id=export" in place for place in written)
    for triggerer in ("triggerer-1.log", "triggerer-2.log"):
        assert any(place.endswith(triggerer) for place in written)
    assert len(store.objects()) >= 3
    objects = ((key, store.read(key)) for key in store.objects())
    assert find_secrets(SECRETS, [*written.items()]) == []
    assert find_secrets(SECRETS, objects) == []
