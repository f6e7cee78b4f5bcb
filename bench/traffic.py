"""Load for the service: a plain HTTP client that costs little, and the service as a process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

BOUNDARY = b"pneumoscope-bench"
CONTENT_TYPE = b"multipart/form-data; boundary=" + BOUNDARY


@dataclass
class Seen:
    """What clients saw."""

    statuses: dict[int, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    broken: int = 0

    def percentile(self, share: float) -> float:
        """Milliseconds that this share, 0-100, of the answers took at most."""
        return float(np.percentile(self.seconds, share)) * 1000 if self.seconds else float("nan")

    @property
    def answered(self) -> int:
        """How many were answered with 200."""
        return self.statuses.get(200, 0)

    @property
    def others(self) -> int:
        """How many were neither answered nor told to come back."""
        known = self.answered + self.statuses.get(429, 0)
        return sum(self.statuses.values()) - known + self.broken


@dataclass
class Server:
    """The service in a process of its own."""

    process: psutil.Process
    popen: subprocess.Popen[bytes]
    port: int
    log: Path
    seconds: float

    def mebibytes(self) -> float:
        """Memory of the process and its decoders, pages of their own."""
        everybody = [self.process, *self.process.children(recursive=True)]
        found = 0
        for one in everybody:
            with contextlib.suppress(psutil.Error):
                found += one.memory_full_info().uss
        return found / 2**20

    def stopped(self) -> dict[str, Any]:
        """What it said when it stopped."""
        for line in reversed(self.log.read_text().splitlines()):
            if '"event": "stopped"' in line:
                content: dict[str, Any] = json.loads(line)
                return content
        return {}


@contextlib.contextmanager
def serving(bundle: Path, log: Path, *options: object) -> Iterator[Server]:
    """The service on a free port, ready; it is gone afterwards."""
    command = [sys.executable, "-m", "pneumoscope", "serve", bundle, "--port", 0, *options]
    start = time.perf_counter()
    with log.open("wb") as file:
        popen = subprocess.Popen(list(map(str, command)), stderr=file)
    try:
        found = None
        while found is None:
            assert popen.poll() is None, log.read_text()
            time.sleep(0.01)
            found = re.search(r"running on http://127.0.0.1:(\d+)", log.read_text())
        took = time.perf_counter() - start
        yield Server(psutil.Process(popen.pid), popen, int(found[1]), log, took)
    finally:
        popen.terminate()
        popen.wait(60)


def upload(*contents: bytes, name: bytes = b"images") -> bytes:
    """A multipart body of images."""
    parts = [
        b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="' + name
        + b'"; filename="x"\r\n\r\n' + content + b"\r\n"
        for content in contents
    ]  # fmt: skip
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def request(body: bytes, *, query: bytes = b"", kind: bytes = CONTENT_TYPE) -> bytes:
    """A whole HTTP request for an answer."""
    return (
        b"POST /v1/predictions" + query + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: " + kind
        + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    )  # fmt: skip


class Client:
    """One connection, made again when it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, message: bytes) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises:
            OSError, asyncio.IncompleteReadError: there is none.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        try:
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            raise
        if b"connection: close" in head.lower():
            self.close()
        return int(head[9:12]), body

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


Check = Callable[[int, bytes], bool]


async def load(
    port: int, messages: list[bytes], check: Check, *,
    clients: int, seconds: float, rate: float | None = None, quit_when_gone: bool = False,
) -> Seen:  # fmt: skip
    """What `clients` see in `seconds`, each asking again at once, or together at a `rate`.

    With a rate, time runs from when a request was due, not from when a client got to it.

    Args:
        port: Of the service.
        messages: Sent one after another.
        check: Whether message number n has the right answer.
        clients: Connections.
        seconds: How long.
        rate: Requests per second of all clients together.
        quit_when_gone: End a client without a complaint when nobody listens any more.
    """
    seen, begin = Seen(), time.perf_counter()

    async def one(number: int) -> None:
        client, turn = Client(port), number
        while (now := time.perf_counter()) - begin < seconds:
            due = now if rate is None else begin + turn / rate
            if due > now:
                await asyncio.sleep(due - now)
            try:
                status, body = await client.ask(messages[turn % len(messages)])
            except (OSError, asyncio.IncompleteReadError):
                if quit_when_gone:
                    break
                seen.broken += 1
                continue
            finally:
                turn += clients
            seen.statuses[status] = seen.statuses.get(status, 0) + 1
            if status == 200:
                seen.seconds.append(time.perf_counter() - due)
                asked = (turn - clients) % len(messages)
                seen.wrong += not check(asked, body)
        client.close()

    everybody: list[Awaitable[None]] = [one(number) for number in range(clients)]
    await asyncio.gather(*everybody)
    return seen
