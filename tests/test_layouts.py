from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pneumoscope.core.errors import LayoutError
from pneumoscope.data.layouts import LAYOUTS, image_paths, recognise
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


def archive_with(path: Path, **changes: Any) -> Path:
    arrays = {"train_images": np.zeros((3, 8, 8), np.uint8), "train_labels": np.zeros((3, 1), int)}
    np.savez_compressed(path, **(arrays | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"train_images": np.array([{"a": 1}], dtype=object)}, "cannot be read"),
        ({"train_labels": np.array([{"a": 1}], dtype=object)}, "cannot be read"),
        ({"train_images": np.zeros((3, 8, 8, 3), np.uint8)}, "colour images"),
        ({"train_images": np.zeros((3, 8, 8), np.float32)}, "of uint8 is supported"),
        ({"train_labels": np.zeros((3, 14), int)}, "one label per image"),
        ({"train_labels": np.zeros((3, 1))}, "integers are supported"),
        ({"train_labels": np.zeros((2, 1), int)}, "3 images and 2 labels"),
        ({"train_images": np.zeros((1, 9000, 9000), np.uint8)}, "no radiographs do"),
    ],
)
def test_an_archive_that_cannot_be_used_says_why(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(LayoutError, match=reason) as caught:
        recognise(archive_with(tmp_path / "x.npz", **changes))
    assert "\n" not in str(caught.value)


def test_an_archive_may_claim_a_petabyte_and_gets_a_reason(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    with zipfile.ZipFile(archive_with(tmp_path / "good.npz")) as good:
        content = {name: good.read(name) for name in good.namelist()}
    claim = "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000, 1000, 1000), }"
    header = b"\x93NUMPY\x01\x00\x76\x00" + claim.ljust(117).encode() + b"\n"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("train_images.npy", header)
        archive.writestr("train_labels.npy", content["train_labels.npy"])
    with pytest.raises(LayoutError, match="its size another"):
        recognise(file)


def test_mutated_archives_are_listed_or_refused_in_one_line(tmp_path: Path) -> None:
    content = archive_with(tmp_path / "good.npz").read_bytes()
    generator = np.random.default_rng(5)
    refused: list[str] = []
    for _ in range(300):
        damaged = bytearray(content)
        for place in generator.integers(0, len(content), 3):
            damaged[place] = generator.integers(0, 256)
        cut = int(generator.integers(1, len(content) + 200))
        (tmp_path / "bad.npz").write_bytes(damaged[:cut])
        try:
            recognise(tmp_path / "bad.npz")
        except LayoutError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert not any("\n" in reason for reason in refused)


def test_a_broken_archive_beside_label_folders_is_no_obstacle(tmp_path: Path) -> None:
    put(tmp_path / "NORMAL" / "a.png")
    (tmp_path / "weights.npz").write_bytes(b"not a zip")
    assert recognise(tmp_path).layout == "class_folders"


def test_ambiguity_names_the_candidates(tmp_path: Path) -> None:
    put(tmp_path / "NORMAL" / "a.png")
    put(tmp_path / "train" / "NORMAL" / "a.png")
    with pytest.raises(LayoutError, match=r"class_folders \(.*split_folders \(.*data\.layout"):
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


def test_what_is_no_image_file_but_called_so_is_listed_unless_a_folder(tmp_path: Path) -> None:
    """Reading gives the reason: it is not hidden. A folder is only badly named."""
    put(tmp_path / "NORMAL" / "a.png")
    os.mkfifo(tmp_path / "NORMAL" / "pipe.png")
    (tmp_path / "NORMAL" / "folder.png").mkdir()
    (tmp_path / "NORMAL" / "dead.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "NORMAL" / "self.png").symlink_to(tmp_path / "NORMAL" / "self.png")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    paths = [entry.path for entry in recognise(tmp_path).entries]
    assert paths == [
        "NORMAL/a.png", "NORMAL/dead.png", "NORMAL/pipe.png", "NORMAL/self.png",
    ]  # fmt: skip


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "NORMAL" / "a.png")
    scan = os.scandir

    def refusing(path: Path) -> Any:
        if Path(path).name == "NORMAL":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(LayoutError, match=r"NORMAL: cannot be read \(Permission denied\)"):
        recognise(tmp_path)


def test_a_name_that_is_not_utf8_is_an_entry(tmp_path: Path) -> None:
    put(tmp_path / "NORMAL" / "a.png")
    (tmp_path / "NORMAL" / os.fsdecode(b"\xff.png")).touch()
    paths = [os.fsencode(entry.path) for entry in recognise(tmp_path).entries]
    assert paths == [b"NORMAL/a.png", b"NORMAL/\xff.png"]


def test_labels_have_one_spelling_and_sources_a_default(tmp_path: Path) -> None:
    put(tmp_path / "NORMAL" / "a.png")
    put(tmp_path / "Normal" / "b.png")
    listing = recognise(tmp_path, source="here")
    assert {entry.label for entry in listing.entries} == {"NORMAL"}
    assert {entry.source for entry in listing.entries} == {"here"}


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        (["a.png", "b.png"], "one folder per label"),
        (["train/a.png", "test/b.png"], "no folder inside them holds images"),
        (["data/NORMAL/a.png"], "Perhaps .*data is meant"),
        (["images/a.png", "masks/a.png"], "one label of radiography_database"),
    ],
)
def test_a_near_miss_helps(files: list[str], hint: str, tmp_path: Path) -> None:
    for name in files:
        put(tmp_path / name)
    with pytest.raises(LayoutError, match=hint):
        recognise(tmp_path)


def test_a_layout_that_is_not_known_and_columns_for_one_without_a_table(tmp_path: Path) -> None:
    put(tmp_path / "NORMAL" / "a.png")
    with pytest.raises(LayoutError, match="allowed: auto, class_folders"):
        recognise(tmp_path, layout="class_folder")
    with pytest.raises(LayoutError, match="reads no table"):
        recognise(tmp_path, layout="class_folders", columns={"path": "file"})


def test_the_recipe_allows_exactly_the_layouts_and_columns_there_are() -> None:
    from typing import get_args

    from pneumoscope.core.recipe import CatalogueColumn, DataRecipe
    from pneumoscope.data.layouts.columns import KNOWN

    allowed = get_args(DataRecipe.model_fields["layout"].annotation)
    assert set(allowed) == {"auto", *(known.name for known in LAYOUTS)}
    assert set(get_args(CatalogueColumn)) == set(KNOWN)


def calls_to_list(folder: Path, count: int) -> int:
    """Functions called while a folder of so many files is recognised."""
    place = folder / str(count) / "NORMAL"
    place.mkdir(parents=True)
    for number in range(count):
        (place / f"{number}.png").touch()
    seen: list[str] = []
    sys.setprofile(lambda _frame, event, _argument: seen.append(event))
    try:
        found = recognise(place.parent)
    finally:
        sys.setprofile(None)
    assert len(found.entries) == count
    return len(seen)


def test_listing_is_linear(tmp_path: Path) -> None:
    """Ten times the files take ten times as many calls; quadratic work would take a hundred."""
    assert calls_to_list(tmp_path, 5_000) < 12 * calls_to_list(tmp_path, 500)
