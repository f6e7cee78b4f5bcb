"""On how many images of how many patients something was measured, as far as these are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pneumoscope.app.language import Language, spoken, whole
from pneumoscope.app.words import overview as words


def measured_on(metrics: Mapping[str, Any], language: Language) -> str:
    """The sentence on the amounts of a `metrics.json`; images where no patient is known."""
    unknown = metrics.get("n_unknown_patients") or 0
    text = words.TESTED_MOST if unknown else words.TESTED
    if unknown and unknown == metrics.get("n_images"):
        text = words.TESTED_IMAGES
    numbers = {"images": "n_images", "patients": "n_patients", "unknown": "n_unknown_patients"}
    return spoken(
        text,
        language,
        data=str(metrics.get("data", "")).partition("@")[0],
        **{gap: whole(metrics.get(name), language) for gap, name in numbers.items()},
    )
