"""Sentences of the verdict and the audit in French, from the keys and values that records keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pneumoscope.app.language import Filled, decimal, percent, spaced, whole
from pneumoscope.app.operating import point_name
from pneumoscope.app.words.named import NAMED

_DIGITS = 3


def in_french(said: object, table: Mapping[str, str]) -> str | None:
    """What a record says, sentence after sentence; None where it keeps no keys, or others.

    >>> in_french([{"key": "a", "values": {"n": 2}}], {"a": "{n} {n:image|images}."})
    '2 images.'

    Args:
        said: A list of `{"key": ..., "values": {...}}`, or one of them, as JSON holds it.
        table: By key, the sentence with its gaps.
    """
    parts = [said] if isinstance(said, Mapping) else said
    if not isinstance(parts, Sequence) or not parts:
        return None
    try:
        sentences = [_FRENCH.format(spaced(table[one["key"]]), **one["values"]) for one in parts]
    except (KeyError, TypeError, ValueError):
        # Of another version, or not written by this program.
        return None
    return " ".join(sentences)


class _French(Filled):
    """Fills gaps with names in French and numbers with a decimal comma."""

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        found = super().get_value(key, args, kwargs)
        if key == "point":
            return point_name(str(found), "fr")
        names = NAMED.get(str(key), {})
        if isinstance(found, list):
            return [names.get(one, one) for one in found]
        return names.get(found, found) if isinstance(found, str) else found

    def format_field(self, value: Any, format_spec: str) -> str:
        if "|" in format_spec:
            return super().format_field(value, format_spec)
        if format_spec == "%":
            return _share(value)
        return _shown(value, int(format_spec or _DIGITS))


_FRENCH = _French("fr")


def _shown(value: object, digits: int) -> str:
    if isinstance(value, Mapping):
        return _estimate(value, digits)
    if isinstance(value, list):
        return _listed([str(one) for one in value])
    if isinstance(value, int):
        return whole(value, "fr")
    if isinstance(value, float) or value is None:
        return decimal(value, "fr", digits=digits)
    return str(value)


def _estimate(value: Mapping[str, Any], digits: int) -> str:
    middle, low, high = (
        decimal(value[end], "fr", digits=digits) for end in ("value", "low", "high")
    )
    if value["low"] is None:
        return f"{middle} (sans intervalle)"
    return f"{middle} ({low} à {high})"


def _listed(names: Sequence[str]) -> str:
    return " et ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _share(value: float) -> str:
    """A share as the audit gives it: no rest is rounded away."""
    whole_percent = 0.01 <= value <= 0.99 or value in (0, 1)
    return percent(value, "fr", digits=0 if whole_percent else 2 if value < 0.01 else 1)
