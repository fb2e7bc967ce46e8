"""What the operators for bulk writes share: their parameters, the rendered view, and how a run ends."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_cytechbot.api.errors import CyTechBotError
from airflow_provider_cytechbot.api.fields import field_error, read_count, read_switch
from airflow_provider_cytechbot.operators.base import CyTechBotBaseOperator
from airflow_provider_cytechbot.operators.links import CyTechBotFileLink, CyTechBotInstallationLink
from airflow_provider_cytechbot.operators.task_memory import first_try_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath

    from airflow_provider_cytechbot.bulk.job import BulkJob
    from airflow_provider_cytechbot.bulk.resource import BulkResource
    from airflow_provider_cytechbot.bulk.shards import Shard

MAX_CONCURRENCY = 100
_SOURCES = ("rows", "path", "sql")


class HiddenRows:
    """
    The rows of a task, which the rendered view shows as a number.

    :param rows: The rows.
    """

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self._is_read = False

    def read(self) -> Any:
        """
        Return the rows. An iterator can be read once: then it looks like a source without rows.

        :raises CyTechBotFieldError: It was read before.
        """
        if self._is_read and isinstance(self.rows, Iterator):
            raise field_error("rows", "is an iterator that an earlier call has read", "Give a list.")
        self._is_read = True
        return self.rows

    def __len__(self) -> int:
        return len(self.rows)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        try:
            return f"{len(self.rows)} rows"
        except TypeError:
            return "rows"

    def serialize(self) -> str:
        """Return what Airflow stores for the rendered view."""
        return repr(self)


class CyTechBotBulkOperator(CyTechBotBaseOperator):
    """
    Base of the operators that write many rows. Its parameters stand in the signatures of its subclasses.

    :param rows: The rows as a list of mappings, or another task's output.
    :param path: A file, a folder of files, or the manifest of an export.
    :param sql: A query.
    :param sql_conn_id: The connection of the query.
    :param sql_parameters: The parameters of the query.
    :param columns: The source column by field.
    :param where: The wanted values by source column.
    :param max_concurrency: How many calls are under way at once.
    :param report_path: Where the outcome of each row is written.
    :param on_error: What rows that are not done mean for the task.
    :param state_path: The folder of a state that lasts from run to run.
    :param shards: Into how many tasks the rows are divided.
    :param shard: Which of them this is, from 0.
    :param retry_report: A report of an earlier run.
    :param plan_only: Send nothing.
    """

    template_fields: Sequence[str] = (
        *_SOURCES,
        "sql_conn_id",
        "sql_parameters",
        "columns",
        "where",
        "max_concurrency",
        "report_path",
        "on_error",
        "state_path",
        "shards",
        "shard",
        "retry_report",
        "plan_only",
        *CyTechBotBaseOperator.template_fields,
    )
    template_ext: Sequence[str] = (".sql",)
    operator_extra_links = (CyTechBotInstallationLink(), CyTechBotFileLink())
    template_fields_renderers = {"sql": "sql", "columns": "json", "where": "json"}  # noqa: RUF012

    def __init__(
        self,
        *,
        rows: Iterable[Any] | None = None,
        path: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        sql_parameters: Mapping[str, Any] | Iterable[Any] | None = None,
        columns: Mapping[str, str] | None = None,
        where: Mapping[str, Any] | None = None,
        max_concurrency: int | str = 8,
        report_path: str | ObjectStoragePath | None = None,
        on_error: str = "fail_at_end",
        state_path: str | ObjectStoragePath | None = None,
        shards: int | str = 1,
        shard: int | str = 0,
        retry_report: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        plan_only: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Also in the DAG's own view, where the text of an iterator would differ each time the file is read.
        self.rows = HiddenRows(rows) if isinstance(rows, Iterator) else rows
        self.path = path
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.sql_parameters = sql_parameters
        self.columns = columns
        self.where = where
        self.max_concurrency = max_concurrency
        self.report_path = report_path
        self.on_error = on_error
        self.state_path = state_path
        self.shards = shards
        self.shard = shard
        self.retry_report = retry_report
        self.plan_only = plan_only

    def _do_render_template_fields(self, parent: Any, *args: Any, **kwargs: Any) -> None:
        """Render the parameters, and keep the rows out of the rendered view."""
        super()._do_render_template_fields(parent, *args, **kwargs)
        if parent is self and self.rows is not None and not isinstance(self.rows, HiddenRows):
            self.rows = HiddenRows(self.rows)

    def on_kill(self) -> None:
        """Send nothing more. Calls under way get a few seconds, then the report is written."""
        if job := vars(self).get("_job"):
            job.stop()

    @property
    def given_sources(self) -> list[str]:
        """The sources that were given, of which a bulk write needs exactly one."""
        return [name for name in _SOURCES if getattr(self, name) is not None]

    @property
    def mapped_fields(self) -> Collection[str]:
        """The fields that ``columns`` names; none if it is not a mapping, which the plan refuses."""
        return self.columns if isinstance(self.columns, Mapping) else ()

    def write_rows(self, resource: BulkResource, context: Context) -> dict[str, Any]:
        """
        Write the rows of the source and return the manifest, which is pushed also if the task fails.

        :param resource: What is written.
        :param context: The task's context.
        """
        from airflow_provider_cytechbot.storage.signals import raised_keyboard_interrupts

        job = self._job_for(resource, context)
        # Not by setattr, which Airflow checks: the job is not a parameter.
        vars(self)["_job"] = job
        try:
            with raised_keyboard_interrupts():
                return job.run()
        except CyTechBotError as error:
            failure = error
        finally:
            del vars(self)["_job"]
            if job.manifest and not job.has_succeeded:
                self._push(job.manifest, context)
        raise self.hook.task_error(failure)

    def _push(self, manifest: dict[str, Any], context: Context) -> None:
        if not self.do_xcom_push or "ti" not in context:
            return
        try:
            context["ti"].xcom_push(key="return_value", value=manifest)
        except Exception as error:  # noqa: BLE001 - the error to raise is the one that led here
            self.log.warning("The manifest could not be written as XCom (%s).", type(error).__name__)

    def _job_for(self, resource: BulkResource, context: Context) -> BulkJob:
        from airflow_provider_cytechbot.bulk.job import BulkJob
        from airflow_provider_cytechbot.bulk.options import ON_ERROR, BulkOptions
        from airflow_provider_cytechbot.bulk.owner import owner_of

        if self.on_error not in ON_ERROR:
            raise self.refusal("on_error", f"must be one of {', '.join(ON_ERROR)}, not {self.on_error!r}")
        task_instance = context.get("ti")
        is_in_task = hasattr(task_instance, "max_tries") and hasattr(task_instance, "task")
        options = BulkOptions(
            columns=self.columns,
            where=self.where,
            max_concurrency=self.checked(
                partial(read_count, at_most=MAX_CONCURRENCY), "max_concurrency", self.max_concurrency
            ),
            report_path=self._path("report_path", context),
            on_error=self.on_error,
            state_path=self._path("state_path", context, may_share=not resource.finds_gone_keys),
            retry_report=self.retry_report or None,
            plan_only=self.checked(read_switch, "plan_only", self.plan_only),
            shard=self._read_shard(),
            owner=owner_of(task_instance, first_try_of(context) if is_in_task else 1),
        )
        return BulkJob(self._open_source, resource, options, self.hook.settings, self.hook.cytechbot_conn_id)

    def _path(self, name: str, context: Context, *, may_share: bool = False) -> str | None:
        """
        Return a path as text.

        :param name: The parameter.
        :param context: The task's context.
        :param may_share: Whether other tasks of a mapping may have the same. The state of a sync that deletes
            what is not in its rows may only be shared by the shards of the same rows.
        """
        from airflow_provider_cytechbot.exports.options import refuse_placeholders
        from airflow_provider_cytechbot.operators.mapped_paths import refuse_shared_file
        from airflow_provider_cytechbot.storage.locations import path_text

        def read(field: str, value: object) -> str:
            text = path_text(field, cast("str", value))
            refuse_placeholders(field, text)
            if not may_share:
                differs_by = ("shards", "shard") if field == "state_path" else ()
                refuse_shared_file(context, field, text, differs_by=differs_by)
            return text

        path = getattr(self, name)
        return None if path is None or path == "" else self.checked(read, name, path)

    def _read_shard(self) -> Shard:
        from airflow_provider_cytechbot.bulk.shards import MAX_SHARDS, Shard

        shards = self.checked(partial(read_count, at_most=MAX_SHARDS), "shards", self.shards)
        read_shard = partial(read_count, at_least=0, at_most=shards - 1)
        return Shard(self.checked(read_shard, "shard", self.shard), shards)

    def check_source(self) -> None:
        """Check that exactly one source is given, with what belongs to it."""
        given = self.given_sources
        if len(given) != 1:
            found = f"{' and '.join(given)} are given" if given else "none is given"
            raise self.refusal("rows", f"or 'path' or 'sql' is needed, exactly one of them; {found}")
        if self.sql is not None and not self.sql_conn_id:
            raise self.refusal("sql_conn_id", "is needed with 'sql'")
        if self.sql is None and (self.sql_conn_id or self.sql_parameters):
            name = "sql_conn_id" if self.sql_conn_id else "sql_parameters"
            raise self.refusal(name, f"has no meaning without 'sql'; the source is {given[0]!r}")

    def _open_source(self) -> Iterable[object]:
        from airflow_provider_cytechbot.bulk.sources import rows_of_files, rows_of_list, rows_of_query

        if self.rows is not None:
            return rows_of_list(self.rows.read() if isinstance(self.rows, HiddenRows) else self.rows)
        if self.path is not None:
            return rows_of_files(self.path)
        if not isinstance(self.sql, str) or not self.sql.strip():
            raise field_error("sql", "must be the text of a query")
        return rows_of_query(self.sql, str(self.sql_conn_id), self.sql_parameters)
