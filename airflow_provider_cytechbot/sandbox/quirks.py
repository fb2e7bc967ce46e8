"""What real installations do beside, or against, the vendor's page: switches, all off by default."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Quirk(StrEnum):
    """A behaviour known from the platform family; without it the sandbox follows the vendor's page."""

    #: `get_all_subscriber_flow_info` names the field `id` where the page has `question_id`.
    ID_FOR_QUESTION_ID = "id_for_question_id"
    #: No answers yet: `{"id": null, "flow_name": null, "data": []}`, though the campaign exists.
    NULL_CAMPAIGN_WITHOUT_ANSWERS = "null_campaign_without_answers"
    #: An update of a contact or contact group that changes nothing answers with status `info`.
    INFO_WHEN_UNCHANGED = "info_when_unchanged"
    #: A delete that removed nothing answers with status `info` where the page has an error.
    INFO_WHEN_NOTHING_DELETED = "info_when_nothing_deleted"
    #: `assign_label` passes over unknown labels as long as one of them exists.
    UNKNOWN_LABELS_IGNORED = "unknown_labels_ignored"
    #: An error from Facebook is passed on as Facebook's object instead of as text.
    FACEBOOK_ERROR_OBJECTS = "facebook_error_objects"
    #: In an update, an empty text and `"0"` count as not sent.
    FALSY_FIELDS_DROPPED = "falsy_fields_dropped"
    #: `create_contact` without an email (or phone number) is refused when another contact has none either.
    EMPTY_EMAIL_TAKEN = "empty_email_taken"
    #: `update_contact` counts the contact's own email and phone number as taken: a repeat ends in an error.
    OWN_EMAIL_TAKEN = "own_email_taken"
    #: `get_user_info` decodes the email a second time, so that a `+` in it arrives as a space.
    EMAIL_DECODED_TWICE = "email_decoded_twice"
    #: A list arrives as an object of its indexes, `{"0": ...}`; not in the generated campaign.
    LISTS_AS_OBJECTS = "lists_as_objects"
    #: The user, package, subscriber and label endpoints label their JSON `text/html`.
    JSON_AS_HTML = "json_as_html"


def parse_quirks(names: str | Iterable[str]) -> frozenset[Quirk]:
    """
    Read a choice of quirks.

    :param names: `"all"`, `"none"`, names with commas between them, or an iterable of names
    :return: the quirks of these names
    :raises ValueError: for an unknown name; the message lists the known ones
    """
    if isinstance(names, str):
        if names == "all":
            return frozenset(Quirk)
        names = [] if names in ("none", "") else names.split(",")
    if not isinstance(names, Iterable):
        raise ValueError(f'quirks: must be "all", "none" or a list of names, not {names!r}')
    chosen = set()
    for name in names:
        try:
            chosen.add(Quirk(str(name).strip()))
        except ValueError:
            known = ", ".join(sorted(Quirk))
            raise ValueError(
                f"quirks: there is no {str(name).strip()!r}; known are all, none, {known}"
            ) from None
    return frozenset(chosen)
