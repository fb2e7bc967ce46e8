"""Starts the sandbox from a shell: `python -m airflow_provider_cytechbot.sandbox --help`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_cytechbot.sandbox.faults import FaultError, parse_fault
from airflow_provider_cytechbot.sandbox.quirks import Quirk
from airflow_provider_cytechbot.sandbox.seed import DataError
from airflow_provider_cytechbot.sandbox.server import (
    DEFAULT_API_KEY,
    DEFAULT_MEMBER_API_KEY,
    HOST,
    SandboxServer,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_PORT = 8765


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_cytechbot.sandbox",
        description=f"Serves the whole CyTechBot API from memory, on {HOST} only. Ctrl-C ends it.",
    )
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="port; 0 for a free one (default %(default)s)"
    )
    parser.add_argument("--data", metavar="FILE", help="JSON seed in place of the built-in data set")
    parser.add_argument("--api-key", default=DEFAULT_API_KEY, help="an admin's API key (default %(default)s)")
    parser.add_argument(
        "--member-api-key",
        default=DEFAULT_MEMBER_API_KEY,
        help="a member's API key, refused by the admin endpoints (default %(default)s)",
    )
    parser.add_argument(
        "--subscribers",
        type=int,
        default=0,
        metavar="N",
        help="serve a generated flow campaign too, id 100, with N subscribers",
    )
    parser.add_argument(
        "--quirks",
        default="none",
        metavar="NAMES",
        help="behaviours of real installations beside the vendor's page: "
        f"all, none, or some of {', '.join(sorted(Quirk))}",
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="FAULT",
        help="for example endpoint=create_contact,kind=reset_after,times=1; may be given several times",
    )
    parser.add_argument("--chunked", action="store_true", help="send answers chunked, without Content-Length")
    parser.add_argument(
        "--base-path",
        default="/api",
        metavar="PATH",
        help="path below which the API lies (default %(default)s)",
    )
    parser.add_argument(
        "--ready-file",
        type=Path,
        metavar="PATH",
        help="written once the server answers, removed when it stops: "
        "JSON with url, api_key, member_api_key, port, pid",
    )
    return parser


def _write_whole(path: Path, text: str) -> None:
    # The file appears whole, because another process waits for it, and only its owner can read the key.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Serve until SIGINT or SIGTERM.

    :param arguments: the command line; None for that of the process
    :return: the exit code: 0 after a signal, 2 for a wrong argument or seed, 1 where it cannot serve
    """
    options = _parser().parse_args(arguments)
    try:
        server = SandboxServer(
            port=options.port,
            data=options.data,
            api_key=options.api_key,
            member_api_key=options.member_api_key,
            subscribers=options.subscribers,
            quirks=options.quirks,
            faults=[parse_fault(text) for text in options.fault],
            chunked=options.chunked,
            base_path=options.base_path,
        )
    except FaultError as error:
        return _report(f"--fault {error}", 2)
    except DataError as error:
        return _report(f"--data {error}" if options.data else f"--subscribers {error}", 2)
    except ValueError as error:
        return _report(f"--{error}", 2)

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: ended.set())
    try:
        server.start()
    except ImportError as error:
        return _report(str(error), 1)
    except (OSError, OverflowError) as error:
        return _report(f"port {options.port}: {error}; --port 0 takes a free one", 1)
    try:
        if options.ready_file is not None:
            ready = {
                "url": server.base_url,
                "api_key": server.api_key,
                "member_api_key": server.member_api_key,
                "port": server.port,
                "pid": os.getpid(),
            }
            _write_whole(options.ready_file, json.dumps(ready) + "\n")
        print(
            f"CyTechBot sandbox: url={server.base_url} api_key={shlex.quote(server.api_key)} "
            f"member_api_key={shlex.quote(server.member_api_key)} pid={os.getpid()}",
            flush=True,
        )
        ended.wait()
    except OSError as error:
        return _report(f"--ready-file {options.ready_file}: {error.strerror}", 1)
    finally:
        server.stop()
        if options.ready_file is not None:
            with contextlib.suppress(OSError):
                options.ready_file.unlink()
    return 0


def _report(message: str, code: int) -> int:
    print(f"sandbox: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
