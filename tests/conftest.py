"""What all tests share: an Airflow that no setting of the caller reaches, a sandbox, and some patience."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile

import pytest

from .standstill import StandstillWatch

# Airflow reads these once, when it is first imported: after this file.
for name in [each for each in os.environ if each.startswith("AIRFLOW_")]:
    del os.environ[name]

# Proxies and certificates of the machine that runs the tests have no part in them.
for name in [each for each in os.environ if each.lower().endswith(("_proxy", "_ca_bundle"))]:
    del os.environ[name]

# The process that starts xdist's workers tidies up for them: they end without the functions of atexit.
if "TESTS_AIRFLOW_HOMES" not in os.environ:
    os.environ["TESTS_AIRFLOW_HOMES"] = tempfile.mkdtemp(prefix="airflow-homes-of-tests-")
    atexit.register(shutil.rmtree, os.environ["TESTS_AIRFLOW_HOMES"], ignore_errors=True)
AIRFLOW_HOME = tempfile.mkdtemp(dir=os.environ["TESTS_AIRFLOW_HOMES"])
os.environ["AIRFLOW_HOME"] = AIRFLOW_HOME
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

pytest_plugins = ["airflow_provider_cytechbot.sandbox.pytest_plugin"]

_standstill = StandstillWatch()


def pytest_sessionstart(session):
    """
    Send the small messages of pytest-rerunfailures at once.

    Its two messages for each test go to xdist's main process over TCP, which holds the second one back for
    40 ms until the first is acknowledged. With 15,000 tests these are five minutes.
    """
    connection = getattr(getattr(session.config, "failures_db", None), "sock", None)
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)


def pytest_collection_modifyitems(items):
    again = pytest.mark.flaky(reruns=2, condition=_standstill.has_stood_still)
    for item in items:
        item.add_marker(again)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    _standstill.begin()
