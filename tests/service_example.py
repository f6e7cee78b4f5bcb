"""A service in this process for tests: the real one but for its socket."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from starlette.testclient import TestClient

from pneumoscope.service.admission import Rate
from pneumoscope.service.app import create_app
from pneumoscope.service.guard import Door
from pneumoscope.service.journal import Journal
from pneumoscope.service.metrics import Metrics
from pneumoscope.service.reloading import Reloader
from pneumoscope.service.service import Service
from pneumoscope.service.serving import Live
from pneumoscope.service.settings import Settings
from pneumoscope.service.tokens import read_tokens

ODD_DECODER = (sys.executable, "-P", str(Path(__file__).with_name("odd_decoder.py")))
URL = "http://127.0.0.1"


@dataclass
class Running:
    """What a test talks to, and what it looks at."""

    client: TestClient
    service: Service
    door: Door
    log: io.StringIO

    def ask(self, *contents: bytes | tuple[str, bytes], **options: Any) -> httpx2.Response:
        """Upload images, with or without names of their own."""
        named = [one if isinstance(one, tuple) else ("image.png", one) for one in contents]
        found: httpx2.Response = self.client.post(
            "/v1/predictions", files=[("images", one) for one in named], **options
        )
        return found

    def results(self, *contents: bytes | tuple[str, bytes], **params: Any) -> list[dict[str, Any]]:
        """The results of an upload that is answered."""
        answer = self.ask(*contents, params=params)
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    def counted(self, line: str) -> float:
        """What `/metrics` says for the line that starts so; 0 where it is not there."""
        text = self.service.metrics.text().decode()
        found = [one for one in text.splitlines() if one.startswith(line)]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    def journal(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


@contextmanager
def running(
    live: Live, *, door: Door | None = None, tokens: Path | None = None, odd: bool = False,
    **settings: Any,
) -> Iterator[Running]:  # fmt: skip
    """A running service; `odd` decoders hang, die and dawdle when told to.

    Reloading reads `tokens`, or leaves those of the door.
    """
    wanted = Settings(**{"decoders": 1, **settings})
    program = {"decoder": ODD_DECODER} if odd else {}
    service = Service(live, wanted, Metrics(), **program)
    door, log = door or Door(Rate(wanted.rate)), io.StringIO()
    reloader = Reloader(
        service, door, journal=Journal(log),
        holders=lambda: door.holders if tokens is None else read_tokens(tokens),
    )  # fmt: skip
    app = create_app(service, door=door, journal=Journal(log), reloader=reloader)
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        yield Running(client, service, door, log)


def problem(answer: httpx2.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem that an answer has to be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    content: dict[str, Any] = answer.json()
    assert set(content) == {"type", "title", "status", "detail", "remedy", "instance"}
    assert content["status"] == status
    assert content["type"].endswith(f"docs/serving.md#{kind}")
    return content
