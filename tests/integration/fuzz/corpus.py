"""
Inputs that fuzzing has found or that servers and users have sent; each fuzz test tries them first.

A test that fails prints its input as a line of JSON, which goes into its file in `corpus` as it is.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

from airflow.sdk import log
from hypothesis import HealthCheck, example, note, settings

_FOLDER = Path(__file__).parent / "corpus"
IS_LONG = os.environ.get("CYTECHBOT_GAUNTLET") == "1"
#: The one key of an object that stands for bytes.
_BYTES = "latin-1"


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


def forget_secrets():
    """Empty Airflow's masker, which compiles all secrets into one pattern with each new one."""
    log._secrets_masker().reset_masker()


def saved(name):
    """
    Return a decorator that adds the saved inputs of a name as examples, and shows an input that fails.

    Put it between `fuzz` and `given`.
    """
    path = _FOLDER / f"{name}.json"
    inputs = json.loads(path.read_text(), object_hook=_decode)

    def decorate(test):
        run = test.hypothesis.inner_test

        @functools.wraps(run)
        def show_and_run(*args, **values):
            shown = {each: values[each] for each in inputs[0]}
            note(f"To keep this input, add it to {path.name}: {json.dumps(shown, default=_encode)}")
            return run(*args, **values)

        test.hypothesis.inner_test = show_and_run
        for values in inputs:
            test = example(**values)(test)
        return test

    return decorate


def _encode(value):
    assert isinstance(value, bytes), value
    return {_BYTES: value.decode("latin-1")}


def _decode(found):
    return found[_BYTES].encode("latin-1") if found.keys() == {_BYTES} else found
