from __future__ import annotations

import pytest

from airflow_provider_cytechbot.transport.charsets import CharsetDecoder

TEXT = '{"answer":"café, naïve “quoted” €5, \U0001f44d"}'
LATIN = '{"answer":"café, naïve, ñandú"}'


def convert(body, content_type=None, cut=1):
    decoder = CharsetDecoder(content_type)
    blocks = [decoder.decode(body[at : at + cut]) for at in range(0, len(body), cut)]
    return b"".join([*blocks, decoder.finish()])


@pytest.mark.parametrize("cut", [1, 2, 3, 10_000])
@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("application/json; charset=ISO-8859-1", "latin-1"),
        ("application/json;charset=iso-8859-1", "cp1252"),
        ('text/html; Charset = "Windows-1252"; q=1', "cp1252"),
        ("text/html; charset=latin1", "latin-1"),
    ],
)
def test_bytes_that_are_not_utf8_are_of_the_named_charset(content_type, charset, cut):
    assert convert(LATIN.encode(charset), content_type, cut) == LATIN.encode()


@pytest.mark.parametrize(
    "content_type", [None, "", "application/json", "a; charset=utf-8", "a; charset=latin1"]
)
@pytest.mark.parametrize("cut", [1, 3, 10_000])
def test_utf8_stays_as_it_is(content_type, cut):
    body = TEXT.encode()
    assert convert(body, content_type, cut) == body


@pytest.mark.parametrize("content_type", [None, "a; charset=utf-8", "a; charset=shift_jis", "charset=" * 3])
def test_other_bytes_stay_as_they_are(content_type):
    assert convert(LATIN.encode("latin-1"), content_type) == LATIN.encode("latin-1")


def test_quotes_and_the_euro_are_those_of_windows():
    text = "“”€Š…"
    assert convert(b'"' + text.encode("cp1252") + b'"', "a; charset=iso-8859-1").decode() == f'"{text}"'
    assert convert(b'"\x81\x9d"', "a; charset=windows-1252").decode() == '"\x81\x9d"'


@pytest.mark.parametrize("content_type", [None, "application/json; charset=utf-16", "a; charset=latin1"])
@pytest.mark.parametrize("cut", [1, 2, 3, 10_000])
@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf16(mark, charset, cut, content_type):
    assert convert((mark + TEXT).encode(charset), content_type, cut) == (mark + TEXT).encode()


@pytest.mark.parametrize("left", [b"\x00", b"\xd8"])
def test_half_a_character_is_not_dropped(left):
    converted = convert("{}".encode("utf-16-le") + left)
    assert converted == b"{}" + left


def test_half_a_pair_is_no_utf8():
    body = '"\ud83d"'.encode("utf-16-le", "surrogatepass")
    with pytest.raises(UnicodeDecodeError):
        convert(body).decode()


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"\xfe"])
def test_short_bodies(body):
    assert convert(body) == body
