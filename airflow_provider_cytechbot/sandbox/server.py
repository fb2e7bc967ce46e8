"""The sandbox as a running server: uvicorn in a thread, on a loopback port."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_cytechbot.sandbox.app import SandboxApp
from airflow_provider_cytechbot.sandbox.faults import Fault, FaultKind, read_fault
from airflow_provider_cytechbot.sandbox.installation import Installation
from airflow_provider_cytechbot.sandbox.quirks import Quirk, parse_quirks
from airflow_provider_cytechbot.sandbox.seed import built_in_seed, read_seed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    import uvicorn

    from airflow_provider_cytechbot.sandbox.journal import Journal, JournalEntry
    from airflow_provider_cytechbot.sandbox.state import State

# Its keys are public and anybody can give it faults: it must not be reachable from other machines.
HOST = "127.0.0.1"

# A platform key begins with its user's id.
DEFAULT_API_KEY = "1-sandbox-admin-key"
DEFAULT_MEMBER_API_KEY = "2-sandbox-member-key"

_START_SECONDS = 15
_STOP_SECONDS = 10


class SandboxServer:
    """
    A CyTechBot API server for demos and tests on 127.0.0.1: a context manager, or with `start` and `stop`.

    :param port: the port; 0 for a free one
    :param data: the seed, as `seed` describes it, or the path of a JSON file; None for the built-in one
    :param api_key: an admin's API key, good for every endpoint
    :param member_api_key: a member's API key, refused by the admin endpoints
    :param subscribers: the number of subscribers of a generated campaign, id `"100"`, up to 1,000,000
    :param quirks: behaviours of real installations beside the vendor's page: `"all"`, `"none"`, or names
    :param faults: faults at the start; `reset` brings them back
    :param chunked: send every answer chunked instead of with its length
    :param base_path: the path below which the API lies
    """

    def __init__(
        self,
        *,
        port: int = 0,
        data: Mapping[str, Any] | str | Path | None = None,
        api_key: str = DEFAULT_API_KEY,
        member_api_key: str = DEFAULT_MEMBER_API_KEY,
        subscribers: int = 0,
        quirks: str | Iterable[str] = "none",
        faults: Iterable[Fault] = (),
        chunked: bool = False,
        base_path: str = "/api",
    ) -> None:
        seed = built_in_seed() if data is None else read_seed(data) if isinstance(data, str | Path) else data
        self.api_key = api_key
        self.member_api_key = member_api_key
        self.port = port
        self._base_path = "/" + base_path.strip("/")
        self._installation = Installation(
            seed,
            api_key=api_key,
            member_api_key=member_api_key,
            subscribers=subscribers,
            quirks=quirks,
            faults=faults,
        )
        self._app = SandboxApp(self._installation, chunked=chunked, base_path=self._base_path)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> SandboxServer:
        """
        Start serving, and return once requests are answered.

        :raises ImportError: when uvicorn is missing; the message explains how to install it
        :raises OSError: when the port is not free
        """
        try:
            import uvicorn
        except ImportError:
            raise ImportError(
                "The sandbox needs uvicorn: pip install 'airflow-provider-cytechbot[sandbox]'"
            ) from None
        # asyncio sends small pieces without delay only for a socket whose protocol number is that of TCP.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, self.port))
            listener.listen(128)
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            http=_silent_protocol(),
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            log_config=None,
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        started = threading.Event()

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await server.serve(sockets=[listener])

        async def on_start() -> None:
            started.set()

        # Uvicorn calls this from its main loop: at the first call it serves.
        config.callback_notify = on_start
        config.timeout_notify = 10**9
        self._app.closing.clear()
        self._server = server
        self._thread = threading.Thread(
            target=asyncio.run, args=(serve(),), name="cytechbot-sandbox", daemon=True
        )
        self._thread.start()
        if not started.wait(_START_SECONDS):
            self.stop()
            raise RuntimeError(f"the sandbox did not start within {_START_SECONDS} seconds")
        return self

    def stop(self) -> None:
        """Stop serving and drop all connections. Does nothing where it is not running."""
        server, thread, loop = self._server, self._thread, self._loop
        if server is None or thread is None:
            return
        server.should_exit = True
        if loop is not None and thread.is_alive():
            loop.call_soon_threadsafe(self._drop_connections, server)
        thread.join(_STOP_SECONDS)
        if thread.is_alive():
            raise RuntimeError(f"the sandbox did not stop within {_STOP_SECONDS} seconds")
        self._server = self._thread = self._loop = None

    def _drop_connections(self, server: uvicorn.Server) -> None:
        self._app.closing.set()
        for connection in list(server.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()

    def __enter__(self) -> SandboxServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The server's own URL, `http://127.0.0.1:PORT`; the control endpoints lie below it."""
        return f"http://{HOST}:{self.port}"

    @property
    def base_url(self) -> str:
        """The API's base URL, `http://127.0.0.1:PORT/api`."""
        return f"{self.url}{self._base_path}".rstrip("/")

    def connection_json(self, **extra: Any) -> str:
        """
        Return the Airflow connection to this server as JSON, fit for `AIRFLOW_CONN_CYTECHBOT_DEFAULT`.

        :param extra: the connection's extras
        """
        connection: dict[str, Any] = {
            "conn_type": "cytechbot",
            "host": self.base_url,
            "password": self.api_key,
        }
        if extra:
            connection["extra"] = extra
        return json.dumps(connection)

    def connection_uri(self, **extra: Any) -> str:
        """
        Return the Airflow connection to this server as a URI, fit for `AIRFLOW_CONN_CYTECHBOT_DEFAULT`.

        :param extra: the connection's extras
        """
        query = f"?__extra__={quote(json.dumps(extra), safe='')}" if extra else ""
        return f"cytechbot://:{quote(self.api_key, safe='')}@{quote(self.base_url, safe='')}/{query}"

    @property
    def state(self) -> State:
        """The server's data at this moment; hold `state.lock` to read several things together."""
        return self._installation.state

    @property
    def journal(self) -> Journal:
        """The journal of requests."""
        return self._installation.journal

    def requests(self, endpoint: str | None = None) -> list[JournalEntry]:
        """Return the requests of an endpoint, or all, oldest first."""
        return self.journal.requests(endpoint)

    @property
    def quirks(self) -> frozenset[Quirk]:
        """The behaviours beside the vendor's page; set it to `"all"`, `"none"` or names of `Quirk`."""
        return self._installation.quirks

    @quirks.setter
    def quirks(self, names: str | Iterable[str]) -> None:
        self._installation.quirks = parse_quirks(names)

    def fault(self, kind: FaultKind | str | Fault, endpoint: str = "all", **options: Any) -> Fault:
        """
        Add a fault for the requests to come.

        :param kind: what goes wrong, or a whole `Fault`
        :param endpoint: the endpoint's path name, or `all`
        :param options: the other parameters of `Fault`, for example `times=2, status=503`
        :return: the fault
        :raises FaultError: for a fault that is wrong in itself
        """
        fault = (
            kind if isinstance(kind, Fault) else read_fault({"kind": kind, "endpoint": endpoint, **options})
        )
        self._installation.add_faults([fault])
        return fault

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._installation.faults.clear()

    def reset(self) -> None:
        """Return to the start: its data, quirks and faults, and an empty journal."""
        self._installation.reset()

    def answer(self, flow_campaign_id: str, subscriber_id: str, question_id: str, text: str | None) -> None:
        """Store a subscriber's answer to a question; None for an answer that the API writes as null."""
        self.state.answer(flow_campaign_id, subscriber_id, question_id, text)

    def labels_of(self, subscriber_id: str) -> list[str]:
        """Return the ids of the labels that a subscriber has; the API itself shows row numbers."""
        with self.state.lock:
            return list(self.state.assigned_labels.get(subscriber_id, []))


def _silent_protocol() -> type[asyncio.Protocol]:
    """
    Return uvicorn's protocol without its access log, which would show the API key in the query string.

    Uvicorn's own switch removes the log's handlers, but Airflow's logging adds them again.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class SilentProtocol(H11Protocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.access_log = False

    return SilentProtocol
