"""Part of `make test-browser`: the connection form of those older Airflows whose form is another one.

Each runs in the environment that `make test-matrix` makes for it.
"""

from __future__ import annotations

import sys

from matrix import ENVIRONMENTS, Row, StepFailedError, constraints_of, environment, print_state, run

VERSIONS = ("3.1.8", "2.11.2")


def main() -> int:
    """Try each version, one after the other, and return the exit code."""
    ENVIRONMENTS.mkdir(exist_ok=True)
    failed = False
    for version in VERSIONS:
        row = Row(f"{version}-browser", version=version)
        row.log.write_text("")
        try:
            python = str(environment(row))
            pins = [f"--constraint={path}" for path in constraints_of(version)]
            run(row, python, "-m", "pip", "install", "-qq", "--no-input", *pins, "playwright")
            print_state(row, "trying the connection form")
            output = run(
                row,
                python,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "tests/integration/test_connection_form.py",
            )
            print_state(row, output.splitlines()[-1])
        except StepFailedError as error:
            print(f"{version}: {error}", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
