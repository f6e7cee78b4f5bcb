"""The language of a page, and how texts and numbers are written in it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from string import Formatter
from typing import Any, Literal, NamedTuple, get_args

from pneumoscope.reporting.words import number

Language = Literal["en", "fr"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
_SPACE = "\u202f"
_WIDE, _NARROW = re.compile(r" (?=[:»])|(?<=«) "), re.compile(r" (?=[;?!%])")


class Text(NamedTuple):
    """A text in every language; `{name}` is filled in, `{name:one|many}` agrees with its number."""

    en: str
    fr: str


def spoken(text: Text, language: Language, **values: object) -> str:
    """The text in a language, its placeholders filled.

    >>> spoken(Text("{n} images", "{n} clichés"), "fr", n=3)
    '3 clichés'
    """
    found: str = text.en if language == "en" else spaced(text.fr)
    return Filled(language).format(found, **values) if values else found


class Filled(Formatter):
    """Fills the gaps of a text as a language does."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def format_field(self, value: Any, format_spec: str) -> str:
        """What stands in a gap; with `one|many` the word that agrees with the number."""
        if "|" not in format_spec:
            return str(super().format_field(value, format_spec))
        one, many = format_spec.split("|")
        # In French, nothing and less than two are one.
        single = abs(value) < 2 if self.language == "fr" else value == 1
        return one if single else many


def spaced(french: str) -> str:
    """The text with the spaces that French puts before and within its signs, never broken there.

    >>> spaced("Pourquoi ?") == "Pourquoi\u202f?", spaced("« a » : b").count("\u00a0")
    (True, 3)
    """
    return _NARROW.sub(_SPACE, _WIDE.sub("\u00a0", french))


def known(table: Mapping[str, Text], name: object, language: Language) -> str:
    """The text that a table has for a name; the name itself where it has none."""
    text = table.get(str(name))
    return str(name) if text is None else spoken(text, language)


def chosen(named: object) -> Language:
    """The language that a query string names, English where it names none that is known.

    >>> chosen("fr"), chosen("xx")
    ('fr', 'en')
    """
    return next((one for one in LANGUAGES if one == named), "en")


def decimal(value: float | None, language: Language, *, digits: int = 3) -> str:
    """A number as the language writes it; a dash where there is none.

    >>> decimal(0.98765, "en"), decimal(-0.5, "fr", digits=1), decimal(None, "fr")
    ('0.988', '−0,5', '–')
    """
    if value is None or not math.isfinite(value):
        return "\u2013"
    text = f"{value:.{digits}f}".replace("-", "\u2212")
    return text.replace(".", ",") if language == "fr" else text


def percent(value: float | None, language: Language, *, digits: int = 0) -> str:
    """A share in [0, 1] as a percentage.

    >>> percent(0.934, "en"), percent(0.5, "fr") == "50\u202f%"
    ('93%', True)
    """
    if value is None or not math.isfinite(value):
        return "\u2013"
    return decimal(100 * value, language, digits=digits) + ("%" if language == "en" else "\u202f%")


def probability(value: float | None, language: Language, *, digits: int = 1) -> str:
    r"""A model's probability as a percentage, which never says that anything is sure.

    >>> probability(0.99997, "en"), probability(0.0, "fr") == "<\u00a00,1\u202f%"
    ('>\xa099.9%', True)
    """
    if value is not None:
        step = 10.0**-digits
        if f"{100 * value:.{digits}f}" == f"{100:.{digits}f}":
            return ">\u00a0" + percent(1 - step / 100, language, digits=digits)
        if f"{100 * value:.{digits}f}" == f"{0:.{digits}f}":
            return "<\u00a0" + percent(step / 100, language, digits=digits)
    return percent(value, language, digits=digits)


def whole(value: int | None, language: Language) -> str:
    """A count, its digits in threes from 10 000 on."""
    if value is None:
        return "\u2013"
    text = f"{value:,}" if abs(value) >= 10_000 else str(value)
    return text.replace(",", "," if language == "en" else _SPACE)


def interval(entry: object, language: Language) -> str:
    """The two ends of an entry of `metrics.json`; nothing where it has no interval.

    >>> interval({"value": 0.9, "low": 0.85, "high": 0.94}, "fr")
    '0,850 à 0,940'
    """
    low, high = number(entry, "low"), number(entry, "high")
    if low is None or high is None:
        return ""
    between = " to " if language == "en" else " à "
    return between.join(decimal(end, language) for end in (low, high))
