from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import requests

from airflow_provider_cytechbot.sandbox.journal import Journal
from airflow_provider_cytechbot.sandbox.server import SandboxServer

KEY = "1-s3cret key/+=é"


def record(journal, endpoint="get_contact", **changed):
    request = {
        "endpoint": endpoint,
        "method": "GET",
        "path": f"/api/{endpoint}/",
        "query": {},
        "form": {},
        "user_agent": "",
        "client_port": 1,
        "fault": None,
    }
    return journal.record(**{**request, **changed})


def test_counts():
    journal = Journal([])
    record(journal)
    entry = record(journal, "create_contact")
    journal.record_outcome(entry, outcome="success", took_effect=True)
    entry = record(journal, "create_contact", fault="gzip")
    journal.record_outcome(entry, outcome="error", took_effect=False)
    assert (journal.received(), journal.received("create_contact"), journal.received("x")) == (3, 2, 0)
    assert (journal.took_effect(), journal.took_effect("create_contact"), journal.took_effect("x")) == (
        1,
        1,
        0,
    )
    assert [entry.number for entry in journal.requests()] == [1, 2, 3]
    assert [(e.outcome, e.fault) for e in journal.requests("create_contact")] == [
        ("success", None),
        ("error", "gzip"),
    ]
    assert journal.as_json()["counts"] == {
        "get_contact": {"received": 1, "took_effect": 0},
        "create_contact": {"received": 2, "took_effect": 1},
    }
    journal.clear()
    assert journal.as_json() == {"counts": {}, "requests": []}


def test_where_the_key_was_sent():
    journal = Journal([])
    key = {"api_key": "k"}
    entries = [record(journal, query=query, form=form) for query in ({}, key) for form in ({}, key)]
    assert [entry.key_in for entry in entries] == [None, "form", "query", "both"]


def test_key_is_kept_in_no_form():
    journal = Journal([KEY])
    forms = [KEY, quote(KEY, safe=""), quote_plus(KEY)]
    for form in forms:
        record(
            journal,
            form,
            path=f"/api/{form}",
            query={"api_key": form, "name": f"x{form}y", form: "1"},
            form={"api_key": form, "password": "pw", "email": form},
            user_agent=form,
        )
    kept = json.dumps(journal.as_json(), ensure_ascii=False)
    assert "s3cret" not in kept
    assert "pw" not in kept
    assert journal.requests()[0].query["name"] == "x***y"


def test_key_of_a_running_server_is_not_kept():
    with SandboxServer(api_key=KEY) as server:
        for key in (KEY, "some-wrong-key"):
            requests.get(
                f"{server.base_url}/get_contact/", params={"api_key": key, "contact_id": key}, timeout=5
            )
        requests.get(f"{server.base_url}/{quote(KEY, safe='')}", timeout=5)
        kept = requests.get(f"{server.url}/_sandbox/requests", timeout=5).text
        assert server.journal.received() == 3
        assert "s3cret" not in kept
        assert server.requests()[0].outcome == "error"
        assert server.requests()[1].query == {"contact_id": "some-wrong-key"}
