"""
Follows README and docs as a reader would.

What a page names and only its reader has, such as an address and a key, is replaced by a sandbox's. The
Python of a page makes one DAG, which runs. What has a file's name becomes that file; pytest runs the tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from itertools import chain, pairwise
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING
from urllib.parse import quote

import duckdb
import pytest
import yaml
from packaging.requirements import Requirement

from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook

from .doc_blocks import DOCS, EXAMPLES, ROOT, commands

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_cytechbot.sandbox.server import SandboxServer

    from .dag_runs import DagRunner
    from .doc_blocks import Block

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
BENCHMARKS = "".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
#: The address of the sandbox on the pages.
SANDBOX_URL = "http://127.0.0.1:8765"
DAG_HEAD = """\
from airflow.providers.common.compat.sdk import DAG

with DAG("page", schedule=None):
    ...
"""


class PageReader:
    """
    Follows a page, block after block, in a folder of its own.

    :param folder: The folder, which is empty.
    :param sandbox: The API.
    :param dag_runner: The Airflow.
    """

    def __init__(self, folder: Path, sandbox: SandboxServer, dag_runner: DagRunner) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.dag_runner = dag_runner
        self.env = {
            "AIRFLOW_CONN_CYTECHBOT_DEFAULT": sandbox.connection_json(),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": self.make_warehouse()}),
        }
        #: The output of the last command.
        self.output = ""
        self.code: list[str] = []
        dag_runner.reset()

    def make_warehouse(self) -> str:
        """Make a database with the table that the pages read, and return its path."""
        path = self.folder / "warehouse.db"
        with closing(sqlite3.connect(path)) as database:
            database.executescript(
                "CREATE TABLE likely_buyers (subscriber_id INTEGER, segment TEXT);"
                "INSERT INTO likely_buyers VALUES (24994546734902201, 'Likely buyer'), "
                "(24994546734902203, 'Regular');"
            )
        return str(path)

    def read_page(self, blocks: Iterable[Block]) -> None:
        """Follow each block, then run what they have put together."""
        for block in blocks:
            self.read(block)
        if self.code:
            self.run_dags()
        if list(self.folder.glob("test_*.py")):
            self.run_tests()

    def read(self, block: Block) -> None:
        """Follow a block."""
        kinds = {
            "python": self.python,
            "console": self.console,
            "sql": self.sql,
            "json": self.json,
            "text": self.text,
            "none": self.untested,
            "yaml": self.yaml,
        }
        assert block.language in kinds, f"{block.where}: nothing runs a block of the kind {block.language!r}"
        text = self.adapt(block.text)
        if block.file:
            (self.folder / block.file).write_text(text)
        kinds[block.language](text, block)

    def adapt(self, text: str) -> str:
        """Put the sandbox, and the folder, in the place of what only a reader has."""
        for url, ours in {
            "https://cytechbot.com/api": self.sandbox.base_url,
            SANDBOX_URL: self.sandbox.url,
        }.items():
            for form in (str, lambda each: quote(each, safe="")):
                text = text.replace(form(url), form(ours))
        text = text.replace("YOUR_API_KEY", self.sandbox.api_key).replace("/opt/airflow", str(self.folder))
        text = text.replace("/tmp/cytechbot", str(self.folder))
        return text.replace("s3://aws_default@my-bucket", self.folder.as_uri())

    # Blocks, by kind.

    def python(self, text: str, block: Block) -> None:
        if not block.file:
            self.code.append(text)

    def console(self, text: str, block: Block) -> None:
        for program, *arguments in commands(text):
            assert not {"|", "&&", ";", "&"}.intersection(arguments), (
                f"{block.where}: one command a line, please"
            )
            run = getattr(self, f"run_{Path(program).name}", None)
            assert run, f"{block.where}: nothing runs the command {program}"
            run(*arguments)

    def sql(self, text: str, block: Block) -> None:
        """Query DuckDB, over the files that the example writes to that place."""
        example = self.dag_runner.run(
            "cytechbot_export_to_s3", conf={"folder": self.folder.as_uri()}, env=self.env
        )
        assert example.state == "success", example.log
        rows = duckdb.sql(text.replace("s3://bucket/cytechbot", str(self.folder))).fetchall()
        assert len(rows) > 3
        self.dag_runner.reset()

    def json(self, text: str, block: Block) -> None:
        assert block.file, f"{block.where}: name the file in its caption"
        json.loads(text)

    def yaml(self, text: str, block: Block) -> None:
        """Check a mapping of statsd-exporter: it has a label for each part of a metric's name."""
        for mapping in yaml.safe_load(text)["mappings"]:
            places = [f"${number}" for number, _ in enumerate(re.findall(r"\*", mapping["match"]), start=1)]
            assert list(mapping["labels"].values()) == places
            assert re.fullmatch(r"airflow\.cytechbot\.[a-z_]+[.*]+", mapping["match"])

    def text(self, text: str, block: Block) -> None:
        """Compare with the output of the command before it."""
        expected = re.escape(text.strip()).replace(r"\.\.\.", ".*")
        assert re.search(expected, self.output), f"{block.where}: the output was {self.output!r}"

    def untested(self, text: str, block: Block) -> None:
        """Leave out what only another system runs; its page must state so."""
        page = (DOCS / block.where.rpartition(":")[0]).read_text()
        assert "not tested here" in page, f"{block.where}: the page does not state that this is not tested"

    # Commands.

    def run_make(self, *arguments: str) -> None:
        for argument in arguments:
            name, is_setting, _ = argument.partition("=")
            known = rf"\$\({name}\)" if is_setting else rf"^{name}:"
            assert re.search(known, MAKEFILE, re.MULTILINE), f"make has no target {name}"

    def run_pip(self, command: str, *arguments: str) -> None:
        assert command == "install"
        extras = PROJECT["optional-dependencies"]
        known = {Requirement(each).name for each in chain(PROJECT["dependencies"], *extras.values())}
        known |= set(re.findall(r"^ +import (\w+)", BENCHMARKS, re.MULTILINE))
        for option, argument in pairwise(("", *arguments)):
            if option == "--constraint":
                assert argument.startswith("https://raw.githubusercontent.com/apache/airflow/constraints-")
            elif argument not in (".", "--constraint"):
                requirement = Requirement(argument)
                assert requirement.name in known | {PROJECT["name"]}
                assert requirement.extras <= set(extras)

    def run_export(self, setting: str) -> None:
        name, _, value = setting.partition("=")
        self.env[name] = value
        if name.startswith("AIRFLOW_CONN_"):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv(name, value)
                works, sentence = CyTechBotHook(name.removeprefix("AIRFLOW_CONN_").lower()).test_connection()
            assert works, sentence

    def run_airflow(self, *arguments: str) -> None:
        if arguments[:2] == ("dags", "test"):
            name = f"{arguments[2]}.py"
            file = self.folder / name if (self.folder / name).exists() else EXAMPLES / name
            shutil.copy(file, self.dag_runner.env["AIRFLOW__CORE__DAGS_FOLDER"])
        exit_code = self.dag_runner.airflow(*arguments, env=self.env)
        self.output = self.dag_runner.log
        assert exit_code == 0, self.output
        if arguments[:2] == ("connections", "test"):  # it does not report a failure as an error
            assert "Connection success!" in self.output

    def run_curl(self, *arguments: str) -> None:
        if not shutil.which("curl"):
            pytest.skip("curl is not installed")
        self.output = self.run("curl", "--silent", "--show-error", "--fail", *arguments)

    def run_head(self, *arguments: str) -> None:
        self.output = self.run("head", *arguments)

    def run_python(self, *arguments: str) -> None:
        match arguments:
            case ["-m", "airflow_provider_cytechbot.sandbox", *options]:
                self.start_sandbox(*options)
            case ["-m", "pytest", folder, "-k", word]:
                tests = "".join(path.read_text() for path in (ROOT / folder).rglob("test_*.py"))
                assert re.search(rf"def test_\w*{word}", tests)
            case [script, *options]:
                usage = self.run(sys.executable, script, "--help")
                assert {each for each in options if each.startswith("--")} <= set(
                    re.findall(r"--[a-z-]+", usage)
                )

    def start_sandbox(self, *options: str) -> None:
        """Start one, on a free port, until it serves."""
        command = [sys.executable, "-m", "airflow_provider_cytechbot.sandbox", *options, "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sandbox:
            try:
                self.output = re.sub(r"http://127\.0\.0\.1:\d+", SANDBOX_URL, sandbox.stdout.readline())
            finally:
                sandbox.terminate()
        self.output = self.adapt(self.output)
        assert sandbox.returncode == 0

    def run(self, *command: str) -> str:
        """Run a command and return its output."""
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | self.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    # What is put together.

    def run_dags(self) -> None:
        """Run the DAG that the snippets make, and those that they define themselves."""
        whole = [text for text in self.code if re.search(r"^with DAG\(", text, re.MULTILINE)]
        parts = [indent(text, "    ") for text in self.code if text not in whole]
        file = self.folder / "page.py"
        file.write_text("\n".join([DAG_HEAD, *parts, *whole]))
        defined = re.findall(r'^with DAG\("(\w+)"', "\n".join(whole), re.MULTILINE)
        for dag_id in ["page"] * bool(parts) + defined:
            run = self.dag_runner.run(file, dag_id=dag_id, env=self.env)
            assert run.state == "success", run.log
            assert set(run.states.values()) <= {"success"}, run.log
            assert run.find_text(self.sandbox.api_key) == []

    def run_tests(self) -> None:
        """Run the tests."""
        exit_code = self.dag_runner.command(
            "pytest", "-p", "no:cacheprovider", f"--rootdir={self.folder}", str(self.folder)
        )
        assert exit_code == 0, self.dag_runner.log
