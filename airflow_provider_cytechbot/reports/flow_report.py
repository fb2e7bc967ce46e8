"""One report of one campaign, from the API to its page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict
from urllib.parse import urlsplit

from airflow_provider_cytechbot.api.errors import CyTechBotStorageRefusedError
from airflow_provider_cytechbot.api.fields import field_error
from airflow_provider_cytechbot.assets.flow_campaigns import flow_campaign_uri
from airflow_provider_cytechbot.hooks import lineage
from airflow_provider_cytechbot.hooks.second_reading import NoAnswersError, read_again_if_empty
from airflow_provider_cytechbot.reports.figures import FigureCollector
from airflow_provider_cytechbot.reports.history import History, as_earlier_report
from airflow_provider_cytechbot.reports.page import Subject, has_answers, render_page
from airflow_provider_cytechbot.storage.locations import StorageLocation
from airflow_provider_cytechbot.storage.staged_files import StagedFile, WriteOptions, whole_or_nothing

if TYPE_CHECKING:
    from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
    from airflow_provider_cytechbot.reports.figures import Figures
    from airflow_provider_cytechbot.reports.history import EarlierReport

#: Without it, a browser downloads the page of a bucket and does not show it.
CONTENT_TYPE = "text/html; charset=utf-8"
#: The most questions in an XCom, and the most characters of a question's text there.
MAX_QUESTIONS_RETURNED = 50
MAX_TEXT_RETURNED = 80


#: How much of an earlier page is read.
_HEAD_SIZE = 4096


class QuestionCount(TypedDict):
    """
    The figures of one question in XCom.

    ``answered`` counts subscribers, ``different_answers`` texts; that number is an estimate where there are
    more than 2,000. ``question`` is cut after 80 characters.
    """

    question_id: str | None
    question: str
    answered: int
    different_answers: int


class ReportChange(TypedDict):
    """The differences to the report before, which was made of answers requested at ``since``."""

    since: str
    answered: int
    completed: int


class FlowReportFigures(TypedDict):
    """
    The figures of a report for downstream tasks, never an answer.

    ``uri`` is a path that ``ObjectStoragePath`` opens, with the storage's connection id if there was one.
    ``questions`` has the first 50. ``change`` is ``None`` without an earlier report.
    """

    uri: str
    bytes: int
    flow_campaign_id: str
    flow_name: str | None
    extracted_at: str
    answered: int
    completed: int
    change: ReportChange | None
    questions: list[QuestionCount]


class ReportOptions(NamedTuple):
    """
    How to make a report.

    :param path: Where to write the page.
    :param history_path: Where the history is; ``None`` for a report without one.
    :param max_answers: The most answers to list of each question.
    :param overwrite: Whether to replace an existing page.
    :param allow_empty: Whether a campaign may lose all of its answers.
    :param storage_options: Further options of the store.
    :param run: The task's run, whose entry in the history is replaced; empty outside of a run.
    """

    path: str
    history_path: str | None
    max_answers: int
    overwrite: bool
    allow_empty: bool
    storage_options: Mapping[str, Any]
    run: str


class FlowReport:
    """
    Makes a report. Nothing appears before the answers have arrived; the history is written after the page.

    :param hook: The hook to read with.
    :param options: How to make it, checked.
    :param log: Writes a line to the log, such as a logger's ``info``.

    ``bytes_read`` and ``size`` are the lengths of the API's body and of the page.
    """

    def __init__(self, hook: CyTechBotHook, options: ReportOptions, log: Callable[..., object]) -> None:
        self._hook = hook
        self._options = options
        self._log = log
        self.bytes_read = 0

    def run(self, flow_campaign_id: str) -> FlowReportFigures:
        """
        Write the page and the history.

        If the API returns no answers and the report before has some, the answers are read a second time.

        :param flow_campaign_id: The campaign's id.
        :raises CyTechBotStorageError: A file could not be read or written.
        :raises CyTechBotResponseError: There are no answers any more, and ``allow_empty`` is false.
        :raises CyTechBotError: The answers did not arrive.
        """
        return read_again_if_empty(
            lambda is_second: self._run(flow_campaign_id, is_second_reading=is_second),
            self._hook,
            flow_campaign_id,
            self._log,
            before="report",
            kept="page and history",
        )

    def _run(self, flow_campaign_id: str, *, is_second_reading: bool) -> FlowReportFigures:
        options, campaign = self._options, flow_campaign_uri(self._hook.settings.base_url, flow_campaign_id)
        place = StorageLocation.from_parameter("path", options.path)
        # Both files are opened before the API is called, so that a storage that cannot be used costs nothing.
        with self._history(place) as (history, history_file):
            earlier = history.reports_of(campaign, except_run=options.run) if history else None
            newest = history.reports_of(campaign)[-1:] if history else []
            with whole_or_nothing(
                place, overwrite=options.overwrite, options=self._write_options(CONTENT_TYPE)
            ) as page:
                subject, figures = self._read(flow_campaign_id)
                may_be_empty = is_second_reading and options.allow_empty
                if not (figures.answered or may_be_empty) and (
                    any(each.answered for each in newest) or _is_page_with_answers(place)
                ):
                    raise NoAnswersError
                page.write(render_page(subject, figures, earlier, max_answers=options.max_answers))
            uri = str(place.path)
            self._log("Wrote %s (%d bytes)", uri, page.size)
            lineage.report_file_written(self._hook, uri)
            if history and history_file:
                report = as_earlier_report(
                    figures, campaign, options.run or subject.extracted_at, subject.extracted_at
                )
                history_file.write(history.lines_with(report))
        return {
            "uri": uri,
            "bytes": page.size,
            "flow_campaign_id": flow_campaign_id,
            "flow_name": subject.flow_name,
            "extracted_at": subject.extracted_at,
            "answered": figures.answered,
            "completed": figures.completed,
            "change": _change(figures, earlier),
            "questions": _question_counts(figures),
        }

    @contextmanager
    def _history(self, page: StorageLocation) -> Iterator[tuple[History | None, StagedFile | None]]:
        if not self._options.history_path:
            yield None, None
            return
        location = StorageLocation.from_parameter("history_path", self._options.history_path)
        if location.path == page.path:
            raise field_error("history_path", "is the same as 'path'", "The history needs a file of its own.")
        history = History(location)
        with whole_or_nothing(location, options=self._write_options("application/jsonl")) as file:
            yield history, file

    def _write_options(self, content_type: str) -> WriteOptions:
        return WriteOptions(content_type, None, self._options.storage_options)

    def _read(self, flow_campaign_id: str) -> tuple[Subject, Figures]:
        campaign = self._hook.get_flow_campaign(flow_campaign_id)
        collector = FigureCollector(campaign["questions"])
        self._log("Requesting the answers of flow campaign %s", flow_campaign_id)
        with self._hook.open_flow_answers(flow_campaign_id) as stream:
            for _, answers in stream:
                collector.add(answers)
        self.bytes_read = stream.bytes_read
        figures = collector.figures()
        self._log(
            "Flow campaign %s: %d subscribers answered, %d of them completed it",
            flow_campaign_id,
            figures.answered,
            figures.completed,
        )
        server = urlsplit(self._hook.settings.base_url).netloc
        return Subject(flow_campaign_id, campaign["flow_name"], server, stream.extracted_at), figures


def _is_page_with_answers(place: StorageLocation) -> bool:
    # Credentials that only allow writing cannot read an earlier page; the new one is written all the same.
    with suppress(CyTechBotStorageRefusedError):
        if place.exists() and not place.is_folder():
            with place.open() as file, place.failures.translate_errors():
                return has_answers(file.read(_HEAD_SIZE))
    return False


def _change(figures: Figures, earlier: Sequence[EarlierReport] | None) -> ReportChange | None:
    if not earlier:
        return None
    before = earlier[-1]
    return {
        "since": before.extracted_at.isoformat(),
        "answered": figures.answered - before.answered,
        "completed": figures.completed - before.completed,
    }


def _question_counts(figures: Figures) -> list[QuestionCount]:
    return [
        {
            "question_id": each.question_id,
            "question": each.question.text[:MAX_TEXT_RETURNED],
            "answered": each.answered,
            "different_answers": each.answers.distinct,
        }
        for each in figures.questions[:MAX_QUESTIONS_RETURNED]
    ]
