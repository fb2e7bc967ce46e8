"""The processes of one session of the operating system."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import psutil  # type: ignore[import-untyped]


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def is_member(pid: int, session: int) -> bool:
    try:
        return os.getsid(pid) == session and is_alive(psutil.Process(pid))
    except (OSError, psutil.NoSuchProcess):
        return False


def session_members(session: int) -> list[int]:
    """The living processes of a session, whatever group or parent they have."""
    return [pid for pid in psutil.pids() if is_member(pid, session)]


def end_session(session: int, timeout: float = 20) -> None:
    """SIGKILL all of a session but the caller, until none is left: one may fork while it is being read."""
    deadline = time.monotonic() + timeout
    while members := [pid for pid in session_members(session) if pid != os.getpid()]:
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise RuntimeError(f"These processes could not be killed: {members}")
        time.sleep(0.02)
