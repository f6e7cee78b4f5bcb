"""How a folder says what its images are: one registry of layouts, recognised by looking.

`LAYOUT` `class_folders`: `LABEL/*.png`. `split_folders`: `train|val|test/LABEL/*.jpeg`, any case.
`medmnist`: a `.npz` with `train_images`, `train_labels`, ...
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pneumoscope.core.errors import LayoutError
from pneumoscope.data.patients import patient_from_name
from pneumoscope.data.sources import FolderSource, NpzSource, Source, parts, read_array

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg"})

_PARTS = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip

# MedMNIST archives number their labels; the names are in the data set's own description.
_MEDMNIST_LABELS = {"pneumoniamnist": ("NORMAL", "PNEUMONIA")}


@dataclass(frozen=True, slots=True)
class Entry:
    """One image as the layout describes it; what the layout does not say is None."""

    path: str
    label: str
    part: str | None
    patient_id: str | None


@dataclass(frozen=True)
class Listing:
    """All images of a data folder, and how they were understood."""

    layout: str
    why: str
    source: Source
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Layout:
    """A named way to recognise and list a folder; `list` returns None where it does not fit."""

    name: str
    form: str
    recognise: Callable[[Path], Listing | None]


def recognise(root: Path, *, layout: str = "auto") -> Listing:
    """List the images of `root` under the layout named, or the one layout that fits.

    Raises:
        LayoutError: nothing there, no layout fits, or several do (they are named).
    """
    if not root.exists():
        raise LayoutError(f"{root}: does not exist. Give a folder of radiographs or a .npz file.")
    tried = [known for known in LAYOUTS if layout in ("auto", known.name)]
    found = [listing for known in tried if (listing := known.recognise(root))]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(listing.layout for listing in found)
        raise LayoutError(f"{root}: fits several layouts ({names}). Name one: --layout NAME.")
    expected = " or ".join(known.form for known in tried)
    raise LayoutError(f"{root}: {_what_is_there(root)}; expected {expected}.")


def _class_folders(root: Path) -> Listing | None:
    if not root.is_dir():
        return None
    labels = [name for name in _folders(root) if name.lower() not in _PARTS]
    entries = [
        Entry(f"{label}/{name}", label, None, patient_from_name(PurePosixPath(name).stem))
        for label in labels
        for name in _images(root / label)
    ]
    if not entries:
        return None
    why = f"{len({entry.label for entry in entries})} folders with images, taken as labels"
    return Listing("class_folders", why, FolderSource(root), tuple(entries))


def _split_folders(root: Path) -> Listing | None:
    if not root.is_dir():
        return None
    found = {name: _PARTS[name.lower()] for name in _folders(root) if name.lower() in _PARTS}
    entries = [
        Entry(f"{folder}/{label}/{name}", label, part, patient_from_name(PurePosixPath(name).stem))
        for folder, part in found.items()
        for label in _folders(root / folder)
        for name in _images(root / folder / label)
    ]
    if not entries:
        return None
    why = f"folders {', '.join(found)} with label folders inside"
    return Listing("split_folders", why, FolderSource(root), tuple(_one_spelling(entries)))


def _one_spelling(entries: list[Entry]) -> Iterator[Entry]:
    """`Normal` under train and `NORMAL` under test are one label; the first spelling stands."""
    spelling: dict[str, str] = {}
    for entry in entries:
        label = spelling.setdefault(entry.label.lower(), entry.label)
        yield Entry(entry.path, label, entry.part, entry.patient_id)


def _medmnist(root: Path) -> Listing | None:
    files = [root] if root.is_file() else sorted(root.glob("*.npz"))
    archives = [file for file in files if file.suffix == ".npz" and parts(file)]
    if len(archives) > 1:
        names = ", ".join(file.name for file in archives)
        raise LayoutError(f"{root}: holds several archives ({names}). Give one of them.")
    return _list_archive(archives[0]) if archives else None


def _list_archive(file: Path) -> Listing:
    names = next((v for k, v in _MEDMNIST_LABELS.items() if file.name.startswith(k)), None)
    entries: list[Entry] = []
    for part in parts(file):
        labels = read_array(file, f"{part}_labels")
        if labels.ndim != 2 or labels.shape[1] != 1:
            raise LayoutError(
                f"{file}: {part}_labels has shape {labels.shape}; one label per image "
                "([images, 1]) is supported."
            )
        for row, value in enumerate(labels[:, 0].tolist()):
            label = names[value] if names and 0 <= value < len(names) else str(value)
            entries.append(Entry(f"{file.name}#{part}/{row}", label, _PARTS[part], None))
    why = f"a MedMNIST archive with {', '.join(parts(file))}"
    return Listing("medmnist", why, NpzSource(file), tuple(entries))


LAYOUTS: tuple[Layout, ...] = (
    Layout("class_folders", "LABEL/*.png|jpg|jpeg", _class_folders),
    Layout("split_folders", "train|val|test/LABEL/*.png|jpg|jpeg", _split_folders),
    Layout("medmnist", "a MedMNIST .npz", _medmnist),
)


def image_paths(root: Path) -> list[Path]:
    """Every image file at or below `root`, sorted; links to folders are not followed."""
    if root.is_file():
        return [root]
    found: list[Path] = []
    for folder, folders, names in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder) / name for name in sorted(names) if _is_image(name)]
    return found


def _folders(root: Path) -> list[str]:
    return sorted(
        entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name[0] not in "._"
    )


def _images(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if _is_image(entry.name))


def _is_image(name: str) -> bool:
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in EXTENSIONS


def _what_is_there(root: Path) -> str:
    if root.is_file():
        return "is a file of no known layout"
    folders, images = _folders(root), _images(root)
    if not folders and not images:
        return "is empty of images and folders"
    shown = ", ".join(folders[:5]) + (", ..." if len(folders) > 5 else "")
    return f"holds {len(images)} images and {len(folders)} folders" + (
        f" ({shown})" if shown else ""
    )
