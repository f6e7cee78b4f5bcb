from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import polars as pl
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from pneumoscope.core.errors import InputError, LayoutError
from pneumoscope.core.progress import Silent
from pneumoscope.data.catalogue import build_catalogue
from pneumoscope.data.layouts import recognise
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
    put_dicom(root / "p2" / "s1" / "three.DCM", patient="67890", seed=3, filler=2**20)
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


# dicom_tree: labels by UID or patient


def uid(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)


@pytest.fixture
def bare(tree: Path) -> Path:
    """The tree without its table, and with files that are no DICOM."""
    (tree / "labels.csv").unlink()
    (tree / "p1" / "s1" / "one.dcm").rename(tree / "p1" / "s1" / "one.ima")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tree / "p2" / "s1" / "picture.png")
    (tree / "p2" / "notes.txt").write_text("nothing")
    (tree / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    return tree


def test_labels_by_uid(bare: Path, fresh_cache: Path) -> None:
    one, three = bare / "p1/s1/one.ima", bare / "p2/s1/three.DCM"
    (bare / "labels.csv").write_text(
        "SOPInstanceUID,PatientID,label,view\n"
        f"{uid(one)},12345,N,PA\n{uid(three)},67890,P,\n1.2.3.4,999,P,\n,,P,\n"
    )
    listing = recognise(bare)
    assert listing.layout == "dicom_tree"
    assert "3 DICOM files, their labels from labels.csv joined by SOPInstanceUID" in listing.why
    found = [(entry.path, entry.label, entry.view) for entry in listing.entries]
    assert found == [("p1/s1/one.ima", "N", "PA"), ("p2/s1/three.DCM", "P", "AP")]
    assert listing.surplus == ("p1/s2/IM0002",)
    assert listing.missing == ("labels.csv row 4",)
    assert set(listing.notes) == {
        "1 rows whose DICOM file is not there: left out",
        "1 rows without a SOPInstanceUID: left out",
        "1 DICOM files have no row in labels.csv: left out",
    }
    catalogue = build_catalogue(listing, pixels=None, reporter=Silent())
    assert catalogue["excluded"].null_count() == 2
    assert catalogue["patient_id"].n_unique() == 2
    told = catalogue.write_csv() + repr(listing)
    assert not any(word in told for word in ("12345", "67890", "999", STUDY, uid(one), "1.2.3.4"))


def test_labels_by_patient_are_of_all_their_images(bare: Path) -> None:
    rows = {"Patient ID": ["12345", "67890"], "Finding": ["N", "P"]}
    pl.DataFrame(rows).write_parquet(bare / "labels.parquet")
    listing = recognise(bare)
    assert "joined by PatientID (column 'Patient ID')" in listing.why
    assert [entry.label for entry in listing.entries] == ["N", "N", "P"]
    assert not listing.surplus


def test_labels_by_study_named_by_the_user(bare: Path) -> None:
    (bare / "labels.csv").write_text(f"exam no,class\n{STUDY},N\n")
    listing = recognise(bare, columns={"study_id": "exam no"})
    assert "joined by StudyInstanceUID" in listing.why
    assert len(listing.entries) == 3
    with pytest.raises(LayoutError, match="has no column 'nope'"):
        recognise(bare, layout="dicom_tree", columns={"path": "nope", "study_id": "exam no"})


def test_a_path_goes_before_a_uid_and_a_uid_stands_in_for_paths_that_lead_nowhere(
    bare: Path,
) -> None:
    one = bare / "p1/s1/one.ima"
    table = bare / "labels.csv"
    table.write_text(f"file,image_id,label\none,{uid(one)},N\np2\\s1\\three.DCM,x,P\nIM0002,y,N\n")
    listing = recognise(bare, layout="dicom_tree")
    assert "joined by path (column 'file')" in listing.why
    assert [entry.label for entry in listing.entries] == ["N", "P", "N"]
    table.write_text(f"image_id,label\n{uid(one)},N\n")
    listing = recognise(bare)
    assert "joined by SOPInstanceUID (column 'image_id')" in listing.why
    assert [entry.path for entry in listing.entries] == ["p1/s1/one.ima"]
    table.write_text("image_id,label\nabsent,N\n")
    with pytest.raises(LayoutError, match="none of the 3 DICOM files by path or SOPInstanceUID"):
        recognise(bare)


def test_a_table_that_names_its_images_is_a_manifest(tree: Path) -> None:
    assert recognise(tree).layout == "manifest"
    by_name = recognise(tree, layout="dicom_tree")
    assert [entry.path for entry in by_name.entries] == [
        entry.path for entry in recognise(tree).entries
    ]
    assert [entry.patient_id for entry in by_name.entries] == [
        entry.patient_id for entry in recognise(tree).entries
    ]


def test_patients_as_folders_are_not_taken_for_labels(bare: Path) -> None:
    put_dicom(bare / "p3" / "flat.dcm", patient="3", seed=9)
    (bare / "labels.csv").write_text("PatientID,label\n12345,N\n67890,P\n3,P\n")
    with pytest.raises(LayoutError, match=r"fits several layouts: class_folders .*dicom_tree"):
        recognise(bare)
    assert len(recognise(bare, layout="dicom_tree").entries) == 4


@pytest.mark.parametrize("table", [None, "a,b\n1,2\n", "PatientID,note\n12345,x\n"])
def test_without_a_table_of_labels_it_says_what_to_add(bare: Path, table: str | None) -> None:
    if table:
        (bare / "other.csv").write_text(table)
    with pytest.raises(LayoutError, match=r"no table of their labels.*add a \.csv") as caught:
        recognise(bare)
    assert "\n" not in str(caught.value)
    with pytest.raises(LayoutError, match=r"add a \.csv or \.parquet .* SOPInstanceUID"):
        recognise(bare, layout="dicom_tree")


def test_a_table_without_paths_names_the_layout_that_reads_it(bare: Path) -> None:
    table = bare / "labels.csv"
    table.write_text("PatientID,label\n12345,N\n67890,P\n")
    with pytest.raises(LayoutError, match=r"'PatientID' is that of DICOM .* --layout dicom_tree"):
        recognise(table)
    assert len(recognise(table, layout="dicom_tree").entries) == 3
    table.write_text("number,label\n12345,N\n")
    with pytest.raises(LayoutError, match="no column is recognised as path") as caught:
        recognise(table)
    assert "dicom_tree" not in str(caught.value)
    table.write_text("path,PatientID,note\na.dcm,12345,x\n")
    with pytest.raises(LayoutError, match="no column is recognised as label") as caught:
        recognise(table)
    assert "dicom_tree" not in str(caught.value)


def test_two_tables_of_labels_are_too_many(bare: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (bare / name).write_text("PatientID,label\n12345,N\n")
    with pytest.raises(LayoutError, match=r"several tables .*\(a\.csv, b\.csv\)"):
        recognise(bare)
    assert recognise(bare / "a.csv", layout="dicom_tree").layout == "dicom_tree"


def test_a_broken_dicom_is_listed_and_a_pipe_is_not_awaited(bare: Path, fresh_cache: Path) -> None:
    os.mkfifo(bare / "pipe")
    (bare / "broken").write_bytes(bytes(128) + b"DICM" + b"\x08\x00\x05\x00CS\x0a")
    (bare / "labels.csv").write_text("file,label\nbroken,N\none,P\n")
    listing = recognise(bare, layout="dicom_tree")
    catalogue = build_catalogue(listing, pixels=None, reporter=Silent())
    reasons = dict(catalogue.select("path", "excluded").iter_rows())
    assert reasons["broken"].startswith("unreadable: ")
    assert reasons["p1/s1/one.ima"] is None


def test_where_headers_name_nobody_the_table_does_and_by_the_same_pseudonym(bare: Path) -> None:
    put_dicom(bare / "p4" / "s" / "nobody.dcm", patient="", seed=11)
    nobody, one = bare / "p4/s/nobody.dcm", bare / "p1/s1/one.ima"
    (bare / "labels.csv").write_text(
        f"SOPInstanceUID,PatientID,label\n{uid(nobody)},12345,N\n{uid(one)},other,N\n"
    )
    first, second = recognise(bare).entries
    assert first.patient_id == second.patient_id is not None


def test_conflicting_labels_leave_an_image_out(bare: Path, fresh_cache: Path) -> None:
    (bare / "labels.csv").write_text("PatientID,label\n12345,N\n12345,P\n67890,P\n67890,p\n")
    listing = recognise(bare)
    assert len(listing.entries) == 5
    catalogue = build_catalogue(listing, pixels=None, reporter=Silent())
    kept = catalogue.filter(pl.col("excluded").is_null())
    assert kept["path"].to_list() == ["p2/s1/three.DCM"]


def test_masks_of_a_tree(bare: Path) -> None:
    Image.fromarray(np.full((9, 9), 255, np.uint8)).save(bare / "mask.png")
    (bare / "labels.csv").write_text("PatientID,label,mask\n12345,N,mask.png\n67890,P,absent.png\n")
    listing = recognise(bare)
    masks = [entry.mask_path for entry in listing.entries]
    assert masks == ["mask.png", "mask.png", None]
    assert listing.notes == ("1 rows whose mask is not there: left unknown",)


@pytest.mark.parametrize("length", [2**16, 2**20, 5 * 2**20])
def test_a_header_cut_inside_a_sequence_is_read_on(tmp_path: Path, length: int) -> None:
    """Whichever piece of the file ends inside a thumbnail's sequence, the view comes behind it."""
    path = tmp_path / "N" / "a.dcm"
    put_dicom(path, patient="1")
    image = pydicom.dcmread(path)
    thumbnail = Dataset()
    thumbnail.add_new(0x00110010, "LO", "FILLER")
    thumbnail.add_new(0x00111001, "OB", bytes(length))
    image.add_new(0x00091001, "SQ", [thumbnail])
    image[0x00091001].is_undefined_length = True
    image.save_as(path)
    (entry,) = recognise(tmp_path).entries
    assert (entry.view, entry.sex) == ("AP", "F")
    assert entry.patient_id is not None
