"""
The largest sizes, in one command: an export, a bulk write, an event trigger, and waits on many campaigns.

    python benchmarks/scale.py    (takes an hour; --divide 100 shows in minutes whether all of it works)

Runs the other benchmarks of this folder at their largest sizes, one after the other, each beside what a DAG
author would do otherwise, as far as that fits into the memory of a small machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def commands(divide: int) -> dict[str, list[str]]:
    """Return the program and arguments of each measurement, with all sizes divided."""
    million = 1_000_000 // divide
    waits, campaigns, seconds = (max(number // divide, 1) for number in (1_000, 100, 120))
    return {
        "export": [
            *("export.py", "--sizes", str(5 * million), "--repeat", "1"),
            *("--only", "jsonl.gz", "zst", "parquet", "HttpToS3Operator"),
        ],
        "bulk": ["bulk_labels.py", "--rows=0", f"--instant-rows={million}", f"--state-rows={million}"],
        "sync": ["contact_sync.py", "--plan", str(million)],
        "event": ["large_poll.py", "--subscribers", str(million)],
        "waits": [
            *("waits.py", "--waits", str(waits), "--seconds", str(max(seconds, 12))),
            *("--campaigns", "1", str(campaigns)),
        ],
    }


def main() -> None:
    """Run all measurements, or some."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--divide", type=int, default=1, help="divides all sizes")
    parser.add_argument("--only", nargs="+", choices=commands(1), help="some of the measurements")
    options = parser.parse_args()
    for name, (program, *arguments) in commands(options.divide).items():
        if name in (options.only or [name]):
            started = time.monotonic()
            print(f"== {name}: {program} {' '.join(arguments)}", flush=True)
            subprocess.run([sys.executable, FOLDER / program, *arguments], check=True)
            print(f"({time.monotonic() - started:.0f} s)\n", flush=True)


if __name__ == "__main__":
    main()
