from __future__ import annotations

import pytest

from airflow_provider_cytechbot.bulk.folder import Folder
from airflow_provider_cytechbot.storage.locations import StorageLocation


@pytest.fixture
def folder(tmp_path):
    """A folder that does not exist yet."""
    return Folder(StorageLocation.from_parameter("state_path", str(tmp_path / "state")))
