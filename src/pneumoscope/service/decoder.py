"""Decoding in a process of its own: a program, run by `decoding`.

What is uploaded may crash a decoder, keep it busy for ever or make it ask for gigabytes. Here it
may: memory is limited, an alarm ends what takes too long even if nobody is left to end it, and the
one who started the program starts another. Standard input is a socket; see `frames`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from pneumoscope.bundle.reading import Reading, read
from pneumoscope.imaging.dicom_decompress import limit_memory
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.imaging.radiograph import Limits
from pneumoscope.service.frames import FrameError, receive, send
from pneumoscope.service.readings import to_frame

GRACE_SECONDS = 2.0
"""How much later than its master the alarm loses patience."""

Read = Callable[[bytes, Preprocess, Limits], Reading]


def main(reading_of: Read | None = None) -> None:
    """Answer frames until the other side is gone; numbers on the command line are the limits."""
    memory, max_bytes, max_pixels, seconds = map(float, sys.argv[1:5])
    channel = _taken(0)
    limit_memory(int(memory))
    limits = Limits(max_bytes=int(max_bytes), max_pixels=int(max_pixels))
    try:
        send(channel, {"ready": True})
        _answer_all(channel, limits, seconds, reading_of or _read)
    except FrameError:
        return


def _answer_all(channel: socket.socket, limits: Limits, seconds: float, reading_of: Read) -> None:
    known: dict[str, Preprocess] = {}
    while True:
        header, content = receive(channel, most=limits.max_bytes)
        preprocess = _preprocess(header, known)
        signal.setitimer(signal.ITIMER_REAL, seconds + GRACE_SECONDS)  # by default it kills
        reading = reading_of(bytes(content), preprocess, limits)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answer, parts = to_frame(reading)
        send(channel, answer, *parts)


def _read(content: bytes, preprocess: Preprocess, limits: Limits) -> Reading:
    return read(content, preprocess, limits=limits)


def _preprocess(header: dict[str, Any], known: dict[str, Preprocess]) -> Preprocess:
    """The way to the canvas that the header asks for; bundles are few."""
    text = repr(sorted(header["preprocess"].items()))
    if text not in known:
        known[text] = Preprocess.from_dict(header["preprocess"])
    return known[text]


def _taken(number: int) -> socket.socket:
    """The socket at a file descriptor, out of reach of decoders that read and print."""
    channel = socket.socket(fileno=os.dup(number))
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 0)
    os.dup2(silence, 1)
    return channel


if __name__ == "__main__":
    main()
