"""One export of one campaign, from the API to its files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, NotRequired, TypedDict

from airflow_provider_cytechbot.exports.answer_spool import AnswerSpool
from airflow_provider_cytechbot.exports.files import ExportFiles
from airflow_provider_cytechbot.exports.layouts import Campaign, LongLayout, WideLayout
from airflow_provider_cytechbot.exports.lineage import ExportedCampaign
from airflow_provider_cytechbot.exports.profiles import Profiles
from airflow_provider_cytechbot.exports.progress import Progress
from airflow_provider_cytechbot.exports.repeated_subscribers import RepeatedSubscribers
from airflow_provider_cytechbot.formats.file_types import RAW, FileType
from airflow_provider_cytechbot.hooks import lineage
from airflow_provider_cytechbot.storage.locations import StorageLocation
from airflow_provider_cytechbot.storage.scratch_file import scratch_error
from airflow_provider_cytechbot.transport import metrics

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.flow_answer_batches import Batch
    from airflow_provider_cytechbot.exports.options import ExportOptions
    from airflow_provider_cytechbot.formats.table import Column, Table
    from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
    from airflow_provider_cytechbot.hooks.flow_answers import FlowAnswersStream


class ExportManifest(TypedDict):
    """
    The result of an export for downstream tasks: the files and their sizes, never the answers.

    ``uris`` are paths that ``ObjectStoragePath`` opens, with the storage's connection id if there was one.
    ``subscribers`` counts the subscribers in the API's answer, ``rows`` the rows in the files, ``bytes`` is
    the size of the files as written. ``unknown_subscribers`` is there with ``subscriber_fields`` only: the
    number of subscribers that ``subscriber_information/`` does not know, whose fields are null.
    """

    uris: list[str]
    flow_campaign_id: str
    flow_name: str | None
    subscribers: int
    rows: int
    bytes: int
    extracted_at: str
    unknown_subscribers: NotRequired[int]


class Export:
    """
    Exports campaigns, one after the other.

    :param hook: The hook to ask with.
    :param options: How to export, checked.
    :param file_type: What kind of file that makes.
    :param interval: The run's interval, for the export mode ``changes``.
    :param log: Writes a line to the log, such as a logger's ``info``.

    ``exported`` is what lineage is told of the campaigns whose export is there.
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
        self.exported: list[ExportedCampaign] = []

    def check_places(self) -> None:
        """
        Look whether the places can be opened at all, before anything is asked of the API.

        :raises CyTechBotStorageRefusedError: The filesystem is not installed, or the connection is unknown.
        """
        StorageLocation.from_parameter("path", self._options.path)
        if self._options.state_path:
            StorageLocation.from_parameter("state_path", self._options.state_path)

    def run(self, flow_campaign_id: str) -> ExportManifest:
        """
        Export a campaign: whole, or nothing.

        :param flow_campaign_id: The campaign's id.
        :raises CyTechBotStorageError: A file could not be written, at its place or on the worker's disk.
        :raises CyTechBotError: The answers did not arrive.
        """
        options = self._options
        self._profiles.start_export()
        place = StorageLocation.from_parameter("path", options.path_of(flow_campaign_id))
        # The place comes first: trouble with it should show before the server is put to its costly work.
        files = ExportFiles(
            place, self._file_type, max_rows=options.max_rows_per_file, overwrite=options.overwrite
        )
        try:
            with files:
                if options.export_mode == "changes":
                    return self._changes(flow_campaign_id, files)
                with self._spool() as spool, self._open(flow_campaign_id) as stream:
                    progress = Progress(stream, self._log)
                    if self._file_type.file_format == RAW:
                        _copy_body(files, stream, progress)
                    else:
                        for table in self._tables(files, stream, progress, spool):
                            files.write(table)
                    return self._commit(files, stream, progress)
        except OSError as error:  # the storage's own are told by then: this is of the disk below the spool
            raise scratch_error(error) from None

    def _open(self, flow_campaign_id: str) -> AbstractContextManager[FlowAnswersStream]:
        self._log("Asking for the answers of flow campaign %s", flow_campaign_id)
        return self._hook.open_flow_answers(flow_campaign_id)

    @contextmanager
    def _spool(self) -> Iterator[AnswerSpool | None]:
        """Give a place on the worker's disk to an export that needs all answers before it can write."""
        # The columns of the wide layout are known in the end only, and asking for profiles takes long: the
        # server is not kept waiting meanwhile.
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
        batches = stream.batches()
        if spool is None:
            self._start(files, layout.columns)
            for batch in batches:
                table = layout.table(_campaign(stream), batch)
                progress.add(len(batch), table.rows)
                yield table
            return
        batches = _counted(batches, progress)
        subscribers: Iterable[Batch] = spool
        if self._options.layout == "long":
            spool.fill(batches)
        else:
            repeated = RepeatedSubscribers()
            spool.fill(repeated.watch(batches))
            order = self._hook.get_flow_campaign(stream.flow_campaign_id)["questions"]
            layout = WideLayout(spool.questions, order, fields)
            subscribers = repeated.merge(spool)
            if not self._file_type.gathers_rows:
                subscribers = layout.cut(subscribers)
        self._start(files, layout.columns)
        for batch in subscribers:
            table = layout.table(_campaign(stream), batch, self._profiles.of(batch))
            progress.add(0, table.rows)
            yield table

    def _changes(self, flow_campaign_id: str, files: ExportFiles) -> ExportManifest:
        from airflow_provider_cytechbot.exports.changes import ChangeLog

        folder = StorageLocation.from_parameter("state_path", str(self._options.state_path))
        with closing(
            ChangeLog(folder, self._hook.settings.base_url, flow_campaign_id, self._interval)
        ) as changes:
            with self._open(flow_campaign_id) as stream:
                progress = Progress(stream, self._log)
                changes.fill(_counted(stream.batches(), progress))
            fields = self._options.subscriber_fields
            layout = LongLayout(fields, has_changes=True)
            self._start(files, layout.columns)
            campaign = Campaign(
                stream.flow_campaign_id, stream.flow_name, changes.extracted_at(stream.extracted_at)
            )
            for batch, kinds in changes.changes():
                table = layout.table(campaign, batch, self._profiles.of(batch), kinds)
                progress.add(0, table.rows)
                files.write(table)
            manifest = self._commit(files, stream, progress, campaign.extracted_at)
            # The state comes last: after an earlier failure the next run finds the same changes again.
            changes.save(campaign.extracted_at)
            return manifest

    def _start(self, files: ExportFiles, columns: Sequence[Column]) -> None:
        options = self._options
        self._columns = columns
        files.start(
            lambda: self._file_type.encoder(
                columns, byte_order_mark=options.byte_order_mark, escape_formulas=options.escape_formulas
            )
        )

    def _commit(
        self, files: ExportFiles, stream: FlowAnswersStream, progress: Progress, extracted_at: str = ""
    ) -> ExportManifest:
        files.finish()
        progress.finish()
        manifest: ExportManifest = {
            "uris": files.uris,
            "flow_campaign_id": stream.flow_campaign_id,
            "flow_name": stream.flow_name,
            "subscribers": progress.subscribers,
            "rows": progress.rows,
            "bytes": files.size,
            "extracted_at": extracted_at or stream.extracted_at,
        }
        if self._options.subscriber_fields:
            manifest["unknown_subscribers"] = unknown = self._profiles.unknown_subscribers
            if unknown:
                self._log("%d subscribers are unknown to the API: their subscriber_fields are null", unknown)
        files.commit(manifest)
        metrics.count_rows("export", "exported", progress.rows)
        self._report_lineage(stream, progress, files)
        shown = files.uris[0] if len(files.uris) == 1 else f"{len(files.uris)} files, {files.uris[0]} and on,"
        self._log("Wrote %s (%d bytes)", shown, files.size)
        return manifest

    def _report_lineage(self, stream: FlowAnswersStream, progress: Progress, files: ExportFiles) -> None:
        """Tell hook lineage of the files now, and keep for OpenLineage what it asks for in the end."""
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


def _copy_body(files: ExportFiles, stream: FlowAnswersStream, progress: Progress) -> None:
    """Write the body as it comes. It is read like any other: what is not whole must not be kept."""
    # Not written while the stream reads, which would take the storage's errors for its own.
    blocks: list[bytes] = []
    stream.on_block = blocks.append
    for batch in stream.batches():
        rows = sum(len(answers) for _, answers in batch)
        progress.add(len(batch), rows)
        files.count(rows)
        files.write_bytes(b"".join(blocks))
        blocks.clear()
    files.write_bytes(b"".join(blocks))


def _counted(batches: Iterator[Batch], progress: Progress) -> Iterator[Batch]:
    for batch in batches:
        progress.add(len(batch), 0)
        yield batch
