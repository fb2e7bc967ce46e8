from __future__ import annotations

import gzip
import zlib

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotTransportError
from airflow_provider_cytechbot.hooks.content_coding import ContentDecoder

BODY = b"".join(b'"%d": "what people write",' % each for each in range(1000))
GZIP = gzip.compress(BODY)


def decode(coding, body, *, cut=100, block_size=1000):
    """Return a body's blocks, of one that comes in pieces of some size."""
    decoder = ContentDecoder(coding, block_size)
    blocks = [block for at in range(0, len(body), cut) for block in decoder.decode(body[at : at + cut])]
    decoder.close()
    return blocks


@pytest.mark.parametrize("cut", [1, 7, 1000, 10**6])
@pytest.mark.parametrize(
    ("coding", "body"),
    [
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
    assert max(map(len, blocks)) == 1000
    assert sum(map(len, blocks)) == 10**7


@pytest.mark.parametrize("coding", ["gzip", "deflate", ""])
def test_empty(coding):
    assert decode(coding, b"") == []


@pytest.mark.parametrize("missing", [1, 4, 8, 9, len(GZIP) // 2, len(GZIP) - 1])
@pytest.mark.parametrize("before", [b"", GZIP], ids=["one", "two"])
def test_ends_early(before, missing):
    with pytest.raises(CyTechBotTransportError, match="ends early"):
        decode("gzip", before + GZIP[:-missing])


@pytest.mark.parametrize("body", [BODY, GZIP[:-8] + bytes(8), GZIP + b"more"], ids=["plain", "sum", "more"])
def test_damaged(body):
    with pytest.raises((zlib.error, CyTechBotTransportError)):
        decode("gzip", body)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip"])
def test_not_asked_for(coding):
    with pytest.raises(CyTechBotTransportError, match="not asked for") as caught:
        ContentDecoder(coding, 1000)
    assert not caught.value.worth_repeating
