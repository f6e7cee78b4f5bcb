"""Clients that do not read, or do not ask: the real connections, in this process."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from uvicorn.server import ServerState

from pneumoscope.service import delivery, server
from pneumoscope.service import service as drawing
from pneumoscope.service.connection import Connection
from pneumoscope.service.journal import Journal
from pneumoscope.service.serving import Live
from pneumoscope.service.settings import GRACE, Settings
from pneumoscope.workflows.results import TrainResult
from service_example import Running, running

_PICTURE = 2**24
"""Bytes; more than the system keeps for a client that does not read."""


@pytest.fixture(scope="module")
def live(trained: TrainResult) -> Live:
    return Live(trained.bundle)


@contextmanager
def listening(found: Running, keep_alive: float = 30.0) -> Iterator[tuple[int, ServerState]]:
    """A port of its own for a running service."""
    config = uvicorn.Config(
        found.client.app, http=Connection, ws="none", lifespan="off", log_config=None,
        access_log=False, proxy_headers=False,
    )  # fmt: skip
    config.timeout_keep_alive = keep_alive  # type: ignore[assignment]
    state, portal = ServerState(), found.client.portal
    assert portal is not None

    async def listen() -> asyncio.Server:
        make = lambda: Connection(config, state, {})  # noqa: E731
        return await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)

    listener = portal.call(listen)
    try:
        yield listener.sockets[0].getsockname()[1], state
    finally:
        portal.call(listener.close)


def connected(port: int) -> socket.socket:
    """A client that keeps little of what it does not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10)
    client.connect(("127.0.0.1", port))
    return client


def request(method: str, path: str, body: bytes = b"") -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    return head.encode() + body


_UPLOAD = b'--b\r\nContent-Disposition: form-data; name="images"\r\n\r\nx\r\n--b--\r\n'


def soon(true: Callable[[], bool]) -> bool:
    """Whether it comes true within some seconds."""
    until = time.monotonic() + 10
    while not true() and time.monotonic() < until:
        time.sleep(0.01)
    return true()


def read_all(client: socket.socket) -> int:
    """Bytes until the end, or until nothing comes for a moment."""
    client.settimeout(1)
    total = 0
    try:
        while piece := client.recv(2**20):
            total += len(piece)
    except (TimeoutError, ConnectionResetError):
        pass
    return total


def test_an_answer_that_nobody_reads_is_counted_and_given_up(
    live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(drawing, "saliency_png", lambda _: "A" * _PICTURE)
    monkeypatch.setattr(delivery, "GRACE", 0.2)
    asked = request("POST", "/v1/predictions?saliency=png", _UPLOAD)
    with running(live, deadline=1.5) as found, listening(found) as (port, state):
        found.results(b"x")  # decoders have started
        room = found.service.room
        with connected(port) as stuck:
            stuck.sendall(asked)
            assert soon(lambda: room.size > _PICTURE and room.images == 0)
            (connection,) = state.connections
            transport = connection.transport
            assert soon(lambda: transport.get_write_buffer_size() > 0)
            assert transport.get_write_buffer_size() <= 2**19
            assert soon(lambda: room.size == 0 and not state.connections)
            last = found.journal()[-1]
            assert (last["status"], last["milliseconds"] < 5000) == (499, True)
            assert read_all(stuck) < _PICTURE
        with connected(port) as reads:
            reads.sendall(asked)
            assert read_all(reads) > _PICTURE
        assert soon(lambda: found.journal()[-1]["status"] == 200)
        assert room.size == 0
    assert not [record for record in caplog.records if record.name == "uvicorn.error"]


def test_who_connects_and_does_not_ask_is_let_go(live: Live) -> None:
    with running(live) as found, listening(found, keep_alive=0.3) as (port, state):
        with connected(port) as silent:
            assert silent.recv(1) == b""
        with connected(port) as slow:
            slow.sendall(request("GET", "/healthz"))
            assert slow.recv(2**16).startswith(b"HTTP/1.1 200")
            start = time.monotonic()
            with pytest.raises(ConnectionError):
                while time.monotonic() < start + 10:
                    slow.sendall(b"G")
                    time.sleep(0.05)
        assert not state.connections


def test_the_server_counts_connections_and_asks_where_the_bundle_is(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    made: list[uvicorn.Config] = []

    def find() -> Path:
        raise AssertionError

    def opened(place: object, **_: object) -> Live:
        asked.append(place)
        return live

    monkeypatch.setattr(server, "Live", opened)
    monkeypatch.setattr(server._Server, "run", lambda self: made.append(self.config))
    settings = Settings(max_connections=7, deadline=3.0)
    server.serve(find, server.Place(), settings, journal=Journal())
    assert asked == [find]
    (config,) = made
    assert (config.http, config.limit_concurrency) == (Connection, 8)
    assert (config.timeout_graceful_shutdown or 0) > 3 + GRACE
