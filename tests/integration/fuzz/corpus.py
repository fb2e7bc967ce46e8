"""Inputs that fuzzing has found or that servers and users have sent; each fuzz test tries them first."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hypothesis import HealthCheck, example, settings

_FOLDER = Path(__file__).parent / "corpus"
IS_LONG = os.environ.get("CYTECHBOT_GAUNTLET") == "1"


def fuzz(examples=60, longest=3_000):
    """Return the settings of a fuzz test: the short form is the same each time."""
    return settings(
        max_examples=longest if IS_LONG else examples,
        derandomize=not IS_LONG,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


def saved(name):
    """Return a decorator that adds the saved inputs of a name as examples of a test's last parameters."""

    def decorate(test):
        for values in json.loads((_FOLDER / f"{name}.json").read_text()):
            test = example(**values)(test)
        return test

    return decorate
