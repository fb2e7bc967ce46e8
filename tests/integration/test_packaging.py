"""The built package as a stranger gets it: what an index shows, a wheel in an empty environment, an sdist."""

from __future__ import annotations

import email.message
import email.parser
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from readme_renderer import markdown

import airflow_provider_cytechbot
from tests.integration.brought_along import brought_along
from tests.provider_modules import DAG_FILE_MODULES

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints" / "airflow-3.3.2.txt"
TEST_TOOLS = ROOT / "constraints" / "test-tools.txt"
NAME = "airflow-provider-cytechbot"
#: Bytes. It is 195,000 now: who goes beyond this has probably packed what nobody runs.
SMALL = 350_000
#: What a worker needs. A package that is added here is installed by every user.
DEPENDENCIES = {
    "aiohttp",
    "apache-airflow",
    "apache-airflow-providers-common-compat",
    "msgspec",
    "pendulum",
    "requests",
    "tenacity",
}
#: What comes with it to an Airflow 3.3 that has nothing else: aiohttp, and what aiohttp itself requires.
BROUGHT_ALONG = {
    NAME,
    "aiohappyeyeballs",
    "aiohttp",
    "aiosignal",
    "frozenlist",
    "multidict",
    "propcache",
    "yarl",
}

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    """Run a command that sees nothing of the environment that the tests run in."""
    outside = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW_", "COV_", "PYTEST_", "PYTHON")) and name != "VIRTUAL_ENV"
    }
    done = subprocess.run(command, cwd=cwd, env=outside | environ, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """An sdist, and the wheel built from it."""
    directory = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, ROOT, cwd=directory)
    return directory


