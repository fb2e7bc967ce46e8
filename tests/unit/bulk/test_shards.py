from __future__ import annotations

import pytest

from airflow_provider_cytechbot.bulk.shards import WHOLE, Shard


@pytest.mark.parametrize("shards", [1, 2, 8, 1_000])
def test_each_key_is_in_one_shard(shards):
    for key in ["24994546734902201", "ä", "", None]:
        assert [Shard(number, shards).has(key) for number in range(shards)].count(True) == 1


def test_shards_are_of_similar_size():
    sizes = [sum(Shard(number, 4).has(str(key)) for key in range(4_000)) for number in range(4)]
    assert min(sizes) > 900


def test_a_key_keeps_its_shard_from_version_to_version():
    assert [key for key in "abcdefgh" if Shard(1, 3).has(key)] == ["g", "h"]


def test_only_shards_have_a_folder_of_their_own():
    assert WHOLE.folder == ""
    assert Shard(3, 8).folder == "shard-3-of-8"
