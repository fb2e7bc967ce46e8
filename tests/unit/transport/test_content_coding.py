from __future__ import annotations

import gzip
import zlib

import pytest

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.api.calls import build
from airflow_provider_cytechbot.api.errors import CyTechBotTransportError
from airflow_provider_cytechbot.transport.content_coding import BLOCK_SIZE, ContentDecoder
from airflow_provider_cytechbot.transport.failures import TransportFailures
from airflow_provider_cytechbot.transport.settings import Settings

SETTINGS = Settings("mine", "https://cytechbot.com/api", "1-the-api-key")
FAILURES = TransportFailures(build(endpoints.GET_FLOW_CAMPAIGNS), SETTINGS)
BODY = b"".join(b'"%d": "what people write",' % each for each in range(1000))
GZIP = gzip.compress(BODY)


def decode(coding, body, *, cut=100):
    """Return the blocks of a body that comes in pieces of some size."""
    decoder = ContentDecoder({} if coding is None else {"Content-Encoding": coding}, FAILURES)
    blocks = [block for at in range(0, len(body), cut) for block in decoder.decode(body[at : at + cut])]
    return [*blocks, *filter(None, [decoder.finish()])]


@pytest.mark.parametrize("cut", [1, 7, 1000, 10**6])
@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (None, BODY),
        ("", BODY),
        ("Identity", BODY),
        ("gzip", GZIP),
        (" GZIP", GZIP),
        ("x-gzip", GZIP),
        ("gzip", gzip.compress(BODY[:99]) + gzip.compress(BODY[99:])),
        ("deflate", zlib.compress(BODY)),
    ],
)
def test_whole(coding, body, cut):
    assert b"".join(decode(coding, body, cut=cut)) == BODY


def test_little_that_makes_much():
    bomb = gzip.compress(bytes(10**7), 9)
    blocks = decode("gzip", bomb, cut=len(bomb))
    assert max(map(len, blocks)) == BLOCK_SIZE
    assert sum(map(len, blocks)) == 10**7


def test_streams_without_content_may_not_go_on_for_ever():
    empty = gzip.compress(b"")
    assert b"".join(decode("gzip", empty * 100 + GZIP)) == BODY
    with pytest.raises(CyTechBotTransportError, match="compression is damaged"):
        decode("gzip", empty * 102, cut=10**6)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "", None])
def test_empty(coding):
    assert decode(coding, b"") == []


@pytest.mark.parametrize("missing", [1, 4, 8, 9, len(GZIP) // 2, len(GZIP) - 1])
@pytest.mark.parametrize("before", [b"", GZIP], ids=["one", "two"])
def test_ends_early(before, missing):
    with pytest.raises(CyTechBotTransportError, match="compression ends early"):
        decode("gzip", before + GZIP[:-missing])


@pytest.mark.parametrize(
    "body", [BODY, GZIP[:-8] + bytes(8), GZIP + b"more text"], ids=["plain", "sum", "more"]
)
def test_damaged(body):
    with pytest.raises(CyTechBotTransportError, match="compression is damaged") as caught:
        decode("gzip", body)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip"])
def test_encodings_without_a_checksum_are_not_accepted(coding):
    with pytest.raises(CyTechBotTransportError, match="did not accept") as caught:
        decode(coding, BODY)
    assert not caught.value.is_transient


@pytest.mark.parametrize("cut", [1, 7, 10**6])
def test_converts_to_utf8_after_decompression(cut):
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json; charset=iso-8859-1"}
    decoder = ContentDecoder(headers, FAILURES)
    body = gzip.compress('"caf\xe9"'.encode("latin-1"))
    blocks = [block for at in range(0, len(body), cut) for block in decoder.decode(body[at : at + cut])]
    assert b"".join([*blocks, decoder.finish()]) == '"caf\xe9"'.encode()
