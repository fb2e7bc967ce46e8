"""
Counts the results in pytest's --junitxml reports, for the matrix's table and the last line of CI's output.

    python scripts/junit_reports.py REPORT...
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

KINDS = ("passed", "failed", "skipped")


def count(*reports: Path) -> Counter[str]:
    """Return how many tests passed, failed (an error counts as that) and were skipped."""
    counts: Counter[str] = Counter()
    for report in reports:
        cases = ElementTree.parse(report).iter("testcase")
        # A test that was tried again is there twice, and its last try counts.
        for case in {(case.get("classname"), case.get("name")): case for case in cases}.values():
            signs = {child.tag for child in case}
            failed, skipped = signs & {"failure", "error"}, "skipped" in signs
            counts["failed" if failed else "skipped" if skipped else "passed"] += 1
    return counts


def in_words(counts: Counter[str]) -> str:
    """Return the counts as `4 passed, 1 skipped`."""
    return ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind]) or "none ran"


def main(paths: list[str]) -> int:
    """Print the sum of the reports; fail where a test failed or a report is missing."""
    reports = [Path(path) for path in paths]
    missing = [str(report) for report in reports if not report.exists()]
    if missing:
        print(f"These tests did not come to an end: {' '.join(missing)}", file=sys.stderr)
    counts = count(*(report for report in reports if report.exists()))
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    return int(bool(missing or counts["failed"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
