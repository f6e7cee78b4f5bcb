"""Titles and captions of the figures, by their names."""

from __future__ import annotations

CAPTIONS = {
    "roc": (
        "ROC curve",
        "Nearer the upper left corner, the labels are better told apart. Dotted: chance.",
    ),
    "precision_recall": (
        "Precision and recall",
        "How many of the images given the label have it, as more of those that have it are found.",
    ),
    "reliability": (
        "Reliability",
        "Dots below the dotted line: answers surer than they are right. Larger dots: more images.",
    ),
    "confusion": (
        "Confusion matrix",
        "What the images of each true label were taken for, as counts and percentages of the row.",
    ),
    "history": (
        "Training history",
        "Epoch by epoch. The ring marks the epoch whose weights were kept.",
    ),
    "reliability_before_after": (
        "Reliability before and after calibration",
        "On the dotted line, probabilities are what they say. Below it: surer than right.",
    ),
    "operating_points": (
        "Operating points, promised and seen",
        "Where the two overlap, the promise of the calibration split may have been kept.",
    ),
    "risk_coverage": (
        "Risk and coverage",
        "Share of wrong answers when only the surest images are answered.",
    ),
    "decision_curve": (
        "Decision curve",
        "Net benefit of acting on the model, beside acting on all images and on none.",
    ),
    "coverage": (
        "Coverage of label sets",
        "Share of label sets that hold the true label, beside the level that was promised.",
    ),
    "subgroups": (
        "Groups",
        "The same metric for every group, with its interval. Hollow: few images.",
    ),
    "conditions": (
        "Changed images",
        "AUC when part of the image is taken away. What sees no lungs should be near chance.",
    ),
    "corruptions": (
        "Damaged images",
        "AUC lost to each kind of damage and severity.",
    ),
    "saliency": (
        "Saliency in the lungs",
        "Share of the maps' energy inside the lungs, beside the share that their area gives.",
    ),
    "gallery": ("The worst errors", ""),
}
"""Title and caption of each known figure."""


def caption_of(name: str) -> tuple[str, str]:
    """Title and caption of a figure; an unknown one is called by its name.

    >>> caption_of("new_curve")
    ('New curve', '')
    """
    return CAPTIONS.get(name, (name.replace("_", " ").capitalize(), ""))
