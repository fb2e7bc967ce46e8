"""The stores of one run: none, a state, the journal beside its report, or both."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.bulk.folder import Folder
from airflow_provider_cytechbot.bulk.run_store import RunStore
from airflow_provider_cytechbot.bulk.state import Identity, RunState
from airflow_provider_cytechbot.storage.locations import StorageLocation

if TYPE_CHECKING:
    import sqlite3

    from airflow_provider_cytechbot.api.errors import CyTechBotError
    from airflow_provider_cytechbot.bulk.options import BulkOptions


class Stores:
    """
    Opens what the parameters name.

    :param options: The parameters.
    :param identity: What the state is about.
    :param database: The ledger's database.
    :raises CyTechBotError: Another run uses one, or one cannot be used.
    """

    def __init__(self, options: BulkOptions, identity: dict[str, str], database: sqlite3.Connection) -> None:
        self._stores: list[RunStore] = []
        self.uri: str | None = None

        def open_store(root: Folder, *, is_persistent: bool) -> RunStore:
            store = RunStore(
                root,
                identity,
                options.owner,
                options.shard,
                database,
                is_persistent=is_persistent,
                is_read_only=options.plan_only,
            )
            self._stores.append(store)
            return store

        try:
            if options.state_path:
                root = Folder(StorageLocation.from_parameter("state_path", options.state_path))
                self.uri = open_store(root, is_persistent=True).uri
            needs_claim = not options.state_path or options.shard.shards > 1
            if options.report_path and needs_claim and not options.plan_only:
                report = StorageLocation.from_parameter("report_path", options.report_path)
                beside = Folder(report.sibling(f".{report.path.name}.journal"))
                open_store(beside, is_persistent=False)
        except BaseException:
            self.end(is_complete=False)
            raise
        #: The state that the run reads and changes.
        self.state = self._stores[0].state if self._stores else RunState(database, _nowhere(options))

    def begin(self, on_error: Callable[[CyTechBotError], None]) -> None:
        """Write everything that happens from now on. See :meth:`RunStore.begin`."""
        for store in self._stores:
            store.begin(on_error)

    def close_journal(self) -> None:
        """Make everything durable that happened."""
        for store in self._stores:
            store.close_journal()

    def write_state(self) -> None:
        """Write the state after everything that happened."""
        for store in self._stores:
            store.write_state()

    def end(self, *, is_complete: bool) -> None:
        """Leave all folders. See :meth:`RunStore.end`."""
        for store in self._stores:
            store.end(is_complete=is_complete)


def _nowhere(options: BulkOptions) -> Identity:
    return Identity(options.owner.digest, options.owner.first_try)
