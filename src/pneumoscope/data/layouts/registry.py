"""The layouts there are, and the choice among them: by name, or the one that fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pneumoscope.core.errors import LayoutError
from pneumoscope.data.layouts.class_folders import class_folders
from pneumoscope.data.layouts.dicom_tree import dicom_tree
from pneumoscope.data.layouts.folders import folders, what_is_there
from pneumoscope.data.layouts.listing import Layout, Listing, NearMiss, Outcome
from pneumoscope.data.layouts.manifest import manifest
from pneumoscope.data.layouts.medmnist import medmnist
from pneumoscope.data.layouts.radiography import radiography_database
from pneumoscope.data.layouts.split_folders import split_folders
from pneumoscope.data.layouts.tags import with_tags


def _without_columns(list_folder: Callable[[Path], Outcome]) -> Callable[..., Outcome]:
    return lambda root, _columns: list_folder(root)


LAYOUTS: tuple[Layout, ...] = (
    Layout("class_folders", "LABEL/*.png|jpg|dcm", _without_columns(class_folders)),
    Layout("split_folders", "train|val|test/LABEL/*.png|jpg|dcm", _without_columns(split_folders)),
    Layout(
        "radiography_database", "LABEL/images/* and LABEL/masks/*",
        _without_columns(radiography_database),
    ),
    Layout(
        "manifest", "a .csv or .parquet naming images (in a DICOM tree, say) and labels",
        manifest, reads_table=True,
    ),
    Layout(
        "dicom_tree",
        "DICOM files at any depth and a .csv or .parquet of their labels by UID or patient",
        dicom_tree, reads_table=True,
    ),
    Layout("medmnist", "a MedMNIST .npz", _without_columns(medmnist)),
)  # fmt: skip

_YIELDS = {"dicom_tree": "manifest"}
"""Layouts that are not asked where another one, which stands before them, fits. A table that names
its images by path says all there is to say, whatever they are; only one that names them otherwise
needs every file of the tree to be looked into."""


def recognise(
    root: Path,
    *,
    layout: str = "auto",
    columns: Mapping[str, str] | None = None,
    source: str | None = None,
) -> Listing:
    """List the images of `root` under the layout named, or the one layout that fits.

    Args:
        root: A folder, a manifest, or a MedMNIST archive.
        layout: A name in `LAYOUTS`, or `auto`.
        columns: Catalogue column to column of the manifest; what is not named here is found by
            well-known names. Naming any rules out layouts without a table.
        source: Where the images come from, for those whose source the layout does not know.

    Raises:
        LayoutError: nothing there, no layout fits (with what came close), or several do (they
            are named).
    """
    if not root.exists():
        raise LayoutError(
            f"{root}: does not exist. Give a folder of radiographs, a manifest or a .npz file."
        )
    tried = _candidates(layout, columns or {})
    outcomes = _outcomes(root, tried, columns or {})
    found = [outcome for outcome in outcomes if isinstance(outcome, Listing)]
    if len(found) > 1:
        raise LayoutError(
            f"{root}: fits several layouts: {'; '.join(f'{f.layout} ({f.why})' for f in found)}. "
            f"Name one: data.layout, for example --set data.layout={found[0].layout}."
        )
    if not found:
        near = [outcome.reason for outcome in outcomes if isinstance(outcome, NearMiss)]
        raise LayoutError(f"{root}: {_why_not(root, tried, near)}")
    return _with_source(with_tags(found[0]), source)


def _outcomes(root: Path, tried: list[Layout], columns: Mapping[str, str]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for known in tried:
        fitting = {outcome.layout for outcome in outcomes if isinstance(outcome, Listing)}
        if _YIELDS.get(known.name) not in fitting:
            outcomes.append(known.recognise(root, columns))
    return outcomes


def _candidates(layout: str, columns: Mapping[str, str]) -> list[Layout]:
    tried = [known for known in LAYOUTS if layout in ("auto", known.name)]
    if not tried:
        allowed = ", ".join(("auto", *(known.name for known in LAYOUTS)))
        raise LayoutError(f"layout '{layout}' is not known; allowed: {allowed}. Name one.")
    if not columns:
        return tried
    reading = [known for known in tried if known.reads_table]
    if not reading:
        raise LayoutError(
            f"layout '{layout}' reads no table, so data.columns says nothing. Leave one out."
        )
    return reading


def _why_not(root: Path, tried: list[Layout], near: list[str]) -> str:
    if near:
        return "; ".join(near) + "."
    expected = " or ".join(known.form for known in tried)
    reason = f"{what_is_there(root)}; expected {expected}."
    inside = folders(root) if root.is_dir() else []
    if len(inside) == 1:
        return f"{reason} Perhaps {root / inside[0]} is meant."
    return f"{reason} Arrange it so, or give another folder."


def _with_source(listing: Listing, source: str | None) -> Listing:
    if source is None:
        return listing
    entries = tuple(
        entry if entry.source is not None else replace(entry, source=source)
        for entry in listing.entries
    )
    return replace(listing, entries=entries)
