"""The process: a socket, signals, and an end that loses nothing that was accepted."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from pneumoscope.core.errors import InputError
from pneumoscope.service.admission import Rate
from pneumoscope.service.app import create_app
from pneumoscope.service.connection import Connection
from pneumoscope.service.guard import Door, is_loopback
from pneumoscope.service.journal import Journal, JournalHandler
from pneumoscope.service.metrics import Metrics
from pneumoscope.service.problems import Problem
from pneumoscope.service.reloading import Reloader
from pneumoscope.service.service import Service
from pneumoscope.service.serving import Live
from pneumoscope.service.settings import GRACE, Settings
from pneumoscope.service.tokens import Holder, read_tokens

__all__ = ["Place", "origins_of", "serve"]

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_MAX_HEADERS: Final = 16 * 2**10
_KEEP_ALIVE: Final = 30


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where and to whom the service answers.

    Attributes:
        host: Address to listen on.
        port: Likewise; 0: any that is free.
        tokens: File of tokens; None: open.
        insecure: Open to other machines without tokens.
        origins: Web origins whose pages may ask.

    Raises:
        InputError: open to other machines, and not said to be.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    tokens: Path | None = None
    insecure: bool = False
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.tokens is None and not self.insecure and not is_loopback(self.host):
            raise InputError(
                f"host {self.host}: other machines reach it, and there are no tokens. Make one "
                "with --new-token NAME --tokens FILE, or say --insecure."
            )

    def holders(self) -> Sequence[Holder] | None:
        """Who holds tokens now; None: no tokens are asked for.

        Raises:
            InputError: the file of tokens cannot be used, or holds none.
        """
        holders = None if self.tokens is None else read_tokens(self.tokens)
        if holders is not None and not holders:
            raise InputError(f"{self.tokens}: holds no token. Make one with --new-token NAME.")
        return holders

    def door(self, rate: float | None) -> Door:
        """Who is let in.

        Raises:
            InputError: as `holders`.
        """
        return Door(
            Rate(rate), self.holders(), local_only=not self.insecure, origins=self.origins
        )  # fmt: skip


def serve(
    find: Callable[[], Path],
    place: Place,
    settings: Settings,
    *,
    runtime: str = "auto",
    threads: int | None = None,
    journal: Journal | None = None,
) -> None:
    """Answer until SIGTERM or SIGINT; SIGHUP loads bundle and tokens again.

    Args:
        find: Tells where the bundle is, asked before each loading.
        place: Where and to whom it answers.
        settings: What is allowed.
        runtime: See `Predictor`.
        threads: See `Predictor`.
        journal: Where requests are written.

    Raises:
        BundleError: the bundle cannot be used.
        InputError: the tokens cannot.
    """
    journal = journal or Journal()
    door = place.door(settings.rate)
    live = Live(
        find, runtime=runtime, threads=threads, max_batch=settings.max_batch
    )  # fmt: skip
    service = Service(live, settings, Metrics())
    reloader = Reloader(service, door, holders=place.holders, journal=journal)
    app = create_app(service, door=door, journal=journal, reloader=reloader)
    logger = logging.getLogger("uvicorn.error")
    logger.handlers, logger.propagate = [JournalHandler(journal)], False
    logger.setLevel(logging.INFO)
    config = uvicorn.Config(
        app, host=place.host, port=place.port, log_config=None, access_log=False,
        server_header=False, proxy_headers=False, ws="none", lifespan="on",
        http=Connection, limit_concurrency=settings.max_connections + 1,
        h11_max_incomplete_event_size=_MAX_HEADERS, timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(settings.deadline + GRACE) + 1,
    )  # fmt: skip
    _Server(config, service, reloader, journal).run()
    totals = service.totals
    journal.write("stopped", accepted=totals.accepted, answered=totals.answered)


class _Server(uvicorn.Server):
    """Uvicorn with a drain before the end, and SIGHUP."""

    def __init__(
        self, config: uvicorn.Config, service: Service, reloader: Reloader, journal: Journal
    ) -> None:
        super().__init__(config)
        self._service, self._reloader, self._journal = service, reloader, journal
        self._reloading: set[asyncio.Task[None]] = set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """While it serves: stop gently on the first signal, at once on the second."""
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in _STOPS}
        for number in _STOPS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        try:
            yield
        finally:
            for number in (*_STOPS, signal.SIGHUP):
                loop.remove_signal_handler(number)
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain, then stop: /readyz says no, answers say `Connection: close`, none is refused."""
        del sig, frame
        if self._service.draining:
            self.should_exit = self.force_exit = True
            return
        self._service.draining = True
        seconds = self._service.settings.drain_seconds
        self._journal.write("draining", seconds=seconds, images=self._service.room.images)
        asyncio.get_running_loop().call_later(seconds, self._stop)

    def _stop(self) -> None:
        self.should_exit = True

    def _hang_up(self) -> None:
        # Also while a bundle is being loaded: a token may have been revoked since.
        task = asyncio.get_running_loop().create_task(self._reload())
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)

    async def _reload(self) -> None:
        with suppress(Problem):  # which is in the journal
            await self._reloader.reload()


def origins_of(origins: Sequence[str]) -> tuple[str, ...]:
    """The web origins, checked.

    Raises:
        InputError: one is none, such as `*`.
    """
    for origin in origins:
        scheme, _, host = origin.partition("://")
        if scheme not in ("http", "https") or not host or set(host) & set("/*?# "):
            raise InputError(f"origin {origin!r}; allowed: such as https://example.org. Repair it.")
    return tuple(origins)
