"""Interruptions at random points, which a seed repeats."""

from __future__ import annotations

import os
import random
import secrets
import signal
import time
from pathlib import Path

#: The long form has many rounds of each test.
IS_LONG = os.environ.get("CYTECHBOT_GAUNTLET") == "1"
ROUNDS = 20 if IS_LONG else 1
#: Interruptions in each round, before a try that is left alone.
KILLS = 3
#: Repeats a failure, together with the test's name.
SEED = os.environ.get("CYTECHBOT_SEED") or (secrets.token_hex(4) if IS_LONG else "1")
#: What ends a try at once, and what it can react to.
DEADLY = ("KILL", "TERM, then KILL")
ORDERLY = ("TERM twice", "execution_timeout")


def wait_until(condition, seconds=60):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "not within the time limit"
        time.sleep(0.002)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Interruptions:
    """
    Interrupts tries at random points and in random ways.

    :param name: The test's name; each test has its own points.
    """

    def __init__(self, name):
        print(f"CYTECHBOT_SEED={SEED}")  # a test that fails shows it
        self.chance = random.Random(f"{SEED} {name}")
        self._ways: list[str] = []
        #: How many tries were interrupted, and how many of them were in the middle of their work.
        self.tries = self.hits = 0

    def interrupt(self, attempt, is_reached):
        """
        Interrupt a try, and return how and what it left: nothing if it was killed.

        :param attempt: The try.
        :param is_reached: Whether it is far enough.
        """
        chance = self.chance
        if not self._ways:
            # Each way once before any comes again, and by turns: of three tries, one at least is killed.
            pairs = zip(chance.sample(DEADLY, 2), chance.sample(ORDERLY, 2), strict=True)
            self._ways = [each for pair in pairs for each in pair]
        how, pause, second_pause = self._ways.pop(), chance.random() * 0.02, chance.random() * 0.05
        print(f"{how} at process {attempt.pid}")
        wait_until(lambda: is_reached() or attempt.has_result())
        time.sleep(pause)
        self.tries += 1
        self.hits += not attempt.has_result()
        if how == "KILL":
            attempt.kill()
        elif how == "execution_timeout":
            attempt.kill(signal.SIGALRM)
        else:
            attempt.kill(signal.SIGTERM)
            time.sleep(second_pause)
            attempt.kill(signal.SIGTERM if how == "TERM twice" else signal.SIGKILL)
        wait_until(lambda: attempt.has_result() or not is_running(attempt.pid))
        return how, attempt.wait()
