from __future__ import annotations

from typing import get_args, get_type_hints, is_typeddict

import pytest

from airflow_provider_cytechbot.api import records

SHAPES = [each for each in vars(records).values() if is_typeddict(each)]
#: Records that are read as a whole from one JSON object, each field by its kind.
OF_KINDS = [records.User, records.Package, records.Subscriber, records.Label, records.ContactGroup]
OF_KINDS += [records.Contact, records.FlowCampaign]


@pytest.mark.parametrize("shape", SHAPES)
def test_no_number_is_in_a_record(shape):
    hints = get_type_hints(shape)
    assert hints
    assert not {int, float, bool} & {each for hint in hints.values() for each in (hint, *get_args(hint))}


@pytest.mark.parametrize("shape", OF_KINDS)
def test_a_record_has_one_id_of_its_own(shape):
    kinds = [get_args(hint)[1] for hint in get_type_hints(shape, include_extras=True).values()]
    assert kinds.count("id") == 1
    assert set(kinds) <= {"id", "optional id", "text", "time", "day"}


def test_an_outcome_is_a_pair():
    assert records.WriteOutcome(False, "nothing") == (False, "nothing")
