from __future__ import annotations

import pytest

from airflow_provider_cytechbot.sandbox.quirks import Quirk


@pytest.fixture
def control(server, client):
    def ask(method, what, **options):
        return client.session.request(method, f"{server.url}/_sandbox/{what}", timeout=5, **options)

    return ask


def test_faults(client, control):
    given = [{"kind": "status", "endpoint": "get_contact", "status": 503}, {"kind": "gzip", "times": -1}]
    assert control("POST", "faults", json=given).json() == {"done": True}
    waiting = control("GET", "faults").json()
    assert [(fault["kind"], fault["endpoint"], fault["times"]) for fault in waiting] == [
        ("status", "get_contact", 1),
        ("gzip", "all", -1),
    ]
    assert client.get("get_contact").status_code == 503
    assert client.get("get_contact").headers["content-encoding"] == "gzip"
    assert control("DELETE", "faults").status_code == 200
    assert "content-encoding" not in client.get("get_contact").headers


def test_control_has_no_faults_and_no_journal(server, control):
    server.fault("status", times=-1, status=500)
    assert control("GET", "requests").status_code == 200
    assert server.journal.received() == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"kind": "odd"}', "kind: there is no 'odd'"),
        (
            b'[{"kind": "gzip"}, {"kind": "gzip", "endpoint": "get_nothing"}]',
            "endpoint: there is no 'get_nothing'",
        ),
        (b'[{"kind": "gzip"}, 3]', "must be an object"),
        (b"nonsense", "Expecting value"),
    ],
)
def test_mistake_changes_nothing(control, body, message):
    response = control("POST", "faults", data=body)
    assert response.status_code == 400
    assert message in response.json()["error"]
    assert control("GET", "faults").json() == []


def test_quirks(server, control):
    control("POST", "quirks", json=["json_as_html"])
    assert server.quirks == {Quirk.JSON_AS_HTML}
    assert control("GET", "quirks").json() == ["json_as_html"]
    for wrong in (["odd"], 3, [3]):
        assert control("POST", "quirks", json=wrong).status_code == 400
    assert server.quirks == {Quirk.JSON_AS_HTML}


def test_answers(server, control):
    answer = {"flow_campaign_id": "2", "subscriber_id": "77", "question_id": "51", "answer": "Yes"}
    assert control("POST", "answers", json=answer).status_code == 200
    assert server.state.campaigns["2"].answers_of("77") == {"51": "Yes"}
    for wrong in ({**answer, "question_id": "1"}, {"answer": "x"}, [], 3):
        assert control("POST", "answers", json=wrong).status_code == 400


def test_requests(client, control):
    client.get("get_contact", contact_id="1")
    client.post("create_contact_group", name="x")
    journal = control("GET", "requests").json()
    assert journal["counts"] == {
        "get_contact": {"received": 1, "took_effect": 0},
        "create_contact_group": {"received": 1, "took_effect": 1},
    }
    assert [entry["endpoint"] for entry in journal["requests"]] == ["get_contact", "create_contact_group"]
    one = control("GET", "requests?endpoint=get_contact").json()
    assert [(entry["query"], entry["key_in"]) for entry in one["requests"]] == [
        ({"contact_id": "1"}, "query")
    ]


def test_reset(server, client, control):
    client.post("delete_contact", contact_id="1")
    server.fault("gzip")
    server.quirks = "all"
    assert control("POST", "reset").status_code == 200
    assert client.read("get_contact", contact_id="1")["id"] == "1"
    assert server.quirks == frozenset()
    assert server.journal.received() == 1


def test_unknown(control):
    assert control("GET", "nothing").status_code == 404
    assert control("GET", "reset").status_code == 404
