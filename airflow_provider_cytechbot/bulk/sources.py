"""The rows of a bulk write: from a list, a file, a folder, an export or a query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_cytechbot.api.errors import CyTechBotError, CyTechBotStorageError
from airflow_provider_cytechbot.api.fields import field_error
from airflow_provider_cytechbot.api.redaction import Redactor, mask_addresses
from airflow_provider_cytechbot.storage.failures import secrets_of
from airflow_provider_cytechbot.storage.locations import StorageLocation, path_text

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath
    from airflow.providers.common.sql.hooks.sql import DbApiHook

#: How many rows of a query are fetched at once.
FETCH_SIZE = 1_000
#: Errors of PEP 249 that the same query raises again.
_LASTING_ERRORS = frozenset({"ProgrammingError", "DataError", "IntegrityError", "NotSupportedError"})
_LONGEST_ERROR = 300
_NATIVE = "Pass the list itself (task.output), or give the DAG render_template_as_native_obj=True."


def rows_of_list(rows: object) -> Iterator[object]:
    """
    Return the rows of a list or of another task's output.

    :param rows: An iterable of rows, or of lists of mappings, as the output of a mapped task is.
    :raises CyTechBotFieldError: It is none.
    """
    if isinstance(rows, str):
        raise field_error("rows", "is text, not a list", _NATIVE)
    if not isinstance(rows, Iterable) or isinstance(rows, bytes | bytearray | Mapping):
        raise field_error("rows", f"must be a list, not {type(rows).__name__}", _NATIVE)
    return (row for item in rows for row in (item if _is_list_of_mappings(item) else [item]))


def _is_list_of_mappings(item: object) -> bool:
    # Not a list of plain values: that can be a row of a query, in which each value means something else.
    return isinstance(item, list | tuple) and all(isinstance(each, Mapping) for each in item)


def rows_of_files(path: object, field: str = "path") -> Iterator[Mapping[str, object]]:
    """
    Return the rows of a file, of a folder, or of the files that an export wrote, read in a stream.

    :param path: A path that ``ObjectStoragePath`` opens, or the manifest of an export or of a bulk write.
    :param field: The operator's parameter, for errors.
    :raises CyTechBotFieldError: It is neither.
    :raises CyTechBotStorageError: It cannot be read.
    """
    if isinstance(path, Mapping):
        uris = [path["report_uri"]] if path.get("report_uri") else path.get("uris")
        if not isinstance(uris, list | tuple) or not all(isinstance(uri, str) for uri in uris):
            raise field_error(field, "is a mapping, but not a manifest: it has no 'uris' and no 'report_uri'")
        return (row for uri in uris for row in _rows_of_path(uri, field))
    if not isinstance(path, str | PathLike) and not hasattr(path, "storage_options"):
        raise field_error(field, f"must be a path, not {type(path).__name__}")
    text = path_text(field, cast("ObjectStoragePath", path)).strip()
    if text.startswith("{"):
        raise field_error(field, "is the text of a mapping", _NATIVE.replace("the list", "the manifest"))
    return _rows_of_path(text, field)


def _rows_of_path(path: str, field: str) -> Iterator[Mapping[str, object]]:
    from airflow_provider_cytechbot.formats.reading import read_folder, read_rows

    location = StorageLocation.from_parameter(field, path)
    return read_folder(location) if location.is_folder() else read_rows(location)


def rows_of_query(sql: str, sql_conn_id: str, parameters: Any = None) -> Iterator[Mapping[str, object]]:
    """
    Yield the rows of a query as mappings. The connection is closed after the last row.

    PostgreSQL and MySQL keep the result on the server; the drivers of other databases may load it whole.

    :param sql: One query.
    :param sql_conn_id: A connection whose hook is a ``DbApiHook``.
    :param parameters: The query's parameters.
    :raises CyTechBotFieldError: The connection's hook is not one, the database refuses the query, or it
        returns no columns.
    :raises CyTechBotStorageError: The database failed.
    """
    try:
        yield from _rows_of_query(sql, sql_conn_id, parameters)
        return
    except CyTechBotError:
        raise
    except Exception as error:  # noqa: BLE001 - each driver has its own classes
        failure = _database_error(error, sql_conn_id)
    raise failure


def _rows_of_query(sql: str, sql_conn_id: str, parameters: Any) -> Iterator[Mapping[str, object]]:
    with (
        closing(_database_hook(sql_conn_id).get_conn()) as connection,
        closing(_streaming_cursor(connection)) as cursor,
    ):
        cursor.execute(sql, parameters) if parameters else cursor.execute(sql)
        # A server-side cursor has a description only after its first rows.
        rows = cursor.fetchmany(FETCH_SIZE) if cursor.description is None and _is_named(cursor) else None
        if cursor.description is None:
            raise field_error("sql", "is not a query: it returns no columns")
        names = [column[0] for column in cursor.description]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise field_error("sql", f"returns several columns named {doubled[0]!r}", "Name them apart.")
        rows = cursor.fetchmany(FETCH_SIZE) if rows is None else rows
        while rows:
            for row in rows:
                yield dict(zip(names, row, strict=True))
            rows = cursor.fetchmany(FETCH_SIZE)


def _database_error(error: Exception, sql_conn_id: str) -> CyTechBotError:
    """Convert the error of a database's driver. Drivers share only the names of their errors (PEP 249)."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    # Only the first line: further ones can hold the query with its values.
    text = Redactor(secrets_of(sql_conn_id))(str(error).strip().partition("\n")[0])
    problem = f"raised {type(error).__name__}: {mask_addresses(text)[:_LONGEST_ERROR].rstrip('.')}"
    reason = f"of connection {sql_conn_id!r} {problem.removesuffix(': ')}"
    if kinds & _LASTING_ERRORS:
        return field_error("sql", f"cannot be run: the database {reason}")
    return CyTechBotStorageError(f"The database {reason}. Nothing was sent.", "Check the database.")


def _is_named(cursor: Any) -> bool:
    return bool(getattr(cursor, "name", None))


def _database_hook(sql_conn_id: str) -> DbApiHook:
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

    try:
        from airflow.providers.common.sql.hooks.sql import DbApiHook
    except ImportError:
        raise field_error(
            "sql",
            "needs the provider common.sql",
            "Install it: pip install 'airflow-provider-cytechbot[sql]', and the provider of your database.",
        ) from None
    try:
        connection = BaseHook.get_connection(sql_conn_id)
    except AirflowNotFoundException:
        raise field_error("sql_conn_id", f"is {sql_conn_id!r}, which Airflow does not have") from None
    hook = connection.get_hook()  # type: ignore[no-untyped-call,unused-ignore]
    if not isinstance(hook, DbApiHook):
        raise field_error("sql_conn_id", f"is {sql_conn_id!r}, which is not a connection to a database")
    return hook


def _streaming_cursor(connection: Any) -> Any:
    """Return a cursor that leaves the rows on the server, where the driver has one."""
    driver = type(connection).__module__.partition(".")[0]
    if driver in ("psycopg2", "psycopg"):
        cursor = connection.cursor(name="cytechbot_bulk")
        cursor.itersize = FETCH_SIZE
        return cursor
    if driver == "MySQLdb":
        with suppress(ImportError):
            from MySQLdb.cursors import SSCursor  # type: ignore[import-untyped,unused-ignore]

            return connection.cursor(SSCursor)
    return connection.cursor()
