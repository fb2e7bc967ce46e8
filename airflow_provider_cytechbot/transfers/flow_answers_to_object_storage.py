"""The transfer of flow campaigns' answers to files on any object storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.api.fields import encode_number, read_count, read_switch
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.operators.base import CyTechBotOperatorMixin
from airflow_provider_cytechbot.operators.links import CyTechBotFileLink, CyTechBotInstallationLink
from airflow_provider_cytechbot.operators.own_arguments import OwnArgumentsMeta
from airflow_provider_cytechbot.transfers.stoppable import StoppableTransfer

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_cytechbot.api.fields import IdInput
    from airflow_provider_cytechbot.exports.export import Export
    from airflow_provider_cytechbot.exports.manifest import ExportManifest
    from airflow_provider_cytechbot.exports.options import ExportOptions
    from airflow_provider_cytechbot.exports.several_campaigns import ExportOutcome
    from airflow_provider_cytechbot.formats.file_types import FileType

ALL = "all"
#: The key of the XCom with the outcome of each of several campaigns.
OUTCOMES = "outcomes"


class CyTechBotFlowAnswersToObjectStorageOperator(
    StoppableTransfer, CyTechBotOperatorMixin, BaseOperator, metaclass=OwnArgumentsMeta
):
    """
    Export all answers of flow campaigns to files on any object storage.

    The long layout has one row per answer, with the columns ``flow_campaign_id``, ``flow_name``,
    ``subscriber_id``, ``question_id``, ``question``, ``answer`` and ``extracted_at`` (the same in all rows).
    The wide layout has one row per subscriber and one column per question. Answers are written while they
    arrive, so memory does not grow with the campaign. Nothing appears at ``path`` until the export is
    complete; only then is an existing file replaced. A campaign that nobody has answered gives a file without
    rows.

    Calls ``GET get_all_subscriber_flow_info/``, which costs the server time that grows with the square of
    the number of answers: export rarely, and raise the connection's ``timeout`` for a large campaign.

    All parameters below are templated.

    :param flow_campaign_id: The campaign's id, a list of ids, or ``"all"``. Each campaign is
        exported as a whole or not at all. If one fails, the others are still exported, and then the task
        fails. Either way the XCom ``outcomes`` has ``{"flow_campaign_id", "manifest", "error"}`` for each.
    :param flow_campaign_name: The campaign's name, instead of its id. Several campaigns of that name are an
        error that lists their ids.
    :param path: Where to write: anything that ``ObjectStoragePath`` opens, such as
        ``s3://aws_default@bucket/flows/{{ run_id }}/answers.parquet`` or ``file:///data/answers.csv``.
        ``{flow_campaign_id}`` is replaced by the campaign's id; several campaigns need it. Mapped tasks need
        a path each: put ``{flow_campaign_id}`` or ``{{ ti.map_index }}`` into it. One path for all of them
        fails before anything is written.
    :param file_format: ``jsonl`` (JSON Lines), ``csv`` (RFC 4180 with a header), ``parquet`` (extra
        ``parquet``) or ``raw`` (the API's body, checked but not changed). Without it, the path's suffix
        decides: ``.jsonl``, ``.ndjson``, ``.csv``, ``.parquet`` or ``.json``.
    :param compression: ``gzip``, ``zstd`` or ``none``. Without it, the path's suffix decides: ``.gz`` or
        ``.zst``. Parquet is compressed inside, by zstd unless named. The extra ``compression`` brings zstd
        and a fast gzip.
    :param layout: ``long`` or ``wide``. While it runs, the wide layout keeps the answers on the worker's
        disk.
    :param export_mode: ``full``, or ``changes``: only what is new, changed or gone since the export of the
        interval before, with a column ``change``. Answers are kept on the worker's disk while it runs.
    :param state_path: With ``export_mode="changes"``: a folder, the same from run to run. It holds digests of
        the answers for each campaign and interval (the last 14). ``{flow_campaign_id}`` is replaced as above.
    :param overwrite: Whether to replace an existing file. With ``False``, one is an error, raised before the
        API is called.
    :param allow_empty: Whether a campaign may lose all of its answers. If the API returns none, but the file
        at ``path`` (with ``export_mode="changes"``: the state) has some, they are read a second time. If
        there are still none, the task fails and the old file and state stay, unless this is ``True``.
    :param max_rows_per_file: Split the export into numbered files of this many rows (``answers-00001.csv``),
        and write last a manifest, ``_answers.csv.manifest.json``.
    :param subscriber_fields: Fields of ``subscriber_information/`` to add as columns, such as ``["full_name",
        "email"]``: one more call for each subscriber. They are null only for an unknown
        subscriber; the manifest's ``unknown_subscribers`` counts those. Another refusal fails the export.
    :param escape_formulas: In CSV, put an apostrophe before text that a spreadsheet would run as a
        formula, and quotes around every field: anybody can type a formula into an answer.
    :param byte_order_mark: Begin a CSV file with a UTF-8 byte order mark, for spreadsheets that need it.
    :param csv_text_ids: In CSV, write ids as ``="24994546734902201"``, which spreadsheets show as text. They
        round numbers of more than 15 digits. Other programs read the field as it stands.
    :param csv_separator: What stands between the fields of a CSV file: ``","``, ``";"`` (for spreadsheets in
        countries with a decimal comma) or a tab.
    :param storage_options: What the policy of a bucket demands of each write (files, manifest and states).
        For S3, parameters of its calls: ``{"ServerSideEncryption": "aws:kms", "ACL":
        "bucket-owner-full-control"}``. For another store, arguments of its filesystem's ``open``. Credentials
        and endpoints belong into the connection.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: A small manifest: ``{"uris", "urls", "flow_campaign_id", "flow_name", "subscribers", "rows",
        "bytes", "extracted_at", "columns"}``; for several campaigns a list of them. It is also in the extra
        of the events of the task's outlet assets. ``urls`` have no connection in them, ``columns`` are
        ``{"name", "type"}`` and, with ``export_mode="changes"``, ``is_new``.
    :raises CyTechBotRequestError: The campaign is unknown, or a parameter cannot be used. The task is
        not retried.
    :raises CyTechBotTransportError: The answer did not arrive whole. Nothing was written; a retry may help.
    :raises CyTechBotStorageRefusedError: ``path`` or ``state_path`` cannot be used: no such bucket, no
        permission, no filesystem. Raised before the API is called; the task is not retried.
    :raises CyTechBotStorageError: The storage, or the worker's disk, failed: a retry may help.
    """

    template_fields: Sequence[str] = (
        "flow_campaign_id",
        "flow_campaign_name",
        "path",
        "file_format",
        "compression",
        "layout",
        "export_mode",
        "state_path",
        "overwrite",
        "allow_empty",
        "max_rows_per_file",
        "subscriber_fields",
        "escape_formulas",
        "byte_order_mark",
        "csv_text_ids",
        "csv_separator",
        "storage_options",
        "cytechbot_conn_id",
    )
    ui_color = "#d7eef7"
    custom_operator_name = "CyTechBot export answers"
    operator_extra_links = (CyTechBotInstallationLink(), CyTechBotFileLink())

    def __init__(
        self,
        *,
        flow_campaign_id: IdInput | Sequence[IdInput] | None = None,
        flow_campaign_name: str | None = None,
        path: str | ObjectStoragePath,
        file_format: str | None = None,
        compression: str | None = None,
        layout: str = "long",
        export_mode: str = "full",
        state_path: str | ObjectStoragePath | None = None,
        overwrite: bool | str = True,
        allow_empty: bool | str = False,
        max_rows_per_file: int | str | None = None,
        subscriber_fields: Sequence[str] = (),
        escape_formulas: bool | str = False,
        byte_order_mark: bool | str = False,
        csv_text_ids: bool | str = False,
        csv_separator: str = ",",
        storage_options: Mapping[str, Any] | None = None,
        cytechbot_conn_id: str = CyTechBotHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_campaign_id = flow_campaign_id
        self.flow_campaign_name = flow_campaign_name
        self.path = path
        self.file_format = file_format
        self.compression = compression
        self.layout = layout
        self.export_mode = export_mode
        self.state_path = state_path
        self.overwrite = overwrite
        self.allow_empty = allow_empty
        self.max_rows_per_file = max_rows_per_file
        self.subscriber_fields = subscriber_fields
        self.escape_formulas = escape_formulas
        self.byte_order_mark = byte_order_mark
        self.csv_text_ids = csv_text_ids
        self.csv_separator = csv_separator
        self.storage_options = storage_options
        self.cytechbot_conn_id = cytechbot_conn_id
        self._export: Export | None = None

    def execute(self, context: Context) -> ExportManifest | list[ExportManifest]:
        """Export, and return the manifest or manifests."""
        from airflow_provider_cytechbot.exports.export import Export

        hook = self.hook
        ids = [] if self.flow_campaign_name else self._given_ids(hook)
        options, file_type = self._options(context, hook)
        self._export = export = Export(hook, options, file_type, _interval(context), self.log.info)
        return self.run_stoppable(lambda: self._run(context, hook, export, ids))

    @property
    def is_discarding(self) -> bool:
        """Whether unfinished files are being removed, which a second signal must not interrupt."""
        return bool(self._export and self._export.is_discarding)

    def get_openlineage_facets_on_complete(self, task_instance: object) -> OperatorLineage[Any, Any]:
        """
        Return the campaigns that were read and the files that were written, for OpenLineage.

        :param task_instance: The task instance that has ended.
        """
        from airflow_provider_cytechbot.exports.lineage import lineage_of_exports

        return lineage_of_exports(self._export.exported if self._export else ())

    def _run(
        self, context: Context, hook: CyTechBotHook, export: Export, ids: list[str]
    ) -> ExportManifest | list[ExportManifest]:
        if self._is_several:
            export.check_paths()  # the export of one campaign begins with that
            manifests = self._export_several(context, hook, export, ids)
        else:
            manifests = [export.run(ids[0] if ids else self._id_of_name(hook, export))]
        _set_outlet_extra(context, self.outlets, manifests)
        return manifests if self._is_several else manifests[0]

    @property
    def _is_several(self) -> bool:
        # What mapped tasks returned is a sequence, but not a list.
        given = None if self.flow_campaign_name else self.flow_campaign_id
        return given == ALL or (isinstance(given, Sequence) and not isinstance(given, str | bytes))

    def _given_ids(self, hook: CyTechBotHook) -> list[str]:
        """Return the ids as the call takes them; none for ``"all"``, which are requested later."""
        if self.flow_campaign_id == ALL:
            return []
        if not self._is_several:
            return [hook.resolve_flow_campaign_id(self.flow_campaign_id, None)]
        ids: Any = self.flow_campaign_id
        try:
            return list(dict.fromkeys(encode_number("flow_campaign_id", each) for each in ids))
        except CyTechBotError as error:
            failure = error
        raise hook.task_error(failure)

    def _id_of_name(self, hook: CyTechBotHook, export: Export) -> str:
        export.check_paths()  # before the API is called
        return hook.resolve_flow_campaign_id(self.flow_campaign_id, self.flow_campaign_name)

    def _options(self, context: Context, hook: CyTechBotHook) -> tuple[ExportOptions, FileType]:
        """Return the checked options, and the type of the files."""
        from airflow_provider_cytechbot.exports.options import ExportOptions
        from airflow_provider_cytechbot.operators.mapped_paths import refuse_shared_path
        from airflow_provider_cytechbot.storage.locations import path_text

        rows = self.max_rows_per_file
        try:
            options = ExportOptions(
                path=path_text("path", self.path) if self.path else "",  # a template can leave None
                file_format=self.file_format,
                compression=self.compression,
                layout=self.layout,
                export_mode=self.export_mode,
                state_path=path_text("state_path", self.state_path) if self.state_path else None,
                overwrite=read_switch("overwrite", self.overwrite),
                allow_empty=read_switch("allow_empty", self.allow_empty),
                max_rows_per_file=None if rows is None else read_count("max_rows_per_file", rows),
                subscriber_fields=self.subscriber_fields,
                escape_formulas=read_switch("escape_formulas", self.escape_formulas),
                byte_order_mark=read_switch("byte_order_mark", self.byte_order_mark),
                csv_text_ids=read_switch("csv_text_ids", self.csv_text_ids),
                csv_separator=self.csv_separator,
                storage_options=self.storage_options,
            )
            file_type = options.file_type()
            if self._is_several:
                options.check_several()
            refuse_shared_path(context, options.path)
        except CyTechBotError as error:
            failure = error
        else:
            return options, file_type
        raise hook.task_error(failure)

    def _export_several(
        self, context: Context, hook: CyTechBotHook, export: Export, ids: list[str]
    ) -> list[ExportManifest]:
        from airflow_provider_cytechbot.exports.several_campaigns import SeveralCampaigns

        def on_outcome(outcomes: list[ExportOutcome]) -> None:
            if error := outcomes[-1]["error"]:
                self.log.error("Flow campaign %s: %s", outcomes[-1]["flow_campaign_id"], error)
            if ti := context.get("ti"):  # each time, so that it is there after a failure
                ti.xcom_push(key=OUTCOMES, value=outcomes)

        if self.flow_campaign_id == ALL:
            ids = [campaign["id"] for campaign in hook.get_flow_campaigns()]
        return SeveralCampaigns(export.run, on_outcome).run(ids)


def _interval(context: Context) -> datetime:
    """Return the time of the run: the end of its interval, or else when it was created."""
    run = context.get("dag_run")
    found = context.get("data_interval_end") or getattr(run, "run_after", None)
    return found if isinstance(found, datetime) else datetime.now(UTC)


def _set_outlet_extra(context: Context, outlets: Iterable[Any], manifests: list[ExportManifest]) -> None:
    """Put the manifest into the events of the assets that this task updates."""
    events: Any = context.get("outlet_events")
    for outlet in outlets if events is not None else ():
        with suppress(KeyError, TypeError):  # other outlets than assets have no event
            events[outlet].extra |= {"exports": manifests}
