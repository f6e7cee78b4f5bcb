"""Numbers of `metrics.json` as tiles, and where figures come from."""

from __future__ import annotations

from collections.abc import Mapping

from pneumoscope.app.html import Tile
from pneumoscope.app.language import Language, decimal, interval, percent, spoken
from pneumoscope.app.words import common as words
from pneumoscope.reporting.words import number


def metric_name(key: str, language: Language) -> str:
    """A metric's name for people, with its label where it has one."""
    kind, colon, label = key.partition(":")
    name = spoken(words.METRICS[kind], language) if kind in words.METRICS else kind
    return spoken(words.OF_LABEL, language, metric=name, label=label) if colon else name


def metric_tile(metrics: Mapping[str, object], key: str, language: Language) -> Tile:
    """One metric with its interval."""
    entry = metrics.get(key)
    return entry_tile(metric_name(key, language), entry, metrics.get("confidence_level"), language)


def entry_tile(name: str, entry: object, level: object, language: Language) -> Tile:
    """A value with its interval: `value`, `low` and `high` of a mapping.

    Args:
        name: What it is.
        entry: Of `metrics.json`, or alike.
        level: Of the interval, in (0, 1).
        language: To write it in.
    """
    value, between = number(entry), interval(entry, language)
    note = ""
    if between and isinstance(level, float):
        note = spoken(words.INTERVAL, language, level=percent(level, language), interval=between)
    low, high = number(entry, "low"), number(entry, "high")
    return Tile(name, decimal(value, language), note, low, high, value)
