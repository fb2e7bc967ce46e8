"""The blocks of a state of `export_mode="changes"`, read without the code of this provider."""

from __future__ import annotations

import gzip
from pathlib import Path


def blocks_of(state: Path) -> list[bytes]:
    """Return the head, the buckets and the digest of a state file."""
    content, blocks = gzip.decompress(state.read_bytes()), []
    while content:
        length = int.from_bytes(content[:4], "little")
        blocks.append(content[4 : 4 + length])
        content = content[4 + length :]
    return blocks


def write_framed(state: Path, blocks: list[bytes]) -> None:
    """Write a state file of these blocks, as they are."""
    state.write_bytes(gzip.compress(framed(blocks)))


def framed(blocks: list[bytes]) -> bytes:
    """Return the bytes of blocks, each after its length."""
    return b"".join(len(each).to_bytes(4, "little") + each for each in blocks)
