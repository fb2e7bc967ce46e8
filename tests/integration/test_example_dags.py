"""Every example DAG runs as it stands."""

from __future__ import annotations

import csv
import email
import email.policy
import gzip
import io
import json
import runpy
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import DAG

from .dag_runs import EXAMPLES, DagRun
from .mailbox import mailbox
from .object_store import BUCKET, object_store

if TYPE_CHECKING:
    from airflow_provider_cytechbot.sandbox.server import SandboxServer


@dataclass(frozen=True)
class Example:
    """
    How to run an example DAG, and what must be true after it.

    :param check: Given the run, the sandbox and the folder; which tasks succeeded is checked already.
    :param conf: Given the folder as a URI, returns the run's conf.
    :param env: Environment variables of the run, such as Airflow variables.
    :param prepare: Given the folder, prepares what the run reads, and returns more environment variables.
    :param failing: The tasks that fail, to show what happens then.
    :param run_state: The state of the run after it.
    :param replace: What is replaced in the file, such as the answer of a person.
    :param not_on: Why it does not run on versions of Airflow that begin so.
    :param needs_mail: Whether it sends mail: each message is then a file in the folder.
    :param needs_s3: Whether it writes to S3: its objects are then copied into the folder.
    """

    check: Callable[[DagRun, SandboxServer, Path], None]
    conf: Callable[[str], Mapping[str, Any]] = lambda folder: {}
    env: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Path], Mapping[str, str]] = lambda folder: {}
    failing: frozenset[str] = frozenset()
    run_state: str = "success"
    replace: Mapping[str, str] = field(default_factory=dict)
    not_on: Mapping[str, str] = field(default_factory=dict)
    needs_mail: bool = False
    needs_s3: bool = False


