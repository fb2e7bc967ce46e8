"""Each bulk write meets each fault: every row in one outcome, no create doubled, nothing lost by a retry."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections import Counter

import pytest

# What a task imports late is not to count as the time of the first cell.
import airflow_provider_cytechbot.bulk.job
import airflow_provider_cytechbot.operators.contact_sync
import airflow_provider_cytechbot.transport.aiohttp_transport  # noqa: F401
from airflow_provider_cytechbot.api.errors import CyTechBotAuthError, CyTechBotError
from airflow_provider_cytechbot.bulk import outcomes, pause, runner
from airflow_provider_cytechbot.operators.contacts import CyTechBotSyncContactsOperator
from airflow_provider_cytechbot.operators.labels import CyTechBotAssignLabelsOperator
from airflow_provider_cytechbot.operators.users import CyTechBotUpdateUsersOperator
from airflow_provider_cytechbot.transport import rate_limiter
from tests.task_instance import task_instance

from .answers import ok
from .fault_server import FaultServer
from .fault_table import FAULTS, NOTHING_DONE
from .key_forms import KEY, find_key
from .test_fault_matrix import IS_LONG, TIMEOUT

MAX_RETRIES = 1
#: Rows of each write, by number, and those that meet the fault.
ROWS = range(1, 6)
FAULTY = {"3", "4", "5"}
#: Seconds without an answer after which a run gives up, and that a cell with its retry may take.
GIVE_UP_AFTER, IN_TIME = 0.4, 8
#: The pauses of a rate limit begin at 0.02 s and are doubled, until a run gives up.
RATE_LIMIT_SENDS = 8
RATE_LIMITS = {
    "429",
    "429 with seconds",
    "429 with a date",
    "503 with seconds",
    # Rate limits for a write that may be repeated; a create may have happened.
    "429 after a success",
    "504 in gRPC's words",
}
#: Faults that pass: a write that may be repeated is sent again as often as allowed.
PASSING = {"reset", "close", "headers cut off", "truncated chunks", "500 as HTML", "502 as HTML"}


def email(number):
    return f"k{number}@example.com"


def contacts(numbers=ROWS, first_name="Ann"):
    return [{"id": f"{each}", "email": email(each), "first_name": first_name} for each in numbers]


SYNC = {"contact_type_id": "7", "key": "id", "sync_mode": "mirror", "max_delete_percent": 100}
#: By name: the operator, its parameters, the endpoint of its writes, and whether a state is there before.
WRITES = {
    "labels": (
        CyTechBotAssignLabelsOperator,
        {"page_id": "9", "label_ids": "5", "rows": [str(each) for each in ROWS]},
        "assign_label",
        False,
    ),
    "users": (
        CyTechBotUpdateUsersOperator,
        {"rows": [{"user_id": str(each), "name": f"Name {each}"} for each in ROWS]},
        "update_user",
        False,
    ),
    "create": (CyTechBotSyncContactsOperator, {**SYNC, "rows": contacts()}, "create_contact", False),
    "update": (
        CyTechBotSyncContactsOperator,
        {**SYNC, "rows": contacts(first_name="Zoe")},
        "update_contact",
        True,
    ),
    "delete": (CyTechBotSyncContactsOperator, {**SYNC, "rows": contacts([1])}, "delete_contact", True),
}


def endpoint_of(request):
    return request.path.removeprefix("/api/").split("/")[0]


def row_of(request):
    """Return the number of the row that a write is for. The ids of contacts end with it."""
    form = request.form
    if endpoint_of(request) == "create_contact":
        return form["email"][1]
    return (form.get("subscriber_id") or form.get("contact_id") or request.path)[-1]


def well(request):
    """Answer as the platform does."""
    match endpoint_of(request):
        case "get_all_labels":
            return ok('{"status":"success","label_info":[{"id":"5","label_name":"VIP","label_id":"5"}]}')
        case "get_contact_group":
            return ok('{"id":"7","type":"Customers","deleted":"0"}')
        case "get_contact":  # after a lost update, which had no effect
            number = request.query["contact_id"][-1]
            record = {"id": f"80{number}", "contact_type_id": "7", "phone_number": "", "last_name": ""}
            return ok(json.dumps({**record, "email": email(number), "first_name": "Ann", "deleted": "0"}))
        case "create_contact":
            return ok(json.dumps({"status": "success", "new_contact_id": f"80{row_of(request)}"}))
    return ok('{"status":"success","message":"done"}')


@pytest.fixture(scope="module")
def server():
    server = FaultServer()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def connection(monkeypatch, server):
    extra = {"timeout": TIMEOUT, "max_retries": MAX_RETRIES}
    connection = {"conn_type": "cytechbot", "host": server.base_url, "password": KEY, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps(connection))
    monkeypatch.setattr(runner, "GIVE_UP_AFTER", GIVE_UP_AFTER)
    monkeypatch.setattr(runner, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(pause, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(rate_limiter, "_LIMITERS", {})


def run(kind, folder, try_number=1, run_id="run"):
    """Run a try of a task, and return its error, its manifest and its report."""
    operator, fields, _, _ = WRITES[kind]
    pushed = {}
    report = folder / f"report-{run_id}-{try_number}.csv"
    task = operator(task_id="t", state_path=str(folder / "state"), report_path=str(report), **fields)
    error = None
    try:
        context = {"ti": task_instance(pushed, run_id=run_id, try_number=try_number)}
        pushed["return_value"] = task.execute(context)
    except CyTechBotError as raised:
        error = raised
    text = report.read_text()
    return error, pushed["return_value"], text, list(csv.DictReader(text.splitlines()))


@pytest.fixture(scope="module")
def synced(server, tmp_path_factory):
    """A folder with the state of a sync that has made all contacts; made once, and copied for each cell."""
    folder = tmp_path_factory.mktemp("synced")

    def copy(target):
        if not (folder / "state").exists():
            server.will_choose(well)
            assert run("create", folder, run_id="before")[0] is None
        shutil.copytree(folder / "state", target / "state")

    return copy


def cells():
    for number, fault in enumerate(FAULTS):
        kinds = list(WRITES) if IS_LONG else [list(WRITES)[number % len(WRITES)]]
        for kind in sorted({*kinds, "create"}) if not IS_LONG and fault in RATE_LIMITS else kinds:
            yield pytest.param(fault, kind, id=f"{fault}-{kind}")


def planned_rows(kind):
    """Return the numbers of the rows that are sent, if nothing is in the way."""
    return {str(each) for each in ROWS} - ({"1"} if kind == "delete" else set())


def check(kind, error, manifest, text, lines, holds_no_key):
    """Check what holds for each try, and return the outcome of each row."""
    counts = Counter(line["outcome"] for line in lines)
    found = {line["key"]: line["outcome"] for line in lines}
    assert set(found) == {str(each) for each in ROWS}
    assert len(lines) == manifest["rows"] == len(ROWS)
    assert manifest["counts"] == {each: counts[each] for each in outcomes.OUTCOMES}
    assert (error is None) is outcomes.is_complete(counts)
    for shown in (text, json.dumps(manifest), *(line["reason"] for line in lines)):
        assert not find_key(shown)
    for line in lines:
        assert "@" not in line["reason"]
    if error is not None:
        holds_no_key(error)
        assert "@" not in str(error)
        # A wrong key does not become right by itself.
        is_permanent = isinstance(error, CyTechBotAuthError)
        assert error.retryable is (outcomes.can_be_retried(counts) and not is_permanent)
    return found


@pytest.mark.parametrize(("fault", "kind"), list(cells()))
def test_cell(fault, kind, server, synced, tmp_path, holds_no_key, monkeypatch):
    _, _, endpoint, has_state = WRITES[kind]
    if has_state:
        synced(tmp_path)

    def choose(request):
        is_faulty = endpoint_of(request) == endpoint and row_of(request) in FAULTY
        return FAULTS[fault] if is_faulty else well(request)

    start = time.monotonic()
    server.will_choose(choose)
    found = check(kind, *run(kind, tmp_path), holds_no_key)
    writes = Counter(row_of(each) for each in server.requests if endpoint_of(each) == endpoint)
    is_sent_once = kind == "create" and fault not in NOTHING_DONE
    most = 1 if is_sent_once else RATE_LIMIT_SENDS if fault in RATE_LIMITS else 1 + MAX_RETRIES
    for row, sends in writes.items():
        assert sends <= (most if row in FAULTY else 1), row
        if row in FAULTY and fault in PASSING and not is_sent_once:
            assert sends == most, row
    for row, outcome in found.items():
        if outcome == outcomes.SUCCEEDED:
            assert writes[row] or has_state
        if outcome == outcomes.NOT_ATTEMPTED:
            assert not writes[row] or fault in RATE_LIMITS
        if outcome == outcomes.AMBIGUOUS:
            assert kind == "create"
            assert fault not in NOTHING_DONE
        if row not in FAULTY and writes[row]:
            assert outcome == outcomes.SUCCEEDED
        if row in FAULTY and writes[row] and is_sent_once:
            assert outcome == outcomes.AMBIGUOUS

    # The retry, with a server that is well again, finishes what can be finished, and doubles nothing.
    server.will_choose(well)
    monkeypatch.setattr(rate_limiter, "_LIMITERS", {})
    again = check(kind, *run(kind, tmp_path, try_number=2), holds_no_key)
    more = Counter(row_of(each) for each in server.requests if endpoint_of(each) == endpoint)
    lasting = {outcomes.REFUSED, outcomes.AMBIGUOUS, outcomes.INVALID}
    for row in planned_rows(kind):
        if found[row] in lasting:
            assert (again[row], more[row]) == (found[row], 0)
        else:
            assert again[row] in outcomes.DONE
            assert more[row] == (found[row] not in outcomes.DONE)
    assert time.monotonic() - start < IN_TIME
