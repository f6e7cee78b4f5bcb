"""Why something is not answered, in the page's language."""

from __future__ import annotations

import re

from pneumoscope.app.language import Language, spoken
from pneumoscope.app.words.reasons import REASONS


def reason_in(reason: str, language: Language) -> str | None:
    """A reason, or several joined by `; `, in a language; None where it is not known there.

    >>> reason_in("is blank", "fr")
    'est vide'
    """
    whole = _one(reason, language)
    if whole is not None:
        return whole
    parts = [_one(part, language) for part in reason.split("; ")]
    if None in parts:
        return reason if language == "en" else None
    return (" ; " if language == "fr" else "; ").join(filter(None, parts))


def _one(reason: str, language: Language) -> str | None:
    for pattern, text in REASONS.items():
        found = re.fullmatch(pattern, reason.strip().removesuffix("."))
        if found is None:
            found = re.fullmatch(pattern, reason.strip())
        if found is not None:
            return spoken(text, language) if not found.groups() else _filled(text, found, language)
    return None


def _filled(text: tuple[str, str], found: re.Match[str], language: Language) -> str:
    pattern = text[0] if language == "en" else text[1]
    groups = found.groups()
    if language == "fr":
        groups = tuple(_number(group) for group in groups)
    return pattern.format(*groups)


def _number(group: str) -> str:
    """A number as French writes it; anything else unchanged."""
    if not re.fullmatch(r"[\d,.]+", group):
        return group
    return group.replace(",", "\u202f").replace(".", ",")
