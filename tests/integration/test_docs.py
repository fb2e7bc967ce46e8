"""README and docs: their commands run, what they list exists, and the site is built."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import socket
import subprocess
import sys
from importlib import import_module

import pytest

from airflow_provider_cytechbot.api import errors
from airflow_provider_cytechbot.connection_form import CONN_FIELDS
from airflow_provider_cytechbot.hooks.cytechbot import CyTechBotHook
from airflow_provider_cytechbot.sandbox.server import SandboxServer
from tests.provider_modules import provider_modules

from .doc_blocks import DOCS, ROOT, of_markdown, of_site
from .doc_reader import PROJECT, PageReader

pytest.importorskip("sphinx", reason="sphinx is not installed: the extra docs")

#: The site has the two others.
README, CONTRIBUTING, CHANGELOG = (ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG"))
PAGES = sorted(
    path.relative_to(DOCS).with_suffix("").as_posix()
    for path in DOCS.rglob("*")
    if path.suffix in (".rst", ".md") and "_build" not in path.parts
)


@pytest.fixture
def reader(tmp_path, cytechbot_sandbox, dag_runner):
    return PageReader(tmp_path, cytechbot_sandbox, dag_runner)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` builds it, but that warnings are collected."""
    folder = tmp_path_factory.mktemp("site")
    options = ["-E", "-q", "-b", "html", "-d", folder / "doctrees"]
    command = [sys.executable, "-m", "sphinx", *options, DOCS, folder / "html"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (folder / "warnings.txt").write_text(done.stderr)
    return folder


def test_site_is_built_without_warnings(site):
    assert (site / "warnings.txt").read_text() == ""


def test_the_readme_works(reader):
    reader.read_page(of_markdown(README))


@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith("reference/")])
def test_the_site_works(page, site, reader):
    reader.read_page(of_site(site / "doctrees", page))


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("reference/")])
def test_the_docstrings_work(page, site, cytechbot_sandbox, monkeypatch):
    """They show Python, which runs where it stands, and a seed of the sandbox."""
    monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", cytechbot_sandbox.connection_json())
    for block in of_site(site / "doctrees", page):
        if "packages" in block.text:
            SandboxServer(data=json.loads(block.text))
            continue
        name = re.search(r"docstring of ([a-z_.]+)\.[A-Z]", block.where)
        assert name, block
        # In angle brackets, or coverage would look for a file of that name.
        code = compile(block.text, f"<{block.where}>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, vars(import_module(name[1])) | {})
        if asyncio.iscoroutine(result):
            asyncio.run(result)


def test_links_of_the_repository_lead_somewhere():
    for page in (README, CONTRIBUTING, CHANGELOG):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


#: A task that returns a dict, after its decorator: Airflow makes an XCom of each key.
SPLIT_RESULT = re.compile(
    r"@task(?:\.\w+)?(?P<arguments>\([^)]*\))?[^\n]*\n *(?:async )?def \w+\(.*?\) -> (?:dict|Mapping)\b"
)


def splits_its_result(text):
    """Return whether a text has a task whose returned dict becomes an XCom for each of its keys."""
    found = SPLIT_RESULT.finditer(text)
    return any("multiple_outputs=False" not in (each["arguments"] or "") for each in found)


def test_no_task_makes_an_xcom_of_each_question():
    pages = [README, *DOCS.rglob("*.rst"), *(ROOT / "example_dags").glob("*.py")]
    assert [page.name for page in pages if splits_its_result(page.read_text())] == []
    task = "    @task{}\n    def count() -> dict[str, int]:"
    assert [
        splits_its_result(task.format(each)) for each in ("", "(retries=1)", "(multiple_outputs=False)")
    ] == [
        True,
        True,
        False,
    ]


# What the pages list is all there is.


def public_classes(*kinds):
    """Name the classes that people use: not those from which only others here derive."""
    found = {
        cls: (module, name)
        for module in provider_modules(*kinds)
        for name, cls in vars(import_module(module)).items()
        if name.startswith("CyTechBot") and getattr(cls, "__module__", "") == module
    }
    bases = {base for cls in found for base in cls.__mro__[1:]}
    return [names for cls, names in found.items() if cls not in bases]


def test_reference_has_every_class(site):
    reference = "".join(path.read_text() for path in (site / "html/reference").glob("*.html"))
    assert [each for each in map(".".join, public_classes()) if f'id="{each}"' not in reference] == []


def test_every_operator_has_a_how_to():
    pages = "".join((DOCS / f"{page}.rst").read_text() for page in PAGES if (DOCS / f"{page}.rst").exists())
    classes = public_classes("operators", "sensors", "transfers", "triggers")
    wanted = {name for module, name in classes if not module.endswith((".base", "triggers.flow_answers"))}
    kind = {"Sensor": "sensor", "Trigger": "trigger", "Operator": "operator"}
    labels = {f"_howto/{kind[re.search('[A-Z][a-z]+$', name)[0]]}:{name}:" for name in wanted}
    assert {label for label in labels if label not in pages} == set()


def test_connection_page_has_every_field():
    page = (DOCS / "connection.rst").read_text()
    assert re.findall(r"^extra ``(\w+)``", page, re.MULTILINE) == list(CONN_FIELDS)


def test_installation_page_has_every_extra():
    page = (DOCS / "installation.rst").read_text()
    listed = set(re.findall(r"^([a-z0-9]+)  +\S", page, re.MULTILINE))
    assert listed == {each for each in PROJECT["optional-dependencies"] if not each.startswith("test")}


def test_errors_page_has_every_error():
    page = (DOCS / "guides/errors.rst").read_text()
    listed = {vars(errors)[name] for name in re.findall(r"^``(CyTechBot\w+)``", page, re.MULTILINE)}
    defined = {each for each in vars(errors).values() if isinstance(each, type)}
    assert listed == defined - {errors.CyTechBotError, errors.CyTechBotUnansweredError}


def test_connection_page_quotes_the_answer_of_the_test_button(cytechbot_sandbox, monkeypatch):
    page = " ".join((DOCS / "connection.rst").read_text().split())
    look_up = socket.getaddrinfo

    def look_up_here(host, *arguments, **options):
        if host == "cytechbot.com":
            raise socket.gaierror
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_here)

    def reason(fault=None, **connection):
        if fault:
            cytechbot_sandbox.fault(fault)
        given = {"host": cytechbot_sandbox.base_url, "password": cytechbot_sandbox.api_key}
        monkeypatch.setenv(
            "AIRFLOW_CONN_CYTECHBOT_DEFAULT", json.dumps({"conn_type": "cytechbot"} | given | connection)
        )
        sentence = CyTechBotHook().test_connection()[1]
        return sentence.replace(cytechbot_sandbox.base_url, "https://cytechbot.com/api")

    sentences = [
        reason(),
        reason(password="1-a-wrong-key"),
        reason(host="http://127.0.0.1:9").replace("127.0.0.1:9", "cytechbot.com"),
        reason(host="https://cytechbot.com"),
        reason("html"),
        reason(password=""),
    ]
    assert [each for each in sentences if each not in page] == []
