"""How long work tells what it does, without knowing whether a terminal listens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Reporter(Protocol):
    """Receives notes, warnings and progress; the command line draws them."""

    def say(self, message: str) -> None:
        """Take a line about what is being done or was chosen, and why."""

    def warn(self, message: str) -> None:
        """Take a line the user should act on."""

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Yield the items of long work, showing how far it is and the time left."""
        ...


class Silent:
    """A reporter that shows nothing and remembers what it was told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.warnings: list[str] = []

    def say(self, message: str) -> None:
        """Remember a line."""
        self.messages.append(message)

    def warn(self, message: str) -> None:
        """Remember a warning."""
        self.warnings.append(message)

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Yield the items, silently."""
        del description, total
        yield from items


class Noting:
    """Passes everything on and remembers what the report should say."""

    def __init__(self, reporter: Reporter, notices: Iterable[str] = ()) -> None:
        self._reporter = reporter
        self.notices: list[str] = list(notices)

    def say(self, message: str) -> None:
        """Pass on and remember a line."""
        self.notices.append(message)
        self._reporter.say(message)

    def warn(self, message: str) -> None:
        """Pass on and remember a warning."""
        self.notices.append(message)
        self._reporter.warn(message)

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Pass on the progress."""
        yield from self._reporter.track(items, description, total)
