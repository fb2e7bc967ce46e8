from __future__ import annotations

import pytest

from airflow_provider_cytechbot.operators.contact_state import (
    EMPTY,
    FIELDS,
    UNKNOWN,
    Contact,
    Step,
    StepKind,
    digests_of,
)

SALT = b"salt"
DIGESTS = digests_of(FIELDS, SALT)


@pytest.mark.parametrize(
    "contact",
    [
        Contact("7", DIGESTS),
        Contact("123456789012345678901234567890", (EMPTY, UNKNOWN, EMPTY, UNKNOWN)),
        Contact("7", DIGESTS, old_id="6"),
        Contact("7", DIGESTS, is_being_deleted=True),
        Contact("7", DIGESTS, "6", is_being_deleted=True),
        Contact("7", DIGESTS, is_adopted=True),
        Contact("7", DIGESTS, "6", is_being_deleted=True, is_adopted=True),
    ],
)
def test_a_contact_is_read_as_it_was_stored(contact):
    assert Contact.decode(contact.encode()) == contact
    assert Contact.adopted_id(contact.encode()) == (contact.id if contact.is_adopted else "")


@pytest.mark.parametrize(
    ("contact", "found"),
    [
        (Contact("7", DIGESTS), "7"),
        (Contact("7", DIGESTS, is_adopted=True), "7"),
        (Contact("7", DIGESTS, "6"), None),
        (Contact("7", DIGESTS, is_being_deleted=True), None),
        (Contact("7", (EMPTY, *DIGESTS[1:])), None),
    ],
)
def test_a_contact_that_needs_nothing(contact, found):
    assert Contact.id_if_equal(contact.encode(), DIGESTS) == found


@pytest.mark.parametrize(
    "step",
    [
        Step(StepKind.CREATE, DIGESTS),
        Step(StepKind.DELETE),
        Step(StepKind.SEVERAL),
        Step(StepKind.UPDATE, fields=["email", "last_name"]),
        Step(StepKind.UPDATE, fields=list(FIELDS)),
    ],
)
def test_a_step_is_read_as_it_was_stored(step):
    found = Step.decode(step.encode())
    assert (found.kind, found.digests, list(found.fields)) == (step.kind, step.digests, list(step.fields))
    assert len(step.encode()) <= 255


def test_a_contact_takes_less_than_60_bytes_beside_its_key():
    assert len(Contact("1234567890", DIGESTS).encode()) * 4 / 3 < 60


@pytest.mark.parametrize("text", ["ann@example.com", "Ann", "+49 151 1", "李", "x" * 10_000])
@pytest.mark.parametrize("at", range(len(FIELDS)))
def test_digests_differ_by_text_and_salt(text, at):
    def found(text, salt=SALT):
        texts = ["a@x.de", "+49 1", "Ann", "Lee"]
        texts[at] = text
        return digests_of(texts, salt)

    assert found(text) == found(text)
    assert found(text)[at] not in {
        EMPTY,
        UNKNOWN,
        found(text + " ")[at],
        found(text, b"other")[at],
        found(text[:-1])[at],
    }
    assert len(found(text)[at]) == 6
    assert found(text)[:at] == found("other")[:at]


def test_case_makes_no_difference_for_email_alone():
    one = digests_of(["Ann@Example.com", "a", "Ann", "Lee"], SALT)
    other = digests_of(["ann@example.COM", "A", "ann", "LEE"], SALT)
    assert [now == before for now, before in zip(one, other, strict=True)] == [True, False, False, False]


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_field_has_the_same_digest_in_each_state(empty):
    assert digests_of([empty] * 4, SALT) == digests_of([empty] * 4, b"other") == (EMPTY,) * 4
