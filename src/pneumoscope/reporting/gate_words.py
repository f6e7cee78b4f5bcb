"""What a model card says of the bundle's gate."""

from __future__ import annotations

from collections.abc import Mapping

from pneumoscope.reporting.trust.sections import section
from pneumoscope.reporting.words import format_number, number


def gate_words(gate: Mapping[str, object] | None) -> dict[str, str] | None:
    """A sentence for each stage, from the `gate` of `bundle.json`; None where there is none."""
    if gate is None:
        return None
    return {
        "modality": _modality(section(gate, "modality")),
        "quality": _quality(section(gate, "quality")),
        "familiarity": _familiarity(section(gate, "familiarity")),
    }


_ABSENT = "not looked at in this bundle."


def _modality(found: Mapping[str, object]) -> str:
    if not found:
        return _ABSENT
    return (
        "whether it is a chest radiograph at all. Refused below a probability of "
        f"{format_number(number(found, 'refuse'))}, warned of below "
        f"{format_number(number(found, 'warn'))}. Learnt on chest radiographs of three sources "
        "against brain scans, photographs and drawn pages, charts, noise and other anatomy; real "
        "radiographs of other anatomy were not at hand."
    )


def _quality(found: Mapping[str, object]) -> str:
    if not found:
        return _ABSENT
    return (
        "blank pictures are refused; negatives and pictures turned by right angles are refused "
        "where that is certain and warned of elsewhere; what may be cut off, or a lateral view, is "
        "warned of. Lateral views were not at hand either: expect some to pass."
    )


def _familiarity(found: Mapping[str, object]) -> str:
    if not found:
        return _ABSENT
    level = number(found, "level")
    share = f"{100 * level:g} %" if level is not None else "a small share"
    abstains = found.get("unfamiliar") == "abstain"
    then = "not answered" if abstains else "answered with a warning"
    return (
        f"how like the training images it is. What is unlike them is {then}; so are about {share} "
        "of images of the same population. It tells other populations and machines, not other "
        "diseases."
    )
