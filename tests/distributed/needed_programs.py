"""
The programs that the distributed tests need beside Python's packages. It needs no package itself.

    python tests/distributed/needed_programs.py

It fails where one is missing, and prints which.
"""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import sys

INSTALL = "On Debian and Ubuntu: apt-get install postgresql redis-server"
#: PostgreSQL refuses to run as root. Its package makes this user.
POSTGRES_USER = "postgres"
#: By program: the folders beside PATH in which Debian has it.
PROGRAMS = {
    "initdb": "/usr/lib/postgresql/*/bin",
    "postgres": "/usr/lib/postgresql/*/bin",
    "pg_dumpall": "/usr/lib/postgresql/*/bin",
    "redis-server": "/usr/bin",
}


class MissingProgramError(Exception):
    """A program that the distributed tests need is not installed."""


def path_of(name: str) -> str | None:
    """Return the path of a program; that of the newest version if PATH does not decide."""
    beside = sorted(glob.glob(f"{PROGRAMS[name]}/{name}"), key=_version)  # noqa: PTH207
    return shutil.which(name) or (beside[-1] if beside else None)


def find_program(name: str) -> str:
    """
    Return the path of a program.

    :raises MissingProgramError: It is not installed.
    """
    found = path_of(name)
    if not found:
        raise MissingProgramError(f"The program {name} is missing. {INSTALL}")
    return found


def why_not() -> str | None:
    """Return why the distributed tests cannot run here; ``None`` if they can."""
    missing = [name for name in PROGRAMS if not path_of(name)]
    if missing:
        return f"The distributed tests need programs that are missing: {', '.join(missing)}. {INSTALL}"
    if os.geteuid() == 0 and POSTGRES_USER not in (each.pw_name for each in pwd.getpwall()):
        return f"PostgreSQL refuses to run as root, and there is no user {POSTGRES_USER}. {INSTALL}"
    return None


def _version(path: str) -> list[int]:
    return [int(part) for part in path.split("/") if part.isdecimal()]


if __name__ == "__main__":
    sys.exit(why_not())
