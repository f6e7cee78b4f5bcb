"""Several folders read as one: each by its own layout, their labels made those of one label set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path, PurePosixPath

import polars as pl

from pneumoscope.core.errors import LayoutError
from pneumoscope.data.layouts.listing import Entry, Listing, one_spelling
from pneumoscope.data.layouts.registry import recognise
from pneumoscope.data.sources import FolderSource


def recognise_folders(
    root: Path,
    names: Sequence[str],
    *,
    layout: str = "auto",
    columns: Mapping[str, str] | None = None,
    source: str | None = None,
) -> Listing:
    """One listing of the folders `names` inside `root`.

    Paths and patients are told apart by the folder's name in front, so patients of two folders are
    two patients. Where neither a layout nor `source` knows where an image comes from, it comes from
    the folder of that name. `Normal` of one and `NORMAL` of another are one label.

    Args:
        root: The folder that holds them.
        names: Folders inside `root`, `/` between their parts; none inside another.
        layout: As `recognise` takes it, for each of them.
        columns: As `recognise` takes it, for each of them.
        source: Where images come from whose layout does not know.

    Raises:
        LayoutError: a folder is not inside `root`, is named twice, says nothing of its images, or
            is an archive.
    """
    _require_apart(root, names)
    parts = [
        (name, recognise(root / name, layout=layout, columns=columns, source=source or name))
        for name in names
    ]
    for name, part in parts:
        if not isinstance(part.source, FolderSource) or part.source.root != root / name:
            raise LayoutError(
                f"data.folders: {name} is read as {part.layout}, which is no folder of image "
                "files; those can be read together. Train on it alone, by data.path."
            )
    shared = _shared_patients([part for _, part in parts])
    entries = one_spelling(_inside(name, e) for name, part in parts for e in part.entries)
    return Listing(
        layout=" + ".join(part.layout for _, part in parts),
        why="; ".join(f"{name}: {part.why}" for name, part in parts),
        source=FolderSource(root),
        entries=tuple(entries),
        notes=(*(f"{name}: {note}" for name, part in parts for note in part.notes), *shared),
    )


def relabelled(
    listing: Listing, labels: Mapping[str, str | None], *, option: str = "data.labels"
) -> Listing:
    """The listing under other labels; what becomes None is left out, which a note says.

    Args:
        listing: As its layout spells the labels.
        labels: From a label of the listing, in any case of letters, to the one wanted; what is not
            named stays.
        option: What the labels were given by, for messages.

    Raises:
        LayoutError: a label is not there, or all are left out.
    """
    require_labels_there(labels, [listing], option=option)
    there = Counter(entry.label for entry in listing.entries)
    wanted = {label.casefold(): name for label, name in labels.items()}
    names = {label: wanted.get(label.casefold(), label) for label in there}
    # The spelling that was asked for stands, whatever comes first.
    asked = {name.casefold(): name for name in labels.values() if name is not None}
    kept = ((e, name) for e in listing.entries if (name := names[e.label]) is not None)
    entries = tuple(
        one_spelling(replace(e, label=asked.get(name.casefold(), name)) for e, name in kept)
    )
    if not entries:
        raise LayoutError(f"{option}: leaves out every label. Keep two or more.")
    notes = (
        f"{there[label]} images of '{label}' left out ({option})"
        for label, name in names.items()
        if name is None
    )
    declared = listing.declared
    if declared is not None:
        said = {label: wanted.get(label.casefold(), label) for label in _said(declared)}
        declared = declared.with_columns(pl.col("label").replace(said))
    return replace(listing, entries=entries, declared=declared, notes=(*listing.notes, *notes))


def require_labels_there(
    labels: Mapping[str, str | None], listings: Sequence[Listing], *, option: str
) -> None:
    """Check that each label to be renamed is in one of the listings.

    Raises:
        LayoutError: one is not; names those that are.
    """
    there = {entry.label for listing in listings for entry in listing.entries}
    known = {label.casefold() for label in there}
    if unknown := [label for label in labels if label.casefold() not in known]:
        raise LayoutError(
            f"{option}: no image has the label '{unknown[0]}'; there are "
            f"{', '.join(sorted(there))}. Correct it."
        )


def _said(declared: pl.DataFrame) -> list[str]:
    return declared["label"].drop_nulls().unique().to_list()


def _require_apart(root: Path, names: Sequence[str]) -> None:
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise LayoutError(f"data.folders: '{twice[0]}' is named twice. Name it once.")
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name or name == ".":
            raise LayoutError(
                f"data.folders: '{name}' is no folder inside data.path, as 'site-1' would be. "
                "Name folders from there."
            )
        if (root / name).is_file():
            raise LayoutError(f"data.folders: '{name}' is a file. Name the folder that it is in.")
    for first, second in pairwise(sorted(names, key=lambda name: PurePosixPath(name).parts)):
        if PurePosixPath(second).is_relative_to(first):
            raise LayoutError(
                f"data.folders: '{second}' is inside '{first}', so its images would be there "
                "twice. Leave one out."
            )


def _shared_patients(parts: Sequence[Listing]) -> tuple[str, ...]:
    known = Counter(
        patient for part in parts for patient in {e.patient_id for e in part.entries} if patient
    )
    shared = sum(times > 1 for times in known.values())
    if not shared:
        return ()
    note = (
        f"{shared} patients of one folder have the name of a patient of another: they count as "
        "others. Where they are the same people, give one table of all images instead"
    )
    return (note,)


def _inside(name: str, entry: Entry) -> Entry:
    def behind(text: str | None) -> str | None:
        return None if text is None else f"{name}/{text}"

    return replace(
        entry,
        path=f"{name}/{entry.path}",
        patient_id=behind(entry.patient_id),
        study_id=behind(entry.study_id),
        mask_path=behind(entry.mask_path),
    )
