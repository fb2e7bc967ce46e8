"""What a DAG file pays for importing this provider: nothing that Airflow has not imported already."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.provider_modules import DAG_FILE_MODULES

#: Imports what a DAG file of any provider brings along, then each module in a fork of its own.
PROGRAM = """
import json, os, sys
from airflow.providers.common.compat.sdk import (
    DAG, AirflowException, BaseHook, BaseOperator, BaseSensorOperator, conf, task,
)
for module in sys.argv[1:]:
    reader, writer = os.pipe()
    if not os.fork():
        if ".triggers." in module:
            import airflow.triggers.base
        before = set(sys.modules)
        try:
            __import__(module)
            answer = sorted(set(sys.modules) - before)
        except ImportError as error:
            answer = str(error)
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        print(json.dumps([module, json.loads(answer.read())]))
    os.wait()
"""


@pytest.fixture(scope="module")
def brought():
    """The modules that are new after the import of each of ours, or why it cannot be imported."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *DAG_FILE_MODULES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Airflow 2 may warn on the same stream.
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))


@pytest.mark.parametrize("module", DAG_FILE_MODULES)
def test_a_module_brings_nothing_but_the_provider_along(module, brought):
    if isinstance(brought[module], str):
        assert "needs Airflow" in brought[module]
        pytest.skip(brought[module])
    assert module in brought[module]
    others = {name for name in brought[module] if not name.startswith("airflow_provider_cytechbot")}
    foreign = {name for name in others if name.partition(".")[0] not in sys.stdlib_module_names}
    # Names that Airflow looks up on first use, such as an exception's, may load modules of its own.
    assert {name for name in foreign if name.partition(".")[0] != "airflow"} == set()
    assert ".triggers." in module or "airflow.triggers.base" not in others
    assert len(others) < 40, sorted(others)
