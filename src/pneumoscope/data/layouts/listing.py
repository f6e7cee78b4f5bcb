"""What a layout answers with: entries, what was declared beside them, and what came close."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from pneumoscope.data.sources import Source

DECLARED: dict[str, Any] = {
    "path": pl.String, "width": pl.Int64, "height": pl.Int64, "format": pl.String,
    "label": pl.String,
}  # fmt: skip
"""Schema of `Listing.declared`; what a metadata file leaves open is null."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One image as the layout describes it; what the layout does not say is None.

    Attributes:
        path: Inside the data folder, `/` between its parts; `FILE.npz#train/17` in an archive.
        label: As the layout spells it.
        part: `train`, `validation` or `test`.
        patient_id: The grouping key of splits.
        study_id: The study the image belongs to.
        source: Where the image comes from: a hospital, a data set, a host name.
        view: `PA`, `AP` or `LATERAL`.
        sex: `M` or `F`.
        age: Years.
        mask_path: The lung mask, seen from the data folder.
    """

    path: str
    label: str
    part: str | None
    patient_id: str | None
    study_id: str | None = None
    source: str | None = None
    view: str | None = None
    sex: str | None = None
    age: float | None = None
    mask_path: str | None = None


@dataclass(frozen=True)
class Listing:
    """All images of a data folder, and how they were understood.

    Attributes:
        layout: Name of the layout.
        why: What it was recognised by.
        source: Reads the entries.
        entries: The images that have a label.
        declared: What a metadata file says of the images, in the schema `DECLARED`; None where
            there is no metadata file.
        missing: Paths that are declared and not there.
        surplus: Paths that are there and not declared.
        notes: What was left out or left open, one sentence each.
    """

    layout: str
    why: str
    source: Source
    entries: tuple[Entry, ...]
    declared: pl.DataFrame | None = None
    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NearMiss:
    """Why a folder that looks like a layout is not one; helps where nothing else fits."""

    reason: str


Outcome = Listing | NearMiss | None


@dataclass(frozen=True)
class Layout:
    """A named way to recognise and list a folder.

    Attributes:
        name: What recipes call it.
        form: What such a folder looks like, in a few words.
        recognise: A listing, a near miss, or None where the folder is something else. The second
            argument maps catalogue columns to columns of a table.
        reads_table: The labels come from a table, so columns can be named.
    """

    name: str
    form: str
    recognise: Callable[[Path, Mapping[str, str]], Outcome]
    reads_table: bool = False


def one_spelling(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries with `Normal` and `NORMAL` made one label; the first spelling stands."""
    spelling: dict[str, str] = {}
    for entry in entries:
        label = spelling.setdefault(entry.label.casefold(), entry.label)
        yield entry if label == entry.label else replace(entry, label=label)
