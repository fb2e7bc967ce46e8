"""What all tests share: an Airflow of their own, which no setting of the caller reaches, and a sandbox."""

from __future__ import annotations

import os
import shutil
import tempfile

# Airflow reads these once, when it is first imported: after this file.
for name in [each for each in os.environ if each.startswith("AIRFLOW_")]:
    del os.environ[name]
AIRFLOW_HOME = tempfile.mkdtemp(prefix="airflow-home-of-tests-")
os.environ["AIRFLOW_HOME"] = AIRFLOW_HOME
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

# Proxies and certificates of the machine that runs the tests have no part in them.
for name in [each for each in os.environ if each.lower().endswith(("_proxy", "_ca_bundle"))]:
    del os.environ[name]

pytest_plugins = ["airflow_provider_cytechbot.sandbox.pytest_plugin"]


def pytest_unconfigure() -> None:
    """Leave nothing behind; xdist's workers end without the functions of atexit."""
    shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)
