"""What goes between the service and its decoders: lengths, a JSON header, raw bytes; no pickle."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any, Final

_LENGTHS: Final = struct.Struct(">IQ")
_MAX_HEADER: Final = 64 * 2**10


class FrameError(Exception):
    """The other side is gone, too slow, or says what cannot be."""


def send(
    channel: socket.socket,
    header: Mapping[str, object],
    *parts: bytes | memoryview,
    until: float | None = None,
) -> None:
    """Send a header and the parts one after another.

    Args:
        channel: A stream.
        header: Plain Python for JSON.
        parts: Bytes, or memoryviews of bytes.
        until: Moment of `time.monotonic` until which it has to be sent; None: whenever.

    Raises:
        FrameError: the other side is gone, or did not take it in time.
    """
    text = json.dumps(header).encode()
    start = _LENGTHS.pack(len(text), sum(len(part) for part in parts)) + text
    try:
        for part in (start, *parts):
            channel.settimeout(_left(until))
            channel.sendall(part)
    except OSError as error:
        raise FrameError(type(error).__name__) from error


def receive(
    channel: socket.socket, *, most: int, until: float | None = None
) -> tuple[dict[str, Any], memoryview]:
    """The next header and what followed it.

    Args:
        channel: A stream.
        most: Bytes that may follow the header.
        until: See `send`.

    Raises:
        FrameError: the other side is gone, did not send in time, or sends what cannot be.
    """
    header_length, length = _LENGTHS.unpack(_exactly(channel, _LENGTHS.size, until))
    if header_length > _MAX_HEADER or length > most:
        raise FrameError("more than is allowed")
    text = _exactly(channel, header_length, until)
    try:
        header = json.loads(bytes(text))
    except ValueError as error:
        raise FrameError("the header is not JSON") from error
    if not isinstance(header, dict):
        raise FrameError("the header is no JSON object")
    return header, _exactly(channel, length, until)


def _exactly(channel: socket.socket, length: int, until: float | None) -> memoryview:
    content = memoryview(bytearray(length))
    filled = 0
    try:
        while filled < length:
            channel.settimeout(_left(until))
            got = channel.recv_into(content[filled:])
            if not got:
                raise FrameError("closed")
            filled += got
    except OSError as error:
        raise FrameError(type(error).__name__) from error
    return content


def _left(until: float | None) -> float | None:
    if until is None:
        return None
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
