"""The connection form in a real browser, as a person fills it in: `make test-browser`, on each kind of it."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest

from airflow_provider_cytechbot.connection_form import CONN_FIELDS

pytest.importorskip("playwright", reason="playwright is not installed: make test-browser")

from playwright.sync_api import expect

from .airflow_services import AirflowServices
from .browser import needs_chromium, new_page, screenshot
from .connection_forms import CAPTIONS, CONN_ID, FlaskForm, ReactForm

AIRFLOW = tuple(map(int, version("apache-airflow").split(".")[:2]))
PROXY = "http://kim:proxy-s3cret@proxy.example.com:3128"
UNREACHABLE = "http://127.0.0.1:9"
WIDGETS = {
    "host": "text",
    "password": "password",
    "port": "number",
    "timeout": "number",
    "max_retries": "number",
    "requests_per_second": "number",
    "server_timezone": "text",
    "verify_tls": "switch",
    "ca_bundle": "text",
    "proxy": "password",
    "allow_http": "switch",
}
if AIRFLOW < (3, 2):  # these make the fields from WTForms, which support less
    WIDGETS["requests_per_second"] = "text"
    if AIRFLOW < (3, 0):
        WIDGETS |= dict.fromkeys(("port", "timeout", "max_retries"), "text")
    else:
        WIDGETS["proxy"] = "text"
DEFAULTS = {name: field["schema"]["default"] for name, field in CONN_FIELDS.items()}

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    """Airflow's web server, which lets connections be tested and needs no login."""
    env = {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
    component = "webserver" if AIRFLOW < (3, 0) else "api-server"
    with AirflowServices(
        tmp_path_factory.mktemp("dags"), components=[component], apps="all", env=env, start_timeout=180
    ) as services:
        yield services


@pytest.fixture
def form(airflow, browser):
    """The form, where there is no connection yet."""
    page = new_page(browser)
    form = (FlaskForm if AIRFLOW < (3, 0) else ReactForm)(page, airflow)
    form.remove_all()
    yield form
    page.close()


def stored(airflow):
    """What Airflow's database holds, where an empty extra is null, "" or missing. The REST API shows less."""
    ((host, port, password, extra),) = airflow.query("SELECT host, port, password, extra FROM connection")
    extras = {name: value for name, value in json.loads(extra).items() if value not in (None, "")}
    return {"host": host, "port": port, "password": password, "extra": extras}


def shown(form):
    """All that Airflow gives away of the connection: by its REST API, and in the form that edits it."""
    form.edit()
    texts = [json.dumps(form.rest(path)) for path in ("connections", f"connections/{CONN_ID}")]
    return "\n".join([*texts, form.page.content()])


def test_each_field_has_a_caption_a_widget_and_a_description(form):
    form.add()
    for name in ("host", "password", "port"):
        expect(form.dialog.get_by_text(CAPTIONS[name], exact=True)).to_be_visible()
    for hidden in ("Login", "Schema"):
        expect(form.dialog.get_by_text(hidden, exact=True).locator("visible=true")).to_have_count(0)
    expect(form.field("host")).to_have_attribute("placeholder", "https://cytechbot.com/api")
    form.fill(host="https://cytechbot.com/api", password="1-not-a-real-key")
    screenshot(form.page, "connection-form")

    assert {name: form.widget(name) for name in WIDGETS} == WIDGETS
    for name, field in CONN_FIELDS.items():
        expect(form.dialog.get_by_text(CAPTIONS[name], exact=True)).to_be_visible()
        expect(form.dialog.get_by_text(field["description"], exact=True)).to_be_visible()
        default = "" if DEFAULTS[name] is None else DEFAULTS[name]
        assert form.value(name) == (default if isinstance(default, bool) else str(default))
    form.page.set_viewport_size({"width": 1280, "height": 1650})
    expect(form.dialog.get_by_text(CONN_FIELDS["allow_http"]["description"])).to_be_in_viewport()
    screenshot(form.page, "connection-extras")


def test_entered_values_are_saved_tested_edited_and_never_shown(form, airflow, cytechbot_sandbox):
    key = cytechbot_sandbox.api_key
    form.add()
    form.fill(host=cytechbot_sandbox.base_url, password=key, port=cytechbot_sandbox.port, max_retries=0)
    form.save()
    extras = {name: value for name, value in DEFAULTS.items() if value is not None} | {"max_retries": 0}
    assert stored(airflow) == {
        "host": cytechbot_sandbox.base_url,
        "port": cytechbot_sandbox.port,
        "password": key,
        "extra": extras,
    }
    assert key not in shown(form)

    tested = form.test(api_key=key)
    assert tested.works
    assert tested.message == f"{cytechbot_sandbox.base_url} accepts the API key; it has 3 flow campaigns."

    form.edit()
    form.fill(password="1-a-wrong-key")
    form.save()
    assert stored(airflow)["password"] == "1-a-wrong-key"
    tested = form.test(api_key="1-a-wrong-key")
    assert not tested.works
    refused = 'The API refused: "Either API Key Invalid or Member Validity Expired"; check the API key'
    assert tested.message.startswith(refused)
    height = form.page.viewport_size["height"]
    form.page.set_viewport_size({"width": 1280, "height": 420})
    screenshot(form.page, "connection-test-wrong-key")
    form.page.set_viewport_size({"width": 1280, "height": height})

    form.edit()
    form.fill(host=UNREACHABLE, port=9)
    form.save()
    tested = form.test(api_key="1-a-wrong-key")
    assert not tested.works
    assert tested.message.startswith("No connection to 127.0.0.1:9 could be made")
    assert "wrong-key" not in shown(form)
    assert stored(airflow)["password"] == "1-a-wrong-key"


def test_a_proxy_with_a_password_is_hidden_and_survives_an_edit(form, airflow):
    form.add()
    form.fill(password="1-not-a-real-key", proxy=PROXY)
    form.save()
    assert stored(airflow)["extra"]["proxy"] == PROXY
    assert json.loads(form.rest(f"connections/{CONN_ID}")["extra"])["proxy"] == "***"
    assert "proxy-s3cret" not in shown(form)

    form.fill(host="https://cytechbot.example.com")
    form.save()
    after = stored(airflow)
    assert after["host"] == "https://cytechbot.example.com"
    assert after["password"] == "1-not-a-real-key"
    assert after["extra"]["proxy"] == PROXY


@pytest.mark.skipif(AIRFLOW != (3, 3), reason="a fault of the form of Airflow 3.3")
def test_without_a_port_airflow_itself_refuses_the_test(form, airflow, cytechbot_sandbox):
    """It takes the empty port that its form sends for another than is stored; so our caption requires one."""
    form.add()
    form.fill(host=cytechbot_sandbox.base_url, password=cytechbot_sandbox.api_key)
    form.save()
    assert stored(airflow)["port"] is None
    tested = form.test(api_key=cytechbot_sandbox.api_key)
    assert tested.status == 400
    assert "host or port to test differs" in tested.message
    assert "Test needs it" in CAPTIONS["port"]
