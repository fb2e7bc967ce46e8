"""OpenLineage facets of exports: campaigns that were read, and files with their columns and sizes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_cytechbot.assets.flow_campaigns import flow_campaign_uri, openlineage_name
from airflow_provider_cytechbot.exports.layouts import COLUMNS_OF_AN_ANSWER

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import DatasetFacet, InputDataset, OutputDataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_cytechbot.exports.files import WrittenFile
    from airflow_provider_cytechbot.formats.table import Column


class ExportedCampaign(NamedTuple):
    """
    A campaign that was exported.

    :param base_url: The base URL of the API that it was read from.
    :param flow_campaign_id: Its id.
    :param columns: The columns of its files; none for the format ``raw``.
    :param files: Its files.
    :param bytes_read: The size of the API's body.
    :param answers_read: The number of answers, if they were counted.
    """

    base_url: str
    flow_campaign_id: str
    columns: Sequence[Column]
    files: Sequence[WrittenFile]
    bytes_read: int
    answers_read: int | None


def lineage_of_exports(exported: Iterable[ExportedCampaign]) -> OperatorLineage[Any, Any]:
    """
    Return each campaign and each file, with columns, rows and size.

    :param exported: The campaigns that were exported.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage

    inputs: list[InputDataset] = []
    outputs: list[OutputDataset] = []
    for each in exported:
        inputs.append(_campaign(each))
        outputs += [_file(file, each.columns) for file in each.files]
    return OperatorLineage(inputs=inputs, outputs=outputs)


def _campaign(exported: ExportedCampaign) -> InputDataset:
    from airflow.providers.common.compat.openlineage.facet import InputDataset
    from openlineage.client.facet_v2 import input_statistics_input_dataset

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
            type=column.type,
            description=column.description,
        )
        for column in columns
    ]
    return {"schema": SchemaDatasetFacet(fields=fields)} if fields else {}
