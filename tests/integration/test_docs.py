"""
Every snippet and command of README and docs is run here, and the site is built.

What a page names and only its reader has, such as an address and a key, is replaced by a sandbox's. The
Python of a page makes one DAG, which runs. What has a file's name becomes that file; pytest runs the tests.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from itertools import chain
from pathlib import Path
from textwrap import indent
from urllib.parse import quote

import duckdb
import pytest
from packaging.requirements import Requirement

from airflow_provider_cytechbot.api import errors
from airflow_provider_cytechbot.connection_form import CONN_FIELDS
from airflow_provider_cytechbot.get_provider_info import get_provider_info
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.sandbox.server import SandboxServer

from .doc_blocks import DOCS, EXAMPLES, ROOT, Block, commands, of_markdown, of_site

pytest.importorskip("sphinx", reason="sphinx is not installed: the extra docs")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
BENCHMARKS = "".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
#: The site has the two others.
README, CONTRIBUTING, CHANGELOG = (ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG"))
PAGES = sorted(
    path.relative_to(DOCS).with_suffix("").as_posix()
    for path in DOCS.rglob("*")
    if path.suffix in (".rst", ".md") and "_build" not in path.parts
)
#: The port that a sandbox has on the pages.
SANDBOX_URL = "http://127.0.0.1:8765"
DAG_HEAD = """\
from airflow.providers.common.compat.sdk import DAG

with DAG("page", schedule=None):
    ...
