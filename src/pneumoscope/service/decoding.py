"""The decoders: a few processes, so that a file that harms one harms nobody else.

What `imaging` does for single DICOM codecs, which crash most, here for all of reading.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from pneumoscope.bundle.reading import Reading
from pneumoscope.service.frames import FrameError, receive, send
from pneumoscope.service.readings import UPLOAD, from_frame
from pneumoscope.service.settings import Settings

# -P: nothing in the current folder is imported.
COMMAND: Final = (sys.executable, "-P", "-m", "pneumoscope.service.decoder")
_PASSED_ON: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
_START_SECONDS: Final = 30.0
_AGAIN: Final = "Export the image again or exclude it."


class Decoder:
    """One process; a dead one is replaced when it is needed."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._ready = False

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process.

        Raises:
            OSError: the system does not allow another one.
        """
        ours, theirs = socket.socketpair()
        kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own program, given numbers
                self._command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, start_new_session=True,
                env={**kept, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        self._channel, self._ready = ours, False

    def await_ready(self) -> None:
        """Wait until the process has started, which does not count as decoding.

        Raises:
            FrameError: it does not start.
        """
        if self._channel is None:
            raise FrameError("not started")
        if not self._ready:
            receive(self._channel, most=0, until=time.monotonic() + _START_SECONDS)
            self._ready = True

    def ask(
        self, content: bytes | memoryview, header: Mapping[str, object], *, until: float, most: int
    ) -> Reading:
        """What the process reads from these bytes.

        Raises:
            FrameError: it died, or did not answer in time.
        """
        if self._channel is None:
            raise FrameError("not started")
        send(self._channel, header, content, until=until)
        return from_frame(*receive(self._channel, most=most, until=until))

    def restart(self) -> None:
        """Another process in place of this one.

        Raises:
            OSError: the system does not allow another one.
        """
        self.stop()
        self.start()

    def stop(self) -> None:
        """End the process, and whatever it started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._channel is not None:
            self._channel.close()
        self._process = self._channel = None


class DecoderPool:
    """Reads uploads in other processes; safe to use from several threads.

    Args:
        settings: How many, and what they may do.
        command: The program; its limits are appended.
        on_loss: Told `died` or `slow` whenever a process had to be given up.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        command: Sequence[str] = COMMAND,
        on_loss: Callable[[str], None] = lambda _: None,
    ) -> None:
        numbers = (
            settings.decoder_memory, settings.max_bytes, settings.max_pixels,
            settings.decode_seconds,
        )  # fmt: skip
        self._settings, self._on_loss = settings, on_loss
        self._all = [Decoder((*command, *map(str, numbers))) for _ in range(settings.decoders)]
        self._free: queue.LifoQueue[Decoder] = queue.LifoQueue()  # the last used is still warm

    def start(self) -> None:
        """Start all processes."""
        for decoder in self._all:
            decoder.start()
            self._free.put(decoder)

    @property
    def alive(self) -> int:
        """How many processes run."""
        return sum(decoder.alive for decoder in self._all)

    def close(self) -> None:
        """End all processes."""
        for decoder in self._all:
            decoder.stop()

    def read(self, content: bytes | memoryview, header: Mapping[str, object]) -> Reading:
        """What a file's content holds; never raises for what is in it.

        Args:
            content: Of the file.
            header: `preprocess` of the bundle that will answer.
        """
        decoder = self._free.get()
        start = time.monotonic()
        try:
            if not decoder.alive:
                decoder.restart()
            decoder.await_ready()
            start = time.monotonic()
            until = start + self._settings.decode_seconds
            return decoder.ask(content, header, until=until, most=self._most())
        except (FrameError, OSError):
            elapsed = time.monotonic() - start
            slow = elapsed >= self._settings.decode_seconds
            self._on_loss("slow" if slow else "died")
            with suppress(OSError):  # tried again when it is needed
                decoder.restart()
            return Reading(UPLOAD, None, self._reason(slow=slow), elapsed * 1000)
        finally:
            self._free.put(decoder)

    def _most(self) -> int:
        """Bytes of the largest answer: two for each pixel, and a canvas."""
        return 2 * self._settings.max_pixels + 2**24

    def _reason(self, *, slow: bool) -> str:
        if slow:
            allowed = f"{self._settings.decode_seconds:g} s"
            return f"took more than {allowed} to decode, and was stopped. {_AGAIN}"
        return f"the decoder stopped working on it, or asked for too much memory. {_AGAIN}"
