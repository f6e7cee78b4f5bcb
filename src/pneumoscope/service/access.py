"""The outermost layer: request ids, security headers, the access log, and no error unexplained."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pneumoscope.service.connection import ABORT
from pneumoscope.service.delivery import Delivery
from pneumoscope.service.journal import Journal
from pneumoscope.service.problems import MEDIA_TYPE, Problem
from pneumoscope.service.service import Service

REQUEST_ID: Final = "X-Request-ID"
ROUTES: Final = frozenset({
    "/v1/predictions", "/v1/model", "/v1/admin/reload", "/healthz", "/readyz", "/metrics",
    "/openapi.json",
})  # fmt: skip
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_GONE: Final = 499
# Only what is surely no name: whoever sends an id of another form gets a new one.
_ID: Final = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


class Access:
    """Wraps everything else.

    Args:
        app: What is wrapped.
        service: Whose metrics are kept, and which tells when it is about to stop.
        journal: Where requests are written.
    """

    def __init__(self, app: ASGIApp, *, service: Service, journal: Journal) -> None:
        self._app, self._service, self._journal = app, service, journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})
        state.update(request_id=_request_id(Headers(scope=scope)), start=time.monotonic(), facts={})
        until = asyncio.get_running_loop().time() + self._service.settings.deadline
        delivery = Delivery(
            partial(self._send, send, state["request_id"]), until=until,
            abort=state.get(ABORT, _nothing),
        )  # fmt: skip
        try:
            with ExitStack() as state["held"], suppress(ClientDisconnect):
                await self._app(scope, receive, delivery.send)
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer is a problem
            self._journal.failure(error, request_id=state["request_id"])
            if not delivery.status:
                problem = Problem("failed", "something unexpected happened.")
                await send_problem(delivery.send, problem, state["request_id"])
        finally:
            self._record(scope, _GONE if delivery.given_up else delivery.status or _GONE)

    async def _send(self, send: Send, request_id: str, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._complete(MutableHeaders(scope=message), request_id)
        await send(message)

    def _complete(self, headers: MutableHeaders, request_id: str) -> None:
        headers[REQUEST_ID] = request_id
        headers.update(SECURITY_HEADERS)
        if self._service.draining:
            headers["Connection"] = "close"

    def _record(self, scope: Scope, status: int) -> None:
        state = scope["state"]
        seconds = time.monotonic() - state["start"]
        # Paths and methods are whatever somebody sends.
        route = scope["path"] if scope["path"] in ROUTES else "other"
        self._service.metrics.request(route, scope["method"], status, seconds)
        self._journal.write(
            "request", request_id=state["request_id"], route=route, status=status,
            milliseconds=round(seconds * 1000, 2), token=state.get("holder"), **state["facts"],
        )  # fmt: skip


def _nothing() -> None:
    """Without a connection there is none to end."""


async def send_problem(send: Send, problem: Problem, request_id: str) -> None:
    """Send a problem as the whole answer."""
    body = problem.body(request_id)
    headers = {**problem.headers, "Content-Type": MEDIA_TYPE, "Content-Length": str(len(body))}
    raw = [(name.lower().encode("latin-1"), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _request_id(headers: Headers) -> str:
    given = headers.get(REQUEST_ID, "")
    return str(uuid.UUID(given)) if _ID.fullmatch(given) else str(uuid.uuid4())
