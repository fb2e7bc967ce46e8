"""Fields of subscribers, fetched for the columns of an export."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError, CyTechBotNotFoundError
from airflow_provider_cytechbot.api.fields import field_error
from airflow_provider_cytechbot.api.records import Subscriber

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.flow_answer_batches import Batch
    from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook

Profile = tuple[str | None, ...]

#: The number of calls at a time, small because the server also serves chats. The connection's
#: ``requests_per_second`` applies to all of them together.
CONCURRENCY = 8
#: The number of cached subscribers. A subscriber with answers in several campaigns is fetched once.
CACHE_SIZE = 100_000

FIELDS = tuple(name for name in Subscriber.__annotations__ if name != "subscriber_id")


def check_fields(names: Sequence[str]) -> None:
    """
    Check that subscribers have these fields.

    :param names: The names of the fields.
    :raises CyTechBotFieldError: A name is unknown or given twice, or this is not a list of names.
    """
    is_list = isinstance(names, Sequence) and not isinstance(names, str)
    if not is_list or not all(isinstance(name, str) for name in names):
        raise field_error("subscriber_fields", "must be a list of names", f"Known are {', '.join(FIELDS)}.")
    if unknown := [name for name in names if name not in FIELDS]:
        raise field_error("subscriber_fields", f"names {unknown[0]!r}", f"Known are {', '.join(FIELDS)}.")
    if len(set(names)) < len(names):
        raise field_error("subscriber_fields", "names a field twice", "Name each field once.")


class Profiles:
    """
    Fetches subscribers, several at a time, and caches their fields.

    :param hook: The hook that sends the calls.
    :param names: The fields to return.
    """

    def __init__(self, hook: CyTechBotHook, names: Sequence[str]) -> None:
        self._hook = hook
        self._names = tuple(names)
        self._cache: OrderedDict[str, Profile | None] = OrderedDict()
        self._unknown: set[int] = set()

    def start_export(self) -> None:
        """Count unknown subscribers from zero; the cache stays."""
        self._unknown.clear()

    @property
    def unknown_subscribers(self) -> int:
        """The number of subscribers of this export that the API reported as unknown."""
        return len(self._unknown)

    def fetch(self, batch: Batch) -> list[Profile]:
        """
        Return the fields of each subscriber of a batch; all are ``None`` for an unknown subscriber.

        :param batch: The subscribers.
        :raises CyTechBotError: The API refused a call for any other reason than an unknown subscriber.
        """
        if not self._names:
            return []
        missing = list(dict.fromkeys(each for each, _ in batch if each not in self._cache))
        if missing:
            self._fetch_all(missing)
        found = [self._cache[subscriber_id] for subscriber_id, _ in batch]
        self._unknown.update(
            hash(subscriber_id)
            for (subscriber_id, _), profile in zip(batch, found, strict=True)
            if profile is None
        )
        while len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        nothing = (None,) * len(self._names)
        return [nothing if profile is None else profile for profile in found]

    def _fetch_all(self, subscriber_ids: Sequence[str]) -> None:
        """
        Fetch subscribers into the cache.

        The threads are daemons and nothing waits for them after an error: a task that is stopped, or is out
        of time, ends although the server does not answer.
        """
        _ = self._hook.transport.session  # created here once, not by each thread
        waiting: SimpleQueue[str] = SimpleQueue()
        for subscriber_id in subscriber_ids:
            waiting.put(subscriber_id)
        results: SimpleQueue[tuple[str, Profile | None, BaseException | None]] = SimpleQueue()
        is_stopped = Event()

        def work() -> None:
            while not is_stopped.is_set():
                try:
                    subscriber_id = waiting.get_nowait()
                except Empty:
                    return
                try:
                    results.put((subscriber_id, self._fetch(subscriber_id), None))
                except BaseException as error:  # noqa: BLE001 - raised in the task's thread
                    results.put((subscriber_id, None, error))

        try:
            for number in range(min(CONCURRENCY, len(subscriber_ids))):
                Thread(target=work, name=f"profiles-{number}", daemon=True).start()
            for _ in subscriber_ids:
                subscriber_id, profile, error = results.get()
                if error is not None:
                    raise error
                self._cache[subscriber_id] = profile
        finally:
            is_stopped.set()

    def _fetch(self, subscriber_id: str) -> Profile | None:
        try:
            subscriber = self._hook.get_subscriber(subscriber_id)
        except (CyTechBotNotFoundError, CyTechBotFieldError):
            # A field error means that no subscriber can have this id. Other refusals, such as a busy
            # database, do not mean that the subscriber is unknown.
            return None
        return tuple(subscriber[name] for name in self._names)  # type: ignore[literal-required]
