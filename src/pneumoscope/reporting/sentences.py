"""What an assessment says in a sentence rather than in a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pneumoscope.reporting.trust.sections import Assessment, listed, section
from pneumoscope.reporting.words import count, format_interval, format_number, group_digits, number


def calibration_lines(assessment: Assessment) -> list[str]:
    """How the probabilities were calibrated, and why so."""
    found = section(assessment, "calibration")
    if not found:
        return []
    method, reason = found.get("method"), str(found.get("reason") or "").rstrip(".")
    lines = [f"Probabilities are calibrated by {_METHODS.get(str(method), str(method))}."]
    return [*lines, f"{reason[:1].upper()}{reason[1:]}."] if reason else lines


_METHODS = {
    "temperature": "one temperature",
    "vector": "a weight and a bias for each label",
    "isotonic": "isotonic regression",
}


def label_set_lines(assessment: Assessment) -> list[str]:
    """What the label sets lead to, and what abstaining below a confidence does."""
    lines = []
    found = section(assessment, "label_sets")
    if (assurance := number(found, "assurance")) is not None:
        level = format_number(number(found, "confidence_level"))
        lines.append(
            f"Label sets were made to hold the true label in {level} of images like these or more, "
            f"which the size of the calibration split makes {format_number(assurance)} likely."
        )
    decisions = section(found, "decisions")
    if decisions:
        told = {name: group_digits(int(number(decisions, name) or 0)) for name in _DECISIONS}
        words = ", ".join(f"{told[name]} {_DECISIONS[name]}" for name in _DECISIONS)
        accuracy = _spelled(found.get("answered_accuracy"))
        lines.append(f"Of the images, {words}. Of the single answers, {accuracy} are right.")
    selective = section(assessment, "selective")
    limit, seen = section(selective, "threshold"), section(selective, "seen")
    if limit and (number(limit, "threshold") or 0) >= 1:
        wanted = format_number(number(limit, "wanted_risk"))
        lines.append(
            f"No confidence could be shown to keep wrong answers at or below {wanted}: the "
            "calibration split is too small, or the model too often wrong. No answer is withheld "
            "for its confidence."
        )
    elif limit and seen:
        lines.append(
            f"Answering only above a confidence of {format_number(number(limit, 'threshold'))}, "
            f"chosen so that at most {format_number(number(limit, 'wanted_risk'))} of the answers "
            f"are wrong, answers {_spelled(seen.get('coverage'))} of these images and is wrong in "
            f"{_spelled(seen.get('risk'))} of them."
        )
    return lines


_DECISIONS = {
    "answer": "get one answer",
    "set": "get several labels to choose from",
    "abstain": "get none",
}


def source_lines(assessment: Assessment) -> list[str]:
    """How sources and labels are tied, and how plainly embeddings hold the source."""
    found = section(assessment, "sources")
    if not found:
        return []
    oracle, names = section(found, "oracle"), found.get("sources")
    if isinstance(names, list) and len(names) == 1:
        images = count(found.get("n_images"), "image")
        one = f"One source is recorded, {names[0]}, of {images}"
        return [f"{one}: confounding by source cannot be measured, nor generalisation to another."]
    lines = []
    if number(found, "tie") is not None:
        lines.append(
            f"Sources and labels are tied with a Cram\u00e9r's V of "
            f"{format_number(number(found, 'tie'))} (0 not at all, 1 wholly)."
        )
    if number(oracle.get("accuracy")) is not None:
        share = format_number(number(oracle, "share_of_most_frequent_label"))
        lines.append(
            "Naming the label that most other patients of the same source have, without looking at "
            f"an image, is right in {_spelled(oracle.get('accuracy'))} of the images, and naming "
            f"the most frequent label of all in {share}."
        )
    if number(found.get("told")) is not None:
        lines.append(f"Embeddings tell the source with an AUC of {_spelled(found.get('told'))}.")
    return lines


def shift_lines(assessment: Assessment) -> list[str]:
    """What the test for a shift between calibration and test split says."""
    found = section(assessment, "shift")
    p_value = number(found, "p_value")
    if p_value is None:
        return []
    labels = section(found, "by_label")
    apart = ", ".join(f"{label} {format_number(number(labels, label))}" for label in labels)
    compared = f"these images and of the {count(found.get('n_calibration'), 'image')} of the"
    shuffles = count(found.get("permutations"), "shuffle")
    line = (
        f"Scores of {compared} calibration split differ by a Kolmogorov-Smirnov distance of "
        f"{format_number(number(found, 'statistic'))} ({apart}); as much or more in "
        f"{format_number(p_value)} of {shuffles} of patients."
    )
    return [line, *_kind_lines(found)]


def _kind_lines(found: Mapping[str, Any]) -> list[str]:
    """Whether labels' shares differ, or scores within a label, and what that leaves promised."""
    said = _KINDS.get(str(found.get("kind")))
    if said is None:
        return []
    mix, level = section(found, "mix"), format_number(number(found, "level"))
    apart = [
        f"{row.get('label')} {format_number(number(row, 'statistic'))} "
        f"(p {format_number(number(row, 'adjusted'))})"
        for row in listed(found, "within")
    ]
    within = f"; within labels, scores by {', '.join(apart)}" if apart else ""
    tested = (
        f"Shares of labels differ by up to {format_number(number(mix, 'statistic'))} "
        f"(p {format_number(number(mix, 'adjusted'))}){within}: p-values after Holm's correction "
        f"over all these tests, compared with {level}."
    )
    absent = " and ".join(map(str, found.get("untested") or []))
    missing = f" {absent} could not be tested: no images in one of the splits." if absent else ""
    return [f"{tested}{missing}", said]


