"""What the distributed tests share: the API, an object store, and an Airflow of many processes."""

from __future__ import annotations

import json
import re
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from airflow_provider_cytechbot.sandbox.seed import built_in_seed
from airflow_provider_cytechbot.sandbox.server import SandboxServer
from tests.integration.mailbox import mailbox
from tests.integration.object_store import SECRET_KEY, object_store
from tests.integration.test_example_dags import RUN_AS

from .needed_programs import why_not

#: Secrets with characters that each encoding writes in another way.
API_KEY = "1-k y/a+b%c&=ü"
PASSWORD = 'pass w/o"rd+%&=ß'
EXAMPLE_PASSWORD = "s3cret+of the/example"
SECRETS = {"API key": API_KEY, "password": PASSWORD, "example's password": EXAMPLE_PASSWORD, "S3": SECRET_KEY}
EXPORTED_SUBSCRIBERS = 100_000
#: Eight in both workers: enough for all tasks that wait when one worker is killed. None is in between then.
SLOTS = 4
#: Subscribers without answers, for waits, events and labels.
SUBSCRIBERS = [f"2499454673500{number:04d}" for number in range(1, 401)]
DAGS = Path(__file__).parent / "dags"
EXAMPLES = Path(__file__).parents[2] / "example_dags"


@pytest.fixture(scope="session")
def stopped_in_any_case():
    """Let a termination end the tests as an interrupt does: with all servers stopped."""
    if reason := why_not():
        pytest.exit(reason, returncode=1)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def api(stopped_in_any_case):
    """A CyTechBot server with a large campaign, and two that nobody has answered yet."""
    seed = built_in_seed()
    page_id = seed["pages"][0]["page_id"]
    model = dict(seed["subscribers"][0])
    seed["subscribers"] = [
        *seed["subscribers"],
        *(model | {"subscriber_id": each, "page_id": page_id, "label_ids": []} for each in SUBSCRIBERS),
    ]
    question = {"question_id": "1", "question": "How?"}
    seed["flow_campaigns"] = [
        *seed["flow_campaigns"],
        *({"id": each, "flow_name": f"Campaign {each}", "questions": [question]} for each in ("8", "9")),
    ]
    with SandboxServer(data=seed, api_key=API_KEY, subscribers=EXPORTED_SUBSCRIBERS) as server:
        yield server


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """A real S3 server."""
    with object_store(tmp_path_factory.mktemp("weed")) as store:
        yield store


@pytest.fixture(scope="session")
def home():
    """A folder that PostgreSQL's own user may enter, which pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="distributed-airflow-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def post():
    """A mail server, for the examples that send mail."""
    with mailbox() as found:
        yield found


@pytest.fixture(scope="session")
def airflow(api, store, post, home):
    """The distributed Airflow."""
    from .cluster import Cluster

    dags = home / "dags"
    dags.mkdir()
    for file in DAGS.glob("*.py"):
        shutil.copy(file, dags)
    env = {
        # The server withholds answers for a while.
        "AIRFLOW_CONN_CYTECHBOT_DEFAULT": api.connection_json(timeout=300),
        "AIRFLOW_CONN_AWS_DEFAULT": store.connection(),
        "AIRFLOW_CONN_SMTP_DEFAULT": post.connection(),
        "AIRFLOW_VAR_NEW_PASSWORD": PASSWORD,
    }
    for dag_id, example in RUN_AS.items():
        text = (EXAMPLES / f"{dag_id}.py").read_text().replace("/tmp/cytechbot", str(home / "examples"))
        for old, new in example.replace.items():
            text = text.replace(old, new)
        # All run at the same time, so each has a warehouse and contacts of its own. Without a schedule: once.
        text = text.replace('"warehouse"', f'"warehouse_{dag_id}"')
        text = re.sub(r"@(shop\.example|example\.com)", f"@{dag_id.replace('_', '-')}.example", text)
        (dags / f"{dag_id}.py").write_text(re.sub(r'schedule="[^"]+"', "schedule=None", text))
        folder = home / "runs" / dag_id
        folder.mkdir(parents=True)
        for name, value in {**example.env, **example.prepare(folder)}.items():
            env[name.replace("CONN_WAREHOUSE", f"CONN_WAREHOUSE_{dag_id.upper()}")] = value
    env["AIRFLOW_VAR_CYTECHBOT_INITIAL_PASSWORD"] = EXAMPLE_PASSWORD
    assert json.loads(env["AIRFLOW_CONN_CYTECHBOT_DEFAULT"])["password"] == API_KEY
    with Cluster(dags, home, env, slots=SLOTS) as cluster:
        yield cluster
