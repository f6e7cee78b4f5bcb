"""Bundles on disk: a folder or the same zipped, verified before use, never unpacked, no pickle.

`bundle.json` holds the SHA-256 of every other file; `bundle.sha256` holds its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pneumoscope.bundle.members import (
    AGAIN,
    CARD,
    FAMILIAR,
    FILES,
    GATE,
    ONNX,
    OPTIONAL,
    REFERENCE,
    SEAL,
    SPEC,
    WEIGHTS,
    read_members,
    read_specification,
)
from pneumoscope.bundle.reference import Reference, read_reference
from pneumoscope.bundle.spec import BundleSpec, from_json, to_json
from pneumoscope.bundle.tensors import check_tensors
from pneumoscope.core.errors import BundleError, ExportError
from pneumoscope.core.files import sha256, staged_folder, write_bytes
from pneumoscope.evaluation.calibrator import Calibrator, temperature_calibrator

__all__ = [
    "CARD", "FAMILIAR", "FILES", "GATE", "ONNX", "OPTIONAL", "REFERENCE", "SEAL", "SPEC", "WEIGHTS",
    "Bundle", "make_bundle", "open_bundle", "seal_of",
]  # fmt: skip

TENSORS = (WEIGHTS, REFERENCE, FAMILIAR)

_DECIDING = (
    "labels", "preprocess", "temperature", "calibrator", "operating_points", "conformal",
    "selective", "gate", "precision",
)  # fmt: skip


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
            write_bytes(stage / SEAL, _seal(content))


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
        BundleError: not a bundle, a file missing, too large, changed or not a bundle's, tensors in
            another form than safetensors, or of another schema.
    """
    read = read_members(path)
    if read[SEAL] != _seal(read[SPEC]):
        raise BundleError(f"{path}: {_changed(SPEC)}")
    spec = from_json(read[SPEC])
    for name in (*FILES, *OPTIONAL):
        if name in spec.files and name not in read:
            raise BundleError(f"{path}: {name} is missing. {AGAIN}")
        if name in read and spec.files.get(name) != sha256(read[name]):
            raise BundleError(f"{path}: {_changed(name)}")
    for name in TENSORS:
        if name in read:
            check_tensors(read[name], name)
    return Bundle(spec, {name: read[name] for name in _named(read)})


def seal_of(path: Path) -> str:
    """SHA-256 of `bundle.json` in a folder or zip: it fixes every byte of the bundle.

    The other files are looked at when the bundle is opened.

    Raises:
        BundleError: not a bundle.
    """
    return sha256(read_specification(path))


def _named(files: Mapping[str, bytes]) -> list[str]:
    """The names whose hashes a bundle holds: all that have to be, and those that may be."""
    return [*FILES, *(name for name in OPTIONAL if name in files)]


def _seal(spec: bytes) -> bytes:
    """The content of `bundle.sha256`, as `sha256sum` writes it."""
    return f"{sha256(spec)}  {SPEC}\n".encode()


def _changed(name: str) -> str:
    return f"{name} was changed after export (its SHA-256 differs). {AGAIN}"
