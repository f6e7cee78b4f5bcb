from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumoscope.core.errors import LayoutError
from pneumoscope.data.layouts import image_paths, recognise
from pneumoscope.data.patients import patient_from_name


def put(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def test_class_folders(tmp_path: Path) -> None:
    put(tmp_path / "NORMAL" / "IM-0115-0001.png")
    put(tmp_path / "PNEUMONIA" / "other.PNG")
    put(tmp_path / "PNEUMONIA" / ".hidden.png")
    (tmp_path / "PNEUMONIA" / "notes.txt").write_text("x")
    listing = recognise(tmp_path)
    assert listing.layout == "class_folders"
    found = [(entry.path, entry.label, entry.part, entry.patient_id) for entry in listing.entries]
    assert found == [
        ("NORMAL/IM-0115-0001.png", "NORMAL", None, "IM-0115"),
        ("PNEUMONIA/other.PNG", "PNEUMONIA", None, None),
    ]


def test_split_folders_in_any_case_with_one_spelling_of_a_label(tmp_path: Path) -> None:
    put(tmp_path / "Train" / "NORMAL" / "a.png")
    put(tmp_path / "Val" / "NORMAL" / "b.png")
    put(tmp_path / "TEST" / "Normal" / "c.png")
    listing = recognise(tmp_path)
    assert listing.layout == "split_folders"
    assert {entry.part for entry in listing.entries} == {"train", "validation", "test"}
    assert len({entry.label for entry in listing.entries}) == 1


def test_medmnist(tmp_path: Path) -> None:
    images = np.zeros((3, 28, 28), np.uint8)
    labels = np.array([[0], [1], [1]])
    arrays = {f"{p}_images": images for p in ("train", "val", "test")}
    arrays |= {f"{p}_labels": labels for p in ("train", "val", "test")}
    np.savez(tmp_path / "pneumoniamnist_224.npz", allow_pickle=False, **arrays)
    for place in (tmp_path, tmp_path / "pneumoniamnist_224.npz"):
        listing = recognise(place)
        assert listing.layout == "medmnist"
        assert [entry.label for entry in listing.entries][:3] == [
            "NORMAL",
            "PNEUMONIA",
            "PNEUMONIA",
        ]
        assert listing.entries[-1].path == "pneumoniamnist_224.npz#test/2"


def test_a_pickled_archive_is_refused(tmp_path: Path) -> None:
    array = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "x.npz", train_images=array, train_labels=array)
    with pytest.raises(LayoutError, match="cannot be read"):
        recognise(tmp_path / "x.npz")


def test_ambiguity_names_the_candidates(tmp_path: Path) -> None:
    put(tmp_path / "NORMAL" / "a.png")
    put(tmp_path / "train" / "NORMAL" / "a.png")
    with pytest.raises(LayoutError, match=r"class_folders, split_folders.*--layout"):
        recognise(tmp_path)
    assert recognise(tmp_path, layout="class_folders").layout == "class_folders"


@pytest.mark.parametrize("make", ["missing", "empty", "flat", "file"])
def test_what_fits_no_layout_says_what_is_there(make: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    if make != "missing":
        folder.mkdir()
    if make == "flat":
        put(folder / "a.png")
    if make == "file":
        folder = folder / "x.txt"
        folder.write_text("x")
    with pytest.raises(LayoutError) as caught:
        recognise(folder)
    assert str(folder) in str(caught.value)


def test_the_two_families_of_names_are_different_people() -> None:
    assert patient_from_name("IM-0115-0001") != patient_from_name("NORMAL2-IM-0115-0001")
    assert patient_from_name("person17_bacteria_52") == patient_from_name("person17_bacteria_53")
    assert patient_from_name("person17_virus_52") != patient_from_name("person17_bacteria_52")
    assert patient_from_name("personal") is None


def test_image_paths_do_not_follow_links_to_folders(tmp_path: Path) -> None:
    put(tmp_path / "a" / "x.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert image_paths(tmp_path) == [tmp_path / "a" / "x.png"]
