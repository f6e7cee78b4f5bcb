"""The verdict on whether images are like those of the calibration split, and what that costs."""

from __future__ import annotations

from pneumoscope.core.said import Said
from pneumoscope.evaluation.verdict.parts import (
    Colour,
    Content,
    Finding,
    number,
    part,
    rows,
    said,
    three,
    unmeasured,
)
from pneumoscope.evaluation.verdict.thresholds import SHIFT_DISTANCE, SHIFT_P, SHIFT_P_STRONG


def shift(metrics: Content, assessment: Content) -> Finding:
    """Whether the images answer like those of the calibration split: by permutation tests.

    Another case mix alone leaves what is promised for each label, see `evaluation.case_mix`, and
    is never red. A p-value has no interval; red also asks that the distance be large.
    """
    del metrics
    section = part(assessment, "shift")
    p_value, distance = number(section, "p_value"), number(section, "statistic")
    if p_value is None or distance is None:
        return unmeasured(
            "the calibration split's predictions are not at hand",
            "Evaluate with the bundle of a training that kept them.",
            said("unmeasured.shift"),
        )
    kind, least = section.get("kind"), number(section, "least")
    if kind == "label_shift":
        return _other_mix(section, part(assessment, "label_sets").get("conditional") is True)
    if kind == "within_label":
        return _within(section)
    # Records of other versions have no kind: labels were not asked.
    least = p_value if least is None else least
    if kind == "none" or (kind is None and p_value >= SHIFT_P):
        return _alike(distance, least)
    return _untold(distance, least, asked=kind == "unexplained")


def _alike(distance: float, p_value: float) -> Finding:
    compared = f"Scores differ from the calibration split's by a distance of {three(distance)}"
    return _finding(
        "green", distance, p_value,
        f"{compared} ({_p(p_value)}), as exchangeable images would; that does not prove they are.",
        said("shift.distance", distance=distance, p=p_value), said("shift.none"),
    )  # fmt: skip


def _other_mix(section: Content, conditional: bool) -> Finding:
    """Labels in other shares: per-label promises can hold, those over all images do not."""
    mix = part(section, "mix")
    distance, p_value = number(mix, "statistic") or 0.0, number(mix, "adjusted") or 0.0
    sets = (
        "If that is all, what is promised for each label, sensitivity and these label sets, keeps "
        "its guarantee"
        if conditional
        else "If that is all, sensitivity keeps what it promises; these label sets, promised over "
        "all images only, lose their guarantee"
    )
    return _finding(
        "amber", distance, p_value,
        f"The case mix differs (label shift): the share of a label is {three(distance)} away from "
        f"the calibration split's ({_p(p_value)}), and within no label scores were found to "
        f"differ. {sets}. Coverage over all images, the abstention threshold, calibration and "
        "predictive values do not carry over.",
        said("shift.mix", distance=distance, p=p_value),
        said("shift.mix_conditional" if conditional else "shift.mix_marginal"),
        said("shift.mix_lost"),
    )  # fmt: skip


def _within(section: Content) -> Finding:
    """Images of a label that answer otherwise: nothing is guaranteed."""
    level = number(section, "level") or SHIFT_P
    found = [row for row in rows(section, "within") if (number(row, "adjusted") or 0.0) < level]
    worst = max(found, key=lambda row: number(row, "statistic") or 0.0)
    distance, p_value = number(worst, "statistic") or 0.0, number(worst, "adjusted") or 0.0
    large = p_value < SHIFT_P_STRONG and distance >= SHIFT_DISTANCE
    also = (number(part(section, "mix"), "adjusted") or 1.0) < level
    mixed = " The case mix differs too." if also else ""
    ending = "do not count on them" if large else "they may hold less well"
    labels = [str(row.get("label")) for row in found]
    return _finding(
        "red" if large else "amber", distance, p_value,
        f"Scores of images with the same label ({', '.join(labels)}) differ from the calibration "
        f"split's by a distance of up to {three(distance)} ({_p(p_value)}), which no other case "
        f"mix explains: thresholds and label sets lose their guarantee; {ending}.{mixed}",
        said("shift.within", labels=labels, distance=distance, p=p_value),
        said("shift.large" if large else "shift.small"),
        *([said("shift.mix_too")] if also else []),
    )  # fmt: skip


def _untold(distance: float, p_value: float, *, asked: bool) -> Finding:
    """Scores that differ where labels do not say why; `asked`: they were."""
    large = p_value < SHIFT_P_STRONG and distance >= SHIFT_DISTANCE
    why = (
        "Without images of each label in both splits, other images and another case mix cannot be "
        "told apart"
        if not asked
        else "Neither within a label nor in the labels' shares alone was a difference found, so "
        "other images and another case mix cannot be told apart"
    )
    ending = "do not count on them" if large else "they may hold less well"
    return _finding(
        "red" if large else "amber", distance, p_value,
        f"Scores differ from the calibration split's by a distance of {three(distance)} "
        f"({_p(p_value)}). {why}: thresholds and label sets may have lost their guarantee; "
        f"{ending}.",
        said("shift.distance", distance=distance, p=p_value),
        said("shift.unexplained" if asked else "shift.unlabelled"),
        said("shift.large_perhaps" if large else "shift.small_perhaps"),
    )  # fmt: skip


def _finding(
    colour: Colour, distance: float, p_value: float, sentence: str, *told: Said
) -> Finding:
    limit = (
        f"green from p\u00a0=\u00a0{SHIFT_P}; red below {SHIFT_P_STRONG} with a distance of "
        f"{SHIFT_DISTANCE:.2f} or more, unless only the case mix differs"
    )
    bound = said("limit.shift", green=SHIFT_P, red=SHIFT_P_STRONG, distance=SHIFT_DISTANCE)
    value = f"{_p(p_value)}, distance {three(distance)}"
    return Finding(colour, value, limit, sentence, told, bound)


def _p(p_value: float) -> str:
    return f"p\u00a0=\u00a0{three(p_value)}"
