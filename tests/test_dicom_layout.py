from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from pneumoscope.core.errors import InputError
from pneumoscope.core.progress import Silent
from pneumoscope.data.catalogue import build_catalogue
from pneumoscope.data.layouts import recognise
from pneumoscope.data.layouts.tags import _START_BYTES
from pneumoscope.data.patients import pseudonym_key

STUDY = generate_uid()


def put_dicom(path: Path, *, patient: str, seed: int = 0, filler: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 4096, (16, 16), dtype=np.uint16)
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID
    image.Modality, image.PatientID, image.PatientName = "DX", patient, "Doe^Jane"
    image.StudyInstanceUID = STUDY
    image.PatientSex, image.PatientAge, image.ViewPosition = "F", "018M", "AP"
    if filler:
        image.add_new(0x00110010, "LO", "FILLER")
        image.add_new(0x00111001, "OB", bytes(filler))
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelRepresentation, image.PixelData = 0, pixels.tobytes()
    image.save_as(path, enforce_file_format=True)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PNEUMOSCOPE_KEY", "a key for these tests")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    put_dicom(root / "p1" / "s1" / "one.dcm", patient="12345", seed=1)
    put_dicom(root / "p1" / "s2" / "IM0002", patient="12345", seed=2)
    put_dicom(root / "p2" / "s1" / "three.DCM", patient="67890", seed=3, filler=_START_BYTES)
    (root / "labels.csv").write_text("image,diagnosis\none,N\nIM0002,N\np2/s1/three.DCM,P\n")
    return root


def test_a_tree_takes_labels_from_a_table_and_the_rest_from_tags(
    tree: Path, fresh_cache: Path
) -> None:
    listing = recognise(tree)
    assert listing.layout == "manifest"
    assert "of 3 DICOM files from their tags" in listing.why
    one, two, three = listing.entries
    assert [entry.path for entry in listing.entries] == [
        "p1/s1/one.dcm", "p1/s2/IM0002", "p2/s1/three.DCM",
    ]  # fmt: skip
    assert one.patient_id == two.patient_id != three.patient_id
    assert three.view == "AP", "behind a private element of a megabyte"
    assert (one.study_id, one.view, one.sex, one.age) == (two.study_id, "AP", "F", 1.5)
    catalogue = build_catalogue(listing, pixels=None, reporter=Silent())
    assert catalogue["excluded"].null_count() == 3
    assert catalogue["patient_id"].n_unique() == 2
    text = catalogue.write_csv()
    assert not any(word in text for word in ("12345", "67890", "Doe", STUDY))


def test_what_the_table_says_stands(tree: Path) -> None:
    (tree / "labels.csv").write_text("image,label,patient,sex,view\none,N,me,M,PA\nIM0002,N,,,\n")
    one, two = recognise(tree).entries
    assert (one.patient_id, one.sex, one.view, one.age) == ("me", "M", "PA", 1.5)
    assert two.patient_id not in (None, "me")


def test_label_folders_may_hold_dicom_whole_or_broken(tmp_path: Path) -> None:
    put_dicom(tmp_path / "N" / "a.dcm", patient="1")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "N" / "b.png")
    (tmp_path / "P").mkdir()
    (tmp_path / "P" / "c.dcm").write_bytes(b"broken")
    whole, png, broken = recognise(tmp_path).entries
    assert whole.patient_id is not None
    assert (png.patient_id, broken.patient_id) == (None, None)


def test_the_key_makes_the_pseudonym(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = recognise(tree).entries[0].patient_id
    assert recognise(tree).entries[0].patient_id == first
    monkeypatch.setenv("PNEUMOSCOPE_KEY", "another key for these tests")
    assert recognise(tree).entries[0].patient_id != first


def test_the_key_is_made_once_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PNEUMOSCOPE_KEY")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    key = pseudonym_key()
    assert len(key) == 32
    assert pseudonym_key() == key
    files = list((tmp_path / "pneumoscope").iterdir())
    assert [file.name for file in files] == ["pseudonym.key"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    files[0].write_bytes(b"short")
    with pytest.raises(InputError, match="5 bytes; 16 or more"):
        pseudonym_key()
