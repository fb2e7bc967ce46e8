"""`make demo`, in a clone of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version

import pytest

from .dag_runs import EXAMPLES, ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def clone(tmp_path):
    """What the demo needs of a clone, in a folder with an awkward name."""
    clone = tmp_path / "a clone, 100% mine"
    shutil.copytree(EXAMPLES, clone / "example_dags", ignore=shutil.ignore_patterns("__pycache__"))
    (clone / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "demo.py", clone / "scripts")
    return clone


def start(clone):
    return subprocess.Popen(
        [sys.executable, str(clone / "scripts" / "demo.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        # What a shell runs in the background ignores interrupts, these tests too; a terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def sandbox_of(clone):
    """Return the process id of the demo's sandbox, once it is ready."""
    ready = clone / ".airflow" / "demo" / "sandbox.json"
    for _ in range(600):
        if ready.exists():
            return json.loads(ready.read_text())["pid"]
        time.sleep(0.1)
    raise AssertionError("the sandbox did not start")


def test_shows_files_rows_and_manifest_and_stops_what_it_started(clone):
    demo = start(clone)
    sandbox = sandbox_of(clone)
    output, errors = demo.communicate(timeout=300)
    assert demo.returncode == 0, errors
    assert "answers.jsonl.gz  (" in output
    assert (
        '{"flow_campaign_id":"100","flow_name":"Large campaign","subscriber_id":"24994546734000000"' in output
    )
    assert '"subscribers": 10000' in output
    assert '"rows": 50000' in output
    assert "Exported flow campaign 100: 10000 subscribers, 50000 rows" in output
    assert is_gone(sandbox)


def test_interrupted_stops_what_it_started(clone):
    demo = start(clone)
    sandbox = sandbox_of(clone)
    os.killpg(demo.pid, signal.SIGINT)  # as a terminal does
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert errors.strip() == "make demo stopped, and the sandbox with it."
    assert is_gone(sandbox)


def test_the_error_of_a_failing_step_names_what_to_do(clone):
    (clone / "example_dags" / "cytechbot_export_flow_answers.py").write_text("1 / 0")
    home = clone / ".airflow" / "demo"
    home.mkdir(parents=True)
    (home / f"airflow.db.made-{version('apache-airflow')}").touch()  # no need to wait for a database here
    demo = start(clone)
    output, errors = demo.communicate(timeout=300)
    assert demo.returncode == 1
    assert (
        f"airflow dags test failed. The whole log is {(home / 'dags-test.log').relative_to(clone)}" in errors
    )
    assert "Traceback" not in output


def is_gone(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False
