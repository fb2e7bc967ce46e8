from __future__ import annotations

import gzip
import zlib

import pytest

from airflow_provider_cytechbot.hooks.content_coding import ContentDecoder, is_accepted

BODY = b"".join(b'"%d": "what people write",' % each for each in range(1000))
GZIP = gzip.compress(BODY)


def decode(coding, body, *, cut=100, block_size=1000):
    """Return the blocks of a body that comes in pieces of some size, and whether it may end there."""
    decoder = ContentDecoder(coding, block_size)
    blocks = [block for at in range(0, len(body), cut) for block in decoder.decode(body[at : at + cut])]
    return blocks, decoder.is_whole


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
    blocks, is_whole = decode(coding, body, cut=cut)
    assert (b"".join(blocks), is_whole) == (BODY, True)
    assert is_accepted(coding)


def test_little_that_makes_much():
    bomb = gzip.compress(bytes(10**7), 9)
    blocks, _ = decode("gzip", bomb, cut=len(bomb))
    assert max(map(len, blocks)) == 1000
    assert sum(map(len, blocks)) == 10**7


@pytest.mark.parametrize("coding", ["gzip", "deflate", ""])
def test_empty(coding):
    assert decode(coding, b"") == ([], True)


@pytest.mark.parametrize("missing", [1, 4, 8, 9, len(GZIP) // 2, len(GZIP) - 1])
@pytest.mark.parametrize("before", [b"", GZIP], ids=["one", "two"])
def test_ends_early(before, missing):
    assert decode("gzip", before + GZIP[:-missing])[1] is False


@pytest.mark.parametrize(
    "body", [BODY, GZIP[:-8] + bytes(8), GZIP + b"more text"], ids=["plain", "sum", "more"]
)
def test_damaged(body):
    with pytest.raises(zlib.error):
        decode("gzip", body)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip"])
def test_what_cannot_be_checked_is_not_accepted(coding):
    assert not is_accepted(coding)
