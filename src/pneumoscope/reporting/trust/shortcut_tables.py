"""The tables of an assessment about what else could explain it: conditions, sources, saliency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pneumoscope.reporting.trust.sections import Assessment, listed, section
from pneumoscope.reporting.trust.tables import (
    Cell,
    Row,
    Table,
    count_cell,
    entry_cell,
    rate_cell,
)
from pneumoscope.reporting.words import count, number

CONDITIONS = {
    "lungs_only": ("Lungs only", "all else one grey"),
    "lungs_removed": (
        "Lungs removed",
        "the lungs filled from around them; chance if nothing else tells",
    ),
    "lungs_swapped": ("Lungs swapped", "lungs among the surroundings of another label"),
    "lungs_exchanged": ("Lungs exchanged", "lungs of another image of the same label: the control"),
    "metadata_only": ("Metadata only", "size, format and the like; no image"),
    "border_only": ("Border only", "the image's margin; no lung"),
}


def condition_table(assessment: Assessment) -> Table | None:
    """What becomes of the AUC when images are changed on purpose, beside the whole image."""
    found = listed(assessment, "conditions")
    if not found:
        return None
    return Table(
        name="conditions",
        caption="AUC when part of the image is taken away; 0.5 is chance",
        columns=("Seen", "AUC", "Whole image", "Lost", "AUC for surroundings", "Images"),
        rows=tuple(_condition_row(row) for row in found),
    )


def condition_label_table(assessment: Assessment) -> Table | None:
    """The same for each label against the rest, of which the mean says nothing."""
    found = listed(assessment, "conditions")
    keys = dict.fromkeys(key for row in found for key in row if key.startswith("auc:"))
    labels = [key.removeprefix("auc:") for key in keys]
    if len(labels) < 3:
        return None
    rows = []
    for row in found:
        name = _named(row)[0]
        parts = (("auc", name, ""), ("surroundings_auc", name, "by the label of the surroundings"))
        rows += [
            Row(head, tuple(entry_cell(row.get(f"{key}:{label}")) for label in labels), small)
            for key, head, small in parts
            if any(f"{key}:{label}" in row for label in labels)
        ]
    return Table(
        name="condition-labels",
        caption="AUC of each label against the rest when part of the image is taken away",
        columns=("Seen", *labels),
        rows=tuple(rows),
    )


def corruption_table(assessment: Assessment) -> Table | None:
    """AUC lost to each kind of damage, a column per severity."""
    found = listed(assessment, "corruptions")
    if not found:
        return None
    kinds = list(dict.fromkeys(str(row.get("kind")) for row in found))
    severities = sorted({int(number(row, "severity") or 0) for row in found})
    cells = {(str(row.get("kind")), row.get("severity")): entry_cell(row.get("drop"))
             for row in found}  # fmt: skip
    rows = tuple(
        Row(
            "JPEG" if kind == "jpeg" else kind.replace("_", " ").capitalize(),
            tuple(cells.get((kind, severity), Cell("")) for severity in severities),
        )
        for kind in kinds
    )
    columns = ("Corruption", *(f"Severity {severity}" for severity in severities))
    return Table(
        name="corruptions",
        caption="AUC lost to damaged images",
        columns=columns,
        rows=rows,
        folded=f"{len(found)} corruptions in numbers",
    )


def source_table(assessment: Assessment) -> Table | None:
    """How well the label is told at each source, learned elsewhere or there."""
    found = listed(section(assessment, "sources"), "left_out")
    if not found:
        return None
    rows = tuple(
        Row(
            str(row.get("source")),
            (entry_cell(row.get("auc")), entry_cell(row.get("inside_auc"))),
            str(row.get("reason") or count(row.get("n_images"), "image")),
        )
        for row in found
    )
    return Table(
        name="sources",
        caption=(
            "AUC at each source, of embeddings from which the label was learned at all other "
            "sources, or there"
        ),
        columns=("Source", "Learned elsewhere", "Learned there"),
        rows=rows,
    )


def saliency_table(assessment: Assessment) -> Table | None:
    """Where saliency maps lie, and what deleting or inserting what they mark does."""
    labels = section(section(assessment, "saliency"), "labels")
    if not labels:
        return None
    rows = tuple(
        Row(
            str(label),
            (
                entry_cell(section(labels, label).get("energy_in_lungs")),
                entry_cell(section(labels, label).get("lung_area")),
                rate_cell(section(labels, label).get("hit_rate")),
                entry_cell(section(labels, label).get("deletion")),
                entry_cell(section(labels, label).get("insertion")),
                count_cell(section(labels, label)),
            ),
        )
        for label in labels
    )
    columns = (
        "Label", "Energy in the lungs", "Area of the lungs", "Peak in a lung",
        "Deletion", "Insertion", "Images",
    )  # fmt: skip
    return Table(
        name="saliency",
        caption=(
            "Energy beside the area that chance would give; deletion lower and insertion higher "
            "is better"
        ),
        columns=columns,
        rows=rows,
    )


def _named(row: Mapping[str, Any]) -> tuple[str, str]:
    """A condition's name, and what it is."""
    key = str(row.get("condition"))
    return CONDITIONS.get(key, (key.replace("_", " ").capitalize(), ""))


def _condition_row(row: Mapping[str, Any]) -> Row:
    name, gloss = _named(row)
    around = row.get("surroundings_auc")
    return Row(
        name,
        (
            entry_cell(row.get("auc")),
            entry_cell(row.get("full_auc")),
            entry_cell(row.get("drop")),
            entry_cell(around) if number(around) is not None else Cell("\u2013"),
            count_cell(row),
        ),
        gloss,
    )
