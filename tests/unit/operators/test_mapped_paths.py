from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator, ObjectStoragePath, XComArg, task_group

from airflow_provider_cytechbot.api.errors import CyTechBotFieldError
from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator
from airflow_provider_cytechbot.operators.mapped_paths import is_shared_path, refuse_shared_file
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator as ExportOperator,
)


def is_shared(dag, index=1, *, task_id="export", path="rendered.csv"):
    return is_shared_path({"dag": dag, "ti": SimpleNamespace(map_index=index, task_id=task_id)}, path)


@pytest.fixture
def dag():
    with DAG("dag", schedule=None) as dag:
        yield dag


@pytest.fixture
def output(dag):
    """The output of another task, which the DAG does not show."""
    return XComArg(BaseOperator(task_id="another"))


def partial(**arguments):
    return ExportOperator.partial(task_id="export", **arguments)


SAME = [
    "file:///a.csv",
    ObjectStoragePath("file:///a.csv"),
    "file:///{{ ds }}/a.csv",
    "file:///{{ data_interval_end | ds }}/{{ run_id }}.csv",
    "file:///{{ dag.dag_id }}/{{ ti.task_id }}/{{ task.task_id }}.csv",
    "file:///{{ var.value.folder }}/{{ params.name }}/{{ macros.ds_add(ds, -1) }}.csv",
    "file:///{% if params.name %}a{% else %}b{% endif %}.csv",
]
DIFFERENT = [
    "file:///{flow_campaign_id}.csv",
    "file:///{{ ti.map_index }}.csv",
    "file:///{{ task_instance.map_index }}.csv",
    "file:///{{ task.flow_campaign_id }}.csv",
    "file:///{{ ds }}/{{ ti.xcom_pull('another') }}.csv",
    "file:///{{ task_instance_key_str }}.csv",
    "file:///{{ macros.uuid.uuid4() }}.csv",
    "file:///{{ range(10**9) | random }}.csv",
    "file:///{{ my_macro() }}.csv",
    "file:///{{ unfinished.csv",
]


class TestOnePath:
    @pytest.mark.parametrize("path", SAME, ids=str)
    @pytest.mark.parametrize("index", [0, 1])
    def test_for_several_campaigns_is_shared(self, dag, path, index):
        partial(path=path).expand(flow_campaign_id=["1", "2"])
        assert is_shared(dag, index)

    @pytest.mark.parametrize("path", SAME, ids=str)
    def test_for_campaigns_of_another_task_is_shared(self, dag, output, path):
        partial(path=path).expand(flow_campaign_id=output)
        assert is_shared(dag, 0)

    @pytest.mark.parametrize("path", SAME, ids=str)
    def test_for_arguments_of_another_task_is_shared(self, dag, output, path):
        partial(path=path).expand_kwargs(output)
        assert is_shared(dag, 0) == ("params" not in str(path))  # params may be among them

    def test_for_one_campaign_is_not_shared(self, dag):
        partial(path="a.csv").expand(flow_campaign_id=["1"])
        assert not is_shared(dag, 0)

    def test_of_another_task_is_shared(self, dag, output):
        partial(path=output).expand(flow_campaign_id=["1", "2"])
        assert is_shared(dag, 1, path="file:///a.csv")
        assert not is_shared(dag, 1, path="file:///{flow_campaign_id}.csv")

    def test_for_other_mapped_parameters_is_shared(self, dag):
        partial(path="{flow_campaign_id}.csv", flow_campaign_id="1").expand(layout=["long", "wide"])
        assert is_shared(dag)

    def test_in_a_mapped_task_group_is_shared(self, dag):
        @task_group
        def group(campaign):
            ExportOperator(task_id="export", flow_campaign_id=campaign, path="a.csv")
            ExportOperator(task_id="each", flow_campaign_id=campaign, path="{flow_campaign_id}.csv")
            ExportOperator(task_id="one", flow_campaign_id="1", path="{flow_campaign_id}.csv")
            ExportOperator(task_id="index", flow_campaign_id=campaign, path="{{ ti.map_index }}.csv")

        group.expand(campaign=["1", "2"])
        found = {name: is_shared(dag, task_id=f"group.{name}") for name in ("export", "each", "one", "index")}
        assert found == {"export": True, "each": False, "one": True, "index": False}


