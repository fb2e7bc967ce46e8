"""The connection form as a person meets it: what tests do with that of Airflow 3 and that of Airflow 2 alike.

Fields go by their names in a connection: `host`, `password` and `port` are Airflow's own, the others extras.
"""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from playwright.sync_api import expect

from airflow_provider_cytechbot.connection_form import CONN_FIELDS, UI_FIELD_BEHAVIOUR

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from .airflow_services import AirflowServices

CONN_ID = "cytechbot_default"
CAPTIONS = {name: UI_FIELD_BEHAVIOUR["relabeling"][name] for name in ("host", "password", "port")} | {
    name: field["label"] for name, field in CONN_FIELDS.items()
}


@dataclass(frozen=True)
class Answer:
    """What the Test button came to: whether the connection works, the message, and the HTTP status."""

    works: bool | None
    message: str
    status: int


class ConnectionForm:
    """What both forms have in common."""

    #: Where the REST API is.
    api: ClassVar[str]

    def __init__(self, page: Page, airflow: AirflowServices) -> None:
        self.page = page
        self.airflow = airflow

    def rest(self, path: str, *, method: str = "GET") -> Any:
        """Call Airflow's REST API, as any script may."""
        request = urllib.request.Request(
            f"{self.airflow.url}/{self.api}/{path}", method=method, headers=self._headers()
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or "null")

    def remove_all(self) -> None:
        for connection in self.rest("connections")["connections"]:
            self.rest(f"connections/{connection['connection_id']}", method="DELETE")

    def add(self) -> None:
        """Open the form of a new connection, and choose its type from the list as people do."""
        raise NotImplementedError

    def edit(self) -> None:
        """Open the form of the connection that is there."""
        raise NotImplementedError

    def save(self) -> None:
        raise NotImplementedError

    def test(self, *, api_key: str) -> Answer:
        """Press the Test button for the connection that is there, whose key is known."""
        raise NotImplementedError

    def field(self, name: str) -> Locator:
        """Return what a field is typed into."""
        raise NotImplementedError

    def fill(self, **values: object) -> None:
        for name, value in values.items():
            self.field(name).fill(str(value))

    def widget(self, name: str) -> str:
        """Return what kind of field a person sees: text, number, password or a switch."""
        element = self.field(name)
        if element.get_attribute("role") == "spinbutton":
            return "number"
        kind = element.get_attribute("type") or "text"
        return "switch" if kind == "checkbox" else kind

    def value(self, name: str) -> str | bool:
        element = self.field(name)
        return element.is_checked() if self.widget(name) == "switch" else element.input_value()

    def _headers(self) -> dict[str, str]:
        return {}


class ReactForm(ConnectionForm):
    """Airflow 3's: a dialog over the list of connections, with its extras in a section of their own."""

    api = "api/v2"

    def add(self) -> None:
        self._list()
        self.page.get_by_role("button", name="Add Connection").click()
        self.page.get_by_role("combobox").first.click()
        self.page.keyboard.type("cytech")
        self.page.get_by_role("option", name="CyTechBot", exact=True).click()
        expect(self.dialog.get_by_text(CAPTIONS["host"], exact=True)).to_be_visible()
        self.page.locator("[name=connection_id]").fill(CONN_ID)

    def edit(self) -> None:
        self._list()
        self.page.get_by_role("button", name="Edit Connection").click()
        expect(self.dialog.get_by_text(CAPTIONS["host"], exact=True)).to_be_visible()

    def save(self) -> None:
        with self.page.expect_response(lambda answer: answer.request.method in ("POST", "PATCH")) as answer:
            self.page.get_by_role("button", name="Save").click()
        assert answer.value.ok, answer.value.text()
        expect(self.page.get_by_role("button", name="Save")).to_have_count(0)

    def test(self, *, api_key: str) -> Answer:
        self._list()
        with self.page.expect_response(lambda answer: answer.url.endswith("/connections/test")) as answered:
            self.page.get_by_role("button", name="Test Connection").click()
        answer = answered.value
        if not answer.ok:
            return Answer(None, answer.json()["detail"], answer.status)
        works, message = answer.json()["status"], answer.json()["message"]
        if works:  # the button turns green, and there is no message
            expect(self.page.get_by_text("Test Connection Failed")).to_have_count(0)
        else:
            expect(self.page.get_by_text(message)).to_be_visible()
        return Answer(works, message, answer.status)

    def field(self, name: str) -> Locator:
        if name not in CONN_FIELDS:
            self._section("Standard Fields")
            return self.dialog.locator(f"[name={name}]")
        self._section("Extra Fields")
        # Only some widgets carry the name; the others, their caption.
        caption = CAPTIONS[name]
        named = self.dialog.locator(f"[name=element_{name}]")
        captioned = self.dialog.get_by_role("spinbutton", name=caption, exact=True)
        return named.or_(captioned).first

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    def _list(self) -> None:
        self.page.goto(f"{self.airflow.url}/")
        # Airflow 3.1 redirects the first visitor to its home page, a while after it has been loaded.
        expect(self.page.get_by_text("Admin", exact=True).first).to_be_visible()
        self.page.goto(f"{self.airflow.url}/connections")

    def _section(self, name: str) -> None:
        """Open a section, which closes the one before."""
        button = self.dialog.get_by_role("button", name=name, exact=True)
        if button.get_attribute("aria-expanded") != "true":
            button.click()
            expect(button).to_have_attribute("aria-expanded", "true")

    def _headers(self) -> dict[str, str]:
        with urllib.request.urlopen(f"{self.airflow.url}/auth/token", timeout=60) as answer:
            return {"Authorization": f"Bearer {json.load(answer)['access_token']}"}


class FlaskForm(ConnectionForm):
    """Airflow 2's: a page. Its Test button sends what the form shows, and a stored key is not shown."""

    api = "api/v1"

    def add(self) -> None:
        self._open("add")
        self.page.locator("#conn_type + .select2-container").click()
        self.page.keyboard.type("CyTech")
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_text(CAPTIONS["host"], exact=True)).to_be_visible()
        self.page.locator("#conn_id").fill(CONN_ID)

    def edit(self) -> None:
        ((number,),) = self.airflow.query("SELECT id FROM connection")
        self._open(f"edit/{number}")

    def save(self) -> None:
        self.page.get_by_role("button", name="Save").click()
        self.page.wait_for_url(lambda url: "/connection/edit" not in url and "/connection/add" not in url)

    def test(self, *, api_key: str) -> Answer:
        self.edit()
        self.fill(password=api_key)
        with self.page.expect_response(lambda answer: answer.url.endswith("/connections/test")) as answered:
            self.page.locator("#test-connection").click()
        answer = answered.value.json()
        expect(self.page.locator(".alert").get_by_text(answer["message"])).to_be_visible()
        return Answer(answer["status"], answer["message"], answered.value.status)

    def field(self, name: str) -> Locator:
        return self.page.locator(f"#extra__cytechbot__{name}" if name in CONN_FIELDS else f"#{name}")

    @property
    def dialog(self) -> Locator:
        return self.page.locator("#model_form")

    def _open(self, what: str) -> None:
        self.page.goto(f"{self.airflow.url}/connection/{what}")
