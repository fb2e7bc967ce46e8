"""The report of a flow campaign's answers, as a page for people who do not code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.api.fields import read_count, read_switch
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.operators.base import CyTechBotOperatorMixin
from airflow_provider_cytechbot.operators.links import CyTechBotFileLink, CyTechBotInstallationLink
from airflow_provider_cytechbot.operators.own_arguments import OwnArgumentsMeta
from airflow_provider_cytechbot.transfers.stoppable import StoppableTransfer

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_cytechbot.api.fields import IdInput
    from airflow_provider_cytechbot.exports.lineage import ExportedCampaign
    from airflow_provider_cytechbot.reports.flow_report import FlowReportFigures, ReportOptions


MAX_ANSWERS_LISTED = 50


class CyTechBotFlowReportOperator(
    StoppableTransfer, CyTechBotOperatorMixin, BaseOperator, metaclass=OwnArgumentsMeta
):
    """
    Write a report of a flow campaign's answers: one HTML page for people who do not code.

    The page shows how many subscribers answered at least one question and how many completed the campaign,
    how many answered each question, and the most frequent answers to each. It is one file that loads nothing
    from the network and runs no script, so it can be opened from a bucket or sent by mail. Answers are shown
    as text, never as markup. The API does not return how many subscribers were sent the flow, so neither does
    the page.

    Answers are counted while they arrive. Memory does not grow with the number of subscribers; with more than
    2,000 different answers to one question, their counts are approximate, and the page states how far.

    Nothing appears at ``path`` until all answers have arrived; only then is an existing page replaced. A
    campaign that nobody has answered gives a page with this statement.

    Calls ``GET get_flow_campaign_info/`` and ``GET get_all_subscriber_flow_info/``, which costs the server
    time that grows with the square of the number of answers: report rarely, and raise the connection's
    ``timeout`` for a large campaign.

    All parameters below are templated.

    :param flow_campaign_id: The campaign's id.
    :param flow_campaign_name: The campaign's name, instead of its id. Several campaigns of that name are an
        error that lists their ids.
    :param path: Where to write the page: anything that ``ObjectStoragePath`` opens, such as
        ``s3://aws_default@bucket/reports/feedback.html`` or ``file:///data/feedback.html``.
        ``{flow_campaign_id}`` is replaced by the campaign's id, in ``history_path``, too. Mapped tasks need a
        path each; one path for all of them fails before anything is written.
    :param history_path: A JSON Lines file, the same from run to run, with the figures of each report. With
        it, the page shows the change since the report before, and a line over time. It is written after the
        page. A repeated run replaces its own entry. The last 520 reports of a campaign are kept.
    :param max_answers: How many answers to list of each question, 1 to 50; ``0`` lists none, for answers that
        not every reader of the page may see. With more than 40 questions, fewer are listed.
    :param overwrite: Whether to replace an existing page. With ``False``, one is an error, raised before the
        API is called.
    :param allow_empty: Whether a campaign may lose all of its answers. If the API returns none, but the last
        report of the history, or the page at ``path``, has some, they are read a second time. If there are
        still none, the task fails and the old page and history stay, unless this is ``True``.
    :param storage_options: What the policy of a bucket demands of each write (page and history). For S3,
        parameters of its calls: ``{"ServerSideEncryption": "aws:kms", "ACL": "bucket-owner-full-control"}``.
        For another store, arguments of its filesystem's ``open``. Credentials and endpoints belong into the
        connection.
    :param cytechbot_conn_id: The id of the Airflow connection to CyTechBot.
    :return: The figures, never an answer: ``{"uri", "bytes", "flow_campaign_id", "flow_name",
        "extracted_at", "answered", "completed", "change", "questions"}``.
    :raises CyTechBotRequestError: The campaign is unknown, or a parameter cannot be used. The task is
        not retried.
    :raises CyTechBotTransportError: The answers did not arrive whole. Nothing was written; a retry may help.
    :raises CyTechBotStorageRefusedError: ``path`` or ``history_path`` cannot be used, or there is something
        other than a history at ``history_path``. Raised before the API is called; the task is not retried.
    :raises CyTechBotStorageError: The storage failed: a retry may help.
    """

    template_fields: Sequence[str] = (
        "flow_campaign_id",
        "flow_campaign_name",
        "path",
        "history_path",
        "max_answers",
        "overwrite",
        "allow_empty",
        "storage_options",
        "cytechbot_conn_id",
    )
    ui_color = "#d7eef7"
    operator_extra_links = (CyTechBotInstallationLink(), CyTechBotFileLink())

    def __init__(
        self,
        *,
        flow_campaign_id: IdInput | None = None,
        flow_campaign_name: str | None = None,
        path: str | ObjectStoragePath,
        history_path: str | ObjectStoragePath | None = None,
        max_answers: int | str = 10,
        overwrite: bool | str = True,
        allow_empty: bool | str = False,
        storage_options: Mapping[str, Any] | None = None,
        cytechbot_conn_id: str = CyTechBotHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_campaign_id = flow_campaign_id
        self.flow_campaign_name = flow_campaign_name
        self.path = path
        self.history_path = history_path
        self.max_answers = max_answers
        self.overwrite = overwrite
        self.allow_empty = allow_empty
        self.storage_options = storage_options
        self.cytechbot_conn_id = cytechbot_conn_id
        self._reported: list[ExportedCampaign] = []

    def execute(self, context: Context) -> FlowReportFigures:
        """Write the page, and return its figures."""
        from airflow_provider_cytechbot.exports.files import WrittenFile
        from airflow_provider_cytechbot.exports.lineage import ExportedCampaign
        from airflow_provider_cytechbot.exports.options import CAMPAIGN_PLACEHOLDER
        from airflow_provider_cytechbot.reports.flow_report import FlowReport

        hook = self.hook
        options = self._options(hook, context)
        flow_campaign_id = hook.resolve_flow_campaign_id(self.flow_campaign_id, self.flow_campaign_name)
        path, history_path = (
            text and text.replace(CAMPAIGN_PLACEHOLDER, flow_campaign_id)
            for text in (options.path, options.history_path)
        )
        options = options._replace(path=path or "", history_path=history_path)
        report = FlowReport(hook, options, self.log.info)
        figures = self.run_stoppable(lambda: report.run(flow_campaign_id))
        page = WrittenFile(figures["uri"], 1, figures["bytes"])
        self._reported = [
            ExportedCampaign(
                hook.settings.base_url, flow_campaign_id, (), [page], report.bytes_read, answers_read=None
            )
        ]
        return figures

    def get_openlineage_facets_on_complete(self, task_instance: object) -> OperatorLineage[Any, Any]:
        """
        Return to OpenLineage the campaign that was read and the page that was written.

        :param task_instance: The task instance that has ended.
        """
        from airflow_provider_cytechbot.exports.lineage import lineage_of_exports

        return lineage_of_exports(self._reported)

    def _options(self, hook: CyTechBotHook, context: Context) -> ReportOptions:
        """Return how to report, or fail at once if a parameter cannot be used."""
        from airflow_provider_cytechbot.exports.options import check_placeholders
        from airflow_provider_cytechbot.operators.mapped_paths import refuse_shared_path
        from airflow_provider_cytechbot.reports.flow_report import ReportOptions
        from airflow_provider_cytechbot.storage.locations import path_text
        from airflow_provider_cytechbot.storage.storage_options import check_storage_options

        try:
            check_storage_options(self.storage_options, str(self.path), str(self.history_path))
            paths = {"path": self.path, "history_path": self.history_path}
            # A template can leave None.
            texts = {name: path_text(name, path) if path else "" for name, path in paths.items()}
            for name, text in texts.items():
                check_placeholders(name, text)
            refuse_shared_path(context, texts["path"])
            return ReportOptions(
                path=texts["path"],
                history_path=texts["history_path"] or None,
                max_answers=read_count(
                    "max_answers", self.max_answers, at_least=0, at_most=MAX_ANSWERS_LISTED
                ),
                overwrite=read_switch("overwrite", self.overwrite),
                allow_empty=read_switch("allow_empty", self.allow_empty),
                storage_options=self.storage_options or {},
                run=_run_of(context),
            )
        except CyTechBotError as error:
            failure = error
        raise hook.task_error(failure)


def _run_of(context: Context) -> str:
    """Return what identifies the task in its run; empty outside of a run."""
    ti: Any = context.get("ti")
    if ti is None:
        return ""
    index = getattr(ti, "map_index", -1)
    return f"{ti.dag_id}.{ti.task_id}[{index}] {ti.run_id}"
