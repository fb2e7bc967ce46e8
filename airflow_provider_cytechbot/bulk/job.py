"""A bulk write from its source to its report and manifest."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.api.errors import (
    CyTechBotError,
    CyTechBotRequestError,
    CyTechBotStorageError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.api.redaction import mask_addresses
from airflow_provider_cytechbot.bulk import outcomes
from airflow_provider_cytechbot.bulk.background import BackgroundLoop
from airflow_provider_cytechbot.bulk.ledger import Ledger
from airflow_provider_cytechbot.bulk.options import FAIL_FAST, REPORT
from airflow_provider_cytechbot.bulk.plan import (
    ColumnMap,
    RowFilter,
    compare,
    digest_of,
    make_plan,
)
from airflow_provider_cytechbot.bulk.progress import Progress
from airflow_provider_cytechbot.bulk.report import Report
from airflow_provider_cytechbot.bulk.resource import PlanFigures
from airflow_provider_cytechbot.bulk.retry_report import keys_without_row, read_report
from airflow_provider_cytechbot.bulk.runner import Runner
from airflow_provider_cytechbot.bulk.stores import Stores
from airflow_provider_cytechbot.hooks.cytechbot_async import CyTechBotAsyncHook
from airflow_provider_cytechbot.transport import metrics

if TYPE_CHECKING:
    from airflow_provider_cytechbot.bulk.options import BulkOptions
    from airflow_provider_cytechbot.bulk.resource import BulkResource
    from airflow_provider_cytechbot.bulk.state import RunState
    from airflow_provider_cytechbot.transport.settings import Settings

log = logging.getLogger(__name__)

_STOPPED = "the task was stopped."
#: How many rows an error lists.
_LISTED = 5


@dataclass
class BulkJob:
    """
    Writes the rows of one source to a resource, once.

    :param rows: Opens the source.
    :param resource: The adapter of the resource that is written.
    :param options: The options of the operator.
    :param settings: The connection's settings.
    :param cytechbot_conn_id: The connection's id.
    """

    rows: Callable[[], Iterable[object]]
    resource: BulkResource
    options: BulkOptions
    settings: Settings
    cytechbot_conn_id: str
    #: What the task returns; complete after :meth:`run`, also if that raised an error.
    manifest: dict[str, Any] | None = field(default=None, init=False)
    #: Whether :meth:`run` returned the manifest.
    has_succeeded: bool = field(default=False, init=False)
    _background: BackgroundLoop | None = field(default=None, init=False, repr=False)
    _is_stopped: bool = field(default=False, init=False, repr=False)
    _is_complete: bool = field(default=False, init=False, repr=False)
    _store_error: CyTechBotError | None = field(default=None, init=False, repr=False)

    def run(self) -> dict[str, Any]:
        """
        Plan, send and report.

        :return: The manifest.
        :raises CyTechBotError: Not every row is done, or something that concerns all rows went wrong.
        """
        try:
            return self._run()
        except sqlite3.Error as error:
            problem = str(error)
        raise CyTechBotStorageError(
            f"The temporary file with the rows cannot be written: {problem}.",
            "Free disk space, or let TMPDIR name a folder with more. With state_path or report_path, a retry "
            "leaves what was done alone.",
        )

    def _run(self) -> dict[str, Any]:
        with ExitStack() as stack:
            ledger = Ledger()
            stack.callback(ledger.close)
            path = self.options.report_path
            report = stack.enter_context(Report(path)) if path else None
            stores = Stores(self.options, self._identity, ledger.database)
            stack.callback(lambda: stores.end(is_complete=self._is_complete))
            stack.callback(self._close_quietly, stores)
            figures = self._plan(ledger, stores)
            planned = ledger.counts()
            log.info(
                "%s: %s rows in the source, %s for this task, %s calls to send%s.",
                self._title,
                f"{figures.source_rows:,}",
                f"{ledger.rows():,}",
                f"{ledger.open_calls():,}",
                f"; without a call: {outcomes.describe(planned)}" if planned.total() else "",
            )
            failure: CyTechBotError | None = None
            interruption: BaseException | None = None
            try:
                failure = self._check(ledger, figures) or self._send(ledger, stores, planned)
            except sqlite3.Error:
                raise  # the rows' outcomes are not complete, so there can be no report
            except BaseException as error:  # noqa: BLE001 - raised again, after the report
                interruption = error
                ledger.close_open_rows(_STOPPED)
            failure = (
                self._store(stores, is_cut_short=self._is_stopped or interruption is not None) or failure
            )
            self.manifest = _manifest(ledger, figures, stores.uri)
            if report:
                try:
                    report.write(ledger.report_lines())
                except CyTechBotError as error:
                    log.error("%s", error)
                    failure = failure or error
                else:
                    self.manifest["report_uri"] = report.uri
            _count_rows(self.manifest)
            if interruption is not None:
                raise interruption
            self._is_complete = failure is None and not outcomes.can_be_retried(self.manifest["counts"])
            self._judge(ledger, failure, self.manifest)
            self.has_succeeded = True
            return self.manifest

    def stop(self) -> None:
        """Send nothing more; to be called from a signal handler."""
        self._is_stopped = True
        if self._background:
            self._background.stop()

    @property
    def _title(self) -> str:
        """The name of the write in log lines: what is written, and over which connection."""
        target = ", ".join(f"{name} {value}" for name, value in self.resource.identity.items())
        return f"Bulk write ({target}) over connection {self.cytechbot_conn_id!r}"

    @property
    def _identity(self) -> dict[str, str]:
        return {"server": self.settings.base_url, **self.resource.identity}

    def _plan(self, ledger: Ledger, stores: Stores) -> PlanFigures:
        """Read and compare all rows."""
        options, resource, state = self.options, self.resource, stores.state
        state_keys = state.keys()
        if not options.plan_only:
            stores.begin(self._fail)
        resource.open_state(state)
        is_wanted = None
        if options.retry_report is not None:
            ledger.remember_keys(read_report(options.retry_report))
            is_wanted = ledger.is_wanted
        source_rows = make_plan(
            self.rows(),
            ledger,
            resource,
            row_filter=RowFilter(options.where),
            column_map=ColumnMap(options.columns, resource),
            shard=options.shard,
            **({"is_wanted": is_wanted} if is_wanted else {}),
        )
        if is_wanted and (without_row := keys_without_row(ledger, options.shard))[0]:
            log.warning(
                "%s rows of retry_report have keys that the source does not have: nothing is sent for them. "
                "The first: %s",
                *without_row,
            )
        compare(ledger, resource, state, finds_gone=resource.finds_gone_keys and is_wanted is None)
        if state.changed_since_try:
            log.info("%s keys have other values than in the last try.", f"{state.changed_since_try:,}")
        return PlanFigures(
            ledger.planned_operations(),
            source_rows,
            ledger.rows_without_key,
            state_keys,
            digest_of(ledger, resource),
            state.is_resumed,
        )

    def _check(self, ledger: Ledger, figures: PlanFigures) -> CyTechBotError | None:
        """Return the error of a plan that is not sent. It has a manifest and a report like any other."""
        try:
            self.resource.check(figures, plan_only=self.options.plan_only)
            self.resource.prepare(plan_only=self.options.plan_only)
        except CyTechBotError as error:
            ledger.close_open_rows(f"The plan was refused: {mask_addresses(error.reason)}")
            return error
        return None

    def _send(self, ledger: Ledger, stores: Stores, planned: Any) -> CyTechBotError | None:
        """Send the calls, and give each row an outcome. Return the error that is not about a row."""
        if self.options.plan_only:
            ledger.close_open_rows("The rows were only planned.")
            return None
        if self.options.on_error == FAIL_FAST and planned[outcomes.INVALID]:
            ledger.close_open_rows("Another row is invalid, and on_error is 'fail_fast'.")
            return None
        if not ledger.open_calls():
            return None
        stop_reason, error = self._run_loop(ledger, stores.state, Progress(planned, ledger.rows()))
        ledger.close_open_rows(mask_addresses(stop_reason))
        return error

    def _run_loop(
        self, ledger: Ledger, state: RunState, progress: Progress
    ) -> tuple[str, CyTechBotError | None]:
        runners: list[Runner] = []

        async def send_all() -> None:
            runner = Runner(
                ledger,
                state,
                lambda call: self.resource.write(hook, call, _KeySteps(state, call.key)),
                lambda call: self.resource.describe(call.payload),
                max_concurrency=self.options.max_concurrency,
                max_retries=self.settings.max_retries,
                fails_fast=self.options.on_error == FAIL_FAST,
                progress=progress,
            )
            runners.append(runner)
            if self._is_stopped:
                runner.cut_short(_STOPPED)
            async with _open_hook(self.cytechbot_conn_id, self._shared_settings, runner.take_turn) as hook:
                await runner.run()

        def stop() -> None:
            self._is_stopped = True
            for runner in runners:
                runner.cut_short(self._store_error.reason if self._store_error else _STOPPED)

        self._background = BackgroundLoop(send_all, stop)
        if self._is_stopped:
            return _STOPPED, None
        self._background.run()
        progress.log()
        (runner,) = runners
        return runner.stop_reason, runner.error

    @property
    def _shared_settings(self) -> Settings:
        """The settings with this shard's part of the rate."""
        rate, shards = self.settings.requests_per_second, self.options.shard.shards
        return (
            replace(self.settings, requests_per_second=rate / shards)
            if rate and shards > 1
            else self.settings
        )

    def _fail(self, error: CyTechBotError) -> None:
        """Stop because nothing can be stored any more. Called from any thread."""
        if self._store_error is None:
            log.error("%s", error)
            self._store_error = error
            self.stop()

    def _store(self, stores: Stores, *, is_cut_short: bool) -> CyTechBotError | None:
        """Make the outcomes durable, and the state of a run that came to its end."""
        try:
            stores.close_journal()
            # Airflow kills a stopped task within seconds. The next run reads the journal.
            if not is_cut_short and not self.options.plan_only:
                stores.write_state()
        except CyTechBotError as error:
            self._store_error = self._store_error or error
        return self._store_error

    @staticmethod
    def _close_quietly(stores: Stores) -> None:
        """Make what happened durable where an error ends the run before its report."""
        with suppress(CyTechBotError):
            stores.close_journal()

    def _judge(self, ledger: Ledger, error: CyTechBotError | None, manifest: dict[str, Any]) -> None:
        """Raise the error of a task that fails."""
        counts = manifest["counts"]
        if sum(counts.values()) != manifest["rows"]:
            raise CyTechBotRequestError(f"the outcomes do not add up to {manifest['rows']:,} rows: {counts}.")
        summary = f"{manifest['rows']:,} rows: {outcomes.describe(counts)}."
        operations = ", ".join(f"{each} {number:,}" for each, number in manifest["operations"].items())
        report = f" Report: {manifest['report_uri']}" if manifest["report_uri"] else ""
        log.info("%s: %s Operations: %s.%s", self._title, summary, operations or "none", report)
        if error is not None:
            error.reason = f"{summary} {error.reason}"
            raise error
        if self.options.plan_only or outcomes.is_complete(counts):
            return
        if self._is_stopped:
            raise CyTechBotTransportError(f"{summary} {_STOPPED.capitalize()}", self._hint)
        if self.options.on_error == REPORT:
            log.warning("%s on_error is 'report', so the task succeeds.", summary)
            return
        found = ", ".join(f"{key}: {reason}" for key, reason in ledger.not_done(_LISTED))
        kind = CyTechBotTransportError if outcomes.can_be_retried(counts) else CyTechBotRequestError
        raise kind(f"{summary} The first: {found or 'none was sent'}", self._hint)

    @property
    def _hint(self) -> str:
        if self.manifest and self.manifest["report_uri"]:
            return f"See the report: {self.manifest['report_uri']}."
        return "With report_path, the outcome of each row is written to a file."


