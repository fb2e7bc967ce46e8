"""What is known of subscribers, fetched for the columns of an export."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api.errors import CyTechBotRequestError
from airflow_provider_cytechbot.api.fields import field_error
from airflow_provider_cytechbot.api.records import Subscriber

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.flow_answer_batches import Batch
    from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook

Profile = tuple[str | None, ...]

#: How many are asked for at a time: a small server must go on serving its chats. The connection's
#: ``requests_per_second`` holds for all of them together.
CONCURRENCY = 8
#: How many are remembered, so that who answered several campaigns is asked for once.
REMEMBERED = 100_000

FIELDS = tuple(name for name in Subscriber.__annotations__ if name != "subscriber_id")


def check_fields(names: Sequence[str]) -> None:
    """
    Look whether subscribers have such fields.

    :param names: What was asked for.
    :raises CyTechBotFieldError: There is no such field.
    """
    is_list = isinstance(names, Sequence) and not isinstance(names, str)
    if not is_list or not all(isinstance(name, str) for name in names):
        raise field_error("subscriber_fields", "must be a list of names", f"Known are {', '.join(FIELDS)}.")
    if unknown := [name for name in names if name not in FIELDS]:
        raise field_error("subscriber_fields", f"names {unknown[0]!r}", f"Known are {', '.join(FIELDS)}.")
    if len(set(names)) < len(names):
        raise field_error("subscriber_fields", "names a field twice")


class Profiles:
    """
    Fetches subscribers, several at a time, and remembers them.

    :param hook: The hook to ask with.
    :param names: The fields that are wanted.
    """

    def __init__(self, hook: CyTechBotHook, names: Sequence[str]) -> None:
        self._hook = hook
        self._names = tuple(names)
        self._known: OrderedDict[str, Profile] = OrderedDict()
        self._has_warned = False

    def of(self, batch: Batch) -> list[Profile]:
        """
        Return the fields of each subscriber of a batch; of one that the API does not know, all are ``None``.

        :param batch: The subscribers.
        """
        if not self._names:
            return []
        missing = list(dict.fromkeys(each for each, _ in batch if each not in self._known))
        if missing:
            _ = self._hook.transport.session  # made here once, and not by each thread
            with ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="profiles") as pool:
                try:
                    self._known.update(zip(missing, pool.map(self._fetch, missing), strict=True))
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        found = [self._known[subscriber_id] for subscriber_id, _ in batch]
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    def _fetch(self, subscriber_id: str) -> Profile:
        try:
            subscriber = self._hook.get_subscriber(subscriber_id)
        except CyTechBotRequestError as error:
            # Its only field is the id: it is unknown, in whichever words, or one that none can have.
            if not self._has_warned:
                self._has_warned = True
                self._hook.log.warning("A subscriber has no profile, and there may be more: %s", error)
            return (None,) * len(self._names)
        return tuple(subscriber[name] for name in self._names)  # type: ignore[literal-required]
