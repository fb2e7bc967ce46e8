"""The transfer of a flow campaign's answers to a file on any object storage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, TypedDict

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath

    from airflow_provider_cytechbot.api.fields import IdInput
    from airflow_provider_cytechbot.api.records import FlowAnswerRow
    from airflow_provider_cytechbot.exports.formats import FileType
    from airflow_provider_cytechbot.exports.progress import Progress
    from airflow_provider_cytechbot.hooks.flow_answers import FlowAnswersStream

#: How many rows are encoded at a time: enough to be fast, few enough to weigh nothing.
ROWS_AT_A_TIME = 2_000


class ExportManifest(TypedDict):
    """
    What an export tells its downstream tasks: where the answers are and how many, never the answers.

    ``uris`` are paths that ``ObjectStoragePath`` opens, with the storage's connection id if there was one.
    ``bytes`` is the size of the files as written.
    """

    uris: list[str]
    flow_campaign_id: str
    flow_name: str | None
    subscribers: int
    rows: int
    bytes: int
    extracted_at: str


class CyTechBotFlowAnswersToObjectStorageOperator(BaseOperator):
    """
    Export all answers of a flow campaign to one file on any object storage.

    One row an answer, with the columns ``flow_campaign_id``, ``flow_name``, ``subscriber_id``,
    ``question_id``, ``question``, ``answer`` and ``extracted_at`` (ISO 8601, the same in all rows). The
    answers are written while they arrive, so memory does not grow with the campaign. Nothing appears at
    ``path`` until the export is whole; a file that was there before is replaced then. A campaign that nobody
    has answered gives a file without rows.

    Rests on ``GET get_all_subscriber_flow_info/``, which costs the server time that grows with the square of
    the answers: export rarely, and raise the connection's ``timeout`` for a large campaign.

    :param flow_campaign_id: The campaign's id.
    :param path: Where to write: anything that ``ObjectStoragePath`` opens, such as
        ``s3://aws_default@bucket/flows/{{ ds }}/answers.jsonl.gz`` or ``file:///data/answers.csv``. Mapped
        tasks need a path each: put ``{{ ti.map_index }}`` or ``{{ task.flow_campaign_id }}`` into it.
    :param file_format: ``jsonl`` (JSON Lines) or ``csv`` (RFC 4180 with a header). Without it, the path's
        suffix decides: ``.jsonl``, ``.ndjson`` or ``.csv``.
    :param compression: ``gzip`` or ``none``. Without it, the path's suffix decides: ``.gz``.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: A small manifest: ``{"uris", "flow_campaign_id", "flow_name", "subscribers", "rows", "bytes",
        "extracted_at"}``.
    :raises CyTechBotRequestError: The campaign is unknown, or a parameter cannot be used. No retry is made.
    :raises CyTechBotTransportError: The answer did not arrive whole. Nothing was written; a retry may help.
    """

    template_fields: Sequence[str] = (
        "flow_campaign_id",
        "path",
        "file_format",
        "compression",
        "cytechbot_conn_id",
    )
    ui_color = "#d7eef7"

    def __init__(
        self,
        *,
        flow_campaign_id: IdInput,
        path: str | ObjectStoragePath,
        file_format: str | None = None,
        compression: str | None = None,
        cytechbot_conn_id: str = CyTechBotHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_campaign_id = flow_campaign_id
        self.path = path
        self.file_format = file_format
        self.compression = compression
        self.cytechbot_conn_id = cytechbot_conn_id
        self._is_exporting = False

    def execute(self, context: Context) -> ExportManifest:
        """Export, and return the manifest."""
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        from airflow_provider_cytechbot.exports.destination import whole_or_nothing

        hook = CyTechBotHook(self.cytechbot_conn_id)
        file_type = self._file_type(hook)
        # A relative path would mean another file to a task that runs in another folder.
        path = ObjectStoragePath(str(self.path)).absolute()
        self._is_exporting = True
        try:
            # The file comes first: trouble with it should show before the server is put to its costly work.
            with whole_or_nothing(path) as file:
                manifest = self._export(hook, file, file_type, uri=str(path))
        finally:
            self._is_exporting = False
        self.log.info("Wrote %s (%d bytes)", path, manifest["bytes"])
        return manifest

    def on_kill(self) -> None:
        """Stop at once: Airflow would kill the task seconds later, and leave behind what is half written."""
        if self._is_exporting:
            raise KeyboardInterrupt("the task was told to stop")

    def _file_type(self, hook: CyTechBotHook) -> FileType:
        from airflow_provider_cytechbot.api.errors import CyTechBotError
        from airflow_provider_cytechbot.exports.formats import FileType

        try:
            return FileType.of(str(self.path), self.file_format, self.compression)
        except CyTechBotError as error:
            failure = error
        raise hook.failure(failure)

    def _export(
        self, hook: CyTechBotHook, file: IO[bytes], file_type: FileType, *, uri: str
    ) -> ExportManifest:
        from airflow_provider_cytechbot.exports.progress import Progress

        encoder = file_type.encoder()
        self.log.info("Asking for the answers of flow campaign %s", self.flow_campaign_id)
        with file_type.compressed(file) as sink, hook.open_flow_answers(self.flow_campaign_id) as stream:
            progress = Progress(stream, self.log.info)
            sink.write(encoder.header)
            for rows in _some_rows_at_a_time(stream, progress):
                sink.write(encoder.encode(rows))
            progress.finish()
            flow_name = stream.flow_name
        return {
            "uris": [uri],
            "flow_campaign_id": stream.flow_campaign_id,
            "flow_name": flow_name,
            "subscribers": progress.subscribers,
            "rows": progress.rows,
            "bytes": file.tell(),
            "extracted_at": stream.extracted_at,
        }


def _some_rows_at_a_time(stream: FlowAnswersStream, progress: Progress) -> Iterator[list[FlowAnswerRow]]:
    rows: list[FlowAnswerRow] = []
    for subscriber_id, answers in stream:
        rows += stream.rows_of(subscriber_id, answers)
        progress.add(subscribers=1, rows=len(answers))
        if len(rows) >= ROWS_AT_A_TIME:
            yield rows
            rows = []
    if rows:
        yield rows
