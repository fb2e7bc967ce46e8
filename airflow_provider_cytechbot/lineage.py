"""What lineage is told: which campaigns a task has read, and which files it has written.

There are two who want to know. Airflow's collector of hook lineage takes each read and each file as it
comes, for whatever plugin reads it. OpenLineage asks the operator in the end, and looks into the collector
only where the operator says nothing: so it hears of no dataset twice. Without either, nobody asks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from airflow_provider_cytechbot.assets.flow_campaigns import flow_campaign_uri

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import DatasetFacet, InputDataset, OutputDataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_cytechbot.exports.files import WrittenFile
    from airflow_provider_cytechbot.exports.table import Column

log = logging.getLogger(__name__)

#: One name for each store, whatever its paths are called.
_SCHEMES = {"s3a": "s3", "gcs": "gs"}


class ExportedCampaign(NamedTuple):
    """
    A campaign whose export is there.

    :param base_url: The base URL of the API that it was read from.
    :param flow_campaign_id: Its id.
    :param columns: The columns of its files; none of the API's body as it came.
    :param files: Its files.
    :param bytes_read: How long the API's body was.
    :param answers_read: How many answers it held, where they were counted.
    """

    base_url: str
    flow_campaign_id: str
    columns: Sequence[Column]
    files: Sequence[WrittenFile]
    bytes_read: int
    answers_read: int | None


def tell_campaign_was_read(reader: object, base_url: str, flow_campaign_id: str) -> None:
    """
    Tell Airflow's collector that the running task has read a campaign's answers.

    :param reader: The hook that has.
    :param base_url: The API's base URL.
    :param flow_campaign_id: The campaign's id.
    """
    _tell("add_input_asset", reader, lambda: flow_campaign_uri(base_url, flow_campaign_id))


def tell_file_was_written(writer: object, uri: str) -> None:
    """
    Tell Airflow's collector that the running task has written a file.

    ``ObjectStoragePath`` tells of what is written through its own ``open`` alone, and exports go around that.

    :param writer: The hook whose answers are in it.
    :param uri: Where it is, as ``ObjectStoragePath`` names it.
    """
    _tell("add_output_asset", writer, lambda: _plain(uri))


def of_exports(exported: Iterable[ExportedCampaign]) -> OperatorLineage[Any, Any]:
    """
    Return what OpenLineage is told of exports: each campaign and each file, with columns, rows and size.

    :param exported: The campaigns that were exported.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage

    inputs: list[InputDataset] = []
    outputs: list[OutputDataset] = []
    for each in exported:
        inputs.append(_campaign(each))
        outputs += [_file(file, each.columns) for file in each.files]
    return OperatorLineage(inputs=inputs, outputs=outputs)


def openlineage_name(uri: str) -> tuple[str, str]:
    """
    Return namespace and name of a campaign or file, as OpenLineage wants them and other providers say them.

    :param uri: Its URI.
    """
    parts = urlsplit(_plain(uri))
    scheme = _SCHEMES.get(parts.scheme, parts.scheme)
    # Not parts.path alone: of a file's name, what follows a question mark is part.
    name = parts._replace(scheme="", netloc="").geturl()
    return (f"{scheme}://{parts.netloc}", name.lstrip("/")) if parts.netloc else (scheme, name)


def _campaign(exported: ExportedCampaign) -> InputDataset:
    from airflow.providers.common.compat.openlineage.facet import InputDataset
    from openlineage.client.facet_v2 import input_statistics_input_dataset

    from airflow_provider_cytechbot.exports.layouts import COLUMNS_OF_AN_ANSWER

    uri = flow_campaign_uri(exported.base_url, exported.flow_campaign_id)
    namespace, name = openlineage_name(uri)
    statistics = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
        rowCount=exported.answers_read, size=exported.bytes_read
    )
    return InputDataset(
        namespace=namespace,
        name=name,
        facets=_schema(COLUMNS_OF_AN_ANSWER),
        inputFacets={"inputStatistics": statistics},
    )


def _file(file: WrittenFile, columns: Sequence[Column]) -> OutputDataset:
    from airflow.providers.common.compat.openlineage.facet import (
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )

    namespace, name = openlineage_name(file.uri)
    statistics = OutputStatisticsOutputDatasetFacet(rowCount=file.rows, size=file.bytes)
    return OutputDataset(
        namespace=namespace,
        name=name,
        facets=_schema(columns),
        outputFacets={"outputStatistics": statistics},
    )


def _schema(columns: Sequence[Column]) -> dict[str, DatasetFacet]:
    from airflow.providers.common.compat.openlineage.facet import SchemaDatasetFacet, SchemaDatasetFacetFields

    fields = [
        SchemaDatasetFacetFields(
            name=column.name,
            type="timestamp" if column.is_time else "string",
            description=column.description,
        )
        for column in columns
    ]
    return {"schema": SchemaDatasetFacet(fields=fields)} if fields else {}


def _plain(uri: str) -> str:
    """Return a path as a URI: with its scheme, without the store's connection, which is no part of a name."""
    parts = urlsplit(uri)
    return parts._replace(scheme=parts.scheme or "file", netloc=parts.netloc.rpartition("@")[2]).geturl()


def _tell(method: str, context: object, uri: Callable[[], str]) -> None:
    # Whoever reads it does so at a task's end. Without a task, Airflow would take 0.2 s to look for readers.
    if not _is_in_a_task():
        return
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    try:
        getattr(get_hook_lineage_collector(), method)(context=context, uri=uri())  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001 - Airflow before 3.0 takes ASCII alone; no task fails for that
        log.warning("Lineage was not told: %s", error)


def _is_in_a_task() -> bool:
    from airflow.providers.common.compat.sdk import get_current_context

    try:
        get_current_context()
    except Exception:  # noqa: BLE001 - a RuntimeError, and before Airflow 3.0 an AirflowException
        return False
    return True
