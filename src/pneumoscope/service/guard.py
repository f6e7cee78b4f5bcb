"""The door: tokens and what they allow, the rate of each, and who is let in without tokens."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pneumoscope.service.access import send_problem
from pneumoscope.service.admission import Rate
from pneumoscope.service.problems import Problem
from pneumoscope.service.tokens import Holder, find_holder

OPEN: Final = frozenset({"/healthz", "/readyz", "/openapi.json"})
ADMIN: Final = "/v1/admin/"
_NOBODY: Final = Holder("nobody", "predict", b"")
_MAX_TOKEN: Final = 200


@dataclass
class Door:
    """Who is let in.

    Attributes:
        rate: Of requests per token.
        holders: Of tokens; None: no tokens are asked for. Replaced as a whole by a reload.
        local_only: Without tokens, answer only requests addressed to this machine: web pages
            open in a browser on it could otherwise ask by a name of their own (DNS rebinding).
        origins: Web origins whose pages may ask.
    """

    rate: Rate
    holders: Sequence[Holder] | None = None
    local_only: bool = True
    origins: Sequence[str] = ()

    def identify(self, headers: Headers) -> Holder:
        """Who asks.

        Raises:
            Problem: nobody who may.
        """
        self._check_origin(headers)
        return self._unknown(headers) if self.holders is None else self._holder(headers)

    def admit(self, holder: Holder, path: str) -> None:
        """Let somebody known in.

        Raises:
            Problem: asks too often, or for what the token does not allow.
        """
        self.rate.take(holder.name)
        if path.startswith(ADMIN) and holder.scope != "admin":
            raise Problem("not-allowed", "allowed: tokens of scope admin.")

    def _check_origin(self, headers: Headers) -> None:
        """Refuse what a page of another site sends: CORS keeps answers from it, not requests."""
        origin = headers.get("origin")
        if origin is None:
            foreign = headers.get("sec-fetch-site") == "cross-site"
        else:
            own = origin.partition("://")[2] == headers.get("host", "")
            foreign = not own and origin not in self.origins
        if foreign:
            raise Problem("wrong-origin", "a page of another web site sent the request.")

    def _unknown(self, headers: Headers) -> Holder:
        if self.local_only and not is_loopback(_host(headers.get("host", ""))):
            raise Problem("wrong-host", "the Host header names another machine.")
        return _NOBODY

    def _holder(self, headers: Headers) -> Holder:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or len(token) > _MAX_TOKEN:
            raise Problem("no-token", "the request has no bearer token.")
        holder = find_holder(self.holders or (), token.strip())
        if holder is None:
            raise Problem("no-token", "the token is not known, or was revoked.")
        return holder


class Guard:
    """Lets in, or answers with a problem.

    Args:
        app: What is behind the door.
        door: Who is let in.
    """

    def __init__(self, app: ASGIApp, *, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            state = scope["state"]
            try:
                holder = self._door.identify(Headers(scope=scope))
                state["holder"] = holder.name
                self._door.admit(holder, scope["path"])
            except Problem as problem:
                await send_problem(send, problem, state["request_id"])
                return
        await self._app(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(header: str) -> str:
    """The host of a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]
