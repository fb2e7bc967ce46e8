"""Reports to Airflow's hook lineage collector: campaigns that a task read, and files that it wrote."""

from __future__ import annotations

import logging
from collections.abc import Callable

from airflow_provider_cytechbot.assets.flow_campaigns import flow_campaign_uri, without_connection

log = logging.getLogger(__name__)


def report_campaign_read(reader: object, base_url: str, flow_campaign_id: str) -> None:
    """
    Report to Airflow's collector that the running task has read a campaign's answers.

    :param reader: The hook that read them.
    :param base_url: The API's base URL.
    :param flow_campaign_id: The campaign's id.
    """
    _report("add_input_asset", reader, lambda: flow_campaign_uri(base_url, flow_campaign_id))


def report_file_written(writer: object, uri: str) -> None:
    """
    Report to Airflow's collector that the running task has written a file.

    ``ObjectStoragePath`` reports only files written through its own ``open``, which exports do not use.

    :param writer: The hook whose answers are in the file.
    :param uri: Its address, in the form of ``ObjectStoragePath``.
    """
    _report("add_output_asset", writer, lambda: without_connection(uri))


def _report(method: str, context: object, uri: Callable[[], str]) -> None:
    # Lineage is collected for tasks only. Outside of a task, Airflow would search 0.2 s for collectors.
    if not _is_in_a_task():
        return
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    try:
        getattr(get_hook_lineage_collector(), method)(context=context, uri=uri())  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001 - Airflow before 3.0 accepts ASCII only; the task goes on
        log.warning("Lineage was not reported: %s", error)


def _is_in_a_task() -> bool:
    from airflow.providers.common.compat.sdk import get_current_context

    try:
        get_current_context()
    except Exception:  # noqa: BLE001 - a RuntimeError, and before Airflow 3.0 an AirflowException
        return False
    return True
