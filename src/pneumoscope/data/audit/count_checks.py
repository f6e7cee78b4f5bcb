"""Checks that only count: labels, splits, sources, patients."""

from __future__ import annotations

from typing import cast

import polars as pl

from pneumoscope.data.audit.data import AuditData, of_source, sentence
from pneumoscope.data.audit.issues import Fact, Issue, Severity, count, of_set, said

_IMBALANCE: tuple[tuple[float, Severity], ...] = ((10.0, "error"), (3.0, "warning"))
_FEW_PATIENTS = 50
_TOO_FEW_PATIENTS = 10


def counts(data: AuditData) -> list[Issue]:
    """How many images there are, by label, split, source and patient: good to know."""
    images = data.images
    patients = images["patient_id"].drop_nulls()
    facts: dict[str, Fact] = {"images": images.height, "patients": patients.n_unique()}
    facts["images_of_unknown_patients"] = images["patient_id"].null_count()
    for column in ("label", "split", "source"):
        for name, number in images.group_by(column).len().sort(column).iter_rows():
            facts[f"{column}:{'unknown' if name is None else name}"] = number
    per_patient = patients.value_counts()["count"]
    facts["images_per_patient_median"] = cast("float | None", per_patient.median())
    facts["images_per_patient_most"] = cast("int | None", per_patient.max())
    known = count(patients.n_unique(), "known patient")
    labels = count(images["label"].n_unique(), "label")
    excluded = data.catalogue.height - images.height
    message = f"{count(images.height, 'usable image')} of {known} with {labels}."
    message += f" {count(excluded, 'image')} cannot be used or repeat another." if excluded else ""
    told = [
        said(
            "counts", images=images.height, patients=patients.n_unique(),
            labels=images["label"].n_unique(),
        )
    ]  # fmt: skip
    if excluded:
        told.append(said("counts.left_out", images=excluded))
    return [Issue("counts", "info", "What there is", message, (), facts, tuple(told))]


def imbalance(data: AuditData) -> list[Issue]:
    """Labels that are much rarer than others, per data set."""
    issues = []
    for name, images in data.sources.items():
        table = images.group_by("label").len().sort("len", "label")
        if table.height < 2:
            continue
        (rare, few), (common, many) = table.row(0), table.row(-1)
        ratio = many / few
        severity = next((level for least, level in _IMBALANCE if ratio >= least), None)
        if severity is None:
            continue
        message = (
            f"{of_source(name)}'{common}' has {ratio:.1f} times as many images as '{rare}' "
            f"({many:,} against {few:,}): accuracy then says little. Weigh the labels in training "
            "and read balanced accuracy and AUC."
        )
        facts: dict[str, Fact] = {"ratio": ratio, **dict(table.iter_rows())}
        told = said("imbalance", common=common, rare=rare, ratio=ratio, many=many, few=few)
        title, both = "Unequal labels", (*of_set(name), told)
        issues.append(Issue("imbalance", severity, title, sentence(message), (), facts, both))
    return issues


def patients(data: AuditData) -> list[Issue]:
    """Labels of few patients, and images of unknown ones."""
    issues = []
    known = data.images.filter(pl.col("patient_id").is_not_null())
    table = known.group_by("label").agg(pl.col("patient_id").n_unique(), pl.len()).sort("label")
    unknown = set(data.images.filter(pl.col("patient_id").is_null())["label"])
    for label, number, images in table.iter_rows():
        if number >= _FEW_PATIENTS or label in unknown:
            continue
        severity: Severity = "error" if number < _TOO_FEW_PATIENTS else "warning"
        message = (
            f"'{label}' has {count(images, 'image')} of only {count(number, 'patient')}: images of "
            "one patient repeat each other, so figures for this label will be uncertain. Collect "
            "more patients."
        )
        facts: dict[str, Fact] = {"label": label, "patients": number, "images": images}
        told = (said("patients.few", label=label, patients=number, images=images),)
        issues.append(Issue("patients", severity, "Few patients", message, (), facts, told))
    return issues + _unknown(data)


def _unknown(data: AuditData) -> list[Issue]:
    number, total = data.images["patient_id"].null_count(), data.images.height
    if not number:
        return []
    message = (
        f"the patient of {count(number, 'image')} of {total:,} is unknown: images of one patient "
        "may end on both sides of a split. Give patient ids if there are any."
    )
    facts: dict[str, Fact] = {"images": number, "of": total}
    told = (said("patients.unknown", images=number, total=total),)
    return [Issue("patients", "info", "Unknown patients", sentence(message), (), facts, told)]


def split_labels(data: AuditData) -> list[Issue]:
    """Splits that hold no image of some label, or too few to say anything."""
    issues = []
    for name, images in data.sources.items():
        table = images.filter(pl.col("split").is_not_null()).pivot(
            "split", index="label", values="image_id", aggregate_function="len"
        )
        for split in sorted(set(table.columns) - {"label"}):
            numbers = dict(table.select("label", pl.col(split).fill_null(0)).sort("label").rows())
            issues += _split_issue(name, split, numbers)
    return issues


def _split_issue(name: str, split: str, numbers: dict[str, int]) -> list[Issue]:
    facts: dict[str, Fact] = {"split": split, **numbers}
    if absent := [label for label, number in numbers.items() if not number]:
        message = f"{of_source(name)}the {split} part has no image of {', '.join(absent)}."
        message += " Nothing can be learnt or measured about them there. Draw the split again."
        title = "Split without a label"
        told = (*of_set(name), said("split_labels.absent", split=split, labels=absent))
        return [Issue("split_labels", "error", title, sentence(message), (), facts, told)]
    least = min(numbers, key=lambda label: numbers[label])
    if numbers[least] >= 20:
        return []
    message = (
        f"{of_source(name)}the {split} part has only {count(numbers[least], 'image')} of "
        f"'{least}': figures measured on it mean nothing. Draw the split again."
    )
    title = "Split too small"
    small = said("split_labels.small", split=split, label=least, images=numbers[least])
    both = (*of_set(name), small)
    return [Issue("split_labels", "warning", title, sentence(message), (), facts, both)]
