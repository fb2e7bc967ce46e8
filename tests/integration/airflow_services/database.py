"""The metadata database before Airflow starts: a template that each test copies."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from importlib.metadata import version
from pathlib import Path


def template_path() -> Path:
    """Where a freshly made database is kept for the next to copy: making one takes two seconds."""
    directory = Path(tempfile.gettempdir()) / f"airflow-services-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise PermissionError(f"{directory} belongs to somebody else")
    return directory / f"airflow-{version('apache-airflow')}.db"


def keep_as_template(database: Path, template: Path) -> None:
    """Copy the database so that another process sees all of it or nothing."""
    draft = template.with_suffix(f".{os.getpid()}")
    with (
        contextlib.closing(sqlite3.connect(database)) as source,
        contextlib.closing(sqlite3.connect(draft)) as copy,
    ):
        source.backup(copy)
    draft.replace(template)
