from __future__ import annotations

import subprocess
import sys

CONFTEST = 'pytest_plugins = ["airflow_provider_cytechbot.sandbox.pytest_plugin"]\n'
TESTS = """
import requests

def send(sandbox):
    url = f"{sandbox.base_url}/get_flow_campaigns/"
    return requests.get(url, params={"api_key": sandbox.api_key}, timeout=5)

def test_first(cytechbot_sandbox):
    cytechbot_sandbox.state.campaigns.clear()
    assert send(cytechbot_sandbox).json() == []

def test_second(cytechbot_sandbox):
    assert cytechbot_sandbox.journal.received() == 0
    assert len(send(cytechbot_sandbox).json()) == 3
"""


def test_fixture_in_somebody_s_tests(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