@pytest.fixture(scope="module")
def wheel(dist):
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def sdist(dist):
    (path,) = dist.glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def metadata(wheel) -> email.message.Message:
    """What an index reads: its page is made of this."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        return email.parser.Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def empty_environment(tmp_path_factory, wheel):
    """Python with nothing but the wheel and what it requires."""
    directory = tmp_path_factory.mktemp("environment")
    # Without pip: the tests' own installs as well, and is there already.
    run(sys.executable, "-m", "venv", "--without-pip", directory / "venv", cwd=directory)
    options = ["--no-input", "--no-compile", "-qq", "-c", CONSTRAINTS]
    run(*pip(directory), "install", *options, wheel, cwd=directory)
    return directory


def pip(environment: Path) -> list[str | Path]:
    return [sys.executable, "-m", "pip", "--python", environment / "venv/bin/python"]


def airflow(environment: Path, *arguments: str) -> list[dict[str, str]]:
    home = str(environment / "airflow")
    answer = run(
        environment / "venv/bin/airflow", *arguments, "-o", "json", cwd=environment, AIRFLOW_HOME=home
    )
    return json.loads(answer[answer.index("[") :])


def test_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    version = airflow_provider_cytechbot.__version__
    assert {name.partition("/")[0] for name in names} == {
        "airflow_provider_cytechbot",
        f"airflow_provider_cytechbot-{version}.dist-info",
    }
    assert "airflow_provider_cytechbot/py.typed" in names
    assert f"airflow_provider_cytechbot-{version}.dist-info/licenses/LICENSE" in names
    sources = (ROOT / "airflow_provider_cytechbot").rglob("*.py")
    assert {str(path.relative_to(ROOT)) for path in sources} <= names


def test_wheel_is_small(wheel):
    assert wheel.stat().st_size < SMALL


def test_an_index_would_take_both(wheel, sdist):
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist, cwd=wheel.parent)


def test_metadata(metadata):
    assert (metadata["Name"], metadata["Version"]) == (NAME, airflow_provider_cytechbot.__version__)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Framework :: Apache Airflow :: Provider" in metadata.get_all("Classifier")
    required = [Requirement(each) for each in metadata.get_all("Requires-Dist")]
    assert {each.name for each in required if "extra" not in str(each.marker)} == DEPENDENCIES


def test_links_work_on_an_index_page(metadata):
    page = markdown.render(metadata.get_payload())
    headings = {f"#{each}" for each in re.findall(r'<h\d id="([^"]+)"', page)}
    assert len(headings) > 5
    inside = f"{dict(url.split(', ') for url in metadata.get_all('Project-URL'))['Source']}/"
    for target in re.findall(r'(?:href|src)="([^"]*)"', page):
        assert target.startswith("https://") or target in headings, target
        if target.startswith(inside):
            kind, branch, path = target.removeprefix(inside).partition("#")[0].split("/", 2)
            assert kind in ("blob", "raw")
            assert branch == "main"
            assert (ROOT / path).exists(), target


def test_change_log_begins_with_what_comes_next_or_with_this_version():
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert newest in ("Unreleased", airflow_provider_cytechbot.__version__)


def test_sdist_holds_all_that_the_repository_does(sdist):
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = set(run("git", "ls-files", "-z", cwd=ROOT).split("\0")) - {""}
    assert len(tracked) > 200
    assert {each for each in tracked if (ROOT / each).exists()} <= names


def test_sdist_can_be_tested_where_it_is_unpacked(sdist, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    program = """
import sys, pytest, airflow_provider_cytechbot
assert airflow_provider_cytechbot.__file__.startswith(sys.argv[1]), airflow_provider_cytechbot.__file__
sys.exit(pytest.main(["-q", "-n", "0", "-p", "no:cacheprovider", *sys.argv[2:]]))
"""
    tests = ["tests/unit/api/test_calls.py", "tests/unit/sandbox/test_vendor_examples.py"]
    reason = run(sys.executable, "-c", program, unpacked, *tests, cwd=unpacked, PYTHONPATH=str(unpacked))
    assert " passed" in reason


def pinned(path: Path) -> set[str]:
    lines = path.read_text().splitlines()
    return {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}


def test_what_the_tests_need_is_pinned():
    assert brought_along(f"{NAME}[test]") - pinned(CONSTRAINTS) - pinned(TEST_TOOLS) == {NAME}


@pytest.mark.parametrize("path", sorted(CONSTRAINTS.parent.glob("airflow-*.txt")), ids=lambda path: path.stem)
def test_nothing_is_pinned_twice(path):
    """The two files go to one pip: it finds no solution where they differ."""
    assert pinned(path) & pinned(TEST_TOOLS) == set()


def test_airflow_shows_the_provider(empty_environment):
    shown = airflow(empty_environment, "providers", "get", "airflow-provider-cytechbot")
    assert shown[0]["Provider"] == "airflow-provider-cytechbot"
    assert shown[0]["Version"] == airflow_provider_cytechbot.__version__


def test_airflow_lists_the_hook(empty_environment):
    hooks = {hook["connection_type"]: hook for hook in airflow(empty_environment, "providers", "hooks")}
    assert hooks["cytechbot"]["package_name"] == "airflow-provider-cytechbot"
    assert hooks["cytechbot"]["hook_name"] == "CyTechBot"


def test_nothing_but_aiohttp_comes_with_it(empty_environment):
    python = empty_environment / "venv/bin/python"
    program = Path(__file__).with_name("brought_along.py")
    airflow, both = (
        set(json.loads(run(python, program, *request, cwd=empty_environment)))
        for request in (["apache-airflow"], ["apache-airflow", NAME])
    )
    assert both - airflow == BROUGHT_ALONG
    listed = json.loads(run(*pip(empty_environment), "list", "--format", "json", cwd=empty_environment))
    installed = {canonicalize_name(each["name"]) for each in listed}
    assert installed == both


def test_dependencies_suffice_for_every_module(empty_environment):
    python = empty_environment / "venv/bin/python"
    home = str(empty_environment / "airflow")
    program = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    run(python, "-c", program, *DAG_FILE_MODULES, cwd=empty_environment, AIRFLOW_HOME=home)
    run(*pip(empty_environment), "check", cwd=empty_environment)
