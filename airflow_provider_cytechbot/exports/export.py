"""One export of one campaign, from the API to its files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.exports.answer_spool import AnswerSpool
from airflow_provider_cytechbot.exports.files import ExportFiles
from airflow_provider_cytechbot.exports.layouts import Campaign, LongLayout, WideLayout
from airflow_provider_cytechbot.exports.lineage import ExportedCampaign
from airflow_provider_cytechbot.exports.manifest import ExportManifest, manifest_columns, urls_of
from airflow_provider_cytechbot.exports.profiles import Profiles
from airflow_provider_cytechbot.exports.repeated_subscribers import RepeatedSubscribers
from airflow_provider_cytechbot.formats.file_types import RAW, FileType
from airflow_provider_cytechbot.hooks import lineage
from airflow_provider_cytechbot.hooks.second_reading import NoAnswersError, read_again_if_empty
from airflow_provider_cytechbot.storage.locations import StorageLocation
from airflow_provider_cytechbot.storage.scratch_file import scratch_error
from airflow_provider_cytechbot.storage.signals import HeldSignals
from airflow_provider_cytechbot.transport import metrics

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.flow_answer_batches import Batch
    from airflow_provider_cytechbot.exports.changes import ChangeLog
    from airflow_provider_cytechbot.exports.options import ExportOptions
    from airflow_provider_cytechbot.formats.table import Column, Table
    from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
    from airflow_provider_cytechbot.hooks.flow_answers import FlowAnswersStream

#: Seconds between two log lines about the progress of an export.
LOG_INTERVAL = 5.0
_MEGABYTE = 1_000_000


class Progress:
    """
    Counts what was exported, and logs the counts every few seconds and at the end.

    :param stream: The answers that are being exported.
    :param log: Writes a line to the log, such as a logger's ``info``.
    """

    def __init__(self, stream: FlowAnswersStream, log: Callable[..., object]) -> None:
        self.subscribers = self.answers = self.rows = 0
        #: Whether any answer has a text: a question without an answer has a null.
        self.has_answers = False
        self._stream = stream
        self._log = log
        self._started = self._last_logged = time.monotonic()

    def add(self, *, subscribers: int = 0, answers: int = 0, rows: int = 0) -> None:
        """Add to the counts, and log them if it is time."""
        self.subscribers += subscribers
        self.answers += answers
        self.rows += rows
        if time.monotonic() - self._last_logged >= LOG_INTERVAL:
            self._last_logged = time.monotonic()
            self._log_counts("Exporting")

    def count(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield batches unchanged, and count their subscribers and answers."""
        for batch in batches:
            self.add(subscribers=len(batch), answers=sum(len(answers) for _, answers in batch))
            self.has_answers = self.has_answers or any(
                answer.answer for _, answers in batch for answer in answers
            )
            yield batch

    def finish(self) -> None:
        """Log the final counts."""
        self._log_counts("Exported")

    def _log_counts(self, verb: str) -> None:
        line = "%s flow campaign %s: %d subscribers, %d rows"
        values = [verb, self._stream.flow_campaign_id, self.subscribers, self.rows]
        seconds = time.monotonic() - self._started
        if seconds >= 1:
            read = self._stream.bytes_read / _MEGABYTE
            line += ", %.1f MB read in %.1f s (%.1f MB/s)"
            values += [read, seconds, read / seconds]
        self._log(line, *values)