"""


class Reader:
    """
    Does what a page says, block after block, in a folder of its own.

    :param folder: The folder, which is empty.
    :param sandbox: The API.
    :param dag_runner: The Airflow.
    """

    def __init__(self, folder, sandbox, dag_runner):
        self.folder = folder
        self.sandbox = sandbox
        self.dag_runner = dag_runner
        self.env = {"AIRFLOW_CONN_CYTECHBOT_DEFAULT": sandbox.connection_json()}
        self.output = ""
        self.code = []
        dag_runner.reset()

    def read(self, block: Block) -> None:
        """Do what a block says."""
        kinds = {
            "python": self.python,
            "console": self.console,
            "sql": self.sql,
            "json": self.json,
            "text": self.text,
        }
        assert block.language in kinds, f"{block.where}: nothing runs a block of the kind {block.language!r}"
        text = self.adapt(block.text)
        if block.file:
            (self.folder / block.file).write_text(text)
        kinds[block.language](text, block)

    def finish(self) -> None:
        """Run what the page has put together."""
        if self.code:
            self.run_dags()
        if list(self.folder.glob("test_*.py")):
            self.run_tests()

    def adapt(self, text: str) -> str:
        """Put the sandbox, and the folder, in the place of what only a reader has."""
        for url, ours in {
            "https://cytechbot.com/api": self.sandbox.base_url,
            SANDBOX_URL: self.sandbox.url,
        }.items():
            for form in (str, lambda each: quote(each, safe="")):
                text = text.replace(form(url), form(ours))
        text = text.replace("YOUR_API_KEY", self.sandbox.api_key).replace("/opt/airflow", str(self.folder))
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
        """Ask DuckDB, of the files that the example writes to that place."""
        example = self.dag_runner.run(
            "cytechbot_export_to_s3", conf={"folder": self.folder.as_uri()}, env=self.env
        )
        assert example.state == "success", example.log
        rows = duckdb.sql(text.replace("s3://bucket/cytechbot", str(self.folder))).fetchall()
        assert len(rows) > 3
        self.dag_runner.reset()

    def json(self, text: str, block: Block) -> None:
        assert block.file, f"{block.where}: say by its caption which file it is"
        json.loads(text)

    def text(self, text: str, block: Block) -> None:
        """Compare with what the command before it has said."""
        expected = re.escape(text.strip()).replace(r"\.\.\.", ".*")
        assert re.search(expected, self.output), f"{block.where}: it said {self.output!r}"

    # Commands.

    def run_make(self, *arguments):
        for argument in arguments:
            name, is_setting, _ = argument.partition("=")
            known = rf"\$\({name}\)" if is_setting else rf"^{name}:"
            assert re.search(known, MAKEFILE, re.MULTILINE), f"make knows no {name}"

    def run_pip(self, command, *arguments):
        assert command == "install"
        extras = PROJECT["optional-dependencies"]
        known = {Requirement(each).name for each in chain(PROJECT["dependencies"], *extras.values())}
        known |= set(re.findall(r"^ +import (\w+)", BENCHMARKS, re.MULTILINE))
        for argument in arguments:
            if argument != ".":
                requirement = Requirement(argument)
                assert requirement.name in known | {PROJECT["name"]}
                assert requirement.extras <= set(extras)

    def run_export(self, setting):
        name, _, value = setting.partition("=")
        self.env[name] = value
        if name.startswith("AIRFLOW_CONN_"):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv(name, value)
                works, sentence = CyTechBotHook(name.removeprefix("AIRFLOW_CONN_").lower()).test_connection()
            assert works, sentence

    def run_airflow(self, *arguments):
        if arguments[:2] == ("dags", "test"):
            shutil.copy(EXAMPLES / f"{arguments[2]}.py", self.dag_runner.env["AIRFLOW__CORE__DAGS_FOLDER"])
        exit_code = self.dag_runner.airflow(*arguments, env=self.env)
        self.output = self.dag_runner.log
        assert exit_code == 0, self.output
        if arguments[:2] == ("connections", "test"):  # a failure is no error to it
            assert "Connection success!" in self.output

    def run_curl(self, *arguments):
        if not shutil.which("curl"):
            pytest.skip("curl is not installed")
        self.output = self.run("curl", "--silent", "--show-error", "--fail", *arguments)

    def run_python(self, *arguments):
        match arguments:
            case ["-m", "airflow_provider_cytechbot.sandbox", *options]:
                self.start_sandbox(*options)
            case ["-m", "pytest", folder, "-k", word]:
                tests = "".join(path.read_text() for path in (ROOT / folder).rglob("test_*.py"))
                assert re.search(rf"def test_\w*{word}", tests)
            case [script, *options]:
                usage = self.run(sys.executable, script, "--help", cwd=ROOT)
                assert {each for each in options if each.startswith("--")} <= set(
                    re.findall(r"--[a-z-]+", usage)
                )

    def start_sandbox(self, *options):
        command = [sys.executable, "-m", "airflow_provider_cytechbot.sandbox", *options, "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sandbox:
            try:
                # It says so once it answers.
                self.output = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8765", sandbox.stdout.readline())
            finally:
                sandbox.terminate()
        self.output = self.adapt(self.output)
        assert sandbox.returncode == 0

    def run(self, *command, cwd=None, env=None):
        foreign = ("COV_", "PYTEST_")
        own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=cwd or self.folder,
            env=own | self.env | {"PATH": path} | (env or {}),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    # What is put together.

    def run_dags(self):
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
            assert run.places_of(self.sandbox.api_key) == []

    def run_tests(self):
        exit_code = self.dag_runner.command(
            "pytest", "-p", "no:cacheprovider", f"--rootdir={self.folder}", str(self.folder)
        )
        assert exit_code == 0, self.dag_runner.log


@pytest.fixture
def reader(tmp_path, cytechbot_sandbox, dag_runner):
    return Reader(tmp_path, cytechbot_sandbox, dag_runner)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` builds it, but that warnings are collected."""
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-E",
        "-q",
        "-b",
        "html",
        "-d",
        folder / "doctrees",
        DOCS,
        folder / "html",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(folder)})
    assert done.returncode == 0, done.stderr
    (folder / "warnings.txt").write_text(done.stderr)
    return folder


def test_site_is_built_without_warnings(site):
    assert (site / "warnings.txt").read_text() == ""


def test_what_the_readme_says(reader):
    for block in of_markdown(README):
        reader.read(block)
    reader.finish()


