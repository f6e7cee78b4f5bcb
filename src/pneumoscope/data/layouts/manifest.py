"""`manifest`: a CSV or Parquet table that names images and their labels.

Paths are relative to the table's folder and stay inside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import polars as pl

from pneumoscope.core.errors import LayoutError
from pneumoscope.core.files import printable
from pneumoscope.data.layouts import values
from pneumoscope.data.layouts.columns import has_column, match_columns, shown
from pneumoscope.data.layouts.dicom_tree import columns_of_headers
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
from pneumoscope.data.patients import patient_from_name
from pneumoscope.data.sources import FolderSource


@dataclass
class _Found:
    """What is gathered row by row."""

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    declared: list[dict[str, object]] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    missing: dict[str, None] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


def manifest(root: Path, columns: Mapping[str, str]) -> Outcome:
    """The listing of a table, or of a folder that holds exactly one recognisable table."""
    if root.is_file():
        if root.suffix.lower() not in TABLES:
            return None
        names = heading(root)
        return _list_table(root, names, _matched(root, names, columns))
    found, reasons = _recognisable(root, columns)
    if len(found) > 1:
        several = ", ".join(file.name for file in found)
        return NearMiss(f"holds several tables that could be its manifest ({several}): give one")
    if not found:
        return NearMiss("; ".join(reasons)) if reasons else None
    file, (names, matched) = found.popitem()
    outcome = _list_table(file, names, matched)
    if outcome.entries:
        return outcome
    return NearMiss(f"{file.name} names no image with a label that is there: correct its paths")


def _matched(file: Path, names: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """The table's columns; where it has no paths, it may be the table of a DICOM tree."""
    try:
        return match_columns(names, columns, origin=str(file))
    except LayoutError as error:
        found = columns_of_headers(names)
        if not found or "path" in columns or has_column(names, "path"):
            raise
        listed = " or ".join(f"'{shown(name)}'" for name in found)
        raise LayoutError(
            f"{error} Or, where {listed} is that of DICOM files beside the table: data.layout, for "
            "example --layout dicom_tree."
        ) from error


def _recognisable(
    root: Path, columns: Mapping[str, str]
) -> tuple[dict[Path, tuple[tuple[str, ...], dict[str, str]]], list[str]]:
    """The tables in `root` whose columns are recognised, and why the others are not."""
    found: dict[Path, tuple[tuple[str, ...], dict[str, str]]] = {}
    reasons: list[str] = []
    for file in (root / name for name in tables(root, TABLES)):
        try:
            names = heading(file)
            found[file] = names, match_columns(names, columns, origin=file.name)
        except LayoutError as error:
            reasons.append(str(error).removeprefix(f"{root}/").rstrip("."))
    return found, reasons


def _list_table(file: Path, names: Sequence[str], columns: Mapping[str, str]) -> Listing:
    inside = Inside(file.parent)
    found = _Found()
    places = [names.index(name) for name in columns.values()]
    for number, cells in enumerate(table_rows(file, places), 2):
        row = dict(zip(columns, cells, strict=True))
        _add(row, inside, found, f"{file}: row {number}")
    if not found.named:
        raise LayoutError(f"{file}: names no image (column '{columns['path']}'). Fill it in.")
    masks = {entry.mask_path for entry in found.entries.values()}
    surplus = (path for path in inside.images if path not in found.named)
    told = ", ".join(f"{name} from '{shown(written)}'" for name, written in columns.items())
    return Listing(
        "manifest",
        f"the table {file.name}: {told}",
        FolderSource(file.parent),
        tuple(one_spelling(found.entries.values())),
        pl.DataFrame(found.declared, schema=DECLARED),
        tuple(found.missing),
        tuple(printable(path) for path in surplus if path not in masks),
        tuple(_notes(found.counts)),
    )


def _add(row: Mapping[str, str], inside: Inside, found: _Found, where: str) -> None:
    cell = row["path"]
    if values.text_or_none(cell) is None:
        found.counts["without a file name"] += 1
        return
    path = inside.path(cell, where=where)
    label = values.label_or_none(row["label"])
    there = inside.has(path)
    new = path not in found.named
    found.named.add(path)
    if new:
        found.declared.append(_declared(path, label, row))
    if not there:
        found.missing[path] = None
        found.counts["whose file is not there"] += 1
    elif label is None:
        found.counts["without a label"] += 1
    else:
        entry = _entry(path, label, row, inside, found.counts, where)
        # One image in several rows (a row per box, say) is one image; with two labels it stays
        # twice, and the catalogue leaves out both.
        found.entries.setdefault((path, label.casefold()), entry)


def _entry(
    path: str,
    label: str,
    row: Mapping[str, str],
    inside: Inside,
    counts: Counter[str],
    where: str,
) -> Entry:
    def cell(name: str) -> str:
        return row.get(name, "")

    part = PARTS.get(cell("split").casefold())
    if part is None and values.text_or_none(cell("split")):
        counts["with a split that is none of train, val, test"] += 1
    patient = values.text_or_none(cell("patient_id"))
    return Entry(
        path=path,
        label=label,
        part=part,
        patient_id=patient or patient_from_name(PurePosixPath(path).stem),
        study_id=values.text_or_none(cell("study_id")),
        source=values.text_or_none(cell("source")),
        view=values.view_or_none(cell("view")),
        sex=values.sex_or_none(cell("sex")),
        age=values.age_in_years(cell("age")),
        mask_path=_mask(cell("mask_path"), inside, counts, where),
    )


def _mask(cell: str, inside: Inside, counts: Counter[str], where: str) -> str | None:
    if values.text_or_none(cell) is None:
        return None
    path = inside.path(cell, where=where)
    if inside.has(path):
        return path
    counts["whose mask is not there"] += 1
    return None


def _declared(path: str, label: str | None, row: Mapping[str, str]) -> dict[str, object]:
    def number(name: str) -> int | None:
        cell = row.get(name, "")
        return int(cell) if cell.isascii() and cell.isdigit() and len(cell) < 10 else None

    kind = values.text_or_none(row.get("format", ""))
    return {
        "path": path,
        "width": number("width"),
        "height": number("height"),
        "format": kind.lower().lstrip(".") if kind else None,
        "label": label,
    }


def _notes(counts: Mapping[str, int]) -> Iterable[str]:
    left_out = ("without a file name", "whose file is not there", "without a label")
    for what in left_out:
        if counts.get(what):
            yield f"{counts[what]} rows {what} are left out"
    for what, count in counts.items():
        if what not in left_out:
            yield f"{count} rows {what}: left unknown"
