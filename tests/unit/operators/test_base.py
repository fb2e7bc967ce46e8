"""Rules for every operator."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import threading
from datetime import UTC, datetime

import pytest
import requests
from airflow.providers.common.compat.sdk import DAG, AirflowException, AirflowTaskTimeout, BaseOperator
from requests_mock import ANY

import airflow_provider_cytechbot.operators as package
from airflow_provider_cytechbot.api.errors import CyTechBotFieldError, CyTechBotSettingsError
from airflow_provider_cytechbot.operators.base import CyTechBotBaseOperator
from airflow_provider_cytechbot.operators.bulk_write import CyTechBotBulkOperator
from airflow_provider_cytechbot.operators.contacts import CyTechBotSyncContactsOperator
from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator
from airflow_provider_cytechbot.operators.users import (
    CyTechBotCreateUserOperator,
    CyTechBotUpdateUsersOperator,
)
from airflow_provider_cytechbot.sandbox.server import SandboxServer
from airflow_provider_cytechbot.transport.aiohttp_transport import AiohttpTransport

from ..frames import provider_frames, shown_by_error_trackers

MODULES = [
    importlib.import_module(f"{package.__name__}.{each.name}")
    for each in pkgutil.iter_modules(package.__path__)
]
FOUND = {
    each
    for module in MODULES
    for each in vars(module).values()
    if inspect.isclass(each) and issubclass(each, CyTechBotBaseOperator) and "execute" in vars(each)
}
OPERATORS = sorted(FOUND, key=lambda operator: operator.__name__)


def own_parameters(operator):
    """The parameters that an operator adds to Airflow's."""
    found = {}
    for cls in operator.__mro__[: operator.__mro__.index(BaseOperator)]:
        if "__init__" in vars(cls):
            found |= inspect.signature(cls.__init__).parameters
    return [name for name in found if name not in ("self", "kwargs")]


def make(operator, **kwargs):
    """An operator whose parameters are all templates."""
    given = {name: f"{{{{ params.{name} }}}}" for name in own_parameters(operator)}
    return operator(task_id="t", **given | kwargs)


def test_the_operators_are_complete():
    assert [operator.__name__ for operator in OPERATORS] == sorted(
        f"CyTechBot{verb}{noun}Operator"
        for noun, verbs in {
            "User": ("Create", "Update"),
            "Users": ("Update",),
            "Contacts": ("Sync",),
            "Label": ("Create",),
            "Labels": ("Assign",),
            "ContactGroup": ("Create", "Update", "Delete"),
            "Contact": ("Create", "Update", "Delete"),
        }.items()
        for verb in verbs
    )


