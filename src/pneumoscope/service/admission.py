"""Who is let in: a bounded number of images and bytes at a time, and a rate per token."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from pneumoscope.service.problems import Problem


class Room:
    """Room for what is accepted and not yet answered, or not yet sent; used by one thread.

    Args:
        images: That may be inside.
        size: Bytes that uploads, pictures and answers may have together.
        wait: Seconds after which to try again, asked when somebody is turned away.
    """

    def __init__(self, images: int, size: int, *, wait: Callable[[], float]) -> None:
        self._max_images, self._max_size, self._wait = images, size, wait
        self.images = self.size = 0

    @contextmanager
    def visit(self) -> Iterator[Visit]:
        """One request's share, given back when the block ends; starts with one image.

        Raises:
            Problem: `queue-full`.
        """
        visit = Visit(self)
        try:
            visit.take(images=1)
            yield visit
        finally:
            self.images -= visit.images
            self.size -= visit.size

    @contextmanager
    def unsent(self, size: int) -> Iterator[None]:
        """An answer's bytes while the block lasts; what is answered is not refused any more."""
        self.size += size
        try:
            yield
        finally:
            self.size -= size

    def check(self, *, images: int, size: int) -> None:
        """Whether so much more fits.

        Raises:
            Problem: `queue-full`.
        """
        if self.images + images > self._max_images:
            detail = f"{self.images} images wait; allowed: {self._max_images} at a time."
        elif self.size + size > self._max_size:
            detail = f"{self.size:,} bytes are held; allowed: {self._max_size:,} at a time."
        else:
            return
        raise Problem("queue-full", detail, retry_after=self._wait())


class Visit:
    """What one request takes of a room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.images = self.size = self.drawn = 0

    def draw(self, size: int, *, most: int) -> None:
        """Take room for a picture of so many bytes.

        Raises:
            Problem: `queue-full`, or `too-large` where the request's pictures have more than
                `most` bytes together.
        """
        self.drawn += size
        if self.drawn > most:
            raise Problem("too-large", f"allowed: {most:,} bytes of pictures in one answer.")
        self.take(size=size)

    def take(self, *, images: int = 0, size: int = 0) -> None:
        """Take more.

        Raises:
            Problem: `queue-full`.
        """
        self._room.check(images=images, size=size)
        self.images += images
        self.size += size
        self._room.images += images
        self._room.size += size


class Share:
    """An amount that tasks of one loop share, first come, first served.

    Args:
        amount: Of it.
    """

    def __init__(self, amount: int) -> None:
        self._amount = self._left = amount
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, amount: int) -> AsyncIterator[None]:
        """Hold so much of it, all of it at most, as soon as it is there."""
        wanted = min(amount, self._amount)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, turn))
        self._grant()
        try:
            await turn
            yield
        finally:
            if not turn.cancelled():
                self._left += wanted
            self._grant()

    def _grant(self) -> None:
        while self._waiting:
            wanted, turn = self._waiting[0]
            if not turn.cancelled():
                if wanted > self._left:
                    return
                self._left -= wanted
                turn.set_result(None)
            self._waiting.popleft()


class Rate:
    """A token bucket per name (J. Turner, 1986): bursts of two seconds' worth, then the rate.

    Args:
        rate: Requests per second; None: no limit.
        clock: Seconds.
    """

    def __init__(self, rate: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._burst = max(1.0, 2 * rate) if rate else 0.0
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> None:
        """Count one request.

        Raises:
            Problem: `too-many-requests`.
        """
        if self._rate is None:
            return
        now = self._clock()
        left, since = self._left.get(name, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        allowed = left >= 1
        self._left[name] = (left - allowed, now)
        if not allowed:
            detail = f"allowed: {self._rate:g} requests per second for a token."
            raise Problem("too-many-requests", detail, retry_after=(1 - left) / self._rate)
