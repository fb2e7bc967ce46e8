"""The built package as a stranger gets it: a wheel, installed where there is nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import airflow_provider_cytechbot
from airflow_provider_cytechbot.get_provider_info import get_provider_info

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints" / "airflow-3.3.2.txt"

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
def empty_environment(tmp_path_factory, wheel):
    """Python with nothing but the wheel and what it asks for."""
    directory = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", directory / "venv", cwd=directory)
    pip = [
        directory / "venv/bin/python",
        "-m",
        "pip",
        "--no-input",
        "install",
        "-qq",
        "--no-compile",
        "-c",
        CONSTRAINTS,
    ]
    run(*pip, "--upgrade", "pip", cwd=directory)
    run(*pip, wheel, cwd=directory)
    return directory


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


def test_sdist_holds_what_is_needed_to_carry_on(dist):
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "Makefile", "LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"} <= names
    assert {"tests/integration/test_packaging.py", "constraints/airflow-3.3.2.txt"} <= names


def test_airflow_shows_the_provider(empty_environment):
    shown = airflow(empty_environment, "providers", "get", "airflow-provider-cytechbot")
    assert shown[0]["Provider"] == "airflow-provider-cytechbot"
    assert shown[0]["Version"] == airflow_provider_cytechbot.__version__


def test_airflow_lists_the_hook(empty_environment):
    hooks = {hook["connection_type"]: hook for hook in airflow(empty_environment, "providers", "hooks")}
    assert hooks["cytechbot"]["package_name"] == "airflow-provider-cytechbot"
    assert hooks["cytechbot"]["hook_name"] == "CyTechBot"


def test_dependencies_suffice_for_every_module(empty_environment):
    info = get_provider_info()
    modules = [
        module
        for kind in ("hooks", "operators", "sensors", "triggers")
        for entry in info.get(kind, [])
        for module in entry["python-modules"]
    ] + [entry["python-module"] for entry in info.get("transfers", [])]
    python = empty_environment / "venv/bin/python"
    home = str(empty_environment / "airflow")
    program = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    run(python, "-c", program, *modules, cwd=empty_environment, AIRFLOW_HOME=home)
    run(python, "-m", "pip", "check", cwd=empty_environment)
