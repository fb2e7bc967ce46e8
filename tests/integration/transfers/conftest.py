"""One object store for all: Airflow keeps a client for each connection id as long as a process lives."""

from __future__ import annotations

import pytest

from ..object_store import object_store


@pytest.fixture(scope="session")
def running_store(tmp_path_factory):
    with object_store(tmp_path_factory.mktemp("weed")) as store:
        yield store
