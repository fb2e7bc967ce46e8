"""The server's answers against every example on the vendor's page, word for word, types and key order too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_cytechbot.sandbox.endpoints.registry import ENDPOINTS
from airflow_provider_cytechbot.sandbox.server import SandboxServer

HERE = Path(__file__).parent
EMAIL = "test@example.com"
SUBSCRIBER = "134242424"
PAGE = "1123123123123"
LABELS = "6243946525492645,9452768492754035"


def _vendor_examples() -> dict[tuple[str, str, int], str]:
    """Read the page's examples: (endpoint, success or error, which of them) to the JSON."""
    examples = {}
    for section in (HERE / "vendor_examples.txt").read_text(encoding="utf-8").split("== ")[1:]:
        endpoint, _, rest = section.partition("\n")
        # What the page leaves out or hides is the page's, not the API's.
        rest = re.sub(r"^\s*// more$", "", rest, flags=re.MULTILINE).replace(", ...", "")
        rest = re.sub(r"\[email\sprotected\]", EMAIL, rest)
        for outcome, text in re.findall(
            r"(Success|Error) Result [Ee]xample ?:\n(.*?)(?=\n\w|\Z)", rest, flags=re.DOTALL
        ):
            for index, example in enumerate(re.split(r"\n\n(?=[{\[])", text.strip())):
                examples[endpoint, outcome.lower(), index] = example
    return examples


EXAMPLES = _vendor_examples()

# The request of each example: fields, an id in the path ("/"), the name that the page gives to campaign 1.
REQUESTS: dict[tuple[str, str, int], dict[str, str]] = {
    ("get_user_info", "success", 0): {"user_id": "39"},
    ("get_user_info", "error", 0): {"email": "nobody@example.com"},
    ("create_system_user", "success", 0): {
        "name": "n",
        "email": "n@example.com",
        "password": "p",
        "package_id": "16",
        "expired_date": "2030-01-31",
    },
    ("create_system_user", "error", 0): {
        "name": "n",
        "email": EMAIL,
        "password": "p",
        "package_id": "16",
        "expired_date": "2030-01-31",
    },
    ("update_user", "success", 0): {"/": "39", "name": "other"},
    ("update_user", "error", 0): {"/": "12", "name": "other"},
    ("get_all_packages", "success", 0): {},
    ("get_all_packages", "error", 0): {"api_key": "wrong"},
    ("subscriber_information", "success", 0): {"subscriber_id": SUBSCRIBER},
    ("subscriber_information", "error", 0): {"subscriber_id": "1"},
    ("get_all_labels", "success", 0): {"page_id": "2"},
    ("get_all_labels", "error", 0): {"page_id": "3"},
    ("create_label", "success", 0): {"label_name": "New", "page_id": PAGE},
    ("create_label", "error", 0): {"label_name": "New", "page_id": "3"},
    ("assign_label", "success", 0): {"label_ids": LABELS, "page_id": PAGE, "subscriber_id": SUBSCRIBER},
    ("assign_label", "error", 0): {"label_ids": LABELS, "page_id": PAGE, "subscriber_id": "1"},
    ("assign_label", "error", 1): {"label_ids": LABELS, "page_id": "3", "subscriber_id": SUBSCRIBER},
    ("get_contact_group", "success", 0): {"contact_type_id": "4567"},
    ("get_contact_group", "error", 0): {},
    ("create_contact_group", "success", 0): {"name": "New"},
    ("create_contact_group", "error", 0): {},
    ("update_contact_group", "success", 0): {"/": "4567", "name": "Other"},
    ("update_contact_group", "error", 0): {"/": "4567"},
    ("delete_contact_group", "success", 0): {"contact_type_id": "2"},
    ("delete_contact_group", "error", 0): {},
    ("get_contact", "success", 0): {"contact_id": "233"},
    ("get_contact", "error", 0): {"contact_id": "1"},
    ("create_contact", "success", 0): {"contact_type_id": "67", "email": "new@example.com"},
    ("create_contact", "error", 0): {"contact_type_id": "67", "first_name": "f"},
    ("create_contact", "error", 1): {"contact_type_id": "1", "email": "new@example.com"},
    ("update_contact", "success", 0): {"/": "233", "first_name": "other"},
    ("update_contact", "error", 0): {"/": "233"},
    ("update_contact", "error", 1): {"/": "1", "first_name": "other"},
    ("delete_contact", "success", 0): {"contact_id": "3"},
    ("delete_contact", "error", 0): {"contact_id": "1"},
    ("get_flow_campaigns", "success", 0): {},
    ("get_flow_campaign_info", "success", 0): {"flow_campaign_id": "1", "campaign 1": "serial check"},
    ("get_flow_campaign_info", "error", 0): {},
    ("get_single_subscriber_flow_info", "success", 0): {
        "flow_campaign_id": "1",
        "subscriber_id": "2499454673490220",
    },
    ("get_single_subscriber_flow_info", "error", 0): {
        "flow_campaign_id": "4",
        "subscriber_id": "2499454673490220",
    },
    ("get_all_subscriber_flow_info", "success", 0): {"flow_campaign_id": "1", "campaign 1": "serial check"},
}


@pytest.fixture(scope="module")
def vendor_server() -> Iterator[SandboxServer]:
    with SandboxServer(data=HERE / "vendor_seed.json") as server:
        yield server


@pytest.fixture
def server(vendor_server: SandboxServer) -> SandboxServer:
    vendor_server.reset()
    return vendor_server


def test_requests_cover_each_example_of_the_page():
    assert set(REQUESTS) == set(EXAMPLES)
    assert {endpoint for endpoint, _, _ in EXAMPLES} == set(ENDPOINTS)


@pytest.mark.parametrize(("endpoint", "outcome", "index"), list(EXAMPLES))
def test_answer_equals_the_example(server, client, endpoint, outcome, index):
    fields = dict(REQUESTS[endpoint, outcome, index])
    path_id = fields.pop("/", None)
    if "campaign 1" in fields:
        # The page calls campaign 1 by two names.
        server.state.campaigns["1"].flow_name = fields.pop("campaign 1")
    send = client.post if ENDPOINTS[endpoint].write else client.get

    response = send(f"{endpoint}/{path_id}" if path_id else endpoint, **fields)

    assert response.status_code == 200
    # As text: dicts compare equal whatever the order of their keys, and 1 equals true.
    assert json.dumps(json.loads(response.content)) == json.dumps(
        json.loads(EXAMPLES[endpoint, outcome, index])
    )
