"""What Airflow's UI shows of DAGs, forms and runs with the provider's operators: `make test-browser`."""

from __future__ import annotations

import html
import io
import json
import re
from importlib.metadata import version
from urllib.parse import quote

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: make test-browser")
pytest.importorskip("s3fs", reason="the extra s3 is not installed")

import pyarrow.parquet as pq
from playwright.sync_api import expect

from airflow_provider_cytechbot.sandbox.server import SandboxServer

from .airflow_services import NO_TIMEOUT, AirflowServices
from .browser import needs_chromium, new_page, screenshot
from .dag_runs import EXAMPLES, ROOT
from .object_store import BUCKET, SECRET_KEY, object_store

pytestmark = [
    pytest.mark.slow,
    needs_chromium,
    pytest.mark.skipif(not version("apache-airflow").startswith("3.3."), reason="the UI of Airflow 3.3"),
]
EXAMPLES_SHOWN = (
    "cytechbot_export_flow_answers",
    "cytechbot_export_to_s3",
    "cytechbot_contacts_from_a_list",
    "cytechbot_label_in_shards",
)
TEST_DAGS = ROOT / "tests/integration/dags"
OTHERS_SHOWN = (TEST_DAGS / "ui/shown_in_the_ui.py", TEST_DAGS / "operators/operators_writing.py")
FOLDER = f"s3://aws_default@{BUCKET}/cytechbot"
LINES_SHOWN = 8
TABLE = """
<style>
  table {{ border-collapse: collapse; font: 14px sans-serif; white-space: nowrap }}
  th, td {{ border: 1px solid #ccc; padding: 4px 8px; text-align: left }}
  th {{ background: #eef }}
</style>
<table>{rows}</table>
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with object_store(tmp_path_factory.mktemp("weed")) as store:
        yield store


@pytest.fixture(scope="module")
def sandbox():
    with SandboxServer() as server:
        yield server


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, store, sandbox):
    """Airflow with DAGs that run when a test triggers them and not by their schedule."""
    dags = tmp_path_factory.mktemp("dags")
    for path in (*(EXAMPLES / f"{name}.py" for name in EXAMPLES_SHOWN), *OTHERS_SHOWN):
        (dags / path.name).write_text(path.read_text().replace('schedule="@daily"', "schedule=None"))
    env = {
        "AIRFLOW_CONN_AWS_DEFAULT": store.connection(),
        "AIRFLOW_CONN_AWS_AMAZON": json.dumps(
            {"conn_type": "aws", "login": "a", "password": SECRET_KEY, "extra": {"region_name": "eu-west-1"}}
        ),
        "AIRFLOW_CONN_CYTECHBOT_DEFAULT": sandbox.connection_json(),
    }
    with AirflowServices(
        dags, apps="all", env=env, heartbeat_timeout=NO_TIMEOUT, start_timeout=180
    ) as services:
        yield services


@pytest.fixture(scope="module")
def run(airflow):
    """Trigger a DAG, and wait until its run has succeeded."""

    def run(dag_id, **conf):
        conf = {"flow_campaign_id": "1", "folder": FOLDER} | conf
        run = airflow.trigger(dag_id, conf=conf, logical_date="2026-01-02T00:00:00+00:00")
        assert run.wait(180) == "success"
        return run

    return run


@pytest.fixture
def page(browser, sandbox):
    page = new_page(browser, height=800)
    yield page
    for secret in (sandbox.api_key, SECRET_KEY):
        assert secret not in page.content()
    page.close()


def test_graph_and_manifest_of_a_run(airflow, run, page):
    made = run("cytechbot_export_flow_answers")
    url = f"{airflow.url}/dags/{made.dag_id}/runs/{quote(made.run_id)}"
    page.set_viewport_size({"width": 1280, "height": 640})
    page.goto(url)
    page.get_by_label("Show Graph").first.click()
    expect(page.locator(".react-flow__node").get_by_text("success")).to_have_count(2)
    screenshot(page, "dag-graph")

    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"{url}/tasks/export/xcom")
    page.get_by_label("Show Grid").first.click()
    page.get_by_label("Expand all extra JSON").click()
    page.screenshot(path="/tmp/ev.png")
    print([each.inner_text() for each in page.locator(".view-line").all()])
    expect(page.locator(".view-line").filter(has_text='"rows"')).to_contain_text("24", timeout=3000)
    screenshot(page, "export-manifest")


def test_asset_event_has_the_number_of_rows(airflow, run, page, store):
    run("cytechbot_export_to_s3")
    page.set_viewport_size({"width": 1280, "height": 860})
    page.goto(f"{airflow.url}/assets")
    page.get_by_text("exported_flow_answers", exact=True).first.click()
    expect(page.locator(".codicon-folding-collapsed")).to_be_attached()
    page.locator(".monaco-editor").first.click()
    page.keyboard.press("Control+k")
    page.keyboard.press("Control+j")  # unfold all
    page.keyboard.press("Control+Home")
    rows = page.locator(".view-line").filter(has_text='"rows"')
    for _ in range(100):  # only lines in view are there
        if rows.count():
            break
        page.keyboard.press("ArrowDown")
    expect(rows).to_contain_text("24")
    screenshot(page, "asset-event")

    (key,) = [each for each in store.objects() if each.endswith("day=2026-01-02/answers.parquet")]
    table = pq.read_table(io.BytesIO(store.read(key)))
    assert table.num_rows == 24
    # Not every machine has the fonts for all that subscribers type.
    plain = [row for row in table.to_pylist() if row["answer"].isascii()][:LINES_SHOWN]
    lines = [table.column_names, *(map(str, row.values()) for row in plain)]
    cells = ["".join(f"<td>{html.escape(text)}</td>" for text in line) for line in lines]
    cells[0] = cells[0].replace("td>", "th>")
    page.set_content(TABLE.format(rows="".join(f"<tr>{line}</tr>" for line in cells)))
    expect(page.locator("tr")).to_have_count(LINES_SHOWN + 1)
    screenshot(page.locator("table"), "exported-rows")


def test_links_lead_to_the_installation_and_to_written_files(airflow, run, page, sandbox, tmp_path):
    made = run("shown_in_the_ui", local=tmp_path.as_uri())
    url = f"{airflow.url}/dags/{made.dag_id}/runs/{quote(made.run_id)}/tasks"
    console = "https://console.aws.amazon.com/s3/object/reports?prefix=weekly/campaign%201.html"
    installation = f"http://127.0.0.1:{sandbox.port}"
    for task, links in {
        "amazon": {"CyTechBot": installation, "Written file": console},
        "local": {"CyTechBot": installation},
        "elsewhere": {"CyTechBot": installation},
        "answered": {"CyTechBot": installation},
    }.items():
        page.goto(f"{url}/{task}/details")
        expect(page.get_by_role("link", name="CyTechBot", exact=True)).to_be_visible()
        found = page.get_by_role("link", name=re.compile("^(CyTechBot|Written file)$"))
        assert {each.inner_text(): each.get_attribute("href").rstrip("/") for each in found.all()} == links
        if task == "amazon":
            screenshot(page, "task-links")


@pytest.mark.parametrize("dag_id", ["shown_in_the_ui", "operators_writing"])
def test_no_name_in_the_graph_is_cut(airflow, page, dag_id):
    airflow.wait_for_dag(dag_id)
    page.set_viewport_size({"width": 2400, "height": 1600})
    page.goto(f"{airflow.url}/dags/{dag_id}")
    page.get_by_label("Show Graph").first.click()
    names = page.locator(".react-flow__node").get_by_text(re.compile("^CyTechBot "))
    expect(names).to_have_count({"shown_in_the_ui": 5, "operators_writing": 14}[dag_id])
    for name in names.all():
        cut = "each => each.scrollWidth > each.clientWidth || each.scrollHeight > each.clientHeight + 1"
        assert not name.evaluate(cut), name.inner_text()
        assert "…" not in name.inner_text()


def test_mapped_tasks_have_names(airflow, run, page):
    made = run("cytechbot_contacts_from_a_list")
    page.goto(f"{airflow.url}/dags/{made.dag_id}/runs/{quote(made.run_id)}/tasks/create_contact/mapped")
    for name in ("Lea", "Noor", "Nobody"):
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()


def test_the_form_for_a_run_has_titles(airflow, page):
    airflow.wait_for_dag("cytechbot_label_in_shards")
    page.goto(f"{airflow.url}/dags/cytechbot_label_in_shards")
    page.get_by_role("button", name="Trigger").first.click()
    for title in ("Page", "Label", "Folder"):
        expect(page.get_by_role("dialog").get_by_role("group").get_by_text(title).first).to_be_visible()
