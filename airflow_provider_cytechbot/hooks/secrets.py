"""Values that no frame of a traceback may show, since error trackers print the variables of frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.endpoints import Endpoint


class Secret:
    """
    A value whose ``repr`` and text are masked.

    :param value: The value, which :func:`reveal` returns.
    """

    __slots__ = ("_reveal",)

    def __init__(self, value: object) -> None:
        # A closure, so that a walk through the attributes does not find the value.
        self._reveal: Callable[[], object] = lambda: value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


def hide(value: object) -> Any:
    """
    Return a value as a secret; ``None`` and secrets as they are.

    :param value: The value.
    """
    return value if value is None or isinstance(value, Secret) else Secret(value)


def reveal(value: object) -> Any:
    """
    Return the value of a secret; any other value as it is.

    :param value: A secret or another value.
    """
    return value._reveal() if isinstance(value, Secret) else value


def hide_fields(endpoint: Endpoint[Any], fields: Mapping[str, object]) -> dict[str, object]:
    """
    Return the fields of a call. The fields that the endpoint declares as secret are hidden.

    :param endpoint: The endpoint.
    :param fields: Its fields.
    """
    secret = {each.name for each in endpoint.fields if each.secret}
    return {name: hide(value) if name in secret else value for name, value in fields.items()}
