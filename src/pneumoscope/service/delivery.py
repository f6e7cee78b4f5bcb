"""Answers sent in pieces, each taken before the next, and given up when that takes too long.

A server that hands a whole answer over at once keeps all of it for whoever does not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from starlette.types import Message, Send

from pneumoscope.service.settings import GRACE

_PIECE: Final = 2**18


class Delivery:
    """Sends one answer.

    Args:
        send: Sends a message, and waits first until the one before is taken.
        until: Moment of the loop's clock at which it should be there. Sending it may take `GRACE`
            seconds more, or as long from its start where it starts later.
        abort: Ends the connection at once.

    Attributes:
        status: Of the answer; 0 before it starts.
        given_up: Whether it took too long.
    """

    def __init__(self, send: Send, *, until: float, abort: Callable[[], None]) -> None:
        self._send, self._until, self._abort = send, until, abort
        self.status, self.given_up = 0, False

    async def send(self, message: Message) -> None:
        """Send a message; none is sent any more once one took too long."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._until = max(self._until, asyncio.get_running_loop().time()) + GRACE
        try:
            async with asyncio.timeout_at(self._until):
                for piece in () if self.given_up else _pieces(message):
                    await self._send(piece)
                    await asyncio.sleep(0)  # others have their turn; a lost connection is noticed
        except TimeoutError:
            self.given_up = True
            self._abort()
            await asyncio.sleep(0)  # the server learns of it before the application ends


def _pieces(message: Message) -> Iterator[Message]:
    """A message as several; the last part of a body is empty, and so waits for all before it."""
    if message["type"] != "http.response.body":
        yield message
        return
    body = message.get("body", b"")
    for start in range(0, len(body), _PIECE):
        yield {**message, "body": body[start : start + _PIECE], "more_body": True}
    yield {**message, "body": b""}
