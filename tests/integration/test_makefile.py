"""Targets of the Makefile that take long: an interrupt from the terminal ends them."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Stands for Python, and stops when it is interrupted.
STUB = "#!/bin/sh\ntrap 'touch {0}/interrupted; exit 2' INT\ntouch {0}/started\nsleep 60 & wait\n"
LONG = 30

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


def wait_until(condition):
    ends = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < ends, "not within the time limit"
        time.sleep(0.05)


def test_ctrl_c_ends_the_gauntlet(tmp_path):
    stub = tmp_path / "python"
    stub.write_text(STUB.format(tmp_path))
    stub.chmod(0o755)
    pid, terminal = pty.fork()
    if not pid:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # as in a terminal
        os.chdir(ROOT)
        os.execvp("make", ["make", "-o", ".venv/.test", "gauntlet", f"PY={stub}"])
    try:
        wait_until((tmp_path / "started").exists)
        os.write(terminal, b"\x03")
        wait_until((tmp_path / "interrupted").exists)
    finally:
        os.close(terminal)
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("target", ["gauntlet", "test-distributed"])
def test_a_time_limit_leaves_the_tests_in_the_foreground(target):
    """Elsewhere the terminal's interrupts would not reach them."""
    made = (".venv/.test", ".venvs/distributed/.made", "needed-programs")
    command = ["make", "-n", *(part for each in made for part in ("-o", each)), target]
    recipe = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "timeout --foreground --signal=INT" in recipe
