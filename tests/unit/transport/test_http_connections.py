from __future__ import annotations

import contextlib
import os
import socket
import threading

import pytest
import requests

from airflow_provider_cytechbot.transport.http_connections import MAX_INTERIM_ANSWERS, Adapter


@pytest.fixture
def serve():
    """Start a server that answers each request with the number of its path; return URL and the sockets."""
    listeners = []

    def start(before=b""):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        accepted = []

        def answer(connection):
            with connection, contextlib.suppress(OSError):
                while request := connection.recv(65536):
                    body = request.split(b" ")[1].strip(b"/")
                    connection.sendall(
                        before + b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
                    )

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    accepted.append(listener.accept()[0])
                    threading.Thread(target=answer, args=(accepted[-1],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}", accepted

    yield start
    for listener in listeners:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture
def session():
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", Adapter())
    yield session
    session.close()


@pytest.mark.parametrize("statuses", [[103], [102], [199], [100], [103, 100, 102, 199, 103]])
def test_interim_answers_are_skipped(serve, session, statuses):
    url, accepted = serve(b"".join(b"HTTP/1.1 %d Wait\r\nLink: </x>\r\n\r\n" % each for each in statuses))
    for number in range(3):
        response = session.get(f"{url}/{number}", timeout=5)
        assert (response.status_code, response.text) == (200, str(number))
    assert len(accepted) == 1


def test_interim_answers_without_end_are_an_error(serve, session):
    url, _ = serve(b"HTTP/1.1 103 Wait\r\n\r\n" * (MAX_INTERIM_ANSWERS + 1))
    with pytest.raises(requests.ConnectionError):
        session.get(url, timeout=5)


def test_a_forked_process_reads_no_answer_of_its_parent(serve, session):
    url, accepted = serve()
    session.get(f"{url}/0", timeout=5)
    reader, writer = os.pipe()
    if not (child := os.fork()):
        right = sum(session.get(f"{url}/c{each}", timeout=5).text == f"c{each}" for each in range(150))
        os.write(writer, str(right).encode())
        os._exit(0)
    right = sum(session.get(f"{url}/p{each}", timeout=5).text == f"p{each}" for each in range(150))
    os.waitpid(child, 0)
    assert (right, os.read(reader, 9)) == (150, b"150")
    assert len(accepted) == 2
    os.close(reader)
    os.close(writer)
