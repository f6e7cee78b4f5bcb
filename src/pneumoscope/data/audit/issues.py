"""The vocabulary of the audit: an issue is something it found, said so that one can act on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pneumoscope.core.said import Said, Value, checked
from pneumoscope.data.audit.keys import KEYS

Severity = Literal["info", "warning", "error"]

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")
"""From what is good to know to what makes every figure doubtful."""

Fact: TypeAlias = float | int | str | None


@dataclass(frozen=True)
class Issue:
    """Something the audit found."""

    check: str
    """The name of the check in the registry."""
    severity: Severity
    title: str
    message: str
    """One to three sentences: what, how many, why it matters, what to do."""
    paths: tuple[str, ...] = ()
    """Catalogue paths concerned: sorted, or the worst first where the check ranks them."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    """The numbers behind the message."""
    said: tuple[Said, ...] = ()
    """What the message says, sentence by sentence, for other languages."""

    def to_json(self) -> dict[str, object]:
        """The issue as JSON's own types."""
        return {
            "check": self.check, "severity": self.severity, "title": self.title,
            "message": self.message, "paths": list(self.paths), "facts": dict(self.facts),
            "said": [one.to_json() for one in self.said],
        }  # fmt: skip


def sorted_paths(paths: Iterable[str]) -> tuple[str, ...]:
    """The paths, each once, sorted."""
    return tuple(sorted(set(paths)))


def said(key: str, **values: Value) -> Said:
    """One of the sentences of `keys.KEYS`, with what stands in its gaps."""
    return checked(KEYS, key, values)


def of_set(name: str) -> tuple[Said, ...]:
    """What is said first where a sentence speaks of one data set, see `data.of_source`."""
    return (said("set", source=name),) if name else ()


def count(number: int, noun: str) -> str:
    """A number with its noun in the right form.

    >>> count(1, "image"), count(2100, "image")
    ('1 image', '2,100 images')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(fraction: float) -> str:
    """A fraction in words a reader takes in: no false precision, never a rounded-away rest.

    >>> percent(0.2534), percent(0.0004), percent(1.0)
    ('25 %', '0.04 %', '100 %')
    """
    value = 100 * fraction
    if 1 <= value <= 99 or value in (0, 100):
        return f"{value:.0f} %"
    return f"{value:.3g} %" if value < 1 else f"{value:.1f} %"
