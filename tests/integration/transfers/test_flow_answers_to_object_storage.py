"""Exports over real HTTP, in real DAG runs, from real processes."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_cytechbot.api.errors import (
    CyTechBotRequestError,
    CyTechBotResponseError,
    CyTechBotStorageRefusedError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.sandbox.server import SandboxServer
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator as ExportOperator,
)

ENDPOINT = "get_all_subscriber_flow_info"
#: Characters that each encoding spells differently.
KEY = 'k3y a/b+c%d"é&='
SUBSCRIBERS = 3_000

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture(scope="module")
def server():
    with SandboxServer(subscribers=SUBSCRIBERS, api_key=KEY) as server:
        yield server


def export(campaign, path, **options):
    return ExportOperator(task_id="export", flow_campaign_id=campaign, path=str(path), **options).execute({})


def answers_held(server, campaign):
    """Return what the server holds: (subscriber, question id, question, answer)."""
    state = server.state
    if campaign == "100":
        large = state.large_campaign
        held = {large.subscriber_id(i): large.answers_of(large.subscriber_id(i)) for i in range(SUBSCRIBERS)}
        questions = large.questions
    else:
        held, questions = state.campaigns[campaign].answers, state.campaigns[campaign].questions
    return [
        (subscriber, each, questions[each], text)
        for subscriber, texts in held.items()
        for each, text in texts.items()
    ]


def answers_written(path):
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    if ".csv" in path.name:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    else:
        rows = [json.loads(line) for line in text.split("\n")[:-1]]
    assert len({(row["flow_campaign_id"], row["flow_name"], row["extracted_at"]) for row in rows}) == 1
    return [(row["subscriber_id"], row["question_id"], row["question"], row["answer"]) for row in rows]


class TestOverHttp:
    @pytest.mark.parametrize("name", ["answers.jsonl", "answers.csv", "answers.jsonl.gz", "answers.csv.gz"])
    @pytest.mark.parametrize("campaign", ["1", "3", "100"])
    @pytest.mark.parametrize("fault", [None, "gzip", "chunked", "bom", "notice"])
    def test_file_holds_what_the_server_holds(self, sandbox, tmp_path, name, campaign, fault):
        if fault:
            sandbox.fault(fault, ENDPOINT)
        manifest = export(campaign, tmp_path / name)
        held = answers_held(sandbox, campaign)
        assert answers_written(tmp_path / name) == held
        assert manifest["rows"] == len(held)
        assert manifest["subscribers"] == len({subscriber for subscriber, *_ in held})
        assert manifest["bytes"] == (tmp_path / name).stat().st_size
        assert [path.name for path in tmp_path.iterdir()] == [name]
        assert len(sandbox.requests()) == 1

    @pytest.mark.parametrize("quirks", ["none", "all"])
    def test_campaign_without_answers(self, sandbox, tmp_path, quirks):
        sandbox.quirks = quirks
        manifest = export("2", tmp_path / "answers.csv")
        assert (manifest["flow_name"], manifest["rows"]) == ("Spring ride: sign up", 0)
        assert (tmp_path / "answers.csv").read_bytes().count(b"\r\n") == 1

    @pytest.mark.parametrize("quirks", ["none", "all"])
    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("a.csv", {}),
            ("a.parquet", {"layout": "wide"}),
            ("a.jsonl.gz", {"max_rows_per_file": 10}),
            ("a.csv", {"export_mode": "changes", "state_path": "state"}),
        ],
        ids=str,
    )
    def test_a_campaign_that_lost_all_answers_is_read_twice_and_replaces_nothing(
        self, sandbox, tmp_path, monkeypatch, name, options, quirks
    ):
        sandbox.quirks = quirks
        monkeypatch.chdir(tmp_path)
        rows = export("1", tmp_path / name, **options)["rows"]
        before = files_in(tmp_path)
        sandbox.state.campaigns["1"].answers.clear()
        with pytest.raises(CyTechBotResponseError, match=r"flow campaign 1, twice.*allow_empty=True"):
            export("1", tmp_path / name, **options)
        assert len(sandbox.requests(ENDPOINT)) == 3
        assert files_in(tmp_path) == before
        manifest = export("1", tmp_path / name, allow_empty=True, **options)
        assert (manifest["subscribers"], manifest["rows"]) == (0, rows if "state_path" in options else 0)

    def test_unknown_campaign_fails_at_once(self, tmp_path):
        with pytest.raises(CyTechBotRequestError) as caught:
            export("999", tmp_path / "answers.csv")
        assert isinstance(caught.value, AirflowFailException)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("kind", ["truncate", "truncate_json", "truncate_chunked"])
    @pytest.mark.parametrize("size", [0, 10, 70_000, 500_000, None, -1])
    @pytest.mark.parametrize("name", ["answers.csv", "answers.jsonl.gz"])
    def test_answer_that_is_cut_off(self, sandbox, tmp_path, kind, size, name):
        if size == -1:
            size = sandbox.state.large_campaign.length("question_id") - 1
        (tmp_path / name).write_bytes(b"old")
        sandbox.fault(kind, ENDPOINT, times=-1, size=size)
        with pytest.raises(CyTechBotTransportError if size != 0 else Exception, match=ENDPOINT) as caught:
            export("100", tmp_path / name)
        assert not isinstance(caught.value, AirflowFailException)
        assert [path.name for path in tmp_path.iterdir()] == [name]
        assert (tmp_path / name).read_bytes() == b"old"

    @pytest.mark.parametrize("kind", ["reset_before", "reset_after", "html", "redirect"])
    def test_no_answer_at_all(self, sandbox, tmp_path, kind):
        sandbox.fault(kind, ENDPOINT, times=-1)
        with pytest.raises(Exception, match=ENDPOINT):
            export("100", tmp_path / "answers.csv")
        assert list(tmp_path.iterdir()) == []

    def test_answer_to_the_second_request(self, sandbox, tmp_path, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", sandbox.connection_json(max_retries=1))
        monkeypatch.setattr("airflow_provider_cytechbot.transport.retry.FIRST_WAIT", 0.01)
        sandbox.fault("reset_before", ENDPOINT)
        assert export("100", tmp_path / "answers.csv")["rows"] == 5 * SUBSCRIBERS

    def test_path_that_cannot_be_written_costs_no_call(self, sandbox, tmp_path):
        (tmp_path / "answers.csv").mkdir()
        with pytest.raises(CyTechBotStorageRefusedError, match="is not a file"):
            export("100", tmp_path / "answers.csv")
        assert sandbox.requests() == []


MEASURE = """
    import resource, sys
    from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
        CyTechBotFlowAnswersToObjectStorageOperator as ExportOperator,
    )

    manifest = ExportOperator(task_id="export", flow_campaign_id="100", path=sys.argv[1]).execute({})
    print()
    print(manifest["subscribers"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_campaign(tmp_path, monkeypatch):
    megabytes = {}
    for subscribers in (20_000, 200_000):
        with SandboxServer(subscribers=subscribers) as server:
            monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", server.connection_json())
            command = [sys.executable, "-c", textwrap.dedent(MEASURE), str(tmp_path / "answers.csv")]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        exported, megabytes[subscribers] = map(int, done.stdout.splitlines()[-1].split())
        assert exported == subscribers
    assert megabytes[200_000] - megabytes[20_000] < 20, megabytes


DAG = """
import os
import signal
import threading
from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath

from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator as ExportOperator,
)

FOLDER = os.environ["FOLDER"]
RETRY = {{"retries": 1, "retry_delay": timedelta(0)}}

with DAG("dag", schedule=None, params={{"campaign": "1"}}, render_template_as_native_obj={native}):
{tasks}
"""


@pytest.fixture
def run_tasks(dag_runner, sandbox, tmp_path):
    """Run tasks in a DAG of their own, with the folder `out` to write to."""

    def run(tasks, *, native=False):
        file = tmp_path / "dag.py"
        file.write_text(DAG.format(tasks=textwrap.indent(textwrap.dedent(tasks), "    "), native=native))
        env = {
            "AIRFLOW_CONN_CYTECHBOT_DEFAULT": sandbox.connection_json(max_retries=0),
            "FOLDER": f"file://{tmp_path}/out",
        }
        return dag_runner.run(file, env=env)

    return run


def files_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestInADagRun:
    def test_all_fields_are_templated(self, run_tasks, tmp_path):
        run = run_tasks("""
            ExportOperator(
                task_id="export",
                flow_campaign_id="{{ params.campaign }}",
                path=FOLDER + "/{{ dag.dag_id }}/answers",
                file_format="{{ 'CSV' | lower }}",
                compression="{{ 'gz' + 'ip' }}",
                layout="{{ 'LONG' | lower }}",
                export_mode="{{ 'ful' + 'l' }}",
                overwrite="{{ 1 < 2 }}",
                allow_empty="{{ 1 < 2 }}",
                max_rows_per_file="{{ 10 * 1000 }}",
                subscriber_fields=["{{ 'e' + 'mail' }}"],
                escape_formulas="{{ 2 < 1 }}",
                byte_order_mark="{{ 2 < 1 }}",
                csv_text_ids="{{ 2 < 1 }}",
                csv_separator="{{ ',' }}",
                cytechbot_conn_id="cytechbot_{{ 'default' }}",
            )
        """)
        assert run.state == "success", run.log
        assert run.tasks["export"].rendered == {
            "flow_campaign_id": "1",
            "flow_campaign_name": None,
            "path": f"file://{tmp_path}/out/dag/answers",
            "file_format": "csv",
            "compression": "gzip",
            "layout": "long",
            "export_mode": "full",
            "state_path": None,
            "overwrite": "True",
            "allow_empty": "True",
            "max_rows_per_file": "10000",
            "subscriber_fields": ["email"],
            "escape_formulas": "False",
            "byte_order_mark": "False",
            "csv_text_ids": "False",
            "csv_separator": ",",
            "storage_options": None,
            "cytechbot_conn_id": "cytechbot_default",
        }
        assert gzip.decompress(files_in(tmp_path / "out")["dag/answers-00001"]).startswith(
            b'"flow_campaign_id",'
        )
        assert run.tasks["export"].result["uris"] == [f"file://{tmp_path}/out/dag/answers-00001"]

    @pytest.mark.parametrize("native", [False, True])
    def test_path_object_and_native_rendering(self, run_tasks, tmp_path, native):
        run = run_tasks(
            """
            ExportOperator(
                task_id="export",
                flow_campaign_id="{{ params.campaign }}",
                path=ObjectStoragePath(FOLDER) / "{{ params.campaign }}" / "answers.jsonl",
            )
            """,
            native=native,
        )
        assert run.state == "success", run.log
        assert list(files_in(tmp_path / "out")) == ["1/answers.jsonl"]
        assert run.tasks["export"].result["flow_campaign_id"] == "1"

    @pytest.mark.parametrize(
        "template", ["{{ ti.map_index }}", "{{ task.flow_campaign_id }}", "{flow_campaign_id}"]
    )
    def test_mapped(self, run_tasks, tmp_path, template):
        run = run_tasks(f"""
            ExportOperator.partial(task_id="export", path=FOLDER + "/{template}.jsonl").expand(
                flow_campaign_id=["1", "3"]
            )
        """)
        assert run.states == {"export[0]": "success", "export[1]": "success"}, run.log
        names = ["0.jsonl", "1.jsonl"] if "index" in template else ["1.jsonl", "3.jsonl"]
        assert sorted(files_in(tmp_path / "out")) == names
        assert [run.tasks[name].result["flow_campaign_id"] for name in sorted(run.tasks)] == ["1", "3"]

    @pytest.mark.parametrize("path", ["a.csv", "{{ run_id }}/a.csv"])
    def test_mapped_with_one_path_writes_nothing(self, run_tasks, sandbox, tmp_path, path):
        run = run_tasks(f"""
            ExportOperator.partial(task_id="export", path=FOLDER + "/{path}").expand(
                flow_campaign_id=["1", "3"]
            )
        """)
        assert run.states == {"export[0]": "failed", "export[1]": "failed"}, run.log
        assert "Field 'path' is the same for several tasks of the mapping" in run.log
        assert (sandbox.requests(ENDPOINT), files_in(tmp_path / "out")) == ([], {})

    def test_unknown_campaign_is_tried_once_and_a_cut_off_answer_again(self, run_tasks, sandbox, tmp_path):
        sandbox.fault("truncate", ENDPOINT, size=100)
        run = run_tasks("""
            again = ExportOperator(task_id="again", flow_campaign_id="1", path=FOLDER + "/1.csv", **RETRY)
            again >> ExportOperator(task_id="once", flow_campaign_id="999", path=FOLDER + "/2.csv", **RETRY)
        """)
        assert run.states == {"again": "success", "once": "failed"}, run.log
        assert (run.tasks["again"].tries, run.tasks["once"].tries) == (2, 1)
        assert list(files_in(tmp_path / "out")) == ["1.csv"]
        assert len(sandbox.requests(ENDPOINT)) == 3

    def test_sigterm_leaves_nothing(self, run_tasks, sandbox, tmp_path):
        sandbox.fault("trickle", ENDPOINT, size=1000, seconds=0.05)
        run = run_tasks("""
            ExportOperator(
                task_id="export",
                flow_campaign_id="100",
                path=FOLDER + "/answers.csv",
                pre_execute=lambda context: threading.Timer(
                    1, lambda: os.kill(os.getpid(), signal.SIGTERM)
                ).start(),
            )
        """)
        assert run.states == {"export": "failed"}, run.log
        assert "the task was stopped" in run.log
        assert files_in(tmp_path / "out") == {}

    def test_timeout_leaves_nothing(self, run_tasks, sandbox, tmp_path):
        sandbox.fault("trickle", ENDPOINT, size=1000, seconds=0.05)
        run = run_tasks("""
            ExportOperator(
                task_id="export",
                flow_campaign_id="100",
                path=FOLDER + "/answers.csv",
                execution_timeout=timedelta(seconds=1),
            )
        """)
        assert run.states == {"export": "failed"}, run.log
        assert "AirflowTaskTimeout" in run.log
        assert files_in(tmp_path / "out") == {}

    def test_key_is_nowhere(self, run_tasks, sandbox, tmp_path):
        sandbox.fault("truncate", ENDPOINT, size=100)
        sandbox.fault("reset_after", ENDPOINT)
        sandbox.fault("status", ENDPOINT, status=502)
        sandbox.fault("redirect", ENDPOINT)
        run = run_tasks("""
            options = {"flow_campaign_id": "1", "trigger_rule": "all_done"}
            failing = [
                ExportOperator(task_id=f"failing_{i}", path=FOLDER + f"/{i}.csv", **options) for i in range(4)
            ]
            unknown = ExportOperator(
                task_id="unknown", flow_campaign_id="999", path=FOLDER + "/5.csv", trigger_rule="all_done"
            )
            good = ExportOperator(task_id="good", path=FOLDER + "/6.csv", **options)
            for before, after in zip([*failing, unknown], [*failing[1:], unknown, good]):
                before >> after
        """)
        assert list(run.states.values()) == ["failed"] * 5 + ["success"], run.log
        assert run.find_text(KEY) == []
        assert run.find_text("failing_3"), "the search finds nothing at all"
        assert KEY.encode() not in b"".join(files_in(tmp_path / "out").values())


@pytest.mark.parametrize("missing", [1, 4, 8, 9, 100])
def test_gzip_without_its_trailer_is_not_whole(missing, tmp_path, monkeypatch):
    """The length is right and the JSON may be complete up to its last brace: only the checksum is wrong."""
    answer = {"id": "1", "flow_name": "F", "data": {"7": [{"id": "1", "question": "Q", "answer": "a" * 500}]}}
    whole = gzip.compress(json.dumps(answer).encode())

    class Handler(BaseHTTPRequestHandler):
        cut = missing

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            body = whole[: -self.cut] if self.cut else whole
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_port}"
        connection = {"conn_type": "cytechbot", "host": host, "password": "1-key"}
        monkeypatch.setenv(
            "AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps(connection | {"extra": {"max_retries": 0}})
        )
        for name in ("a.csv", "a.json"):
            with pytest.raises(CyTechBotTransportError):
                export("1", tmp_path / name)
        assert files_in(tmp_path) == {}
        Handler.cut = 0
        assert export("1", tmp_path / "a.csv")["rows"] == 1
        server.shutdown()