def _count_rows(manifest: dict[str, Any]) -> None:
    operation = "_".join(each for each in manifest["operations"] if each != "none") or "none"
    for outcome, number in manifest["counts"].items():
        metrics.count_rows(operation, outcome, number)


@asynccontextmanager
async def _open_hook(
    conn_id: str, settings: Settings, take_turn: Callable[[Iterable[float]], Awaitable[None]]
) -> AsyncIterator[CyTechBotAsyncHook]:
    """Open a hook with settings that the main thread has read, the only one that Airflow lets read them."""
    from airflow_provider_cytechbot.transport.aiohttp_transport import AiohttpTransport

    hook = CyTechBotAsyncHook(conn_id)
    transport = AiohttpTransport(settings)
    transport.take_turn = take_turn
    hook.open(settings, transport)
    try:
        yield hook
    finally:
        await hook.close()


class _KeySteps:
    """Records the steps of one key."""

    def __init__(self, state: RunState, key: str) -> None:
        self._state, self._key = state, key

    async def begin(self, step: bytes) -> None:
        """Record a step; durable when this returns."""
        await self._state.begin(self._key, step)

    def save(self, value: bytes | None) -> None:
        """Store a value whatever the outcome."""
        self._state.save(self._key, value)


def _manifest(ledger: Ledger, figures: PlanFigures, state_uri: str | None) -> dict[str, Any]:
    counts = ledger.counts()
    return {
        "report_uri": None,
        "rows": ledger.rows(),
        "source_rows": figures.source_rows,
        "counts": {outcome: counts[outcome] for outcome in outcomes.OUTCOMES},
        "operations": dict(sorted(ledger.operations().items())),
        "state_uri": state_uri,
        "plan_digest": figures.digest,
    }
