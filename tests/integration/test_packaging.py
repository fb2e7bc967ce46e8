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
from scripts.brought_along import brought_along
from tests.provider_modules import DAG_FILE_MODULES

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints" / "airflow-3.3.2.txt"
TEST_TOOLS = ROOT / "constraints" / "test-tools.txt"
SUPPLY_CHAIN = ROOT / "scripts" / "supply_chain.py"
NAME = "airflow-provider-cytechbot"
#: Bytes. It was 400,000 when this was written; much more means that files were packed by mistake.
SMALL = 500_000
#: What a worker needs. A package that is added here is installed by every user.
DEPENDENCIES = {
    "aiohttp",
    "apache-airflow",
    "apache-airflow-providers-common-compat",
    "jinja2",
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
        pytest.skip("this is not a clone")
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


def test_requirements_of_the_tests_are_pinned():
    assert brought_along(f"{NAME}[test]") - pinned(CONSTRAINTS) - pinned(TEST_TOOLS) == {NAME}


@pytest.mark.parametrize("path", sorted(CONSTRAINTS.parent.glob("airflow-*.txt")), ids=lambda path: path.stem)
def test_nothing_is_pinned_twice(path):
    """The two files go to one pip: it finds no solution where they differ."""
    assert pinned(path) & pinned(TEST_TOOLS) == set()


@pytest.fixture(scope="module")
def bill(tmp_path_factory):
    """The bill of materials, as `make dist` puts it beside the wheel."""
    folder = tmp_path_factory.mktemp("bill")
    run(sys.executable, SUPPLY_CHAIN, "sbom", folder, cwd=folder)
    (path,) = folder.iterdir()
    assert path.name == f"airflow_provider_cytechbot-{airflow_provider_cytechbot.__version__}.cdx.json"
    return json.loads(path.read_text())


def test_bill_of_materials_lists_what_an_installation_brings_along(bill):
    scopes = {canonicalize_name(each["name"]): each["scope"] for each in bill["components"]}
    assert {name for name, scope in scopes.items() if scope == "required"} == brought_along(NAME) - {NAME}
    extras = "compression,parquet,s3,sandbox,sql"
    assert set(scopes) == brought_along(f"{NAME}[{extras}]") - {NAME}
    assert {"s3fs", "pyarrow"} <= {name for name, scope in scopes.items() if scope == "optional"}
    assert {"pytest", "ruff", "sphinx"} & set(scopes) == set()


def test_bill_of_materials_names_the_extras_that_it_leaves_out(bill):
    properties = {each["name"]: each["value"] for each in bill["metadata"]["properties"]}
    assert properties[f"{NAME}:extras-left-out"] == "azure, gcs"
    assert "the extras azure, gcs" in audit("supply_chain.print_extras_left_out()")


def test_bill_of_materials_is_whole(bill):
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", NAME)
    assert bill["metadata"]["component"]["version"] == airflow_provider_cytechbot.__version__
    references = [each["bom-ref"] for each in bill["components"]]
    assert len(references) == len(set(references))
    edges = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    assert set(edges) == {*references, bill["metadata"]["component"]["bom-ref"]}
    assert {to for targets in edges.values() for to in targets} <= set(references)
    assert str(ROOT) not in json.dumps(bill)


def audit(program: str) -> str:
    """Run Python with the module of the audit as `supply_chain`, and return what it prints."""
    code = f"import sys; sys.path.insert(0, {str(SUPPLY_CHAIN.parent)!r}); import supply_chain; {program}"
    return run(sys.executable, "-c", code, cwd=ROOT).strip()


def test_all_licences_are_allowed(bill):
    names = [f"{each['name']} {each['version']}" for each in bill["components"]]
    listed = audit("print(supply_chain.licence_problems(supply_chain.bill_of_materials()['components']))")
    *lines, problems = listed.splitlines()
    assert problems == "[]"
    assert sorted(" ".join(line.split()[:2]) for line in lines) == sorted(names)


@pytest.mark.parametrize(
    "licences",
    [
        [],
        [{"license": {"id": "GPL-3.0-only"}}],
        [{"license": {"name": "License :: Other/Proprietary License"}}],
        [{"expression": "AGPL-3.0-or-later"}],
        [{"expression": "MIT AND AGPL-3.0-or-later"}],
        [{"expression": "AGPL-3.0-or-later AND (MIT OR Apache-2.0)"}],
    ],
)
def test_other_licences_are_a_problem(licences):
    component = {"name": "abc", "version": "1", "scope": "required", "licenses": licences}
    assert "licence" in audit(f"print(supply_chain.licence_problems([{component}]))").splitlines()[-1]


def test_vulnerable_packages_are_a_problem():
    found = {"name": "abc", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}]}
    sound = {"name": "abd", "version": "1", "vulns": []}
    printed = audit(f"print(supply_chain.audit_problems([{found}, {sound}]))")
    assert printed == "['abc 1: CVE-1, fixed in 1.1']"


def test_packages_that_are_not_looked_up_are_a_problem():
    skipped = {"name": "abc", "skip_reason": "Dependency not found"}
    assert "1 of 1 packages were not looked up" in audit(f"print(supply_chain.audit_problems([{skipped}]))")


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
    program = ROOT / "scripts" / "brought_along.py"
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
