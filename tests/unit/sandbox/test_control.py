from __future__ import annotations

import pytest

from airflow_provider_cytechbot.sandbox.quirks import Quirk


@pytest.fixture
def control(server, client):
    def send(method, what, **options):
        return client.session.request(method, f"{server.url}/_sandbox/{what}", timeout=5, **options)

    return send


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
        (b'[{"kind": "gzip"}, 3]', "[1] must be an object"),
        (b'[{"kind": "gzip"}, {"kind": "odd"}]', "[1] kind: there is no 'odd'; known are"),
        (b"nonsense", "the body is not JSON: Expecting value"),
        (b"\xff", "the body is not UTF-8 text"),
        (b"", "the body is not JSON: Expecting value"),
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


def test_null_answer_is_answered_as_null(client, control):
    fields = {"flow_campaign_id": 2, "subscriber_id": 77, "question_id": 51, "answer": None}
    assert control("POST", "answers", json=fields).json() == {"done": True}
    data = client.read("get_all_subscriber_flow_info", flow_campaign_id="2")["data"]
    assert [answer["answer"] for answer in data["77"]] == [None]
    single = client.read("get_single_subscriber_flow_info", flow_campaign_id="2", subscriber_id="77")
    assert single["data"] == data["77"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"flow_campaign_id": "48"}, "flow_campaign_id: there is no flow campaign '48'; known are 1, 2, 3"),
        ({"question_id": "1"}, "question_id: there is no question in campaign 2 '1'; known are 51, 52"),
        ({"flow_campaign_id": None}, "flow_campaign_id: must be text, not null"),
        ({"subscriber_id": None}, "subscriber_id: must be text, not null"),
        ({"question_id": ["51"]}, 'question_id: must be text, not ["51"]'),
        ({"answer": True}, "answer: must be text or null, not true"),
        ({"answer": {"a": 1}}, 'answer: must be text or null, not {"a": 1}'),
        (
            {"text": "x"},
            "text: there is no field 'text'; known are flow_campaign_id, subscriber_id, question_id, answer",
        ),
    ],
)
def test_wrong_answer_is_explained(server, control, changed, message):
    answer = {"flow_campaign_id": "2", "subscriber_id": "77", "question_id": "51", "answer": "Yes"}
    response = control("POST", "answers", json={**answer, **changed})
    assert (response.status_code, response.json()) == (400, {"error": message})
    assert not server.state.campaigns["2"].answers


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"answer": "x"}, "flow_campaign_id: is required"),
        ([], "must be an object of flow_campaign_id, subscriber_id, question_id, answer"),
        (3, "must be an object of flow_campaign_id, subscriber_id, question_id, answer"),
    ],
)
def test_answer_that_is_not_whole_is_explained(control, body, message):
    response = control("POST", "answers", json=body)
    assert (response.status_code, response.json()) == (400, {"error": message})


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("endpoint=get_nothing", "endpoint: there is no endpoint 'get_nothing'; known are get_user_info, "),
        ("endpont=get_contact", "endpont: there is no parameter 'endpont'; known are endpoint"),
    ],
)
def test_wrong_query_is_explained(control, query, message):
    response = control("GET", f"requests?{query}")
    assert response.status_code == 400
    assert response.json()["error"].startswith(message)


def test_requests_outside_the_api_are_found_by_their_path(server, client, control):
    client.session.get(f"{server.url}/login", timeout=5)
    (request,) = control("GET", "requests?endpoint=/login").json()["requests"]
    assert request["path"] == "/login"


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
    for method, path in (("GET", "nothing"), ("GET", "reset"), ("PUT", "faults")):
        response = control(method, path)
        assert response.status_code == 404
        assert response.json()["error"].startswith(
            f"there is no {method} /_sandbox/{path}; known are GET /_sandbox/faults, "
        )
