"""What the checks of the verdict share: reading numbers with their intervals, and wording them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pneumoscope.core.said import Said, Value, checked
from pneumoscope.evaluation.verdict.keys import KEYS

Colour: TypeAlias = Literal["green", "amber", "red", "grey"]
Content: TypeAlias = Mapping[str, Any]
"""Part of `metrics.json` or `assessment.json`."""

WORST_FIRST: tuple[Colour, ...] = ("red", "amber", "grey", "green")
"""Grey comes before green: what was not measured is not good."""

_MINUS = "\u2212"


@dataclass(frozen=True)
class Finding:
    """The judgement of one item.

    Attributes:
        colour: grey where it was not measured.
        value: what was measured, short.
        threshold: the limit that decided.
        sentence: what a careful reviewer would write, with the number in it.
        said: what the sentence says, in parts, for other languages.
        limit: what the threshold says, likewise.
    """

    colour: Colour
    value: str
    threshold: str
    sentence: str
    said: tuple[Said, ...]
    limit: Said

    def to_row(self) -> dict[str, Any]:
        """The finding as JSON's own types."""
        return {
            "colour": self.colour, "value": self.value, "threshold": self.threshold,
            "sentence": self.sentence, "said": [one.to_json() for one in self.said],
            "limit": self.limit.to_json(),
        }  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """A number and its interval, infinitely wide where none was computed."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isinf(self.low) or math.isinf(self.high):
            return f"{three(self.value)} (no interval)"
        return f"{three(self.value)} ({three(self.low)} to {three(self.high)})"

    def to_json(self) -> dict[str, float | None]:
        """The number and its interval, whose ends are None where none was computed."""
        if math.isinf(self.low) or math.isinf(self.high):
            return {"value": self.value, "low": None, "high": None}
        return {"value": self.value, "low": self.low, "high": self.high}


def said(key: str, **values: Value | Estimate) -> Said:
    """One of the sentences of `keys.KEYS`, with what stands in its gaps."""
    return checked(KEYS, key, {name: _plain(value) for name, value in values.items()})


def _plain(value: Value | Estimate) -> Value:
    """As JSON takes it: an end without bound is None."""
    if isinstance(value, Estimate):
        return value.to_json()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def estimate(entry: object) -> Estimate | None:
    """The number in an entry of metrics or assessment; None where it is not defined."""
    value, low, high = (number(entry, key) for key in ("value", "low", "high"))
    if value is None:
        return None
    return Estimate(value, -math.inf if low is None else low, math.inf if high is None else high)


def number(content: object, key: str) -> float | None:
    """The finite number at `key`, or None."""
    value = content.get(key) if isinstance(content, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def part(content: object, key: str) -> Content:
    """The mapping at `key`, empty where there is none."""
    value = content.get(key) if isinstance(content, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def rows(content: object, key: str) -> list[Content]:
    """The mappings in the list at `key`, none where there is no list."""
    value = content.get(key) if isinstance(content, Mapping) else None
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def difference(first: Estimate, second: Estimate) -> Estimate:
    """`first - second`, both independent, from their intervals alone.

    Newcombe's method 10 (1998) for proportions; for other estimates it is called MOVER (Zou and
    Donner 2008). With paired or nested estimates the interval is too wide, never too narrow, as
    long as they do not vary against each other.
    """
    value = first.value - second.value
    low = value - math.hypot(first.value - first.low, second.high - second.value)
    high = value + math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, low, high)


def graded(
    at: float, *, green: float, red: float, rising: bool = True
) -> Literal["green", "amber", "red"]:
    """Green up to one limit, red beyond the other; with `rising` false, the other way round."""
    if not rising:
        at, green, red = -at, -green, -red
    if at > red:
        return "red"
    return "green" if at <= green else "amber"


def worst(findings: Sequence[Finding]) -> Finding:
    """The finding with the worst colour, the first of equals."""
    return min(findings, key=lambda finding: WORST_FIRST.index(finding.colour))


def unmeasured(what: str, remedy: str, told: Said) -> Finding:
    """A grey finding: `what` is missing, and how to get it; `told` says both."""
    sentence = f"Not judged: {what}. {remedy}"
    return Finding("grey", "not measured", "none applied", sentence, (told,), said("limit.none"))


def three(value: float) -> str:
    """Three decimals, with a true minus sign.

    >>> three(0.12345), three(-0.0001)
    ('0.123', '0.000')
    """
    text = f"{value:.3f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", _MINUS)


def label_names(metrics: Content) -> tuple[str, ...]:
    """The label set that the metrics are about, empty where they do not say."""
    labels = metrics.get("labels")
    return tuple(str(label) for label in labels) if isinstance(labels, list | tuple) else ()


def amount(content: object, key: str) -> int:
    """The whole number at `key`, 0 where there is none."""
    return int(number(content, key) or 0)


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""
