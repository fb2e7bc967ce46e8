from __future__ import annotations

import base64
import html
import json
import re
import time
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.decoded_text import FOLDED, fold, raw_bytes
from airflow_provider_cytechbot.api.redaction import MASK, Redactor, forms, mask_addresses, redact_query

PHP_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#039;"}

#: Names of ASCII characters that only HTML5 has.
HTML5_NAMES = {"/": "&sol;", "+": "&plus;", "=": "&equals;", "%": "&percnt;", "\\": "&bsol;", "?": "&quest;"}

#: What happens to a text on its way through clients, proxies and pages.
ENCODINGS = {
    "raw": lambda text: text,
    "quote": lambda text: quote(text, safe=""),
    "quote, slash left": quote,
    "quote_plus": quote_plus,
    "lower case": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "PHP urlencode": lambda text: quote_plus(text).replace("~", "%7E"),
    "encodeURIComponent": lambda text: quote(text, safe="!'()*~"),
    "twice": lambda text: quote(quote(text, safe=""), safe=""),
    "html": html.escape,
    "html, quotes left": lambda text: html.escape(text, quote=False),
    "PHP htmlspecialchars": lambda text: "".join(PHP_HTML.get(each, each) for each in text),
    "html entities": lambda text: "".join(f"&#{ord(each)};" for each in text),
    "html twice": lambda text: html.escape(html.escape(text)),
    "json": lambda text: json.dumps(text)[1:-1],
    "json, unicode left": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "PHP json": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json in json": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "html in json": lambda text: json.dumps(html.escape(text))[1:-1],
    "quote_plus in html": lambda text: html.escape(quote_plus(text)),
    "JSON of Go and PHP": lambda text: "".join(
        f"\\u{ord(each):04x}" if each in "<>&'" else json.dumps(each)[1:-1] for each in text
    ),
    "each byte \\x": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "%u": lambda text: "".join(f"%u{ord(each):04x}" if each in "<>&'\"/+" else quote(each) for each in text),
    "HTML5 names": lambda text: "".join(HTML5_NAMES.get(each, each) for each in html.escape(text)),
    "no semicolon": lambda text: text.replace("&", "&amp").replace("<", "&lt").replace(">", "&gt"),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "wrapped": lambda text: "\n".join(text[at : at + 3] for at in range(0, len(text), 3)),
    "wrapped with br": lambda text: "<br />\r\n".join(text[at : at + 5] for at in range(0, len(text), 5)),
    "base64 wrapped": lambda text: "\r\n ".join(
        re.findall(".{1,8}", base64.b64encode(text.encode()).decode())
    ),
}
#: Secrets with at least four visible characters: with fewer, only the usual forms are masked.
SECRETS = (
    (
        st.text(st.characters(exclude_categories=["C", "Z"]), min_size=4, max_size=40)
        | st.text(" +%/\\\"'&<>=?#é€\U0001f600a1\n", min_size=4, max_size=30)
    )
    .filter(lambda text: len(text.strip()) >= 4 and len(fold(raw_bytes(text.strip()))) >= 4)
    .filter(lambda text: not {text.strip()[0], text.strip()[-1]} & set(FOLDED))
)


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@given(secret=SECRETS)
def test_a_secret_is_found_in_each_form(encode, secret):
    redacted = Redactor([secret])(f"[before] {encode(secret.strip())} [after]")
    assert redacted == f"[before] {MASK} [after]"


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize(
    "secret", ["a1b2c3d4+e5f6+", "1+/%&<>'\"", "key\\with\\ends\\", "+abcd cd+ef+", "1234-AbCdEf"]
)
def test_keys_with_special_characters_are_found_in_each_form(encode, secret):
    assert Redactor([secret])(f"[before] {encode(secret)} [after]") == f"[before] {MASK} [after]"


def test_a_key_is_found_in_the_base64_of_a_header():
    text = "Basic " + base64.b64encode(b"user:1234-AbCdEf:x").decode()
    assert Redactor(["1234-AbCdEf"])(text) == "Basic dXNl***"


