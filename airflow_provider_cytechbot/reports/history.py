"""The history of a campaign's reports: a JSON Lines file with the figures of each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated

import msgspec

from airflow_provider_cytechbot.api.times import is_future

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.errors import CyTechBotStorageError
    from airflow_provider_cytechbot.reports.figures import Figures
    from airflow_provider_cytechbot.storage.locations import StorageLocation

#: How many reports of one campaign a history keeps.
MAX_REPORTS = 520
#: The largest history that is read, in bytes.
MAX_SIZE = 32 * 1024 * 1024

Count = Annotated[int, msgspec.Meta(ge=0)]


class EarlierQuestion(msgspec.Struct):
    """
    A question in an earlier report.

    :param question_id: Its id.
    :param question: Its text.
    :param answered: The number of subscribers that had answered it.
    """

    question_id: str | None
    question: str
    answered: Count


class EarlierReport(msgspec.Struct):
    """
    The figures of an earlier report, one line of the file.

    :param campaign: The URI of the campaign, with the server's address.
    :param run: The task's run, whose line a repeated run replaces.
    :param extracted_at: When the answers were requested.
    :param answered: The number of subscribers that had answered at least one question.
    :param completed: The number of subscribers that had answered every question.
    :param questions: The questions.
    """

    campaign: str
    run: str
    extracted_at: datetime
    answered: Count
    completed: Count
    questions: list[EarlierQuestion]

    def problem(self) -> str:
        """Return why no report can have these figures; empty if one can."""
        if is_future(self.extracted_at):
            return "is of the future"
        if self.completed > self.answered:
            return "has more subscribers that completed the campaign than that answered"
        if any(each.answered > self.answered for each in self.questions):
            return "has more answers to a question than subscribers"
        return ""

    def answered_before(self, question_id: str | None, question: str) -> int | None:
        """
        Return how many subscribers had answered a question; ``None`` if this report does not have it.

        :param question_id: The question's id.
        :param question: Its text, which identifies a question without an id.
        """
        for each in self.questions:
            if each.question_id == question_id and (question_id or each.question == question):
                return each.answered
        for each in self.questions:
            if None in (each.question_id, question_id) and each.question == question:
                return each.answered
        return None


class _Line(EarlierReport):
    """
    A line of the file.

    :param digest: The digest of all reports of the file, the same in each line: so a line that is changed,
        lost or added anywhere is noticed, and every line is of the same kind.
    """

    digest: str


def as_earlier_report(figures: Figures, campaign: str, run: str, extracted_at: str) -> EarlierReport:
    """
    Return what later reports need of this one.

    :param figures: The figures of this report.
    :param campaign: The URI of the campaign.
    :param run: The task's run.
    :param extracted_at: When the answers were requested, in ISO 8601.
    """
    return EarlierReport(
        campaign,
        run,
        datetime.fromisoformat(extracted_at),
        figures.answered,
        figures.completed,
        [EarlierQuestion(each.question_id, each.question.text, each.answered) for each in figures.questions],
    )


class History:
    """
    A file with the figures of reports. It may hold reports of several campaigns.

    :param location: The file.
    :raises CyTechBotStorageRefusedError: The file is not a history.
    """

    def __init__(self, location: StorageLocation) -> None:
        self._reports = list(_read(location))

    def reports_of(self, campaign: str, *, except_run: str = "") -> list[EarlierReport]:
        """
        Return the reports of a campaign, the oldest first.

        :param campaign: The URI of the campaign.
        :param except_run: A run whose report is left out.
        """
        found = [each for each in self._reports if each.campaign == campaign and each.run != except_run]
        return sorted(found, key=lambda each: each.extracted_at)

    def lines_with(self, report: EarlierReport) -> bytes:
        """
        Return the content of the file with a report added, without the oldest ones of its campaign.

        :param report: The report, which replaces an earlier one of the same run.
        """
        others = [each for each in self._reports if each.campaign != report.campaign]
        own = self.reports_of(report.campaign, except_run=report.run)[1 - MAX_REPORTS :]
        return _encoded([*others, *own, report])


def _encoded(reports: Sequence[EarlierReport]) -> bytes:
    """Return the content of the file."""
    encoded = list(map(msgspec.json.encode, reports))
    digest = blake2b(b"\n".join(encoded), digest_size=16).hexdigest()
    return b"".join(b'%b,"digest":"%b"}\n' % (each[:-1], digest.encode()) for each in encoded)


def _read(location: StorageLocation) -> Sequence[EarlierReport]:
    if not location.exists():
        return ()
    with location.open() as file, location.failures.translate_errors():
        content = file.read(MAX_SIZE + 1)
    if len(content) > MAX_SIZE:
        raise _not_a_history(location, f"is larger than {MAX_SIZE // 1024**2} MB")
    if not content:
        raise _not_a_history(location, "is empty")
    decoder = msgspec.json.Decoder(_Line)
    reports, runs = [], set()
    for number, line in enumerate(content.splitlines(), start=1):
        found = None
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found = decoder.decode(line)
        if found is None or found.extracted_at.tzinfo is None:
            raise _not_a_history(location, f"has something else in line {number}")
        if problem := found.problem():
            raise _not_a_history(location, f"{problem}, in line {number}")
        if (found.campaign, found.run) in runs:
            raise _not_a_history(location, f"has a run twice, in line {number}")
        runs.add((found.campaign, found.run))
        reports.append(_without_digest(found))
    if _encoded(reports) != content:
        raise _not_a_history(location, "was damaged or changed after it was written")
    return reports


def _without_digest(line: _Line) -> EarlierReport:
    return EarlierReport(*(getattr(line, name) for name in EarlierReport.__struct_fields__))


def _not_a_history(location: StorageLocation, problem: str) -> CyTechBotStorageError:
    return location.failures.refused(
        f"is not a history of reports: it {problem}.",
        "Put back an earlier version of it, move it away to begin a new one, or choose another path.",
    )
