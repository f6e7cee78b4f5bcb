"""Several folders read as one: each by its own layout, their labels made those of one label set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path, PurePosixPath

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
    _require_apart(names)
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
    entries = one_spelling(_inside(name, e) for name, part in parts for e in part.entries)
    return Listing(
        layout=" + ".join(part.layout for _, part in parts),
        why="; ".join(f"{name}: {part.why}" for name, part in parts),
        source=FolderSource(root),
        entries=tuple(entries),
        notes=tuple(f"{name}: {note}" for name, part in parts for note in part.notes),
    )


def relabelled(listing: Listing, labels: Mapping[str, str | None]) -> Listing:
    """The listing under other labels; what becomes None is left out, which a note says.

    Args:
        listing: As its layout spells the labels.
        labels: From a label of the listing, in any case of letters, to the one wanted; what is not
            named stays.

    Raises:
        LayoutError: a label is not there, or all are left out.
    """
    there = Counter(entry.label for entry in listing.entries)
    wanted = {label.casefold(): name for label, name in labels.items()}
    known = {label.casefold() for label in there}
    if unknown := [label for label in labels if label.casefold() not in known]:
        raise LayoutError(
            f"data.labels: no image has the label '{unknown[0]}'; there are "
            f"{', '.join(sorted(there))}. Correct it."
        )
    names = {label: wanted.get(label.casefold(), label) for label in there}
    kept = (replace(e, label=name) for e in listing.entries if (name := names[e.label]) is not None)
    entries = tuple(one_spelling(kept))
    if not entries:
        raise LayoutError("data.labels: leaves out every label. Keep two or more.")
    notes = (
        f"{there[label]} images of '{label}' left out (data.labels)"
        for label, name in names.items()
        if name is None
    )
    return replace(listing, entries=entries, notes=(*listing.notes, *notes))


def _require_apart(names: Sequence[str]) -> None:
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name or name == ".":
            raise LayoutError(
                f"data.folders: '{name}' is no folder inside data.path, as 'site-1' would be. "
                "Name folders from there."
            )
    for first, second in pairwise(sorted(names, key=lambda name: PurePosixPath(name).parts)):
        if PurePosixPath(second).is_relative_to(first):
            raise LayoutError(
                f"data.folders: '{second}' is inside '{first}', so its images would be there "
                "twice. Leave one out."
            )


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
