"""The verdict: what a careful reviewer would say of one evaluation, item by item.

Every item is green, amber, red, or grey where it was not measured. Limits lie in
`verdict_thresholds` and are compared with the ends of intervals: green is given only where the
worse end is good, red only where the better end, or what is called surely, is bad. The verdict is
a function of the numbers in `metrics.json` and `assessment.json`, so anybody can repeat it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pneumoscope.evaluation.verdict.figures import (
    calibration,
    discrimination,
    operating_points,
)
from pneumoscope.evaluation.verdict.parts import WORST_FIRST, Colour, Content, Finding, listed
from pneumoscope.evaluation.verdict.pictures import robustness, saliency
from pneumoscope.evaluation.verdict.sets import groups, label_sets
from pneumoscope.evaluation.verdict.shift import shift
from pneumoscope.evaluation.verdict.shortcuts import shortcuts
from pneumoscope.evaluation.verdict.size import sample_size
from pneumoscope.evaluation.verdict.sources import sources

ITEMS: Mapping[str, Callable[[Content, Content], Finding]] = {
    "discrimination": discrimination,
    "calibration": calibration,
    "operating points": operating_points,
    "label sets": label_sets,
    "groups": groups,
    "shortcuts": shortcuts,
    "sources": sources,
    "robustness": robustness,
    "saliency": saliency,
    "shift": shift,
    "sample size": sample_size,
}
"""What is judged, in the order of the report."""

_OPENING: Mapping[Colour, str] = {
    "red": "The figures do not stand as they are",
    "amber": "The figures stand with reservations",
    "grey": "Nothing that was measured speaks against the figures, but not all was measured",
    "green": "Nothing that was measured speaks against the figures",
}
_WORD: Mapping[Colour, str] = {
    "red": "Red", "amber": "Amber", "grey": "Not judged", "green": "Green",
}  # fmt: skip


def judge(metrics: Mapping[str, object], assessment: Mapping[str, object]) -> list[dict[str, Any]]:
    """A row for each of `ITEMS`, in order: item, colour, value, threshold, sentence, said, limit.

    Args:
        metrics: the content of `metrics.json`.
        assessment: that of `assessment.json`; what is missing or null makes its item grey.
    """
    return [{"item": item, **check(metrics, assessment).to_row()} for item, check in ITEMS.items()]


def overall_colour(verdict: Sequence[Mapping[str, str]]) -> Colour:
    """The worst colour of the items; grey where nothing is amber or red and something not judged.

    >>> overall_colour([{"colour": "green"}, {"colour": "grey"}])
    'grey'
    """
    found = {row["colour"] for row in verdict}
    return next((colour for colour in WORST_FIRST if colour in found), "grey")


def colour_word(colour: str) -> str:
    """What a colour is called where it cannot be seen.

    >>> colour_word("grey")
    'Not judged'
    """
    return {str(known): word for known, word in _WORD.items()}.get(colour, "Not judged")


def overall_sentence(verdict: Sequence[Mapping[str, str]]) -> str:
    """What the verdict comes to, naming the items that are not green."""
    if not verdict:
        return "Nothing was judged."
    parts = [_OPENING[overall_colour(verdict)]]
    for colour, words in (("red", "red"), ("amber", "amber"), ("grey", "not judged")):
        named = [row["item"] for row in verdict if row["colour"] == colour]
        if named:
            parts.append(f"{words}: {listed(named)}")
    opening, *rest = parts
    return f"{opening}. {'; '.join(rest).capitalize()}." if rest else f"{opening}."
