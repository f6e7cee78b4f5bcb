"""The verdict on sample size: whether images and patients are enough, and patients known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pneumoscope.core.said import Said
from pneumoscope.evaluation.verdict.parts import (
    Colour,
    Content,
    Finding,
    amount,
    estimate,
    graded,
    label_names,
    part,
    rows,
    said,
    three,
    unmeasured,
)
from pneumoscope.evaluation.verdict.thresholds import (
    AUC_WIDTH,
    LABEL_IMAGES,
    LABEL_IMAGES_FEWEST,
    UNKNOWN_PATIENTS,
)

_ENDINGS: Mapping[Colour, str] = {
    "green": "enough for a validation",
    "amber": "enough for a first impression",
    "red": "too few to say anything",
}


def sample_size(metrics: Content, assessment: Content) -> Finding:
    """Whether there are enough patients of the rarest label, and the AUC is known well enough."""
    sizes = _label_sizes(metrics, assessment)
    if not sizes:
        missing = said("unmeasured.size")
        return unmeasured("images per label are not recorded", "Evaluate again.", missing)
    label, (n_images, n_patients) = min(sizes.items(), key=lambda item: item[1][1])
    area = estimate(metrics.get("auc"))
    width = area.high - area.low if area else float("inf")
    unknown, share = _unknown(metrics)
    colour: Colour = graded(n_patients, green=LABEL_IMAGES, red=LABEL_IMAGES_FEWEST, rising=False)
    if colour == "green" and (width > AUC_WIDTH or share > UNKNOWN_PATIENTS):
        colour = "amber"
    value, counted, told = _counted(label, n_images, n_patients, share)
    precise, also = "the AUC has no interval", said("size.no_interval")
    if width < 1:
        precise = f"the interval of the AUC is {three(width)} wide"
        also = said("size.interval", width=width)
    limits = {"green": LABEL_IMAGES, "red": LABEL_IMAGES_FEWEST, "width": AUC_WIDTH}
    found = Finding(
        colour,
        value,
        f"green from {LABEL_IMAGES} patients and up to an AUC interval {AUC_WIDTH:.2f} wide; red "
        f"below {LABEL_IMAGES_FEWEST} patients",
        f"{counted}, and {precise}: {_ENDINGS[colour]}.",
        (told, also, said(f"size.{colour}")),
        said("limit.size", **limits),
    )
    return _doubted(found, unknown, metrics) if share > UNKNOWN_PATIENTS else found


def _counted(label: str, images: int, patients: int, share: float) -> tuple[str, str, Said]:
    """The rarest label's images and patients: short, in a sentence, and its key."""
    has = f"The rarest label, {label}, has {images} images"
    if share == 1:
        told = said("size.counted_images", label=label, images=images)
        return f"{images} images of {label}", has, told
    key = "size.counted_most" if share else "size.counted"
    of_patients = f"{'at most ' if share else ''}{patients} patients"
    told = said(key, label=label, images=images, patients=patients)
    return f"{of_patients} of {label}", f"{has} of {of_patients}", told


def _doubted(found: Finding, unknown: int, metrics: Content) -> Finding:
    """With the reason why it cannot be green: too many images stand for a patient each."""
    images = amount(metrics, "n_images")
    reason = (
        f"Patients are not known for {unknown} of {images} images; several images of one patient "
        "would make intervals too narrow."
    )
    limit = f"amber where patients are not known for more than {UNKNOWN_PATIENTS:.2f} of the images"
    values = {**found.limit.values, "unknown": UNKNOWN_PATIENTS}
    return replace(
        found,
        threshold=f"{found.threshold}; {limit}",
        sentence=f"{found.sentence} {reason}",
        said=(*found.said, said("size.unknown", unknown=unknown, images=images)),
        limit=said("limit.size_unknown", **values),
    )


def _unknown(metrics: Content) -> tuple[int, float]:
    """Images whose patient nobody knows, and their share; 0 where that was not counted."""
    unknown, images = amount(metrics, "n_unknown_patients"), amount(metrics, "n_images")
    return unknown, unknown / images if images else 0.0


def _label_sizes(metrics: Content, assessment: Content) -> dict[str, tuple[int, int]]:
    """Images and patients of each label; images for patients where these were not counted."""
    matrix = metrics.get("confusion_matrix")
    images = [sum(row) for row in matrix] if isinstance(matrix, list) else []
    patients = {
        str(row.get("value")): amount(row, "n_patients")
        for row in rows(part(assessment, "label_sets"), "coverage")
        if row.get("group") == "label"
    }
    # No more patients of a label than patients, nor than its images.
    most = amount(metrics, "n_patients")
    return {
        label: (count, patients.get(label, min(count, most)))
        for label, count in zip(label_names(metrics), images, strict=False)
    }
