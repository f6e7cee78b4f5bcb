"""Bundles on disk: a folder or the same zipped, verified before use, never unpacked, no pickle.

`bundle.json` holds the SHA-256 of every other file; `bundle.sha256` holds its own. A zip is read
member by member into memory, so no path in it can point anywhere.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pneumoscope.bundle.reference import Reference, read_reference
from pneumoscope.bundle.spec import BundleSpec, from_json, to_json
from pneumoscope.core.errors import BundleError, ExportError
from pneumoscope.core.files import is_there, sha256, staged_folder, write_bytes, write_text
from pneumoscope.evaluation.calibrator import Calibrator, temperature_calibrator

SPEC, SEAL, ONNX, WEIGHTS, REFERENCE, CARD, GATE, FAMILIAR = (
    "bundle.json", "bundle.sha256", "model.onnx", "model.safetensors", "reference.safetensors",
    "model_card.md", "gate.onnx", "gate.safetensors",
)  # fmt: skip
FILES = (ONNX, WEIGHTS, REFERENCE, CARD)
OPTIONAL = (GATE, FAMILIAR)
"""Of the gate; bundles made before there was one have neither. Where the specification names them
they are as much part of the bundle as the others."""

_DECIDING = (
    "labels", "preprocess", "temperature", "calibrator", "operating_points", "conformal",
    "selective", "gate", "precision",
)  # fmt: skip

_MAX_BYTES = {
    SPEC: 16 * 2**20, SEAL: 1024, CARD: 2**20, REFERENCE: 2**30, ONNX: 2 * 2**30,
    WEIGHTS: 2 * 2**30, GATE: 16 * 2**20, FAMILIAR: 64 * 2**20,
}  # fmt: skip


@dataclass(frozen=True)
class Bundle:
    """A verified bundle in memory.

    Attributes:
        spec: What it says of itself.
        files: Content of every other file, by name.
    """

    spec: BundleSpec
    files: Mapping[str, bytes]

    @property
    def model_id(self) -> str:
        """16 hexadecimal digits fixed by what decides its answers: never by time or card."""
        deciding = self.spec.model_dump(mode="json", include=set(_DECIDING))
        text = json.dumps(deciding, sort_keys=True)
        hashes = [self.spec.files.get(name, "") for name in (ONNX, WEIGHTS, *OPTIONAL)]
        return sha256(f"{text}{''.join(hashes)}".encode())[:16]

    @property
    def calibrator(self) -> Calibrator:
        """What turns its logits into probabilities.

        Raises:
            BundleError: it is none.
        """
        if self.spec.calibrator is None:
            return temperature_calibrator(self.spec.temperature)
        return Calibrator.from_json(self.spec.calibrator)

    @property
    def reference(self) -> Reference:
        """What it remembers of the images it was made from.

        Raises:
            BundleError: it cannot be read.
        """
        return read_reference(self.files[REFERENCE], labels=len(self.spec.labels))

    def revised(self, **changes: object) -> Bundle:
        """The same bundle with other fields of its specification."""
        return Bundle(self.spec.model_copy(update=changes), self.files)

    def with_file(self, name: str, content: bytes) -> Bundle:
        """The same bundle with another content of one file."""
        hashes = {**self.spec.files, name: sha256(content)}
        return Bundle(self.spec.model_copy(update={"files": hashes}), {**self.files, name: content})

    def save(self, folder: Path) -> None:
        """Write the bundle as a folder, whole or not at all.

        Raises:
            StorageError: the folder holds something, or cannot be written.
        """
        content = to_json(self.spec)
        with staged_folder(folder) as stage:
            for name, kept in self.files.items():
                write_bytes(stage / name, kept)
            write_bytes(stage / SPEC, content)
            write_text(stage / SEAL, f"{sha256(content)}  {SPEC}\n")


def make_bundle(spec_without_files: dict[str, object], files: Mapping[str, bytes]) -> Bundle:
    """A bundle of these files, their hashes entered in its specification."""
    hashes = {name: sha256(files[name]) for name in _named(files)}
    try:
        spec = BundleSpec.model_validate({**spec_without_files, "files": hashes})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ExportError(f"bundle.json: {where}: {first['msg']}. Change the recipe.") from error
    return Bundle(spec, dict(files))


def open_bundle(path: Path) -> Bundle:
    """The bundle in a folder or zip, every byte verified.

    Raises:
        BundleError: not a bundle, a file missing, too large or changed, or of another schema.
    """
    if is_there(path) and path.is_dir():
        there = [name for name in OPTIONAL if is_there(path / name)]
        read = {name: _read_file(path, name) for name in (SPEC, SEAL, *FILES, *there)}
    elif path.is_file():
        read = _read_zip(path)
    else:
        raise BundleError(
            f"{path}: does not exist. Give a bundle folder or zip, as train writes it."
        )
    sealed = read[SEAL].decode("ascii", errors="replace").split()
    if sealed != [sha256(read[SPEC]), SPEC]:
        raise BundleError(f"{path}: {_changed(SPEC)}")
    spec = from_json(read[SPEC])
    for name in (*FILES, *OPTIONAL):
        if name in spec.files and name not in read:
            raise BundleError(f"{path}: {name} is missing. {_AGAIN}")
        if name in read and spec.files.get(name) != sha256(read[name]):
            raise BundleError(f"{path}: {_changed(name)}")
    return Bundle(spec, {name: read[name] for name in _named(read)})


def seal_of(path: Path) -> str:
    """SHA-256 of `bundle.json` in a folder or zip: it fixes every byte of the bundle.

    The other files are looked at when the bundle is opened.

    Raises:
        BundleError: not a bundle.
    """
    return sha256(_read_file(path, SPEC) if path.is_dir() else _read_zip(path, (SPEC,))[SPEC])


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


_AGAIN = "Copy or export the bundle again."


def _named(files: Mapping[str, bytes]) -> list[str]:
    """The names whose hashes a bundle holds: all that have to be, and those that may be."""
    return [*FILES, *(name for name in OPTIONAL if name in files)]


def _changed(name: str) -> str:
    return f"{name} was changed after export (its SHA-256 differs). {_AGAIN}"


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
        raise BundleError(f"{file}: cannot be read ({error.strerror}).") from error


def _read_zip(path: Path, wanted: Sequence[str] = ()) -> dict[str, bytes]:
    """The bundle's files of these names; all of them where none is named."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = _bundle_members(path, archive)
            chosen = wanted or tuple(members)
            return {name: _read_member(path, archive, members[name]) for name in chosen}
    except (zipfile.BadZipFile, OSError, RuntimeError, ValueError, EOFError, zlib.error) as error:
        raise BundleError(f"{path}: is no readable zip ({error}). Give a bundle.") from error


def _bundle_members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The bundle's files, at the archive's top or in its single top folder."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    tops = {info.filename.partition("/")[0] for info in infos}
    inside = f"{next(iter(tops))}/" if len(tops) == 1 and SPEC not in tops else ""
    found = {info.filename.removeprefix(inside): info for info in infos}
    for name in (SPEC, SEAL, *FILES):
        if name not in found:
            raise BundleError(f"{path}: {name} is missing, so this is no bundle. Zip its folder.")
    may = [name for name in OPTIONAL if name in found]
    return {name: found[name] for name in (SPEC, SEAL, *FILES, *may)}


def _read_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """One member; what it claims of its size is not believed, reading stops at the limit."""
    name = info.filename.rpartition("/")[2]
    _check_size(path, name, info.file_size)
    with archive.open(info) as member:
        content = member.read(_MAX_BYTES[name] + 1)
    _check_size(path, name, len(content))
    return content


def _check_size(path: Path, name: str, size: int) -> None:
    if size > _MAX_BYTES[name]:
        raise BundleError(f"{path}: {name} has {size} bytes; at most {_MAX_BYTES[name]} are read.")