@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith("reference/")])
def test_what_the_site_says(page, site, reader):
    for block in of_site(site / "doctrees", page):
        reader.read(block)
    reader.finish()


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("reference/")])
def test_what_the_docstrings_say(page, site, cytechbot_sandbox, monkeypatch):
    """They show Python, which runs where it stands, and a seed of the sandbox."""
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", cytechbot_sandbox.connection_json())
    for block in of_site(site / "doctrees", page):
        if "packages" in block.text:
            SandboxServer(data=json.loads(block.text))
            continue
        name = re.search(r"docstring of ([a-z_.]+)\.[A-Z]", block.where)
        assert name, block
        code = compile(block.text, block.where, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, vars(import_module(name[1])) | {})
        if asyncio.iscoroutine(result):
            asyncio.run(result)


def test_links_of_the_repository_lead_somewhere():
    for page in (README, CONTRIBUTING, CHANGELOG):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


# What the pages list is all there is.


def public_classes():
    info = get_provider_info()
    modules = [
        name
        for kind in ("operators", "sensors", "triggers")
        for each in info[kind]
        for name in each["python-modules"]
    ]
    modules += [each["python-module"] for each in info["transfers"]]
    for module in modules:
        for name, cls in vars(import_module(module)).items():
            if name.startswith("CyTechBot") and getattr(cls, "__module__", "") == module:
                yield module, name


def test_reference_has_every_class(site):
    reference = "".join(path.read_text() for path in (site / "html/reference").glob("*.html"))
    assert [each for each in map(".".join, public_classes()) if f'id="{each}"' not in reference] == []


def test_every_operator_has_a_how_to():
    pages = "".join((DOCS / f"{page}.rst").read_text() for page in PAGES if (DOCS / f"{page}.rst").exists())
    wanted = {
        name for module, name in public_classes() if not module.endswith((".base", "triggers.flow_answers"))
    }
    kind = {"Sensor": "sensor", "Trigger": "trigger", "Operator": "operator"}
    labels = {f"_howto/{kind[re.search('[A-Z][a-z]+$', name)[0]]}:{name}:" for name in wanted}
    assert {label for label in labels if label not in pages} == set()


def test_connection_page_has_every_field():
    assert set(re.findall(r"^extra ``(\w+)``", (DOCS / "connection.rst").read_text(), re.MULTILINE)) == set(
        CONN_FIELDS
    )


def test_installation_page_has_every_extra():
    page = (DOCS / "installation.rst").read_text()
    listed = set(re.findall(r"^([a-z0-9]+)  +\S", page, re.MULTILINE))
    assert listed == {each for each in PROJECT["optional-dependencies"] if not each.startswith("test")}


def test_errors_page_has_every_error():
    raised = {
        name
        for name, cls in vars(errors).items()
        if isinstance(cls, type)
        and cls not in (errors.CyTechBotError, errors.CyTechBotUnansweredError)
        and name.startswith("CyTechBot")
    }
    assert (
        set(re.findall(r"^``(CyTechBot\w+)``", (DOCS / "guides/errors.rst").read_text(), re.MULTILINE))
        == raised
    )


def test_connection_page_quotes_what_the_test_button_says(cytechbot_sandbox, monkeypatch):
    page = " ".join((DOCS / "connection.rst").read_text().split())

    def said(fault=None, **connection):
        if fault:
            cytechbot_sandbox.fault(fault)
        given = {"host": cytechbot_sandbox.base_url, "password": cytechbot_sandbox.api_key}
        monkeypatch.setenv(
            "AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps({"conn_type": "cytechbot"} | given | connection)
        )
        sentence = CyTechBotHook().test_connection()[1]
        return sentence.replace(cytechbot_sandbox.base_url, "https://cytechbot.com/api")

    sentences = [
        said(),
        said(password="1-a-wrong-key"),
        said(host="http://127.0.0.1:9").replace("127.0.0.1:9", "cytechbot.com"),
        said(host="https://cytechbot.invalid").replace("cytechbot.invalid", "cytechbot.com"),
        said("html"),
        said(password=""),
    ]
    assert [each for each in sentences if each not in page] == []
