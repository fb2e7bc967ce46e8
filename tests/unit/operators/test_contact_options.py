from __future__ import annotations

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.bulk.resource import PlanFigures
from airflow_provider_cytechbot.operators.contact_options import (
    PlanGuards,
    read_group,
    read_guards,
    read_name,
    read_rules,
)

DIGEST = "0a" * 32


@pytest.mark.parametrize("deletes", [1, 2, 3, 7, 10, 11, 33, 99, 100])
@pytest.mark.parametrize("contacts", [100, 333])
@pytest.mark.parametrize("recreates", [0, 1, 40])
def test_the_number_in_the_error_lets_the_plan_through(deletes, contacts, recreates):
    operations = {"create": deletes, "delete": deletes, "recreate": recreates}
    planned = PlanFigures(operations, 100, 0, contacts, "", False)
    problems = PlanGuards(max_creates=0, max_deletes=0, max_delete_percent=0).problems(planned)
    assert len(problems) == 3
    for name, _, hint in problems:
        number = int(hint.partition(f"{name} to ")[2].split()[0])
        assert PlanGuards(**{"max_delete_percent": None, name: number}).problems(planned) == []


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ((None, None, 10, None), PlanGuards()),
        (("5", 6, "7.5", DIGEST), PlanGuards(5, 6, 7.5, DIGEST)),
        (("None", "", " None ", None), PlanGuards(None, None, None)),
        ((0, "0", 0, None), PlanGuards(0, 0, 0)),
    ],
)
def test_guards(given, limits):
    assert read_guards(*given) == limits


@pytest.mark.parametrize(
    "given",
    [
        (-1, None, 10, None),
        (1.5, None, 10, None),
        (None, "x", 10, None),
        (None, True, 10, None),
        (None, None, "nan", None),
        (None, None, "inf", None),
        (None, None, "10 %", None),
        (None, None, 10, ""),
        (None, None, 10, "None"),
        (None, None, 10, DIGEST[:-1]),
        (None, None, 10, f"{DIGEST} "),
    ],
)
def test_guards_that_cannot_be_read(given):
    with pytest.raises(CyTechBotFieldError):
        read_guards(*given)


@pytest.mark.parametrize(
    ("forget", "keys"),
    [
        (None, set()),
        ("", set()),
        ([], set()),
        ("C-1, the first", {"C-1, the first"}),
        (17, {"17"}),
        (["1", 2, " 3 "], {"1", "2", "3"}),
        ((each for each in "ab"), {"a", "b"}),
    ],
)
def test_keys_to_forget(forget, keys):
    assert read_rules("upsert", "refuse", "hold", forget).forget == keys


@pytest.mark.parametrize("forget", [1.5, {"a": 1}, [1.5], [None], "['1', '2']", b"1"])
def test_keys_to_forget_that_cannot_be_read(forget):
    with pytest.raises(CyTechBotFieldError, match="forget"):
        read_rules("upsert", "refuse", "hold", forget)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("all", "refuse", "hold"), "sync_mode"),
        (("mirror", "ignore", "hold"), "on_readdress"),
        (("mirror", "refuse", None), "ambiguous"),
        ((["mirror"], "refuse", "hold"), "sync_mode"),
    ],
)
def test_words_that_are_not_known(words, name):
    with pytest.raises(CyTechBotFieldError, match=f"'{name}' must be one of"):
        read_rules(*words, None)


@pytest.mark.parametrize("value", ["", "  ", 5, None])
def test_names_that_are_empty_or_no_text(value):
    with pytest.raises(CyTechBotFieldError, match="'key'"):
        read_name("key", value)


class TestGroup:
    @pytest.mark.parametrize("given", [5, "5"])
    def test_by_id(self, given):
        assert read_group(given, None, create=None, has_shards=True).contact_type_id == "5"

    def test_by_name(self):
        group = read_group(None, " Customers ", create=str, has_shards=False)
        assert (group.name, group.create) == ("Customers", str)

    @pytest.mark.parametrize(
        ("contact_type_id", "name", "create", "has_shards", "words"),
        [
            (None, None, None, False, "none is given"),
            ("", "", str, False, "none is given"),
            ("5", "Customers", None, False, "both are given"),
            ("5", None, str, False, "'create_group' has no meaning with 'contact_type_id'"),
            (None, "Customers", str, True, "has no meaning with several shards"),
            ("x", None, None, False, "'contact_type_id'"),
            (5.0, None, None, False, "'contact_type_id'"),
            (None, "  ", None, False, "'contact_group_name' is empty"),
            (None, 2024, None, False, "'contact_group_name' must be text"),
        ],
    )
    def test_that_is_not_clear(self, contact_type_id, name, create, has_shards, words):
        with pytest.raises(CyTechBotFieldError, match=words):
            read_group(contact_type_id, name, create=create, has_shards=has_shards)
