"""`dicom_tree`: DICOM files at any depth, and a CSV or Parquet table beside them with their labels.

Patient, study and the like come from the files' headers, patients as pseudonyms.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from pneumoscope.core.errors import LayoutError
from pneumoscope.core.files import printable
from pneumoscope.data.layouts import values
from pneumoscope.data.layouts.columns import KNOWN, match_columns, shown
from pneumoscope.data.layouts.dicom_index import KEYS, DicomIndex, Image, Key, holds_dicom
from pneumoscope.data.layouts.folders import tables
from pneumoscope.data.layouts.inside import Inside
from pneumoscope.data.layouts.listing import (
    DECLARED,
    Entry,
    Listing,
    NearMiss,
    Outcome,
    one_spelling,
)
from pneumoscope.data.layouts.split_folders import PARTS
from pneumoscope.data.layouts.table import EXTENSIONS as TABLES
from pneumoscope.data.layouts.table import heading, table_rows
from pneumoscope.data.layouts.tags import patient_pseudonym
from pneumoscope.data.sources import FolderSource

_NAMES: Mapping[Key, tuple[str, ...]] = {
    "path": KNOWN["path"],
    # An image_id may be a file's name or a UID.
    "SOPInstanceUID": ("sop_instance_uid", "sop_uid", "instance_uid", "image_uid", "image_id"),
    "StudyInstanceUID": ("study_instance_uid", "study_uid", *KNOWN["study_id"]),
    "PatientID": KNOWN["patient_id"],
}
"""What columns are called that images may be found by."""
_SPOKEN: Mapping[Key, str] = {
    "path": "path", "SOPInstanceUID": "path", "StudyInstanceUID": "study_id",
    "PatientID": "patient_id",
}  # fmt: skip
"""The catalogue column by which `data.columns` names such a column."""
_NO_MASK = "whose mask is not there"
_ADD = (
    "add a .csv or .parquet to the folder with a column label and a column path, SOPInstanceUID, "
    "StudyInstanceUID or PatientID"
)


@dataclass(frozen=True)
class _Table:
    """A table of labels: by which of its columns images may be found, and what others say."""

    file: Path
    names: tuple[str, ...]
    keys: tuple[tuple[Key, str], ...]
    columns: Mapping[str, str]

    def rows(self) -> list[dict[str, str]]:
        """Cells by column of the table."""
        wanted = sorted({*self.columns.values(), *(column for _, column in self.keys)})
        places = [self.names.index(name) for name in wanted]
        return [dict(zip(wanted, cells, strict=True)) for cells in table_rows(self.file, places)]


@dataclass
class _Joining:
    """Rows find their images; what is gathered on the way."""

    table: _Table
    key: Key
    column: str
    index: DicomIndex
    inside: Inside
    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    declared: dict[str, str | None] = field(default_factory=dict)
    missing: dict[str, None] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, row: Mapping[str, str], number: int) -> None:
        """Take the row of this number; the heading is the first."""
        cell = row[self.column]
        if values.text_or_none(cell) is None:
            self.counts[f"without a {self.key}"] += 1
            return
        images = self.index.find(self.key, cell)
        if not images:
            # UIDs and patients are shown nowhere.
            where = cell if self.key == "path" else f"{self.table.file.name} row {number}"
            self.missing[printable(where)] = None
            self.counts["whose DICOM file is not there"] += 1
            return
        said = {name: row[written] for name, written in self.table.columns.items()}
        label = values.label_or_none(said["label"])
        self.counts["without a label"] += label is None
        mask = self._mask(said.get("mask_path", ""), number)
        for image in images:
            self.declared.setdefault(image.path, label)
            if label is not None:
                entry = _entry(image, label, said, mask, _patient(image, row, self.table))
                # With two labels an image stays twice, and the catalogue leaves out both.
                self.entries.setdefault((image.path, label.casefold()), entry)

    def _mask(self, cell: str, number: int) -> str | None:
        if values.text_or_none(cell) is None:
            return None
        path = self.inside.path(cell, where=f"{self.table.file}: row {number}")
        if self.inside.has(path):
            return path
        self.counts[_NO_MASK] += 1
        return None


def dicom_tree(root: Path, columns: Mapping[str, str]) -> Outcome:
    """The listing of a folder of DICOM files with a table of labels in it, or of such a table."""
    folder = root if root.is_dir() else root.parent
    found, reasons = _recognisable(_tables(root), columns)
    if not found:
        if not root.is_dir() or not holds_dicom(folder):
            return None
        why = f" ({'; '.join(reasons)})" if reasons else ""
        return NearMiss(f"holds DICOM files and no table of their labels{why}: {_ADD}")
    index = DicomIndex(folder)
    if not index.images:
        return None
    if len(found) > 1:
        several = ", ".join(table.file.name for table in found)
        return NearMiss(f"holds several tables that could be of its labels ({several}): give one")
    return _join(found[0], index, folder)


def _tables(root: Path) -> list[Path]:
    if root.is_dir():
        return [root / name for name in tables(root, TABLES)]
    return [root] if root.suffix.lower() in TABLES else []


def _recognisable(
    files: Iterable[Path], columns: Mapping[str, str]
) -> tuple[list[_Table], list[str]]:
    """The tables that have labels and name images, and why the others are not of use."""
    found: list[_Table] = []
    reasons: list[str] = []
    for file in files:
        try:
            found.append(_recognise(file, heading(file), columns))
        except LayoutError as error:
            reasons.append(str(error).removeprefix(f"{file.parent}/").rstrip("."))
    return found, reasons


def _recognise(file: Path, names: tuple[str, ...], columns: Mapping[str, str]) -> _Table:
    keys = tuple(_keys(names, columns))
    if not keys:
        listed = ", ".join(f"'{shown(name)}'" for name in names[:20])
        raise LayoutError(
            f"{file.name}: no column says which image a row is of; there are {listed}"
        )
    # Headers say patient and study, and what images are found by stands for the path.
    path = columns.get("path") or keys[0][1]
    named = {"patient_id": "", "study_id": "", **columns, "path": path}
    matched = match_columns(names, named, origin=file.name)
    return _Table(file, names, keys, {name: matched[name] for name in matched if name != "path"})


def _keys(names: Sequence[str], columns: Mapping[str, str]) -> Iterator[tuple[Key, str]]:
    """Key and column of the table, the most particular key first."""
    for key in KEYS:
        spoken = columns.get(_SPOKEN[key])
        known = {_plain(name) for name in _NAMES[key]}
        yield from (
            (key, name)
            for name in names
            if (_plain(name) in known if spoken is None else name and name == spoken)
        )


def columns_of_headers(names: Sequence[str]) -> list[str]:
    """The columns of a table by which images may be found in headers, not by path."""
    return [name for key, name in _keys(names, {}) if key != "path"]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.casefold())


def _join(table: _Table, index: DicomIndex, folder: Path) -> Outcome:
    rows = table.rows()
    joined = next((pair for pair in table.keys if _finds_any(pair, rows, index)), None)
    if joined is None:
        tried = " or ".join(dict.fromkeys(key for key, _ in table.keys))
        return NearMiss(
            f"{table.file.name} names none of the {len(index.images)} DICOM files by {tried}: "
            "correct that column"
        )
    joining = _Joining(table, *joined, index, Inside(folder))
    for number, row in enumerate(rows, 2):
        joining.add(row, number)
    surplus = [image.path for image in index.images if image.path not in joining.declared]
    declared = [{"path": path, "label": label} for path, label in joining.declared.items()]
    return Listing(
        "dicom_tree",
        f"{len(index.images)} DICOM files, their labels from {table.file.name} joined by "
        f"{joined[0]} (column '{shown(joined[1])}')",
        FolderSource(folder),
        tuple(one_spelling(joining.entries.values())),
        pl.DataFrame(declared, schema=DECLARED),
        tuple(joining.missing),
        tuple(printable(path) for path in surplus),
        tuple(_notes(joining, surplus)),
    )


def _finds_any(pair: tuple[Key, str], rows: Iterable[Mapping[str, str]], index: DicomIndex) -> bool:
    key, column = pair
    return any(index.find(key, row[column]) for row in rows if row[column])


def _entry(
    image: Image, label: str, said: Mapping[str, str], mask: str | None, patient: str | None
) -> Entry:
    """What the table says; headers will say the rest."""
    return Entry(
        path=image.path,
        label=label,
        part=PARTS.get(said.get("split", "").casefold()),
        patient_id=patient,
        source=values.text_or_none(said.get("source", "")),
        view=values.view_or_none(said.get("view", "")),
        sex=values.sex_or_none(said.get("sex", "")),
        age=values.age_in_years(said.get("age", "")),
        mask_path=mask,
    )


def _patient(image: Image, row: Mapping[str, str], table: _Table) -> str | None:
    """The pseudonym of the patient in the table, where the header has none."""
    if "PatientID" in image.ids:
        return None
    cells = (row[column] for key, column in table.keys if key == "PatientID")
    named = next((cell for cell in cells if values.text_or_none(cell)), None)
    return patient_pseudonym(named) if named else None


def _notes(joining: _Joining, surplus: Sequence[str]) -> Iterator[str]:
    for what, count in joining.counts.items():
        if count:
            yield f"{count} rows {what}: left {'unknown' if what == _NO_MASK else 'out'}"
    if surplus:
        yield f"{len(surplus)} DICOM files have no row in {joining.table.file.name}: left out"
