"""Building a call: an endpoint and its checked fields, ready for any transport to send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import quote, urlencode

from airflow_provider_cytechbot.api.endpoints import Endpoint, Repeat
from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotError,
    CyTechBotFieldError,
    CyTechBotUnansweredError,
)
from airflow_provider_cytechbot.api.fields import field_error
from airflow_provider_cytechbot.api.redaction import Redactor

#: The end of the error of a create whose response was lost.
WAS_SENT = "It was sent, so it may have happened, and is not sent again."

T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """
    One call, checked and complete except for the API key, which only the transport adds.

    :param endpoint: The endpoint.
    :param fields: The fields as text, by the vendor's names.
    """

    endpoint: Endpoint[T]
    fields: Mapping[str, str] = field(repr=False)

    @property
    def path(self) -> str:
        """The path below the base URL, with the ids that travel in it."""
        return self.endpoint.path.format_map(
            {name: quote(value, safe="") for name, value in self.fields.items()}
        )

    @property
    def request(self) -> str:
        """The name of the call in errors and logs: verb and path, never the query."""
        return f"{self.endpoint.verb} {self.path}"

    @property
    def loggable_fields(self) -> tuple[str, dict[str, str]]:
        """The path, and the fields that are not secret."""
        secret = {each.name for each in self.endpoint.fields if each.secret}
        return self.endpoint.path, {name: text for name, text in self.fields.items() if name not in secret}

    @property
    def changed_fields(self) -> list[str]:
        """The names of the fields that an update sets; none for another call."""
        is_update = self.endpoint.verb == "POST" and "{" in self.endpoint.path
        return [name for name in self.fields if is_update and f"{{{name}}}" not in self.endpoint.path]

    @property
    def lookup_fields(self) -> dict[str, str]:
        """The fields by which the server looks records up: ids, and in a read all fields."""
        in_path = {name: text for name, text in self.fields.items() if f"{{{name}}}" in self.endpoint.path}
        return in_path or {
            each.name: self.fields[each.name]
            for each in self.endpoint.fields
            if each.name in self.fields and (self.endpoint.verb == "GET" or each.is_id)
        }

    @property
    def is_repeatable(self) -> bool:
        """Whether the same call sent twice does no harm."""
        return self.endpoint.repeat is not Repeat.UNSAFE

    def url(self, base_url: str, api_key: str) -> str:
        """
        Return the URL of the request. That of a read has the API key, and must reach no log and no error.

        :param base_url: The API's base URL, without a slash at its end.
        :param api_key: The key.
        """
        url = f"{base_url}/{self.path}"
        return f"{url}?{self._encoded(api_key)}" if self.endpoint.verb == "GET" else url

    def body(self, api_key: str) -> bytes | None:
        """
        Return the form body to send; ``None`` for a read.

        :param api_key: The key.
        """
        return self._encoded(api_key).encode("ascii") if self.endpoint.verb == "POST" else None

    @property
    def headers(self) -> dict[str, str]:
        """The headers to send: what the body is; none for a read."""
        return {"Content-Type": "application/x-www-form-urlencoded"} if self.endpoint.verb == "POST" else {}

    def redactor(self, api_key: str) -> Redactor:
        """
        Return the redactor that masks this call's secrets in text.

        :param api_key: The key.
        """
        hidden = (self.fields.get(each.name, "") for each in self.endpoint.fields if each.secret)
        return Redactor([api_key], of_any_length=hidden)

    def as_unanswered(self, error: CyTechBotUnansweredError) -> CyTechBotError:
        """
        Return the error to report when this call got no usable answer: a create may have happened.

        :param error: The error of the attempt.
        """
        if self.is_repeatable or not error.may_have_acted:
            return error
        failure = CyTechBotAmbiguousWriteError(f"{error.reason} {WAS_SENT}", self.endpoint.how_to_check)
        failure.concerns_every_row = error.concerns_every_row
        return failure

    def _encoded(self, api_key: str) -> str:
        return urlencode([("api_key", api_key), *self._sent_fields()])

    def _sent_fields(self) -> Iterator[tuple[str, str]]:
        return (
            (name, value) for name, value in self.fields.items() if f"{{{name}}}" not in self.endpoint.path
        )


def build(endpoint: Endpoint[T], **values: object) -> Call[T]:
    """
    Return the call of an endpoint with the given fields. ``None`` means that a field is not sent.

    :param endpoint: The endpoint.
    :param values: The fields, by the vendor's names.
    :raises CyTechBotFieldError: A field is missing, unknown or cannot be sent as it is. Nothing was sent.
    """
    if unknown := values.keys() - {each.name for each in endpoint.fields}:
        raise field_error(min(unknown), f"is not a field of {endpoint.name}")
    fields = {}
    try:
        for each in endpoint.fields:
            value = values.get(each.name)
            if value is not None:
                fields[each.name] = each.encode(each.name, value)
            elif each.required:
                raise field_error(each.name, "is required")
        _check_kept(endpoint, fields)
        _check_combination(endpoint, fields)
    except CyTechBotFieldError as error:
        error.request = f"{endpoint.verb} {endpoint.path}"
        raise
    return Call(endpoint, fields)


def _check_kept(endpoint: Endpoint[T], fields: Mapping[str, str]) -> None:
    """Refuse values that the server would ignore."""
    for each in endpoint.fields:
        value = fields.get(each.name)
        if value == "" and each.required:
            raise field_error(each.name, "is empty")
        if value in ("", "0") and endpoint.drops_falsy:
            hint = "CyTechBot takes an empty text or '0' in an update as not sent: the change would be lost."
            raise field_error(each.name, f"cannot be set to {value!r}", hint)


def _check_combination(endpoint: Endpoint[T], fields: Mapping[str, str]) -> None:
    given = [fields[name] for name in endpoint.one_of if name in fields]
    if endpoint.one_of and (len(given) != 1 or not given[0]):
        names = " or ".join(endpoint.one_of)
        raise CyTechBotFieldError(f"Exactly one of {names} is needed. Nothing was sent.")
    if endpoint.any_of and not any(fields.get(name) for name in endpoint.any_of):
        names = ", ".join(endpoint.any_of)
        raise CyTechBotFieldError(f"At least one of {names} is needed. Nothing was sent.")
