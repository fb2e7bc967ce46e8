"""
What a requirement brings along, read from the metadata of what is installed.

    python brought_along.py 'apache-airflow' 'some-provider[extra]'

prints the names as JSON. It runs as a script too, as the environment looked at is not always the tests' own.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def brought_along(*requirements: str) -> set[str]:
    """Return the installed distributions that these require, directly or not, and themselves."""
    found, seen = set(), set()
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *requirement.extras):
            key = (canonicalize_name(requirement.name), extra)
            if key in seen:
                continue
            seen.add(key)
            try:
                waiting += requirements_of(requirement.name, extra)
            except PackageNotFoundError:  # needed elsewhere, on another system for instance
                break
            found.add(key[0])
    return found


def requirements_of(name: str, extra: str = "") -> list[Requirement]:
    """
    Return what an installed distribution requires here, without and with one of its extras.

    :raises PackageNotFoundError: It is not installed.
    """
    found = [Requirement(each) for each in requires(name) or ()]
    return [each for each in found if not each.marker or each.marker.evaluate({"extra": extra})]


if __name__ == "__main__":
    print(json.dumps(sorted(brought_along(*sys.argv[1:]))))
