"""
The connection form in a real browser, as a person fills it in: `make test-browser`.

Its screenshots go into the folder that SCREENSHOTS names, docs/images when make runs it.
"""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from pathlib import Path

import pytest

from airflow_provider_cytechbot.connection_form import CONN_FIELDS, UI_FIELD_BEHAVIOUR

from .airflow_services import AirflowServices

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test-browser")
expect = sync_api.expect
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
OWN_FIELDS = {UI_FIELD_BEHAVIOUR["relabeling"][name]: name for name in ("host", "password", "port")}
PORT = UI_FIELD_BEHAVIOUR["relabeling"]["port"]
#: Milliseconds in which a page does what was asked of it.
PATIENCE = 30_000
PROXY = "http://kim:proxy-s3cret@proxy.example.com:3128"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH (Debian: apt install chromium)"),
]


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    """Airflow's api-server, which lets connections be tested and asks nobody who they are."""
    dags = tmp_path_factory.mktemp("dags")
    env = {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
    with AirflowServices(dags, pieces=["api-server"], apps="all", env=env) as services:
        yield services


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(airflow, browser):
    """The list of connections, which is empty."""
    for connection in rest(airflow, "connections")["connections"]:
        rest(airflow, f"connections/{connection['connection_id']}", method="DELETE")
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(PATIENCE)
    page.goto(f"{airflow.url}/")  # Airflow 3.1 leads whoever comes first to its home page
    page.goto(f"{airflow.url}/connections")
    yield page
    page.close()


def rest(airflow, path, *, method="GET"):
    """Ask Airflow's REST API, as any script may."""
    request = urllib.request.Request(f"{airflow.url}/api/v2/{path}", method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or "null")


def stored(airflow):
    """What Airflow's database holds, of which the REST API shows less."""
    ((host, port, password, extra),) = airflow.query("SELECT host, port, password, extra FROM connection")
    return {"host": host, "port": port, "password": password, "extra": json.loads(extra)}


def screenshot(page, name):
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled")


def add_connection(page):
    """Open the form of a new CyTechBot connection; the type is chosen as people do."""
    page.get_by_role("button", name="Add Connection").click()
    page.get_by_role("combobox").first.click()
    page.keyboard.type("cytech")
    page.get_by_role("option", name="CyTechBot", exact=True).click()
    expect(field(page, "Base URL")).to_be_visible(timeout=PATIENCE)
    page.locator("[name=connection_id]").fill("cytechbot_default")


def field(page, label):
    """One of Airflow's own fields, by our caption, which belongs to it for the eye only."""
    return page.locator(f"[name={OWN_FIELDS[label]}]")


def section(page, name):
    """Open a section, which closes the one before."""
    page.get_by_role("button", name=name, exact=True).click()


def save(page):
    with page.expect_response(lambda answer: answer.request.method in ("POST", "PATCH")) as answer:
        page.get_by_role("button", name="Save").click()
    assert answer.value.ok, answer.value.text()
    expect(page.get_by_role("button", name="Save")).to_have_count(0, timeout=PATIENCE)


def press_test(page):
    """Press the Test button of the list's only connection, and return what Airflow answers."""
    with page.expect_response(lambda answer: answer.url.endswith("/connections/test")) as answer:
        page.get_by_role("button", name="Test Connection").click()
    return answer.value


def edit(page, **values):
    page.get_by_role("button", name="Edit Connection").click()
    for name, value in values.items():
        page.locator(f"[name={name}]").fill(value)
    save(page)


def test_each_field_has_a_caption_a_widget_and_a_description(page):
    add_connection(page)
    dialog = page.get_by_role("dialog")
    for caption in ("Base URL", "API key", PORT):
        expect(dialog.get_by_text(caption, exact=True)).to_be_visible()
    expect(field(page, "Base URL")).to_have_attribute("placeholder", "https://cytechbot.com/api")
    expect(field(page, "API key")).to_have_attribute("type", "password")
    for hidden in ("Login", "Schema"):
        expect(dialog.get_by_text(hidden, exact=True)).to_have_count(0)
    field(page, "Base URL").fill("https://cytechbot.com/api")
    field(page, "API key").fill("1-not-a-real-key")
    screenshot(page, "connection-form")

    section(page, "Extra Fields")
    for each in CONN_FIELDS.values():
        expect(dialog.get_by_text(each["label"], exact=True)).to_have_count(1)
        expect(dialog.get_by_text(each["description"], exact=True)).to_have_count(1)
    for label, shown in {"Timeout (seconds)": "60", "Retries": "4", "Requests per second": ""}.items():
        expect(dialog.get_by_role("spinbutton", name=label, exact=True)).to_have_value(shown)
    for label, on in {"Verify the server's certificate": True, "Allow plain http://": False}.items():
        expect(dialog.get_by_role("checkbox", name=label, exact=True)).to_be_checked(checked=on)
    expect(dialog.locator("[name=element_server_timezone]")).to_have_value("UTC")
    expect(dialog.locator("#list_server_timezone option")).to_have_count(5)
    expect(dialog.locator("[name=element_proxy]")).to_have_attribute("type", "password")
    expect(dialog.locator("[name=element_ca_bundle]")).to_have_value("")
    page.set_viewport_size({"width": 1280, "height": 1650})
    expect(dialog.get_by_text(CONN_FIELDS["allow_http"]["description"])).to_be_in_viewport()
    screenshot(page, "connection-extras")


def test_what_is_filled_in_is_saved_tested_and_shown_without_secrets(page, airflow, cytechbot_sandbox):
    add_connection(page)
    field(page, "Base URL").fill(cytechbot_sandbox.base_url)
    field(page, "API key").fill(cytechbot_sandbox.api_key)
    field(page, PORT).fill(str(cytechbot_sandbox.port))
    section(page, "Extra Fields")
    page.get_by_role("spinbutton", name="Retries", exact=True).fill("0")
    save(page)
    as_the_form_saves_it = {name: each["schema"]["default"] for name, each in CONN_FIELDS.items()}
    assert stored(airflow) == {
        "host": cytechbot_sandbox.base_url,
        "port": cytechbot_sandbox.port,
        "password": cytechbot_sandbox.api_key,
        "extra": as_the_form_saves_it | {"max_retries": 0},
    }

    assert press_test(page).json() == {
        "status": True,
        "message": f"{cytechbot_sandbox.base_url} accepts the API key; it has 3 flow campaigns.",
    }
    expect(page.get_by_text("Test Connection Failed")).to_have_count(0)

    edit(page, password="1-a-wrong-key")
    assert not press_test(page).json()["status"]
    refused = 'The API refused: "Either API Key Invalid or Member Validity Expired"; check the API key'
    expect(page.get_by_text(refused)).to_be_visible(timeout=PATIENCE)
    screenshot(page, "connection-test-wrong-key")

    edit(page, host="http://127.0.0.1:9", port="9")
    assert not press_test(page).json()["status"]
    expect(page.get_by_text("No connection to 127.0.0.1:9 could be made")).to_be_visible(timeout=PATIENCE)

    for path in ("connections", "connections/cytechbot_default"):
        text = json.dumps(rest(airflow, path))
        assert '"password": "***"' in text
        assert "wrong-key" not in text


def test_a_proxy_with_a_password_is_hidden_and_survives_an_edit(page, airflow):
    add_connection(page)
    field(page, "API key").fill("1-not-a-real-key")
    section(page, "Extra Fields")
    page.locator("[name=element_proxy]").fill(PROXY)
    save(page)
    assert stored(airflow)["extra"]["proxy"] == PROXY
    shown = rest(airflow, "connections/cytechbot_default")
    assert json.loads(shown["extra"])["proxy"] == "***"
    assert "proxy-s3cret" not in json.dumps(shown)

    edit(page, host="https://cytechbot.example.com")
    after = stored(airflow)
    assert after["host"] == "https://cytechbot.example.com"
    assert after["password"] == "1-not-a-real-key"
    assert after["extra"]["proxy"] == PROXY
    assert "proxy-s3cret" not in page.content()


def test_without_a_port_airflow_itself_refuses_the_test_and_the_form_says_so(
    page, airflow, cytechbot_sandbox
):
    """Airflow 3.3 takes the empty port that its form sends for another one than is stored."""
    add_connection(page)
    field(page, "Base URL").fill(cytechbot_sandbox.base_url)
    field(page, "API key").fill(cytechbot_sandbox.api_key)
    save(page)
    assert stored(airflow)["port"] is None
    answer = press_test(page)
    assert answer.status == 400
    assert "host or port to test differs" in answer.text()
