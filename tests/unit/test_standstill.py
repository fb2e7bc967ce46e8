"""Which failures are tried again: those of a machine that stood still, and no others."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import pytest
from tests import conftest

tries = []

@pytest.mark.parametrize(("took", "enough"), [(61, 2), (61, 9), (5, 2), (1, 2)])
def test_it(took, enough):
    tries.append((took, enough))
    conftest._standstill.slept(1, took)
    assert tries.count((took, enough)) == enough
"""


def test_a_failure_counts_unless_the_machine_stood_still(tmp_path):
    test = tmp_path / "test_it.py"
    test.write_text(TESTS)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-v",
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
    outcomes = re.findall(r"::test_it\[(.*)\] (\w+)", done.stdout.partition("short test summary")[0])
    assert outcomes == [
        *[("61-2", "RERUN"), ("61-2", "PASSED")],
        *[("61-9", "RERUN"), ("61-9", "RERUN"), ("61-9", "FAILED")],
        ("5-2", "FAILED"),  # so little fails no test
        ("1-2", "FAILED"),
    ], done.stdout + done.stderr


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
