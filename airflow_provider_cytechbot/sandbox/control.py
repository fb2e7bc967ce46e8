"""
The sandbox's own HTTP endpoints, outside the API. They want no key.

- `GET /_sandbox/faults`: the faults still to happen
- `POST /_sandbox/faults`: a fault, or a list of them, as JSON objects with the fields of `Fault`
- `DELETE /_sandbox/faults`: forget them all
- `GET /_sandbox/quirks`: the quirks that are on
- `POST /_sandbox/quirks`: `"all"`, `"none"` or a list of names, as JSON
- `POST /_sandbox/answers`: a subscriber answers; a JSON object of `flow_campaign_id`, `subscriber_id`,
  `question_id`, `answer`
- `GET /_sandbox/requests`: the journal: counts by endpoint, and the requests (`?endpoint=` for those of one)
- `POST /_sandbox/reset`: everything as it was at the start
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_cytechbot.sandbox.delivery import Answer
from airflow_provider_cytechbot.sandbox.faults import read_fault
from airflow_provider_cytechbot.sandbox.quirks import parse_quirks

if TYPE_CHECKING:
    from airflow_provider_cytechbot.sandbox.app import Sandbox

PREFIX = "/_sandbox/"


def answer(sandbox: Sandbox, method: str, path: str, query: Mapping[str, str], body: bytes) -> Answer:
    """Do what a control request asks; one that cannot be understood changes nothing and gets status 400."""
    try:
        payload = _act(sandbox, method, path.removeprefix(PREFIX).rstrip("/"), query, body)
    except KeyError as error:
        return _json({"error": f"there is no {error}"}, 400)
    except (ValueError, TypeError) as error:
        return _json({"error": str(error)}, 400)
    if payload is None:
        return _json({"error": f"there is no {method} {path}"}, 404)
    return _json(payload)


def _json(payload: Any, status: int = 200) -> Answer:
    return Answer.of(json.dumps(payload).encode() + b"\n", status=status)


def _act(sandbox: Sandbox, method: str, what: str, query: Mapping[str, str], body: bytes) -> Any:
    done = {"done": True}
    match method, what:
        case "GET", "faults":
            return [asdict(fault) for fault in sandbox.faults.waiting()]
        case "POST", "faults":
            given = json.loads(body)
            sandbox.add_faults([read_fault(each) for each in (given if isinstance(given, list) else [given])])
            return done
        case "DELETE", "faults":
            sandbox.faults.clear()
            return done
        case "GET", "quirks":
            return sorted(sandbox.quirks)
        case "POST", "quirks":
            sandbox.quirks = parse_quirks(json.loads(body))
            return done
        case "POST", "answers":
            given = json.loads(body)
            names = ("flow_campaign_id", "subscriber_id", "question_id", "answer")
            sandbox.state.answer(*(str(given[name]) for name in names))
            return done
        case "GET", "requests":
            journal = sandbox.journal.as_json()
            if "endpoint" in query:
                journal["requests"] = [
                    entry for entry in journal["requests"] if entry["endpoint"] == query["endpoint"]
                ]
            return journal
        case "POST", "reset":
            sandbox.reset()
            return done
    return None
