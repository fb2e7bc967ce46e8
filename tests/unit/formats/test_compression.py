from __future__ import annotations

import gzip
import io
import sys
import tracemalloc

import pytest
import zstandard

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.formats import compression as module
from airflow_provider_cytechbot.formats.compression import compressor, decompressed


def compress(*contents, compression="gzip"):
    compressing = compressor(compression)
    return b"".join([*map(compressing.compress, contents), compressing.flush()])


def test_none_writes_as_it_is():
    assert compress(b"a", b"b", compression="none") == b"ab"


@pytest.mark.parametrize("contents", [(), (b"",), (b"a", b"b" * 100_000)])
def test_gzip_comes_back(contents):
    assert gzip.decompress(compress(*contents)) == b"".join(contents)


def test_gzip_is_the_same_at_any_time(monkeypatch):
    first = compress(b"rows")
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    assert compress(b"rows") == first
    assert first[3:8] == b"\0\0\0\0\0"  # neither name nor time


def test_gzip_makes_it_small():
    assert len(compress(b"the same again " * 10_000)) < 1000


@pytest.mark.parametrize("contents", [(), (b"",), (b"a", b"b" * 100_000)])
def test_zstd_comes_back_and_detects_damage(contents):
    written = compress(*contents, compression="zstd")
    reader = zstandard.ZstdDecompressor().decompressobj()
    assert reader.decompress(written) == b"".join(contents)
    assert reader.eof
    assert written[4] & 4  # a checksum


def test_gzip_works_without_the_fast_one(monkeypatch):
    monkeypatch.setitem(sys.modules, "isal", None)
    assert gzip.decompress(compress(b"rows")) == b"rows"


def test_zstd_that_is_not_installed_is_an_error_with_the_extra_to_install(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(CyTechBotFieldError, match=r"'compression'.*pip install .*\[compression\]"):
        module.check_installed("zstd")
    module.check_installed("gzip")


@pytest.mark.parametrize("name", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("contents", [(b"",), (b"a", b"b" * 300_000)])
def test_compressed_files_are_read_in_blocks(name, contents):
    # Two members or frames in one file, as tools join them.
    compressed = compress(*contents, compression=name) * 2
    file = io.BufferedReader(decompressed(io.BytesIO(compressed), name))
    assert b"".join(iter(lambda: file.read(1000), b"")) == b"".join(contents) * 2


def test_memory_of_a_zstd_bomb_is_bounded():
    bomb = zstandard.compress(bytes(200_000_000))
    tracemalloc.start()
    try:
        assert len(io.BufferedReader(decompressed(io.BytesIO(bomb), "zstd")).read(10)) == 10
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()
