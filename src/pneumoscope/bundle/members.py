"""The files of a bundle as they lie in its folder or zip: these names and no others.

A zip is read member by member into memory, so no path in it can point anywhere; what it claims of
its members is not believed.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pneumoscope.core.errors import BundleError
from pneumoscope.core.files import is_there, printable

SPEC, SEAL, ONNX, WEIGHTS, REFERENCE, CARD, GATE, FAMILIAR = (
    "bundle.json", "bundle.sha256", "model.onnx", "model.safetensors", "reference.safetensors",
    "model_card.md", "gate.onnx", "gate.safetensors",
)  # fmt: skip
FILES = (ONNX, WEIGHTS, REFERENCE, CARD)
OPTIONAL = (GATE, FAMILIAR)
"""Of the gate; bundles made before there was one have neither. Where the specification names them
they are as much part of the bundle as the others."""

AGAIN: Final = "Copy or export the bundle again."

_MAX_BYTES = {
    SPEC: 16 * 2**20, SEAL: 1024, CARD: 2**20, REFERENCE: 2**30, ONNX: 2 * 2**30,
    WEIGHTS: 2 * 2**30, GATE: 16 * 2**20, FAMILIAR: 64 * 2**20,
}  # fmt: skip

_RATIO_MATTERS, _MAX_RATIO = 32 * 2**20, 100
"""Bytes from which a member is not unpacked if it was packed to less than a hundredth: trained
weights hardly shrink at all."""

_DISTRUST: Final = "Do not use this bundle."

_PACKED: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""Reading stops within a member where it should for these alone: of bzip2 and LZMA, a whole piece
is unpacked before it is looked how much that was."""


def read_members(path: Path) -> dict[str, bytes]:
    """Content of every file of the bundle at `path`, by name, not verified yet.

    Raises:
        BundleError: a file is missing, too large, none of a bundle's, a link, there twice, or
            named so that it would lie elsewhere.
    """
    if is_there(path) and path.is_dir():
        return _read_folder(path)
    if path.is_file():
        return _read_zip(path)
    raise BundleError(f"{path}: does not exist. Give a bundle folder or zip, as train writes it.")


def read_specification(path: Path) -> bytes:
    """Content of `bundle.json` alone, not verified yet.

    Raises:
        BundleError: as `read_members`.
    """
    if path.is_dir():
        return _read_file(path, SPEC)
    return _read_zip(path, (SPEC,))[SPEC]


def is_bundle_like(path: Path) -> bool:
    """Whether what is at `path` can only be meant as a bundle, whole or not.

    A folder that holds a bundle's own files, or one that `train` wrote, or a zip. Nothing is
    verified.

    Raises:
        InputError: the way there cannot be searched.
    """
    if not is_there(path):
        return False
    if path.is_dir():
        return any((path / name).is_file() for name in (SPEC, SEAL, ONNX, f"bundle/{SPEC}"))
    return path.suffix.lower() == ".zip" or _begins_as_zip(path)


def _begins_as_zip(path: Path) -> bool:
    # Looked at from the front: a tar that ends in a zip, or a picture with one behind it, is none.
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False  # whoever reads it will say why


def _read_folder(folder: Path) -> dict[str, bytes]:
    there = [name for name in OPTIONAL if is_there(folder / name)]
    read = {name: _read_file(folder, name) for name in (SPEC, SEAL, *FILES, *there)}
    for name in sorted(entry.name for entry in folder.iterdir()):
        _check_known(folder, name)
    return read


def _read_file(folder: Path, name: str) -> bytes:
    file = folder / name
    try:
        if file.is_symlink() or not file.is_file():
            inside = (folder / "bundle" / SPEC).is_file()
            remedy = f"Give {folder / 'bundle'}" if inside else "Give the folder train wrote"
            raise BundleError(f"{folder}: {name} is missing, so this is no bundle. {remedy}.")
        _check_size(folder, name, file.stat().st_size)
        return file.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{file}: cannot be read ({error.strerror}). Check its permissions, or copy it again."
        ) from error


def _read_zip(path: Path, wanted: Sequence[str] = ()) -> dict[str, bytes]:
    """The files of these names; all of them where none is named."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = _found(path, archive)
            chosen = wanted or tuple(members)
            return {name: _read_member(path, archive, name, members[name]) for name in chosen}
    except (zipfile.BadZipFile, OSError, RuntimeError, ValueError, EOFError, zlib.error) as error:
        raise BundleError(f"{path}: is no readable zip ({error}). Give a bundle.") from error


def _found(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The bundle's files, at the archive's top or in its single top folder."""
    for info in archive.infolist():
        _check_entry(path, info)
    infos = [info for info in archive.infolist() if not (info.is_dir() or _aside(info.filename))]
    tops = {info.filename.partition("/")[0] for info in infos}
    inside = f"{next(iter(tops))}/" if len(tops) == 1 and SPEC not in tops else ""
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename.removeprefix(inside)
        if found.setdefault(name, info) is not info:
            raise BundleError(f"{path}: holds {printable(name)} twice. {_DISTRUST}")
    for name in (SPEC, SEAL, *FILES):
        if name not in found:
            raise BundleError(f"{path}: {name} is missing, so this is no bundle. Zip its folder.")
    for name in found:
        _check_known(path, name)
    return found


def _check_entry(path: Path, info: zipfile.ZipInfo) -> None:
    """Refuse a member that unpacking would put elsewhere, or make a link or device of."""
    name = info.orig_filename
    if name.startswith("/") or set(name) & set("\\:\0") or ".." in name.split("/"):
        raise BundleError(f"{path}: holds {name!r}, which leads out of it. {_DISTRUST}")
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BundleError(f"{path}: holds {name!r}, which is a link or device. {_DISTRUST}")
    if info.compress_type not in _PACKED:
        raise BundleError(
            f"{path}: {name!r} is packed by method {info.compress_type}; allowed: stored and "
            "deflated. Zip the bundle's folder again."
        )


def _aside(name: str) -> bool:
    """What file managers leave behind; it is not read."""
    parts = name.split("/")
    return parts[0] == "__MACOSX" or parts[-1].startswith(".")


def _check_known(path: Path, name: str) -> None:
    if name not in _MAX_BYTES and not _aside(name):
        raise BundleError(
            f"{path}: holds {printable(name)}, which is no file of a bundle; allowed: "
            f"{', '.join(_MAX_BYTES)}. Remove it."
        )


def _read_member(path: Path, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> bytes:
    """One member; reading stops at the limit, whatever it says of its size."""
    _check_size(path, name, info.file_size)
    packed = min(info.compress_size, path.stat().st_size)
    if info.file_size > max(_RATIO_MATTERS, _MAX_RATIO * packed):
        raise BundleError(
            f"{path}: {name} unpacks to {info.file_size} bytes from {packed}; no bundle's does. "
            f"{_DISTRUST}"
        )
    with archive.open(info) as member:
        content = member.read(_MAX_BYTES[name] + 1)
    _check_size(path, name, len(content))
    return content


def _check_size(path: Path, name: str, size: int) -> None:
    if size > _MAX_BYTES[name]:
        raise BundleError(
            f"{path}: {name} has {size} bytes; at most {_MAX_BYTES[name]} are read. {AGAIN}"
        )
