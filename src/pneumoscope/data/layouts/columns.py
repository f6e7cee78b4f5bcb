"""Which column of a table says what: named by the user, else by the names people use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pneumoscope.core.errors import LayoutError

KNOWN: dict[str, tuple[str, ...]] = {
    "path": (
        "path", "filename", "file_name", "file", "filepath", "file_path", "image", "image_path",
        "image_file", "image_filename", "image_name", "image_index", "image_id", "img",
        "img_path", "img_name",
    ),
    "label": (
        "label", "labels", "class", "class_name", "target", "finding", "findings",
        "finding_label", "finding_labels", "diagnosis", "category", "condition", "disease",
        "pathology",
    ),
    "patient_id": (
        "patient_id", "patient", "patientid", "subject", "subject_id", "subjectid", "person",
        "person_id", "pid",
    ),
    "study_id": ("study_id", "study", "studyid", "exam", "exam_id"),
    "split": ("split", "part", "fold", "subset", "partition"),
    "view": ("view", "projection", "view_position", "viewposition", "ap_pa"),
    "sex": ("sex", "gender", "patient_sex", "patient_gender", "patientsex"),
    "age": ("age", "age_years", "patient_age", "patientage"),
    "source": (
        "source", "site", "hospital", "institution", "dataset", "origin", "center", "centre",
    ),
    "mask_path": ("mask_path", "mask", "mask_file", "mask_filename", "lung_mask"),
    "width": ("width", "image_width"),
    "height": ("height", "image_height"),
    "format": ("format", "file_format", "image_format"),
}  # fmt: skip
"""Catalogue column to the names it goes by, in lower case with `_` for other marks."""

REQUIRED = ("path", "label")


def match_columns(
    heading: Sequence[str], named: Mapping[str, str], *, origin: str
) -> dict[str, str]:
    """Catalogue column to table column, for all that the table has.

    Args:
        heading: The table's columns.
        named: What the user says; it goes before well-known names, and `""` leaves a catalogue
            column unknown.
        origin: What messages call the table.

    Raises:
        LayoutError: a name is not known or not there, a required column is not recognised, or
            several columns may be meant.
    """
    _check_named(heading, named, origin)
    free = [column for column in heading if column and column not in named.values()]
    found = {column: name for column, name in named.items() if name}
    for column, names in KNOWN.items():
        fitting = [name for name in free if _plain(name) in names]
        if column in named or not fitting:
            continue
        if len(fitting) > 1:
            raise LayoutError(
                f"{origin}: {_listed(fitting)} may each be the {column}. {_remedy(column, fitting)}"
            )
        found[column] = fitting[0]
    if missing := [column for column in REQUIRED if column not in found]:
        raise LayoutError(
            f"{origin}: no column is recognised as {' or '.join(missing)}; there are "
            f"{_listed(heading)}. {_remedy(missing[0], heading)}"
        )
    return found


def has_column(heading: Sequence[str], column: str) -> bool:
    """Whether a column goes by one of the names of this catalogue column."""
    return any(_plain(name) in KNOWN[column] for name in heading)


def _check_named(heading: Sequence[str], named: Mapping[str, str], origin: str) -> None:
    for column, name in named.items():
        if column not in KNOWN:
            raise LayoutError(
                f"data.columns: '{column}' is no catalogue column; allowed: {', '.join(KNOWN)}. "
                "Name one, or leave it out."
            )
        if name and name not in heading:
            raise LayoutError(
                f"{origin}: has no column '{name}' (data.columns.{column}); there are "
                f"{_listed(heading)}. Correct the name."
            )
        if name and list(heading).count(name) > 1:
            raise LayoutError(f"{origin}: two columns are called '{name}'. Rename one.")


def _remedy(column: str, heading: Sequence[str]) -> str:
    example = shown(next((name for name in heading if name), "NAME"))
    return f"Say which: data.columns, for example --set data.columns.{column}={example}."


def shown(name: str) -> str:
    """The name of a column as a message can hold it: one line, not too long."""
    line = " ".join(name.split())
    return line if len(line) <= 40 else f"{line[:37]}..."


def _listed(names: Sequence[str]) -> str:
    listed = [f"'{shown(name)}'" for name in names[:20]]
    return ", ".join(listed) + (", ..." if len(names) > 20 else "") if listed else "none"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")