_KINDS = {
    "none": "No difference was found, which does not prove that there is none.",
    "label_shift": (
        "So the case mix differs (label shift), and nothing else was found to: guarantees for each "
        "label hold if that is all, those over all images and predictive values do not."
    ),
    "within_label": (
        "Images of the same label answer otherwise than in the calibration split: guarantees are "
        "not to be relied upon."
    ),
    "unexplained": (
        "What differs, the case mix or images of the same label, cannot be told: guarantees are "
        "not to be relied upon."
    ),
    "untold": (
        "No label has images in both splits, so another case mix and other images cannot be told "
        "apart: guarantees are not to be relied upon."
    ),
}


def gate_lines(assessment: Assessment) -> list[str]:
    """How familiar the images are to the bundle, and what its gate would not have answered."""
    found = section(assessment, "gate")
    lines = []
    if found.get("statement"):
        lines.append(f"Familiarity: {found['statement']}")
    refused, images = number(found, "refused"), number(found, "n_images")
    if refused is not None and images:
        told = group_digits(int(refused)) if refused else "none"
        lines.append(
            f"The gate would have refused {told} of the {group_digits(int(images))} images; all "
            "were answered here."
        )
    return lines


def saliency_lines(assessment: Assessment) -> list[str]:
    """Which maps were scored, and whether they depend on what was learned."""
    found = section(assessment, "saliency")
    if not found:
        return []
    method = str(found.get("method")).replace("_", "-")
    lines = [f"Maps are made with {_SALIENCY.get(method, method)}."]
    if number(found.get("randomised_similarity")) is not None:
        lines.append(
            f"With random weights their rank correlation with the trained ones is "
            f"{_spelled(found.get('randomised_similarity'))}; near 0, they show what was learned."
        )
    return lines


_SALIENCY = {
    "grad-cam": "Grad-CAM", "grad-cam++": "Grad-CAM++", "grad-cam-plus-plus": "Grad-CAM++",
    "hirescam": "HiResCAM", "eigen-cam": "Eigen-CAM", "occlusion": "occlusion",
    "integrated-gradients": "integrated gradients",
}  # fmt: skip


def _spelled(entry: object) -> str:
    value, interval = format_number(number(entry)), format_interval(entry)
    return f"{value} ({interval})" if interval else value
