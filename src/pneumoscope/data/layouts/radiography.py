"""`radiography_database`: `LABEL/images/*`, perhaps `LABEL/masks/*` and `LABEL.metadata.xlsx`.

The layout of the COVID-19 Radiography Database (Chowdhury et al. 2020, Rahman et al. 2021), whose
metadata say `NORMAL-1` of 256*256 where the file is `Normal-1.png` of 299x299.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import polars as pl

from pneumoscope.core.files import printable
from pneumoscope.data.layouts.folders import EXTENSIONS, folders, images, tables
from pneumoscope.data.layouts.listing import DECLARED, Entry, Listing, NearMiss, Outcome
from pneumoscope.data.layouts.split_folders import PARTS
from pneumoscope.data.layouts.workbook import workbook_rows
from pneumoscope.data.patients import patient_from_name
from pneumoscope.data.sources import FolderSource

_METADATA = ".metadata.xlsx"
_SIZE = re.compile(r"(\d{1,6})\s*[*x×]\s*(\d{1,6})", re.IGNORECASE)  # noqa: RUF001
_MASK_SUFFIX = re.compile(r"mask$")


@dataclass(frozen=True)
class _Declared:
    """One row of a metadata file."""

    name: str
    format: str | None
    width: int | None
    height: int | None
    source: str | None


@dataclass(frozen=True)
class _Label:
    """What lies below one label folder: paths from the root by the key of their names."""

    name: str
    images: Mapping[str, list[str]]
    masks: Mapping[str, list[str]]
    declared: tuple[_Declared, ...] | None


@dataclass
class _Found:
    """What is gathered label by label."""

    entries: list[Entry] = field(default_factory=list)
    declared: list[dict[str, object]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def radiography_database(root: Path) -> Outcome:
    """The listing of a folder whose label folders keep images and masks apart."""
    if not root.is_dir():
        return None
    inside = {
        label: {name.casefold(): name for name in folders(root / label)}
        for label in folders(root)
        if label.lower() not in PARTS
    }
    shaped = {label: below for label, below in inside.items() if "images" in below}
    if not shaped:
        return None
    full = {
        label: below for label, below in shaped.items() if images(root / label / below["images"])
    }
    if not full:
        return NearMiss(
            f"folder {root.name} looks like radiography_database, but {next(iter(shaped))}/images "
            "is empty of images: put them there"
        )
    metadata, notes = _metadata(root, full)
    found = _Found(notes=notes)
    found.notes += [f"{printable(label)}/images is empty" for label in shaped if label not in full]
    for label, below in full.items():
        _gather(_read_label(root, label, below, metadata.get(label)), found)
    return _listing(root, len(full), found, bool(metadata))


def _listing(root: Path, labels: int, found: _Found, has_metadata: bool) -> Listing:
    masks = sum(entry.mask_path is not None for entry in found.entries)
    why = f"{labels} folders that hold images/, taken as labels; {masks} images with a mask" + (
        "; metadata beside them" if has_metadata else ""
    )
    entries = sorted(found.entries, key=lambda entry: entry.path)
    declared = pl.DataFrame(found.declared, schema=DECLARED) if has_metadata else None
    return Listing(
        "radiography_database", why, FolderSource(root), tuple(entries), declared,
        tuple(found.missing), tuple(found.surplus), tuple(found.notes),
    )  # fmt: skip


def _metadata(root: Path, labels: Iterable[str]) -> tuple[dict[str, Path], list[str]]:
    """The metadata file of each label, and a note on each file that belongs to none."""
    by_key = {_key(label): label for label in labels}
    found: dict[str, Path] = {}
    notes: list[str] = []
    places = [root, *(root / label for label in by_key.values())]
    for file in [folder / name for folder in places for name in tables(folder, (_METADATA,))]:
        label = by_key.get(_key(file.name[: -len(_METADATA)]))
        if label is None:
            notes.append(f"{printable(file.name)} belongs to no label folder")
        else:
            found.setdefault(label, file)
    return found, notes


def _read_label(root: Path, label: str, below: Mapping[str, str], metadata: Path | None) -> _Label:
    def listed(folder: str) -> dict[str, list[str]]:
        by_key: dict[str, list[str]] = {}
        for name in images(root / label / folder):
            path = f"{label}/{folder}/{name}"
            by_key.setdefault(_key(PurePosixPath(name).stem), []).append(path)
        return by_key

    masks = listed(below["masks"]) if "masks" in below else {}
    return _Label(
        label,
        images=listed(below["images"]),
        masks={_MASK_SUFFIX.sub("", key).rstrip("-"): paths for key, paths in masks.items()},
        declared=_declared(metadata) if metadata else None,
    )


def _gather(label: _Label, found: _Found) -> None:
    rows = {_key(row.name): row for row in label.declared or ()}
    for key, paths in label.images.items():
        row, masks = rows.get(key), label.masks.get(key)
        for path in paths:
            patient = patient_from_name(PurePosixPath(path).stem)
            source = row.source if row else None
            mask = printable(masks[0]) if masks else None
            found.entries.append(
                Entry(path, label.name, None, patient, source=source, mask_path=mask)
            )
    if lonely := [paths[0] for key, paths in label.masks.items() if key not in label.images]:
        found.notes.append(
            f"{len(lonely)} masks without an image, for example {printable(lonely[0])}"
        )
    if label.declared is not None:
        _compare(label, label.declared, set(rows), found)


def _compare(label: _Label, declared: Iterable[_Declared], keys: set[str], found: _Found) -> None:
    for row in declared:
        paths = label.images.get(_key(row.name))
        path = _best(paths, row.name) if paths else _as_declared(label.name, row)
        if not paths:
            found.missing.append(printable(path))
        found.declared.append(
            {
                "path": printable(path), "width": row.width, "height": row.height,
                "format": row.format, "label": printable(label.name),
            }
        )  # fmt: skip
    found.surplus += sorted(
        printable(path) for key, paths in label.images.items() if key not in keys for path in paths
    )


def _declared(file: Path) -> tuple[_Declared, ...]:
    """The rows of a metadata file; a file without a column of names declares nothing."""
    rows = workbook_rows(file)
    if not rows:
        return ()
    heading = [_key(cell) for cell in rows[0]]

    def cell(row: tuple[str, ...], name: str) -> str:
        place = heading.index(name) if name in heading else len(row)
        return row[place] if place < len(row) else ""

    named = [(cell(row, "filename"), row) for row in rows[1:]]
    return tuple(
        _declare(name, cell(row, "format"), cell(row, "size"), cell(row, "url"))
        for name, row in named
        if name
    )


def _declare(name: str, kind: str, size: str, url: str) -> _Declared:
    match = _SIZE.search(size)
    name = name.replace("\\", "/").rpartition("/")[2]
    width, height = (int(match[1]), int(match[2])) if match else (None, None)
    return _Declared(name, kind.lower().lstrip(".") or None, width, height, _host(url))


def _host(url: str) -> str | None:
    """The host name of an address, without `www.`: two pages of one site are one source.

    >>> _host("https://www.kaggle.com/c/rsna-pneumonia-detection-challenge/data")
    'kaggle.com'
    """
    try:
        host = urlsplit(url if "//" in url else f"//{url}").hostname
    except ValueError:
        return None
    return host.removeprefix("www.") if host and "." in host else None


def _key(name: str) -> str:
    """What is left of a name when case, spaces and underscores do not count.

    >>> _key("Viral Pneumonia-1") == _key("VIRAL_PNEUMONIA - 1.PNG")
    True
    """
    stem = re.sub(r"\.(png|jpe?g)$", "", name.strip(), flags=re.IGNORECASE)
    return re.sub(r"[\s_]+", "", stem).casefold()


def _best(paths: list[str], name: str) -> str:
    exact = [path for path in paths if PurePosixPath(path).stem == name]
    return (exact or paths)[0]


def _as_declared(label: str, row: _Declared) -> str:
    named = PurePosixPath(row.name).suffix.lower() in EXTENSIONS
    extension = "" if named or row.format is None else f".{row.format}"
    return f"{label}/images/{row.name}{extension}"