class TestSeveralPaths:
    @pytest.mark.parametrize("path", DIFFERENT)
    def test_by_template_are_not_shared(self, dag, output, path):
        partial(path=path).expand(flow_campaign_id=["1", "2"])
        assert not is_shared(dag)
        with DAG("other", schedule=None) as other:
            partial(path=path).expand(flow_campaign_id=XComArg(BaseOperator(task_id="another")))
        assert not is_shared(other)

    @pytest.mark.parametrize(
        ("paths", "index", "expected"),
        [
            (["a.csv", "b.csv"], 0, False),
            (["a.csv", "b.csv", "a.csv"], 0, True),
            (["a.csv", "b.csv", "a.csv"], 1, False),
            (["{{ ds }}.csv", "{{ ds }}.csv"], 1, True),
            (["{{ ti.map_index }}.csv", "{{ ti.map_index }}.csv"], 1, False),
        ],
    )
    def test_that_are_mapped(self, dag, paths, index, expected):
        partial(flow_campaign_id="1").expand(path=paths)
        assert is_shared(dag, index) == expected

    def test_are_shared_by_the_combinations_of_two_lists(self, dag):
        partial().expand(flow_campaign_id=["1", "2"], path=["a.csv", "{flow_campaign_id}.csv"])
        assert [is_shared(dag, index) for index in range(4)] == [True, False, True, False]

    def test_of_a_list_of_arguments(self, dag):
        arguments = [
            {"flow_campaign_id": "1", "path": "a.csv"},
            {"flow_campaign_id": ["2", "3"], "path": "{flow_campaign_id}.csv"},
            {"flow_campaign_id": "3", "path": "{flow_campaign_id}.csv"},
            {"flow_campaign_id": "4", "path": "a.csv"},
            {"flow_campaign_id": "5", "path": "{flow_campaign_id}.csv"},
        ]
        partial().expand_kwargs(arguments)
        assert [is_shared(dag, index) for index in range(5)] == [True, True, True, True, False]

    def test_by_mapped_params_are_not_shared(self, dag):
        partial(flow_campaign_id="1", path="{{ params.name }}.csv").expand(
            params=[{"name": "a"}, {"name": "b"}]
        )
        assert not is_shared(dag)

    def test_of_another_task_are_not_known(self, dag, output):
        partial(flow_campaign_id="1").expand(path=output)
        assert not is_shared(dag)


def test_a_task_that_is_not_mapped_shares_nothing(dag):
    ExportOperator(task_id="export", flow_campaign_id="1", path="a.csv")
    assert not is_shared(dag, -1)
    assert not is_shared_path({}, "a.csv")


class TestBulkWrites:
    """Reports and states of mapped bulk writes."""

    def is_shared(self, dag, index=0, *, field="report_path", differs_by=()):
        context = {"dag": dag, "ti": SimpleNamespace(map_index=index, task_id="assign")}
        return is_shared_path(context, "rendered", field, differs_by)

    def partial(self, **arguments):
        return CyTechBotAssignLabelsOperator.partial(task_id="assign", **arguments)

    @pytest.mark.parametrize("path", SAME, ids=str)
    def test_one_report_of_several_tasks_is_shared(self, dag, path):
        self.partial(page_id="1", label_ids=["2"], report_path=path).expand(rows=[["31"], ["32"]])
        assert self.is_shared(dag)

    @pytest.mark.parametrize("path", [each for each in DIFFERENT if "campaign" not in each])
    def test_reports_by_template_are_not_shared(self, dag, path):
        self.partial(page_id="1", label_ids=["2"], report_path=path).expand(rows=[["31"], ["32"]])
        assert not self.is_shared(dag)

    def test_without_a_report_nothing_is_shared(self, dag):
        self.partial(page_id="1", label_ids=["2"]).expand(rows=[["31"], ["32"]])
        assert not self.is_shared(dag)

    def test_shards_share_a_state_and_no_report(self, dag):
        same = {
            "page_id": "1",
            "label_ids": ["2"],
            "sql": "q",
            "shards": 2,
            "report_path": "a",
            "state_path": "s",
        }
        self.partial(**same).expand(shard=[0, 1])
        assert self.is_shared(dag)
        assert not self.is_shared(dag, field="state_path", differs_by=("shards", "shard"))

    def test_rows_of_one_state_are_shared(self, dag):
        self.partial(page_id="1", label_ids=["2"], state_path="s").expand(rows=[["31"], ["32"]])
        assert self.is_shared(dag, field="state_path", differs_by=("shards", "shard"))

    def test_in_a_mapped_task_group(self, dag):
        @task_group
        def group(rows):
            for name, path in (("same", "a.csv"), ("index", "{{ ti.map_index }}.csv"), ("none", None)):
                CyTechBotAssignLabelsOperator(
                    task_id=name, page_id="1", label_ids=["2"], rows=rows, report_path=path
                )

        group.expand(rows=[["31"], ["32"]])
        found = [
            is_shared_path(
                {"dag": dag, "ti": SimpleNamespace(map_index=0, task_id=f"group.{name}")}, "x", "report_path"
            )
            for name in ("same", "index", "none")
        ]
        assert found == [True, False, False]


def test_the_error_names_the_parameter(dag):
    CyTechBotAssignLabelsOperator.partial(
        task_id="assign", page_id="1", label_ids=["2"], report_path="a.csv"
    ).expand(rows=[["31"], ["32"]])
    context = {"dag": dag, "ti": SimpleNamespace(map_index=0, task_id="assign")}
    with pytest.raises(CyTechBotFieldError, match="'report_path' is the same for several tasks"):
        refuse_shared_file(context, "report_path", "a.csv")
