"""The pictures that the gate learns from and is measured on, found in the development folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pneumoscope.core.errors import LayoutError
from pneumoscope.core.randomness import unit_hash

LEARNT = 0.7
"""Share of the files that is learnt from, by hash of the file's name."""

_SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True, slots=True)
class GatePicture:
    """One file.

    Attributes:
        path: Of the picture.
        group: Where it comes from: what is balanced, left out, and measured apart.
        chest: Whether it is a chest radiograph.
        held: Whether it is measured on and never learnt from.
        mask: Of the lungs, where there is one.
    """

    path: Path
    group: str
    chest: bool
    held: bool
    mask: Path | None = None


def gate_pictures(data: Path, *, seed: int = 0) -> list[GatePicture]:
    """Every picture of the folder, in a fixed order.

    `modality` is held by hash of the file's name, `chest_xray` by its own test part, `radiography`
    by the same hash: it holds the chest radiographs of `modality` under the same names. `inbox` is
    held whole. The pneumonia images of `radiography` are those of `chest_xray` and left out.

    Args:
        data: The folder that holds these folders.
        seed: Of the hash.

    Raises:
        LayoutError: a folder is missing.
    """
    found = [
        *_children(data),
        *_hashed(data / "radiography" / "COVID" / "images", "covid", seed, chest=True),
        *_hashed(data / "radiography" / "Normal" / "images", "normal", seed, chest=True),
        *_hashed(data / "modality" / "chest", "modality", seed, chest=True),
        *_hashed(data / "modality" / "brain", "brain", seed, chest=False),
        *_hashed(data / "modality" / "other", "photograph", seed, chest=False),
        *(GatePicture(path, "inbox", chest=True, held=True) for path in _files(data / "inbox")),
    ]
    return sorted(found, key=lambda picture: picture.path)


def _children(data: Path) -> Iterator[GatePicture]:
    folder = data / "chest_xray"
    for path in _files(folder):
        inside = path.relative_to(folder)
        mask = data / "chest_xray_lung_masks" / inside.with_suffix(".png")
        held = inside.parts[0] == "test"
        yield GatePicture(path, "children", True, held, mask if mask.is_file() else None)


def _hashed(folder: Path, group: str, seed: int, *, chest: bool) -> Iterator[GatePicture]:
    for path in _files(folder):
        held = unit_hash(seed, "gate", path.name) >= LEARNT
        yield GatePicture(path, group, chest, held)


def _files(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in _SUFFIXES]
    if not found:
        raise LayoutError(f"{folder}: no picture. Give the folder that holds it with its content.")
    return found
