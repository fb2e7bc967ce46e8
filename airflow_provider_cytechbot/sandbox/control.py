"""
The sandbox's own HTTP endpoints, outside the API. They need no key.

- `GET /_sandbox/faults`: the faults still to happen
- `POST /_sandbox/faults`: a fault, or a list of them, as JSON objects with the fields of `Fault`
- `DELETE /_sandbox/faults`: remove all faults
- `GET /_sandbox/quirks`: the quirks that are on
- `POST /_sandbox/quirks`: `"all"`, `"none"` or a list of names, as JSON
- `POST /_sandbox/answers`: a subscriber's answer; a JSON object of `flow_campaign_id`, `subscriber_id`,
  `question_id`, `answer` (text or null)
- `GET /_sandbox/requests`: the journal: counts by endpoint, and the requests (`?endpoint=` for those of one)
- `POST /_sandbox/reset`: return to the start

A request that cannot be understood changes nothing and gets status 400, an unknown path 404. The answer is
`{"error": ...}`, one line that names the field and what is known in its place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.sandbox.delivery import Answer
from airflow_provider_cytechbot.sandbox.endpoints.registry import ENDPOINTS
from airflow_provider_cytechbot.sandbox.faults import FaultError, read_fault
from airflow_provider_cytechbot.sandbox.quirks import parse_quirks
from airflow_provider_cytechbot.sandbox.records import listed
from airflow_provider_cytechbot.sandbox.seed import DataError, read_text, require_known

if TYPE_CHECKING:
    from airflow_provider_cytechbot.sandbox.installation import Installation

PREFIX = "/_sandbox/"
DONE = {"done": True}
ANSWER_FIELDS = ("flow_campaign_id", "subscriber_id", "question_id", "answer")

Query = Mapping[str, str]


def answer(installation: Installation, method: str, path: str, query: Query, body: bytes) -> Answer:
    """Answer a control request."""
    action = _ACTIONS.get((method, path.removeprefix(PREFIX).rstrip("/")))
    if action is None:
        known = ", ".join(f"{method} {PREFIX}{name}" for method, name in _ACTIONS)
        return _json({"error": f"there is no {method} {path}; known are {known}"}, 404)
    try:
        return _json(action(installation, query, body))
    except ValueError as error:
        return _json({"error": str(error)}, 400)


def _json(payload: Any, status: int = 200) -> Answer:
    return Answer.of(json.dumps(payload).encode() + b"\n", status=status)


def _read_body(body: bytes) -> Any:
    try:
        return json.loads(body)
    except UnicodeDecodeError:
        raise DataError("the body is not UTF-8 text") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"the body is not JSON: {error}") from None


def _list_faults(installation: Installation, query: Query, body: bytes) -> Any:
    return [asdict(fault) for fault in installation.faults.pending()]


def _add_faults(installation: Installation, query: Query, body: bytes) -> Any:
    given = _read_body(body)
    if not isinstance(given, list):
        installation.add_faults([read_fault(given)])
        return DONE
    faults = []
    for index, each in enumerate(given):
        try:
            faults.append(read_fault(each))
        except FaultError as error:
            raise FaultError(f"[{index}] {error}") from None
    installation.add_faults(faults)
    return DONE


def _clear_faults(installation: Installation, query: Query, body: bytes) -> Any:
    installation.faults.clear()
    return DONE


def _list_quirks(installation: Installation, query: Query, body: bytes) -> Any:
    return sorted(installation.quirks)


def _set_quirks(installation: Installation, query: Query, body: bytes) -> Any:
    installation.quirks = parse_quirks(_read_body(body))
    return DONE


def _store_answer(installation: Installation, query: Query, body: bytes) -> Any:
    given = _read_body(body)
    if not isinstance(given, dict):
        raise DataError(f"must be an object of {listed(ANSWER_FIELDS)}")
    for name in given:
        require_known(name, dict.fromkeys(ANSWER_FIELDS), "field", name)
    for name in ANSWER_FIELDS:
        if name not in given:
            raise DataError(f"{name}: is required")
    flow_campaign_id, subscriber_id, question_id = (
        read_text(given[name], name) for name in ANSWER_FIELDS[:-1]
    )
    installation.state.answer(flow_campaign_id, subscriber_id, question_id, given["answer"])
    return DONE


def _list_requests(installation: Installation, query: Query, body: bytes) -> Any:
    journal = installation.journal.as_json()
    for name in query:
        require_known(name, {"endpoint": ""}, "parameter", name)
    if "endpoint" in query:
        # Requests outside the API are in the journal under their path.
        require_known(query["endpoint"], {**ENDPOINTS, **journal["counts"]}, "endpoint", "endpoint")
        journal["requests"] = [
            entry for entry in journal["requests"] if entry["endpoint"] == query["endpoint"]
        ]
    return journal


def _reset(installation: Installation, query: Query, body: bytes) -> Any:
    installation.reset()
    return DONE


_ACTIONS: dict[tuple[str, str], Callable[[Installation, Query, bytes], Any]] = {
    ("GET", "faults"): _list_faults,
    ("POST", "faults"): _add_faults,
    ("DELETE", "faults"): _clear_faults,
    ("GET", "quirks"): _list_quirks,
    ("POST", "quirks"): _set_quirks,
    ("POST", "answers"): _store_answer,
    ("GET", "requests"): _list_requests,
    ("POST", "reset"): _reset,
}
