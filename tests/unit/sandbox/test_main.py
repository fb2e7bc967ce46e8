"""The command line: a process of its own where signals and output count, this one where arguments do."""

from __future__ import annotations

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import requests

from airflow_provider_cytechbot.sandbox.__main__ import main

COMMAND = [sys.executable, "-m", "airflow_provider_cytechbot.sandbox"]


@contextmanager
def running(*arguments):
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_a_signal(tmp_path, ending):
    ready_file = tmp_path / "ready.json"
    key = "1-my key's/+"
    arguments = ["--api-key", key, "--subscribers", "3", "--quirks", "id_for_question_id"]
    fault = "endpoint=get_flow_campaigns,kind=status,status=503"
    with running(*arguments, "--fault", fault, "--ready-file", str(ready_file)) as process:
        line = process.stdout.readline()
        expected = dict(word.split("=", 1) for word in shlex.split(line.partition(": ")[2]))
        assert expected["api_key"] == key
        assert json.loads(ready_file.read_text()) == {
            "url": expected["url"],
            "api_key": key,
            "member_api_key": expected["member_api_key"],
            "port": int(expected["url"].split(":")[2].split("/")[0]),
            "pid": process.pid,
        }
        assert ready_file.stat().st_mode & 0o077 == 0
        assert list(tmp_path.iterdir()) == [ready_file]

        def get(endpoint, **fields):
            return requests.get(
                f"{expected['url']}/{endpoint}/", params={"api_key": key, **fields}, timeout=5
            )

        assert get("get_flow_campaigns").status_code == 503
        assert len(get("get_flow_campaigns").json()) == 4
        data = get("get_all_subscriber_flow_info", flow_campaign_id="100").json()["data"]
        assert [list(answers[0]) for answers in data.values()] == [["id", "question", "answer"]] * 3

        process.send_signal(ending)
        started = time.monotonic()
        out, err = process.communicate(timeout=5)
        assert time.monotonic() - started < 2
        assert (process.returncode, out, err) == (0, "", "")
        assert not ready_file.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fault", "kind=odd"], r"--fault kind: there is no 'odd'"),
        (["--fault", "kind=gzip,endpoint=odd"], r"--fault endpoint: there is no 'odd'"),
        (["--quirks", "odd"], r"--quirks: there is no 'odd'"),
        (["--subscribers", "-1"], r"--subscribers: must be 1 to 1,000,000"),
        (["--data", "missing.json"], r"--data missing.json: No such file"),
    ],
)
def test_mistakes_take_one_line(capsys, arguments, message):
    assert main(["--port", "0", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(rf"sandbox: {message}.*\n", captured.err)


def test_bad_data_names_the_field(tmp_path, capsys):
    path = tmp_path / "seed.json"
    path.write_text('{"users": [{"id": "1"}]}')
    assert main(["--port", "0", "--data", str(path)]) == 2
    assert capsys.readouterr().err == f"sandbox: --data {path}: users[0].email: is required\n"


@pytest.mark.parametrize("port", [None, 70_000])
def test_port_that_cannot_be_had(capsys, port):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--port", str(port or taken.getsockname()[1])]) == 1
    assert "--port 0 takes a free one\n" in capsys.readouterr().err


def test_uvicorn_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["--port", "0"]) == 1
    assert "pip install 'airflow-provider-cytechbot[sandbox]'" in capsys.readouterr().err
