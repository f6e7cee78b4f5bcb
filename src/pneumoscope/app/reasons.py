"""Why something is not answered, in the page's language."""

from __future__ import annotations

import re

from pneumoscope.app.language import Language, spaced, spoken
from pneumoscope.app.words import trying as words
from pneumoscope.app.words.reasons import REASONS

_SAID_OF = re.compile(r"(?:is|may be|shows|starts|does|cannot) ")
"""Begins what is said of the image; other reasons stand alone."""


def reason_in(reason: str, language: Language) -> str | None:
    """A reason, or several joined by `; `, in a language; None where it is not known there.

    >>> reason_in("is blank", "fr")
    'est vide'
    """
    if language == "en":
        return reason
    whole = _one(reason)
    if whole is not None:
        return whole
    parts = [_one(part) for part in reason.split("; ")]
    return None if None in parts else spaced(" ; ".join(filter(None, parts)))


def because(reason: str, language: Language) -> str:
    """A reason as a sentence; where it is known in English only, that is said.

    >>> because("is blank", "en")
    'It is blank.'
    """
    plain = reason.rstrip(". ")
    told = reason_in(reason, language)
    if told is None:
        return spoken(words.REASON_IN_ENGLISH, language, reason=plain)
    text = words.REASON_OF if _SAID_OF.match(reason) else words.REASON
    return spoken(text, language, reason=told.rstrip(". "))


def _one(reason: str) -> str | None:
    plain = reason.strip()
    for pattern, french in REASONS.items():
        found = re.fullmatch(pattern, plain) or re.fullmatch(pattern, plain.removesuffix("."))
        if found is not None:
            return spaced(french).format(*map(_number, found.groups()))
    return None


def _number(group: str) -> str:
    """A number as French writes it; anything else unchanged."""
    if not re.fullmatch(r"[\d,.]+", group):
        return group
    return group.replace(",", "\u202f").replace(".", ",")
