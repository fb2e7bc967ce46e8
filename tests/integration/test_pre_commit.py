"""The hooks for commits run what is installed here, fix what they can, and stop the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path):
    """A repository with our hooks and settings, and the tests' own environment as its .venv."""
    for name in (".pre-commit-config.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / ".gitignore").write_text(".venv\n")
    (tmp_path / "airflow_provider_cytechbot").mkdir()
    (tmp_path / "airflow_provider_cytechbot" / "__init__.py").touch()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True, env=own_environment(tmp_path))
    return tmp_path


def own_environment(clone):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PRE_COMMIT"))}
    return kept | {"PRE_COMMIT_HOME": str(clone / ".git" / "hooks-cache"), "PRE_COMMIT_COLOR": "never"}


def commit(clone, code):
    """Stage a module with that code, and return what the hooks make of it."""
    (clone / "airflow_provider_cytechbot" / "number.py").write_text(code)
    environment = own_environment(clone)
    subprocess.run(["git", "add", "."], cwd=clone, check=True, env=environment)
    command = [sys.executable, "-m", "pre_commit", "run", "--all-files"]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)
    verdicts = [line.rpartition(".")[2] for line in done.stdout.splitlines() if "......" in line]
    return done.returncode, verdicts, done.stdout + done.stderr


def test_hooks(clone):
    ugly = '"""A module."""\nimport os\n\ndef number( ) -> int :\n    """Return a number."""\n    return 1\n'
    code, verdicts, output = commit(clone, ugly)
    assert (code, verdicts) == (1, ["Failed", "Failed", "Passed"]), output
    clean = (clone / "airflow_provider_cytechbot" / "number.py").read_text()
    assert clean == '"""A module."""\n\n\ndef number() -> int:\n    """Return a number."""\n    return 1\n'
    code, verdicts, output = commit(clone, clean)
    assert (code, verdicts) == (0, ["Passed", "Passed", "Passed"]), output
    code, verdicts, output = commit(clone, clean.replace("return 1", 'return "1"'))
    assert (code, verdicts) == (1, ["Passed", "Passed", "Failed"]), output
    assert "Incompatible return value type" in output