def check_contact_group(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    group = run.tasks["create_group"].result
    assert run.tasks["rename_group"].rendered["contact_type_id"] == group
    assert sandbox.journal.took_effect("create_contact") == 1
    assert sandbox.journal.took_effect("delete_contact_group") == 1
    assert group not in sandbox.state.contact_groups


def check_contacts_from_a_list(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    assert run.tasks["summarise"].result == 2
    assert sandbox.journal.took_effect("create_contact") == 2


def check_contacts_in_step(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    assert run.tasks["sync_contacts"].result["operations"] == {"create": 6}
    assert sandbox.journal.took_effect("create_contact") == 6
    assert sandbox.journal.took_effect("create_contact_group") == 1


def check_contacts_with_approval(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    assert run.tasks["approve"].result["body"] == run.tasks["describe_plan"].result
    assert run.tasks["describe_plan"].result == "- **create** 2 contacts (email,first_name): C-1, C-2"
    assert run.tasks["apply"].result["counts"]["succeeded"] == 2
    assert run.tasks["apply"].result["plan_digest"] == run.tasks["plan"].result["plan_digest"]
    assert run.find_text("ada@shop.example") == ["airflow.db"]  # in the params alone


def check_export_flow_answers(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    (file,) = folder.rglob("*.jsonl.gz")
    rows = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    manifest = run.tasks["export"].result
    assert manifest["uris"] == [f"file://{file}"]
    assert manifest["rows"] == len(rows) == 24
    assert run.tasks["count_answers"].result["Which bike do you ride?"] == 8


def check_export_all_campaigns(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    manifests = run.tasks["export"].result
    assert [each["flow_campaign_id"] for each in manifests] == list(sandbox.state.campaigns)
    assert len(list(folder.rglob("flow_campaign=*/answers.csv.gz"))) == len(manifests)


def check_export_changes(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    (file,) = (folder / "changes").iterdir()
    rows = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert {row["change"] for row in rows} == {"new"}
    assert len(rows) == run.tasks["export"].result["rows"] == 24
    assert len(list((folder / "state").rglob("*.state.gz"))) == 1


def check_export_for_a_spreadsheet(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    text = (folder / "answers.csv").read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    ids = {row["subscriber_id"] for row in rows}
    assert ids == {f'="{each}"' for each in sandbox.state.campaigns["1"].answers}
    questions = list(sandbox.state.campaigns["1"].questions.values())
    assert list(rows[0])[3:-1] == ["full_name", "email", *questions]


def check_export_to_s3(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    (file,) = folder.rglob("flow_campaign=1/day=*/answers.parquet")
    assert pq.read_metadata(file).num_rows == run.tasks["export"].result["rows"] == 24


def check_label_by_answer(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    chosen = ["24994546734902201", "3001440154747510"]  # the riders of touring bikes
    assert run.tasks["choose_subscribers"].result == chosen
    (label,) = [each["label_id"] for each in sandbox.state.labels.values() if each["label_name"] == "Touring"]
    assert all(label in sandbox.labels_of(subscriber) for subscriber in chosen)


def check_label_many(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    label = run.tasks["create_label"].result
    assert run.tasks["label_many"].result["counts"]["succeeded"] == 3
    assert all(label in sandbox.labels_of(subscriber) for subscriber in run.tasks["read_subscribers"].result)


def check_label_from_export(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    assert run.tasks["label"].result["counts"]["succeeded"] == 2
    (label,) = [
        each["label_id"] for each in sandbox.state.labels.values() if each["label_name"] == "Goes touring"
    ]
    tagged = [each for each in sandbox.state.subscribers if label in sandbox.labels_of(each)]
    assert tagged == ["24994546734902201", "3001440154747510"]
    (report,) = (folder / "reports").glob("*.csv")
    lines = list(csv.DictReader(report.read_text().splitlines()))
    assert [line["key"] for line in lines] == tagged


SEGMENTS = {
    24994546734902201: "Important",
    24994546734902202: "Winter riders",
    24994546734902203: None,
    3001440154747507: "Winter riders",
    3001440154747508: "Product",
}


def require_warehouse(folder: Path) -> Mapping[str, str]:
    """Skip the example where the provider of its warehouse is missing; the example makes the table itself."""
    pytest.importorskip("airflow.providers.sqlite", reason="the provider of the warehouse is not installed")
    return {}


def prepare_warehouse(folder: Path) -> Mapping[str, str]:
    """Make the table of the examples."""
    require_warehouse(folder)
    path = folder / "warehouse.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customers (psid INTEGER, segment TEXT)")
        connection.executemany("INSERT INTO customers VALUES (?, ?)", SEGMENTS.items())
        connection.commit()
    return {"AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(path)})}


def check_label_from_warehouse(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    manifest = run.tasks["label"].result
    assert (manifest["rows"], manifest["counts"]["succeeded"]) == (4, 4)
    assert list((folder / "segments" / "state").iterdir())
    names = {each["label_id"]: each["label_name"] for each in sandbox.state.labels.values()}
    for subscriber, segment in SEGMENTS.items():
        found = {names[label] for label in sandbox.labels_of(str(subscriber))}
        assert segment is None or segment in found


def check_label_in_shards(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    manifests = [run.tasks[f"label[{shard}]"].result for shard in range(8)]
    assert sum(each["rows"] for each in manifests) == run.tasks["sum_up"].result["succeeded"] == len(SEGMENTS)
    sent = [entry.form["subscriber_id"] for entry in sandbox.requests("assign_label")]
    assert sorted(sent) == sorted(map(str, SEGMENTS))
    reports = (folder / "customers").rglob("part-*.jsonl")
    keys = [json.loads(line)["key"] for report in reports for line in report.read_text().splitlines()]
    assert sorted(keys) == sorted(sent)


def check_renew_users(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    assert run.tasks["renew"].result["counts"]["succeeded"] == 2
    today = datetime.now(UTC).date()
    for user_id, validity in {"2": date(2027, 3, 1), "3": date(2026, 6, 12)}.items():
        expected = max(validity, today) + timedelta(days=30)
        found = date.fromisoformat(sandbox.state.users[user_id]["expired_date"][:10])
        assert abs(found - expected) <= timedelta(days=1)


def check_user_lifecycle(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    user = sandbox.state.users[run.tasks["create_user"].result]
    assert (user["name"], user["mobile"]) == ("Kim Novak", "+4915112345678")
    assert run.find_text(PASSWORD) == []


def check_on_new_answers(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    assert run.tasks["read_answers"].result == {}  # run by hand, there is no event; test_waiting.py has them


def check_wait_then_export(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    assert run.tasks["wait"].result["completed"] >= 5
    assert run.tasks["export"].result["rows"] == 24


def check_wait_then_label(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    assert len(run.tasks["wait"].result) == 3
    (label,) = [
        each["label_id"] for each in sandbox.state.labels.values() if each["label_name"] == "Has answered"
    ]
    assert label in sandbox.labels_of("24994546734902201")


def check_mailed_page(folder: Path, page: bytes, subject: str) -> None:
    message = email.message_from_bytes((folder / "message-1.eml").read_bytes(), policy=email.policy.default)
    assert (message["To"], message["Subject"]) == ("marketing@example.com", subject)
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == "campaign-1.html"
    assert attached.get_payload(decode=True) == page


def check_report_from_s3(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    page = (folder / "reports/campaign-1.html").read_bytes()
    assert run.tasks["report"].result["bytes"] == len(page)
    check_mailed_page(folder, page, "Flow campaign 1: 8 answered")
    assert len((folder / "reports/history.jsonl").read_text().splitlines()) == 1


def check_weekly_report(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    figures = run.tasks["report"].result
    assert (figures["answered"], figures["completed"]) == (8, 8)
    check_mailed_page(folder, Path(figures["uri"]).read_bytes(), "Flow campaign 1: 8 answered")
    assert len((folder / "reports/history.jsonl").read_text().splitlines()) == 1


PASSWORD = "s3cret of the example"
WITH_DAG = 'with DAG(\n    "cytechbot_contacts_with_approval"'
#: A person that approves at once: `dags test` waits for one.
APPROVES = """
class ApprovalOperator(ApprovalOperator):
    def execute(self, context):
        return {"chosen_options": [self.APPROVE], "body": self.body}
"""
#: The database of the examples that read a table: a file where the run begins.
WAREHOUSE = "warehouse.db"
#: Where the examples in YAML write: they have no parameter for it.
YAML_FOLDER = "file:///tmp/cytechbot"


def check_alerts(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    messages = [
        email.message_from_bytes(each.read_bytes(), policy=email.policy.default)
        for each in folder.glob("*.eml")
    ]
    texts = {str(each["Subject"]): each.get_body(("html",)).get_content() for each in messages}
    assert set(texts) == {"cytechbot_alerts.label failed", "cytechbot_alerts.export failed"}
    label = texts["cytechbot_alerts.label failed"]
    assert "<li>1 succeeded</li>" in label
    assert "<li>1 refused</li>" in label
    assert f"Report: file://{folder}/labels.csv" in label
    assert "2 rows: 1 succeeded, 1 refused." in label
    assert run.tasks["label"].result["counts"]["refused"] == 1
    assert "Campaign 999: " in texts["cytechbot_alerts.export failed"]
    assert not any(sandbox.api_key in text for text in texts.values())


def check_answers_to_duckdb(run: DagRun, sandbox: SandboxServer, folder: Path) -> None:
    assert run.tasks["load"].result == run.tasks["export"].result["rows"] == 24


RUN_AS = {
    "cytechbot_alerts": Example(
        check=check_alerts,
        conf=lambda folder: {"folder": folder},
        failing=frozenset({"label", "export"}),
        run_state="failed",
        needs_mail=True,
    ),
    "cytechbot_answers_to_duckdb": Example(
        check=check_answers_to_duckdb,
        conf=lambda folder: {
            "folder": folder,
            "database": f"{folder.removeprefix('file://')}/answers.duckdb",
        },
    ),
    "cytechbot_contact_group_for_a_run": Example(check=check_contact_group),
    "cytechbot_contacts_from_a_list": Example(
        check=check_contacts_from_a_list, failing=frozenset({"create_contact[2]"})
    ),
    "cytechbot_contacts_in_step": Example(
        check=check_contacts_in_step,
        conf=lambda folder: {"folder": folder},
        prepare=require_warehouse,
        env={"AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": WAREHOUSE})},
    ),
    "cytechbot_contacts_with_approval": Example(
        check=check_contacts_with_approval,
        conf=lambda folder: {"folder": folder},
        replace={WITH_DAG: f"{APPROVES}\n\n{WITH_DAG}"},
        not_on={"2.": "a person can approve in Airflow 3.1", "3.0.": "a person can approve in Airflow 3.1"},
    ),
    "cytechbot_export_all_campaigns": Example(
        check=check_export_all_campaigns, conf=lambda folder: {"folder": folder}
    ),
    "cytechbot_export_changes": Example(check=check_export_changes, conf=lambda folder: {"folder": folder}),
    "cytechbot_export_for_a_spreadsheet": Example(
        check=check_export_for_a_spreadsheet, conf=lambda folder: {"folder": folder}
    ),
    "cytechbot_export_to_s3": Example(
        check=check_export_to_s3,
        conf=lambda _: {"folder": f"s3://aws_default@{BUCKET}/cytechbot"},
        needs_s3=True,
        not_on={"3.0.": "`dags test` of Airflow 3.0 needs each asset to be in the scheduler's database"},
    ),
    "cytechbot_export_flow_answers": Example(
        check=check_export_flow_answers, conf=lambda folder: {"flow_campaign_id": "1", "folder": folder}
    ),
    "cytechbot_label_by_answer": Example(check=check_label_by_answer),
    "cytechbot_label_from_export": Example(
        check=check_label_from_export, conf=lambda folder: {"folder": folder}
    ),
    "cytechbot_label_from_warehouse": Example(
        check=check_label_from_warehouse, conf=lambda folder: {"folder": folder}, prepare=prepare_warehouse
    ),
    "cytechbot_label_in_shards": Example(
        check=check_label_in_shards, conf=lambda folder: {"folder": folder}, prepare=prepare_warehouse
    ),
    "cytechbot_label_many": Example(check=check_label_many),
    "cytechbot_on_new_answers": Example(
        check=check_on_new_answers, not_on={"2.": "event triggers are new in Airflow 3.0"}
    ),
    "cytechbot_renew_users": Example(check=check_renew_users, conf=lambda folder: {"folder": folder}),
    "cytechbot_wait_then_export": Example(
        check=check_wait_then_export, conf=lambda folder: {"flow_campaign_id": "1", "folder": folder}
    ),
    "cytechbot_wait_then_label": Example(check=check_wait_then_label),
    "cytechbot_user_lifecycle": Example(
        check=check_user_lifecycle, env={"AIRFLOW_VAR_CYTECHBOT_INITIAL_PASSWORD": PASSWORD}
    ),
    "cytechbot_report_from_s3": Example(
        check=check_report_from_s3,
        conf=lambda _: {"folder": f"s3://aws_default@{BUCKET}/reports"},
        needs_mail=True,
        needs_s3=True,
    ),
    "cytechbot_weekly_report": Example(
        check=check_weekly_report,
        conf=lambda folder: {"folder": f"{folder.removeprefix('file://')}/reports"},
        needs_mail=True,
    ),
}


@pytest.fixture
def post():
    """A mail server."""
    with mailbox() as found:
        yield found


@pytest.fixture
def store(tmp_path_factory):
    """A real S3 server."""
    pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    pytest.importorskip("airflow.providers.amazon", reason="the extra s3 is not installed")
    with object_store(tmp_path_factory.mktemp("weed")) as store:
        yield store


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_example_runs(name, run_dag, cytechbot_sandbox, tmp_path, request):
    assert name in RUN_AS, (
        f"add to RUN_AS of {Path(__file__).name} how to run and check example_dags/{name}.py"
    )
    example = RUN_AS[name]
    for beginning, reason in example.not_on.items():
        if version("apache-airflow").startswith(beginning):
            pytest.skip(reason)
    store = request.getfixturevalue("store") if example.needs_s3 else None
    aws = {"AIRFLOW_CONN_AWS_DEFAULT": store.connection()} if store else {}
    post = request.getfixturevalue("post") if example.needs_mail else None
    smtp = {"AIRFLOW_CONN_SMTP_DEFAULT": post.connection()} if post else {}
    env = {**example.env, **example.prepare(tmp_path), **aws, **smtp}
    file = EXAMPLES / f"{name}.py"
    if example.replace:
        text = file.read_text()
        for old, new in example.replace.items():
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / file.name
        file.write_text(text)
    run = run_dag(file, conf=example.conf(tmp_path.as_uri()), env=env)
    assert run.tasks, run.log
    expected = {task: "failed" if task in example.failing else "success" for task in run.tasks}
    assert run.states == expected, run.log
    assert run.state == example.run_state, run.log
    assert run.find_text(cytechbot_sandbox.api_key) == []
    for key in store.objects() if store else ():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(store.read(key))
    for number, message in enumerate(post.messages if post else (), start=1):
        (tmp_path / f"message-{number}.eml").write_bytes(bytes(message))
    example.check(run, cytechbot_sandbox, tmp_path)


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.stem)
def test_example_in_yaml_runs(file, run_dag, cytechbot_sandbox, tmp_path):
    pytest.importorskip("airflow.sdk.importers.yaml_importer", reason="DAGs in YAML are new in Airflow 3.4")
    copy = tmp_path / file.name
    copy.write_text(file.read_text().replace(YAML_FOLDER, tmp_path.as_uri()))
    run = run_dag(copy)
    assert run.states == dict.fromkeys(["create_label", "assign_label", "wait", "export"], "success"), run.log
    assert run.state == "success"
    label = run.tasks["create_label"].result
    assert run.tasks["assign_label"].rendered["label_ids"] == label
    assert label in cytechbot_sandbox.labels_of("24994546734902201")
    (answers,) = tmp_path.rglob("answers.csv")
    assert (
        len(list(csv.DictReader(io.StringIO(answers.read_text()))))
        == run.tasks["export"].result["rows"]
        == 24
    )
    assert run.find_text(cytechbot_sandbox.api_key) == []


@pytest.fixture
def dags(monkeypatch):
    """The DAGs of all examples in Python, by name."""
    entered: list[DAG] = []
    enter = DAG.__enter__
    monkeypatch.setattr(DAG, "__enter__", lambda dag: entered.append(dag) or enter(dag))
    for file in sorted(EXAMPLES.glob("*.py")):
        if not version("apache-airflow").startswith(tuple(RUN_AS[file.stem].not_on)):
            runpy.run_path(str(file))
    return {dag.dag_id: dag for dag in entered}


def test_examples_write_different_files(dags):
    writers: dict[str, set[str]] = {}
    run = SimpleNamespace(logical_date=None, run_after=datetime(2026, 11, 27, 1, 2, 3, tzinfo=UTC))
    for dag_id, dag in dags.items():
        params = {name: dag.params[name] for name in dag.params}
        values = {"params": params, "dag_run": run, "run_id": "a_run", "ti": SimpleNamespace(map_index=0)}
        for task in dag.tasks:
            for field_name in {"path", "state_path", "report_path"} & set(task.template_fields):
                given = getattr(task, "partial_kwargs", None) or vars(task)
                if isinstance(template := given.get(field_name), str):
                    path = dag.get_template_env().from_string(template).render(values)
                    # Tasks of one DAG may share a state: one plans, another applies.
                    writer = dag_id if field_name == "state_path" else f"{dag_id}.{task.task_id}"
                    writers.setdefault(path, set()).add(writer)
    assert len(writers) > 5
    assert {path: names for path, names in writers.items() if len(names) > 1} == {}


def test_forms_of_examples_have_titles(dags):
    params = {
        (dag_id, name): dag.params.get_param(name) for dag_id, dag in dags.items() for name in dag.params
    }
    assert len(params) > 20
    assert [each for each, param in params.items() if not param.schema.get("title")] == []


def test_no_entry_outlives_its_example():
    assert set(RUN_AS) <= {path.stem for path in EXAMPLES.glob("*.py")}
