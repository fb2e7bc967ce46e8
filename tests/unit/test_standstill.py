"""Which failures are tried again: those of a machine that stood still, and no others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEST = """
from tests import conftest

tries = []

def test_it():
    tries.append(1)
    conftest._standstill.slept(1, {took})
    assert len(tries) == {enough}
"""


@pytest.mark.parametrize(
    ("took", "enough", "outcome"),
    [
        (61, 2, "1 passed, 1 rerun"),
        (61, 9, "1 failed, 2 rerun"),
        (5, 2, "1 failed in"),  # so little fails no test
        (1, 2, "1 failed in"),
    ],
)
def test_a_failure_counts_unless_the_machine_stood_still(tmp_path, took, enough, outcome):
    test = tmp_path / "test_it.py"
    test.write_text(TEST.format(took=took, enough=enough))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.conftest",
            "--rootdir",
            tmp_path,
            "-c",
            "/dev/null",
            test,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert outcome in done.stdout.splitlines()[-1], done.stdout + done.stderr


def test_time_lost_by_little_does_not_add_up():
    from tests.standstill import StandstillWatch

    watch = StandstillWatch()
    for _ in range(100):
        watch.slept(1, 2.5)
    assert not watch.has_stood_still()
    watch.slept(1, 9)
    assert watch.has_stood_still()
    watch.begin()
    assert not watch.has_stood_still()