@pytest.mark.parametrize("operator", OPERATORS)
class TestEach:
    def test_every_parameter_is_templated(self, operator):
        assert sorted(operator.template_fields) == sorted(own_parameters(operator))
        assert "cytechbot_conn_id" in operator.template_fields

    def test_the_constructor_only_assigns(self, operator, monkeypatch):
        monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection"))
        monkeypatch.delenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", raising=False)
        task = make(operator)
        for name in own_parameters(operator):
            assert getattr(task, name) == f"{{{{ params.{name} }}}}"

    def test_native_rendering_keeps_lists(self, operator):
        values = {name: ["a", {"b": [1, name]}] for name in own_parameters(operator)}
        with DAG("d", schedule=None, render_template_as_native_obj=True, params=values):
            task = make(operator)
        task.render_template_fields({"params": values})
        for name in own_parameters(operator):
            value = getattr(task, name)
            assert getattr(value, "rows", value) == values[name]

    def test_the_docstring_names_endpoint_parameters_and_result(self, operator):
        doc = inspect.getdoc(operator)
        assert "Calls ``POST " in doc
        assert "All parameters are templated." in " ".join(doc.split())
        for name in own_parameters(operator):
            assert f":param {name}:" in doc
        assert ":return:" in doc

    def test_it_has_its_own_colour(self, operator):
        assert operator.ui_color != BaseOperator.ui_color

    def test_it_can_be_mapped(self, operator):
        *partial, last = own_parameters(operator)
        with DAG("d", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
            mapped = operator.partial(task_id="t", **dict.fromkeys(partial, "x")).expand(**{last: ["1", "2"]})
            operator.partial(task_id="u").expand_kwargs([dict.fromkeys(own_parameters(operator), "x")])
        task = mapped.unmap({**dict.fromkeys(partial, "x"), last: "2"})
        assert getattr(task, last) == "2"

    def test_it_can_be_setup_or_teardown(self, operator):
        with DAG("d", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
            setup = operator(task_id="setup", **dict.fromkeys(own_parameters(operator), "x")).as_setup()
            teardown = operator(task_id="teardown", **dict.fromkeys(own_parameters(operator), "x"))
            teardown.as_teardown(setups=setup)
        assert setup.is_setup
        assert teardown.is_teardown

    def test_an_unknown_parameter_is_an_error_when_the_dag_is_read(self, operator):
        with pytest.raises((TypeError, AirflowException)):  # the latter before Airflow 3
            make(operator, mistyped=1)

    def test_the_hook_gets_the_rendered_connection_id(self, operator):
        task = make(operator)
        task.render_template_fields({"params": dict.fromkeys(own_parameters(operator), "rendered")})
        assert task.hook.cytechbot_conn_id == "rendered"
        assert task.hook is task.hook


def test_a_date_may_be_a_template_of_macros():
    task = CyTechBotCreateUserOperator(
        task_id="t",
        name="n",
        user_email="e",
        password="p",
        package_id=1,
        expired_date="{{ macros.ds_add(ds, 30) }}",
    )
    try:
        from airflow.sdk.execution_time import macros
    except ImportError:  # Airflow 2
        from airflow import macros

    task.render_template_fields({"ds": "2026-12-15", "macros": macros})
    assert task.expired_date == "2027-01-14"


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_dag_of_it_can_be_serialized(operator):
    from airflow.serialization import serialized_objects as serialization

    to_dict = getattr(serialization, "DagSerialization", serialization.SerializedDAG).to_dict

    with DAG("d", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        make(operator)
    text = json.dumps(to_dict(dag))
    assert "{{ params.cytechbot_conn_id }}" in text


#: By failure: what the server does.
FAULTS = {
    "refused": {"text": '{"status":"error","message":"Not today"}'},
    "not found": {"text": '{"status":"error","message":"The contact ID does not exist"}'},
    "wrong key": {"text": '{"status":"error","message":"API Key Invalid"}'},
    "echo": {"text": lambda request, _: json.dumps({"status": "error", "message": str(request.text)})},
    "web page": {"text": "<title>Login</title>"},
    "cut off": {"text": '{"status":"succ'},
    "empty": {"text": ""},
    "500": {"status_code": 500},
    "429": {"status_code": 429, "headers": {"Retry-After": "1"}},
    "redirect": {
        "status_code": 302,
        "headers": {"Location": "https://elsewhere.example/?api_key=1-the-api-key"},
    },
    "no answer": {"exc": requests.ReadTimeout},
    "reset": {"exc": requests.ConnectionError},
    "not connected": {"exc": requests.ConnectTimeout},
    "killed": {"exc": KeyboardInterrupt},
    "execution_timeout": {"exc": AirflowTaskTimeout},
}
VALUES = {"expired_date": "2030-01-01", "label_ids": "5", "password": "the-new-users-password"}
#: The operators that send their calls with the synchronous hook.
SINGLE = [
    operator
    for operator in OPERATORS
    if not issubclass(operator, CyTechBotBulkOperator) or operator is CyTechBotAssignLabelsOperator
]
DEFAULTS = {"missing_ok", "label_names", *own_parameters(CyTechBotBulkOperator), "create_missing"}
DEFAULTS |= {"max_new_labels", "cytechbot_conn_id", "state_path", "full_refresh", "shards", "shard"}


def with_values(operator, **changed):
    """An operator with a valid value of each parameter."""
    names = [name for name in own_parameters(operator) if name not in DEFAULTS]
    values = {name: VALUES.get(name, "7") for name in names}
    return operator(task_id="t", **values | changed)


def assert_no_secret_is_shown(error):
    found = [
        each
        for each in [*shown_by_error_trackers(error), str(error), repr(error)]
        if "the-new-users-password" in each or "1-the-api-key" in each
    ]
    assert found == []


@pytest.mark.parametrize("operator", SINGLE)
class TestFramesOfErrors:
    """Error trackers print the variables of each frame."""

    @pytest.mark.parametrize("fault", FAULTS)
    def test_show_no_secret_after_a_failed_call(self, operator, fault, connect, requests_mock, waits, tries):
        connect(max_retries=1)
        requests_mock.register_uri(ANY, ANY, **FAULTS[fault])
        page = '{"status":"success","label_info":[{"label_id":"5","label_name":"VIP"}]}'
        requests_mock.get("https://cytechbot.com/api/get_all_labels/", text=page)
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - also KeyboardInterrupt
            with_values(operator).execute(tries.context())
        assert "execute" in provider_frames(caught.value)
        assert requests_mock.called
        assert_no_secret_is_shown(caught.value)

    def test_show_no_secret_after_an_invalid_field(self, operator, connect, requests_mock, tries):
        connect()
        page = '{"status":"success","label_info":[{"label_id":"5","label_name":"VIP"}]}'
        requests_mock.get("https://cytechbot.com/api/get_all_labels/", text=page)
        for name in own_parameters(operator):
            if name == "password" or name in DEFAULTS:
                continue
            with pytest.raises(CyTechBotFieldError) as caught:
                with_values(operator, **{name: {"an": "object"}}).execute(tries.context())
            assert_no_secret_is_shown(caught.value)

    @pytest.mark.parametrize("extra", [{"timeout": "soon"}, {"proxy": "http://u:1-the-api-key@"}])
    def test_show_no_secret_with_an_unusable_connection(self, operator, extra, connect, tries):
        connect(**extra)
        with pytest.raises(CyTechBotSettingsError) as caught:
            with_values(operator).execute(tries.context())
        assert_no_secret_is_shown(caught.value)

    def test_show_no_secret_if_the_masker_fails(self, operator, connect, tries, monkeypatch):
        def mask_secret(secret):
            raise BrokenPipeError

        connect()
        monkeypatch.setattr("airflow.providers.common.compat.sdk.mask_secret", mask_secret)
        with pytest.raises(BrokenPipeError) as caught:
            with_values(operator).execute(tries.context())
        assert_no_secret_is_shown(caught.value)

    def test_show_no_secret_if_the_state_store_fails(self, operator, connect, requests_mock, tries):
        connect()
        tries.store.failing = ("get", "set")
        if operator.__name__.startswith(("CyTechBotUpdate", "CyTechBotAssign")):
            pytest.skip("an update stores no state")
        with pytest.raises(RuntimeError) as caught:
            with_values(operator).execute(tries.context())
        assert_no_secret_is_shown(caught.value)


KEY = "1-the-api-key"
PAGE = "104857600000001"
#: By bulk operator: what it writes.
BULK = {
    "labels": lambda folder: CyTechBotAssignLabelsOperator(
        task_id="t", page_id=PAGE, label_names=["New"], create_missing=True, rows=["24994546734902201"]
    ),
    "users": lambda folder: CyTechBotUpdateUsersOperator(
        task_id="t",
        state_path=folder,
        relative_to="validity",
        rows=[{"user_id": "2", "expired_date": "+1 day"}],
    ),
    "create contacts": lambda folder: CyTechBotSyncContactsOperator(
        task_id="t",
        key="n",
        state_path=folder,
        contact_type_id="1",
        rows=[{"n": "1", "email": "a@example.com"}],
    ),
    "adopt contacts": lambda folder: CyTechBotSyncContactsOperator(
        task_id="t",
        key="n",
        state_path=folder,
        contact_type_id="1",
        rows=[{"n": "1", "email": "a@example.com", "contact_id": "1"}],
    ),
}
ECHO = json.dumps({"status": "error", "message": f"api_key={KEY} is refused"})
#: By failure: the fault of each endpoint but the one that lists labels.
BULK_FAULTS = {
    "refused": {"kind": "body", "body": '{"status":"error","message":"Not today"}'},
    "not found": {"kind": "body", "body": '{"status":"error","message":"The contact ID does not exist"}'},
    "wrong key": {"kind": "body", "body": '{"status":"error","message":"API Key Invalid"}'},
    "echo": {"kind": "body", "body": ECHO},
    "echo in a page": {"kind": "body", "body": f"<title>{KEY}</title>", "status": 500},
    "web page": {"kind": "html"},
    "cut off": {"kind": "truncate"},
    "500": {"kind": "status", "status": 500},
    "429": {"kind": "status", "status": 429, "retry_after": 0},
    "redirect": {"kind": "redirect", "location": f"https://elsewhere.example/?api_key={KEY}"},
    "no answer": {"kind": "delay", "seconds": 3},
    "reset": {"kind": "reset_before"},
    "reset after": {"kind": "reset_after"},
}


@pytest.fixture(scope="module")
def server():
    with SandboxServer(api_key=KEY) as server:
        yield server


@pytest.fixture
def write(server, connect, tries, tmp_path, monkeypatch):
    """Execute a bulk operator, and return its error."""
    server.reset()
    monkeypatch.setattr("airflow_provider_cytechbot.bulk.runner._FIRST_WAIT", 0.01)
    monkeypatch.setattr("airflow_provider_cytechbot.bulk.runner.GIVE_UP_AFTER", 0.5)

    def write(kind, **extra):
        connect(host=server.base_url, port=server.port, **{"max_retries": 1, "timeout": 1} | extra)
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - also KeyboardInterrupt
            BULK[kind](f"file://{tmp_path}/state").execute(tries.context())
        assert "execute" in provider_frames(caught.value)
        return caught.value

    return write


@pytest.mark.parametrize("kind", BULK)
class TestFramesOfErrorsOfBulkWrites:
    """Error trackers print the variables of each frame, those of the asynchronous calls too."""

    @pytest.mark.parametrize("fault", BULK_FAULTS)
    def test_show_no_secret_after_a_failed_call(self, kind, fault, write, server):
        endpoints = {"labels": ["assign_label"], "users": ["get_user_info", "update_user"]}
        for endpoint in endpoints.get(kind, ["create_contact", "get_contact", "update_contact"]):
            server.fault(endpoint=endpoint, times=-1, **BULK_FAULTS[fault])
        assert_no_secret_is_shown(write(kind))

    @pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyboardInterrupt, AirflowTaskTimeout])
    def test_show_no_secret_after_another_error_of_the_client(self, kind, error, write, monkeypatch):
        async def connect(connector, *_):
            raise error

        monkeypatch.setattr("aiohttp.TCPConnector.connect", connect)
        assert_no_secret_is_shown(write(kind))

    def test_show_no_secret_if_the_session_cannot_be_opened(self, kind, write, monkeypatch):
        def open_session(transport):
            raise RuntimeError("too many open files")

        monkeypatch.setattr(AiohttpTransport, "open_session", open_session)
        assert_no_secret_is_shown(write(kind))

    @pytest.mark.parametrize("wait", ["airflow_provider_cytechbot.bulk.background.threading.Event.wait"])
    def test_show_no_secret_if_the_task_is_ended(self, kind, wait, write, server, monkeypatch):
        server.fault("delay", seconds=1, times=-1)
        waited = []

        def end(event, timeout=None):
            if timeout == 1.0 and not waited:
                waited.append(timeout)
                raise AirflowTaskTimeout
            return real(event, timeout)

        real = threading.Event.wait
        monkeypatch.setattr(wait, end)
        error = write(kind, timeout=30)
        assert isinstance(error, AirflowTaskTimeout)
        assert_no_secret_is_shown(error)


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_name_in_the_graph_is_short(operator):
    assert operator.custom_operator_name.startswith("CyTechBot ")
    assert len(operator.custom_operator_name) <= 26
    assert make(operator).operator_name == operator.custom_operator_name


def test_names_in_the_graph_differ():
    names = [operator.custom_operator_name for operator in OPERATORS]
    assert len(set(names)) == len(names)


def test_a_subclass_elsewhere_keeps_its_name_in_the_graph():
    class Ours(CyTechBotCreateUserOperator):
        pass

    assert Ours.custom_operator_name == "Ours"