@pytest.mark.parametrize(
    "unit", ["text ", "%2541", "&amp;", "\\", "\\u0026", "&#38", "%25%25&am", "1234-AbCdEf "]
)
def test_the_time_is_proportional_to_the_length(unit):
    redactor = Redactor(["1234-AbCdEf"])
    redactor("warm & %41")
    times = []
    for length in (10_000, 80_000):
        begin = time.perf_counter()
        redactor(unit * (length // len(unit)))
        times.append(time.perf_counter() - begin)
    assert times[1] < 40 * times[0] + 0.1


#: What a server or mail program can also make of a text.
OTHER_ENCODINGS = {
    "quote in base64": lambda text: base64.b64encode(quote(text, safe="").encode()).decode(),
    "escapes in base64": lambda text: base64.b64encode(
        "".join(f"\\u{ord(each):04x}" for each in text).encode()
    ).decode(),
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "UTF-16": lambda text: text.encode("utf-16-le").decode("latin-1"),
    "UTF-16 in base64": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "UTF-16 in hex": lambda text: text.encode("utf-16-be").hex(),
    "hex with colons": lambda text: text.encode().hex(":"),
    "hex of C": lambda text: ", ".join(f"0x{byte:02x}" for byte in text.encode()),
    "bytes of JSON": lambda text: ", ".join(str(byte) for byte in text.encode()),
    "quoted-printable": lambda text: "".join(f"={byte:02X}" for byte in text.encode()),
    "soft line break": lambda text: f"{text[:5]}=\r\n{text[5:]}",
    "quoted mail": lambda text: f"{text[:5]}\n> {text[5:]}",
    "comment": lambda text: f"{text[:5]}\n * {text[5:]}",
    "tags": lambda text: f'{text[:5]}<span class="x">{text[5:]}',
    "colours": lambda text: f"{text[:5]}\x1b[31m{text[5:]}",
    "upper case": str.upper,
}


@pytest.mark.parametrize("encode", OTHER_ENCODINGS.values(), ids=OTHER_ENCODINGS)
@pytest.mark.parametrize("secret", ["1234-AbCdEf", "41-aB3dE5fGhIjK7lMn", "12+34/Ab=Cd&Ef"])
def test_a_key_is_found_in_other_forms(encode, secret):
    redacted = Redactor([secret])(f"[before] {encode(secret)} [after]")
    assert redacted.startswith("[before] ***")
    assert redacted.endswith(" [after]")
    assert len(redacted) < len("[before] *** [after]") + 4


@pytest.mark.parametrize("unit", ["QUJDREVG", "41:42:43:", "0x41, ", "65, 66, ", "=41", "<a x>", "\n> "])
def test_the_time_for_other_forms_is_proportional_to_the_length(unit):
    redactor = Redactor(["1234-AbCdEf"])
    times = []
    for length in (10_000, 80_000):
        begin = time.perf_counter()
        redactor(unit * (length // len(unit)))
        times.append(time.perf_counter() - begin)
    assert times[1] < 40 * times[0] + 0.1


def test_a_secret_is_found_in_a_mixture_of_forms():
    secret = "a b/c\"d'é&\\"
    assert Redactor([secret])(r"x a+b%2Fc\"d&#39;\u00e9&amp;\\ y") == "x *** y"


@given(st.lists(SECRETS, max_size=3), st.text())
def test_any_text_can_be_redacted(secrets, text):
    redacted = Redactor(secrets)(text)
    assert all(
        secret.strip() not in redacted for secret in secrets if MASK not in secret and "*" not in secret
    )


@given(st.text(st.characters(exclude_characters="z=")))
def test_other_text_is_not_changed(text):
    assert Redactor(["zebra"])(text) == text


def test_short_and_empty_secrets_are_left_alone():
    assert Redactor(["", "abc", "  a  "])("abc a text") == "abc a text"
    assert Redactor([])("text") == "text"
    assert Redactor(["abcd"])("abcd") == MASK


def test_a_declared_secret_is_masked_however_short_it_is():
    redactor = Redactor(["abcd"], of_any_length=["pw1", "", " "])
    assert redactor("password 'pw1' is too short") == "password '***' is too short"


def test_the_longer_secret_is_masked_first():
    assert Redactor(["abcd", "abcdefgh"])("abcdefgh abcd") == "*** ***"


def test_a_text_full_of_backslashes_is_masked_fast():
    secret = "\\" * 12 + '"' + "\\" * 12 + "%" * 12 + "end"
    text = "\\" * 300 + '"' + "\\" * 300 + "%25" * 300
    assert Redactor([secret])(text) == text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("GET /x?api_key=abc&user_id=1 HTTP/1.1", "GET /x?api_key=***&user_id=1 HTTP/1.1"),
        ("/x?user_id=1&api_key=a%20b+c", "/x?user_id=1&api_key=***"),
        ("/x?API_KEY=abc", "/x?API_KEY=***"),
        ("<a href='/x?api_key=abc'>api_key=def</a>", "<a href='/x?api_key=***'>api_key=***</a>"),
        ("(url: /x?api_key=abc)", "(url: /x?api_key=***)"),
        ("next=%2Fx%3Fapi_key%3Dabc", "next=%2Fx%3Fapi_key%3D***"),
        ("no api_key here", "no api_key here"),
    ],
)
def test_the_key_in_a_query_is_masked_whatever_it_is(text, redacted):
    assert redact_query(text) == redacted
    assert Redactor([])(text) == redacted


@given(key=st.text(min_size=1))
def test_any_key_in_a_query_is_masked(key):
    query = urlencode([("api_key", key), ("x", "1")])
    assert redact_query(f"/y?{query}") == "/y?api_key=***&x=1"


def test_forms_of_a_plain_key_are_one():
    assert forms("abc123") == ("abc123",)


def test_forms_are_what_fixed_maskers_need_longest_first():
    found = forms("a b/ü\"'")
    assert {
        "a b/ü\"'",
        "a%20b%2F%C3%BC%22%27",
        "a+b%2F%C3%BC%22%27",
        "a+b%2f%c3%bc%22%27",
        "a%20b/%C3%BC%22%27",
        "a%2520b%252F%25C3%25BC%2522%2527",
        "a b/ü&quot;&#x27;",
        "a b/\\u00fc\\\"'",
        "a b\\/\\u00fc\\\"'",
    } <= set(found)
    assert list(found) == sorted(found, key=len, reverse=True)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("ann@example.com is taken", "*** is taken"),
        ('"ann.b+c@mail.example.co.uk".', '"***".'),
        ("<ann@example.com>", "<***>"),
        ("email=ann@example.com;", "email=***;"),
        ("call +49 151 234-567 now", "call *** now"),
        ("+4915123456", "***"),
        ("no user 24994546734902201 (#100)", "no user 24994546734902201 (#100)"),
        ("", ""),
    ],
)
def test_addresses_are_masked_and_ids_are_not(text, masked):
    assert mask_addresses(text) == masked


RARE = {
    "base32": lambda text: base64.b32encode(text).decode(),
    "base32 in lower case": lambda text: base64.b32encode(text).decode().lower().rstrip("="),
    "base32 wrapped": lambda text: "\r\n ".join(re.findall(".{1,16}", base64.b32encode(text).decode())),
    "variation selectors": lambda text: "\ufe0f".join(text.decode()),
    "grapheme joiners": lambda text: "\u034f".join(text.decode()),
}


@pytest.mark.parametrize("encode", RARE.values(), ids=RARE)
@pytest.mark.parametrize("secret", [b"1234-AbCdEf", b"12+/%&<>'z", b"1-s3cr3tKEYabcXYZ"])
def test_a_key_is_found_in_rare_forms(encode, secret):
    assert Redactor([secret.decode()])(f"[before] {encode(secret)} [after]") == f"[before] {MASK} [after]"