class Export:
    """
    Exports campaigns, one after the other.

    ``exported`` holds what lineage needs of the campaigns that were exported. ``is_discarding`` is true while
    unfinished files are removed.

    :param hook: The hook that sends the calls.
    :param options: The checked options.
    :param file_type: The type of the files.
    :param interval: The time of the run's interval, for the export mode ``changes``.
    :param log: Writes a line to the log, such as a logger's ``info``.
    """

    def __init__(
        self,
        hook: CyTechBotHook,
        options: ExportOptions,
        file_type: FileType,
        interval: datetime,
        log: Callable[..., object],
    ) -> None:
        self._hook = hook
        self._options = options
        self._file_type = file_type
        self._interval = interval
        self._log = log
        self._profiles = Profiles(hook, options.subscriber_fields)
        self._columns: Sequence[Column] = ()
        self._is_second_reading = False
        self._changes: ChangeLog | None = None
        self.exported: list[ExportedCampaign] = []
        self.is_discarding = False

    def check_paths(self) -> None:
        """
        Check that the paths can be opened, before the API is called.

        :raises CyTechBotStorageRefusedError: The filesystem is not installed, or the connection is unknown.
        """
        StorageLocation.from_parameter("path", self._options.path)
        if self._options.state_path:
            StorageLocation.from_parameter("state_path", self._options.state_path)

    def run(self, flow_campaign_id: str) -> ExportManifest:
        """
        Export a campaign: whole, or nothing.

        If the API returns no answers and the export before has some, the answers are read a second time.

        :param flow_campaign_id: The campaign's id.
        :raises CyTechBotStorageError: A file could not be written, at its path or on the worker's disk.
        :raises CyTechBotResponseError: There are no answers any more, and ``allow_empty`` is false.
        :raises CyTechBotError: The answers did not arrive.
        """
        return read_again_if_empty(
            lambda is_second: self._run(flow_campaign_id, is_second_reading=is_second),
            self._hook,
            flow_campaign_id,
            self._log,
            before="export",
            kept="files and states",
        )

    def _run(self, flow_campaign_id: str, *, is_second_reading: bool) -> ExportManifest:
        options = self._options
        self._is_second_reading = is_second_reading
        self._changes = None
        self._profiles.start_export()
        location = StorageLocation.from_parameter("path", options.path_of(flow_campaign_id))
        # The files are opened first, so that storage errors come before the expensive API call.
        files = ExportFiles(
            location,
            self._file_type,
            max_rows=options.max_rows_per_file,
            overwrite=options.overwrite,
            storage_options=options.storage_options,
        )
        try:
            files.open()
            if options.export_mode == "changes":
                return self._export_changes(flow_campaign_id, files)
            with self._spool() as spool, self._open(flow_campaign_id) as stream:
                progress = Progress(stream, self._log)
                if self._file_type.file_format == RAW:
                    self._copy_body(files, stream, progress)
                else:
                    for table in self._tables(files, stream, progress, spool):
                        files.write(table)
                return self._commit(files, stream, progress)
        except OSError as error:  # of the disk below the spool: errors of the storage are converted already
            raise scratch_error(error) from None
        finally:
            self.is_discarding = True
            try:
                self._discard(files)
            except BaseException:  # a second signal, before it was held
                self._discard(files)
                raise
            finally:
                self.is_discarding = False

    def _discard(self, files: ExportFiles) -> None:
        with HeldSignals():
            files.discard()
            if self._changes:
                self._changes.close()

    def _open(self, flow_campaign_id: str) -> AbstractContextManager[FlowAnswersStream]:
        self._log("Requesting the answers of flow campaign %s", flow_campaign_id)
        return self._hook.open_flow_answers(flow_campaign_id)

    @contextmanager
    def _spool(self) -> Iterator[AnswerSpool | None]:
        """Open a spool on the worker's disk for an export that needs all answers before it can write."""
        # The columns of the wide layout are known only after the last answer. Profiles take long to fetch,
        # and the server would have to wait with its answer.
        if self._options.layout == "long" and not self._options.subscriber_fields:
            yield None
            return
        with closing(AnswerSpool()) as spool:
            yield spool

    def _tables(
        self, files: ExportFiles, stream: FlowAnswersStream, progress: Progress, spool: AnswerSpool | None
    ) -> Iterator[Table]:
        fields = self._options.subscriber_fields
        layout: LongLayout | WideLayout = LongLayout(fields)
        batches = progress.count(stream.batches())
        if spool is None:
            self._start(files, layout.columns)
            for batch in batches:
                table = layout.table(_campaign(stream), batch)
                progress.add(rows=table.rows)
                yield table
            self._check_not_empty(files, progress)
            return
        subscribers: Iterable[Batch] = spool
        if self._options.layout == "long":
            spool.fill(batches)
        else:
            repeated = RepeatedSubscribers()
            spool.fill(repeated.watch(batches))
        self._check_not_empty(files, progress)
        if self._options.layout == "wide":
            order = self._hook.get_flow_campaign(stream.flow_campaign_id)["questions"]
            layout = WideLayout(spool.questions, order, fields)
            subscribers = repeated.merge(spool)
            if not self._file_type.gathers_rows:
                subscribers = layout.cut(subscribers)
        self._start(files, layout.columns)
        for batch in subscribers:
            table = layout.table(_campaign(stream), batch, self._profiles.fetch(batch))
            progress.add(rows=table.rows)
            yield table

    def _copy_body(self, files: ExportFiles, stream: FlowAnswersStream, progress: Progress) -> None:
        """Write the body as it arrives. It is parsed like any other, so that only a whole one is kept."""
        # Not written in the callback: the stream would take errors of the storage for its own.
        blocks: list[bytes] = []
        stream.on_block = blocks.append
        for batch in progress.count(stream.batches()):
            rows = sum(len(answers) for _, answers in batch)
            progress.add(rows=rows)
            files.count(rows)
            files.write_bytes(b"".join(blocks))
            blocks.clear()
        files.write_bytes(b"".join(blocks))
        self._check_not_empty(files, progress)

    def _export_changes(self, flow_campaign_id: str, files: ExportFiles) -> ExportManifest:
        from airflow_provider_cytechbot.exports.changes import ChangeLog

        options = self._options
        folder = StorageLocation.from_parameter("state_path", options.state_path_of(flow_campaign_id))
        self._changes = changes = ChangeLog(
            folder, self._hook.settings.base_url, flow_campaign_id, self._interval
        )
        changes.open(options.storage_options or {})
        with self._open(flow_campaign_id) as stream:
            progress = Progress(stream, self._log)
            changes.fill(progress.count(stream.batches()))
        self._check_not_empty(files, progress)
        layout = LongLayout(options.subscriber_fields, has_changes=True)
        self._start(files, layout.columns)
        campaign = Campaign(
            stream.flow_campaign_id, stream.flow_name, changes.extracted_at(stream.extracted_at)
        )
        for batch, kinds in changes.changes():
            table = layout.table(campaign, batch, self._profiles.fetch(batch), kinds)
            progress.add(rows=table.rows)
            files.write(table)
        manifest = self._commit(files, stream, progress, campaign.extracted_at)
        # The state comes last: after an earlier failure the next run finds the same changes again.
        changes.save(campaign.extracted_at, [column.name for column in layout.columns])
        return manifest

    def _check_not_empty(self, files: ExportFiles, progress: Progress) -> None:
        """Refuse an answer without answers, or with nulls alone, if the export before has some."""
        if progress.has_answers or (self._is_second_reading and self._options.allow_empty):
            return
        if self._changes and self._changes.has_state:
            had_answers = self._changes.had_answers
        else:
            had_answers = files.replaces_answers(self._options.subscriber_fields)
        if had_answers:
            raise NoAnswersError

    def _start(self, files: ExportFiles, columns: Sequence[Column]) -> None:
        options = self._options
        self._columns = columns
        files.start(
            lambda: self._file_type.encoder(
                columns,
                byte_order_mark=options.byte_order_mark,
                escape_formulas=options.escape_formulas,
                text_ids=options.csv_text_ids,
                separator=options.csv_separator,
            )
        )

    def _commit(
        self, files: ExportFiles, stream: FlowAnswersStream, progress: Progress, extracted_at: str = ""
    ) -> ExportManifest:
        files.finish()
        progress.finish()
        manifest: ExportManifest = {
            "uris": files.uris,
            "urls": urls_of(files.uris),
            "flow_campaign_id": stream.flow_campaign_id,
            "flow_name": stream.flow_name,
            "subscribers": progress.subscribers,
            "rows": progress.rows,
            "bytes": files.size,
            "extracted_at": extracted_at or stream.extracted_at,
            "columns": manifest_columns(
                self._columns, self._changes.earlier_columns if self._changes else None
            ),
        }
        if self._options.subscriber_fields:
            manifest["unknown_subscribers"] = unknown = self._profiles.unknown_subscribers
            if unknown:
                self._log("%d subscribers are unknown to the API: their subscriber_fields are null", unknown)
        files.commit(manifest)
        metrics.count_rows("export", "exported", progress.rows)
        self._report_lineage(stream, progress, files)
        written = files.uris[0] if len(files.uris) == 1 else f"{len(files.uris)} files, from {files.uris[0]},"
        self._log("Wrote %s (%d bytes)", written, files.size)
        return manifest

    def _report_lineage(self, stream: FlowAnswersStream, progress: Progress, files: ExportFiles) -> None:
        """Report the files to hook lineage, and keep what OpenLineage needs at the end of the task."""
        for uri in files.uris:
            lineage.report_file_written(self._hook, uri)
        has_row_for_each_answer = self._options.layout == "long" and self._options.export_mode == "full"
        self.exported.append(
            ExportedCampaign(
                self._hook.settings.base_url,
                stream.flow_campaign_id,
                self._columns,
                files.written,
                bytes_read=stream.bytes_read,
                answers_read=progress.rows if has_row_for_each_answer else None,
            )
        )


def _campaign(stream: FlowAnswersStream) -> Campaign:
    return Campaign(stream.flow_campaign_id, stream.flow_name, stream.extracted_at)
