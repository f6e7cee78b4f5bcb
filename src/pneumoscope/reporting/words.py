"""How numbers and metrics are worded, the same in figures, reports and model cards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

NOTICE = "For research use. Not a medical device."
UNDEFINED = "not defined"
UNRECORDED = "not recorded"


class Wording(NamedTuple):
    """A metric's name for people and what it says, in a few words."""

    name: str
    gloss: str


OVERALL = {
    "auc": Wording("AUC", "area under the ROC curve, mean over labels; 0.5 is chance"),
    "average_precision": Wording(
        "Average precision", "area under the precision-recall curve, mean over labels"
    ),
    "accuracy": Wording("Accuracy", "fraction of images given their true label"),
    "balanced_accuracy": Wording("Balanced accuracy", "mean sensitivity over labels"),
    "macro_f1": Wording("F1, macro", "mean over labels of the F1 score"),
    "mcc": Wording("Matthews correlation", "agreement beyond chance, from \u22121 to 1"),
    "brier": Wording("Brier score", "squared error of the probabilities; lower is better"),
    "ece": Wording("Calibration error", "mean gap of confidence and accuracy; lower is better"),
    "log_loss": Wording("Log loss", "cost of confident mistakes; lower is better"),
}
PER_LABEL = {
    "sensitivity": Wording("Sensitivity", "of the images with the label, the fraction found"),
    "specificity": Wording("Specificity", "of the images without the label, the fraction spared"),
    "precision": Wording("Precision", "of the images given the label, the fraction that has it"),
    "f1": Wording("F1", "harmonic mean of sensitivity and precision"),
    "auc": Wording("AUC", "area under the label's ROC curve, against all other labels"),
    "average_precision": Wording(
        "Average precision", "area under the label's precision-recall curve"
    ),
}


def name_metric(key: str) -> str:
    """A metric's name for people; an unknown key is spelled without underscores.

    >>> name_metric("mcc"), name_metric("mean_gap"), name_metric("f1:normal")
    ('Matthews correlation', 'Mean gap', 'F1, normal')
    """
    kind, colon, label = key.partition(":")
    known = PER_LABEL if colon else OVERALL
    name = known[kind].name if kind in known else kind.replace("_", " ").capitalize()
    return f"{name}, {label}" if colon else name


def is_entry(value: object) -> bool:
    """Whether `value` is one metric with its interval."""
    return isinstance(value, Mapping) and "value" in value


def number(entry: object, key: str = "value") -> float | None:
    """The finite number at `key` of a metric, or None."""
    if not isinstance(entry, Mapping):
        return None
    value = entry.get(key)
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def format_number(value: float | None) -> str:
    """Three decimals, with a true minus sign.

    >>> format_number(0.98765), format_number(None), format_number(-0.25).endswith("0.250")
    ('0.988', 'not defined', True)
    """
    if value is None:
        return UNDEFINED
    text = f"{value:.3f}"
    if float(text) == 0:
        return text.removeprefix("-")
    return text.replace("-", "\u2212")


def format_interval(entry: object) -> str:
    """The two ends of a metric's interval, or nothing where it has none.

    >>> format_interval({"value": 0.9, "low": 0.85, "high": 0.94})
    '0.850 to 0.940'
    """
    low, high = number(entry, "low"), number(entry, "high")
    if low is None or high is None:
        return ""
    return f"{format_number(low)} to {format_number(high)}"


def format_level(metrics: Mapping[str, object]) -> str:
    """The confidence level of the intervals as a percentage, such as `95%`."""
    level = metrics.get("confidence_level")
    return f"{100 * level:g}%" if isinstance(level, (int, float)) else ""


def describe(metrics: Mapping[str, object], key: str) -> str:
    """One metric as prose, such as `0.993 (95% CI 0.987 to 0.997)`."""
    entry = metrics.get(key)
    value, interval = format_number(number(entry)), format_interval(entry)
    if not interval:
        return value
    level = format_level(metrics)
    return f"{value} ({level} CI {interval})" if level else f"{value} ({interval})"


def labels_of(metrics: Mapping[str, object]) -> tuple[str, ...]:
    """The label set that the metrics are about, in order."""
    labels = metrics.get("labels")
    return tuple(str(label) for label in labels) if isinstance(labels, (list, tuple)) else ()


def count(amount: object, one: str, many: str | None = None) -> str:
    """An amount and its noun, large ones in groups of three.

    >>> count(1, "image"), count(300, "image"), count(None, "image")
    ('1 image', '300 images', 'an unknown number of images')
    """
    many = many or f"{one}s"
    if not isinstance(amount, int):
        return f"an unknown number of {many}"
    return f"{group_digits(amount)} {one if amount == 1 else many}"


def images_of_patients(images: object, patients: object, unknown: object) -> str:
    """How many images of how many patients, as far as anybody knows the patients.

    >>> images_of_patients(804, 575, 0), images_of_patients(641, 641, 641)
    ('804 images of 575 patients', '641 images whose patients are not known')
    >>> images_of_patients(804, 575, 41)
    '804 images of at most 575 patients (those of 41 images are not known, each counts as one)'

    Args:
        images: how many; None where it was not counted.
        patients: how many, every image of an unknown patient counted as one.
        unknown: images whose patient nobody knows; None where that was not counted.
    """
    counted = count(images, "image")
    if not isinstance(unknown, int) or not unknown:
        return f"{counted} of {count(patients, 'patient')}"
    if unknown == images:
        return f"{counted} whose patients are not known"
    rest = f"those of {count(unknown, 'image')} are not known, each counts as one"
    return f"{counted} of {most_patients(images, patients, unknown)} ({rest})"


def most_patients(images: object, patients: object, unknown: object) -> str:
    """Patients in few words, nothing where none is known; see `images_of_patients`.

    >>> most_patients(9, 7, 0), most_patients(9, 7, 2), most_patients(9, 9, 9)
    ('7 patients', 'at most 7 patients', '')
    """
    if not isinstance(patients, int) or (unknown and unknown == images):
        return ""
    return f"{'at most ' if unknown else ''}{count(patients, 'patient')}"


def resampled_units(content: Mapping[str, object]) -> str:
    """What was drawn again for intervals: patients, or images where no patient is known."""
    unknown = content.get("n_unknown_patients")
    return "images" if unknown and unknown == content.get("n_images") else "patients"


def group_digits(amount: int) -> str:
    """Digits in threes from 10 000 on, set apart by narrow no-break spaces (ISO 80000-1)."""
    return f"{amount:,}".replace(",", "\u202f") if abs(amount) >= 10_000 else str(amount)


def spell(value: object) -> str:
    """Any recorded value in words, nested ones on one line.

    >>> spell({"cores": 2, "system": "Linux"}), spell(["PA", "AP"]), spell(None)
    ('cores 2, system Linux', 'PA, AP', 'not recorded')
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {spell(inner)}" for key, inner in value.items()) or UNRECORDED
    if isinstance(value, (list, tuple)):
        return ", ".join(spell(inner) for inner in value) or UNRECORDED
    return UNRECORDED if value is None or value == "" else str(value)
