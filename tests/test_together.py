from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pneumoscope.core.errors import LabelError, LayoutError, PneumoscopeError, RecipeError
from pneumoscope.core.progress import Noting, Silent
from pneumoscope.core.recipe import Recipe, override
from pneumoscope.data.layouts import recognise_folders, relabelled
from pneumoscope.data.phantoms import write_phantoms
from pneumoscope.workflows.auditing import audit
from pneumoscope.workflows.benchmark.protocol import begin
from pneumoscope.workflows.prepare import prepare_recipe, prepare_split
from test_layouts import put


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hospitals: one with labels and patients as phantoms have, one that spells otherwise."""
    root = tmp_path_factory.mktemp("two")
    write_phantoms(root / "north", patients=60, size=96)
    write_phantoms(root / "south", patients=60, size=96, seed=500)
    (root / "south" / "NORMAL").rename(root / "south" / "Normal")
    (root / "south" / "PNEUMONIA").rename(root / "south" / "Covid")
    return root


def told(root: Path, **changes: Any) -> Recipe:
    given = {
        "data.path": str(root),
        "data.folders": ["north", "south"],
        "data.labels": {"Covid": "PNEUMONIA", "Normal": "NORMAL"},
        "preprocess.size": 64,
    }
    return override(Recipe(), given | changes)


def test_folders_become_one_catalogue_whose_paths_lead_to_the_files(two: Path) -> None:
    catalogue = prepare_recipe(told(two), reporter=Silent()).catalogue
    assert set(catalogue["label"]) == {"NORMAL", "PNEUMONIA"}
    assert set(catalogue["source"]) == {"north", "south"}
    assert all((two / path).is_file() for path in catalogue["path"])
    folders = catalogue["path"].str.split("/").list.first()
    assert folders.to_list() == catalogue["source"].to_list()
    patients = catalogue.filter(pl.col("patient_id").is_not_null())
    assert patients["patient_id"].str.starts_with("north/").sum() > 0
    shared = patients.group_by("patient_id").agg(pl.col("source").n_unique())["source"]
    assert shared.max() == 1


def test_every_population_is_in_every_split(two: Path) -> None:
    prepared, labels = prepare_split(told(two), reporter=Silent())
    assert labels == ("NORMAL", "PNEUMONIA")
    live = prepared.catalogue.filter(pl.col("excluded").is_null())
    counts = live.group_by("split", "source", "label").len()
    assert counts.height == 4 * 2 * 2
    crossing = live.group_by("patient_id").agg(pl.col("split").n_unique())["split"]
    assert crossing.max() == 1


@pytest.fixture(scope="module")
def parted(two: Path) -> Path:
    """The same, the first hospital with a test part of its own."""
    for image in sorted((two / "north").rglob("*.png")):
        patient = image.stem.rpartition("-" if image.stem.startswith("IM") else "_")[0]
        part = "test" if zlib.crc32(patient.encode()) % 4 == 0 else "train"
        new = two.parent / "parted" / "north" / part / image.parent.name / image.name
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(image.read_bytes())
    (two.parent / "parted" / "south").symlink_to(two / "south")
    return two.parent / "parted"


def test_a_given_test_part_of_one_folder_leaves_the_other_one_a_test_part(parted: Path) -> None:
    prepared, _ = prepare_split(told(parted), reporter=Silent())
    live = prepared.catalogue.filter(pl.col("excluded").is_null())
    given = live.filter(pl.col("path").str.contains("/test/"))
    assert set(given["split"]) == {"test"}
    assert set(live.filter(pl.col("split") == "test", pl.col("source") == "north")["path"]) == set(
        given["path"]
    )
    south = live.filter(pl.col("source") == "south")
    assert 0.05 < south.filter(pl.col("split") == "test").height / south.height < 0.3


def test_a_benchmark_splits_them_the_same_way(two: Path, tmp_path: Path) -> None:
    recipe = told(two)
    begin(recipe, tmp_path, seeds=1, quick=False, reporter=Silent())
    prepared, _ = prepare_split(recipe, reporter=Silent())
    drawn = prepared.catalogue.filter(pl.col("excluded").is_null()).select("image_id", "split")
    written = pl.read_parquet(tmp_path / "split.parquet").select("image_id", "split")
    assert written.sort("image_id").equals(drawn.sort("image_id"))


def test_a_source_left_out_is_left_out_whole(two: Path) -> None:
    recipe = told(two, **{"split.leave_out_source": "south"})
    prepared, _ = prepare_split(recipe, reporter=Silent())
    live = prepared.catalogue.filter(pl.col("excluded").is_null())
    tested = live.filter(pl.col("split") == "test")
    assert set(tested["source"]) == {"south"}
    assert set(live.filter(pl.col("split") != "test")["source"]) == {"north"}


def test_labels_of_no_use_are_left_out_and_said(tmp_path: Path) -> None:
    for label in ("a", "b", "c"):
        put(tmp_path / "x" / label / "1.png")
    listing = relabelled(recognise_folders(tmp_path, ["x"]), {"c": None, "a": "A"})
    assert [entry.label for entry in listing.entries] == ["A", "b"]
    assert listing.notes[-1] == "1 images of 'c' left out (data.labels)"


def test_labels_can_be_renamed_in_one_folder(two: Path) -> None:
    changes = {"data.path": str(two / "south"), "data.folders": [], "data.labels": {"Covid": "ill"}}
    catalogue = prepare_recipe(told(two, **changes), reporter=Silent()).catalogue
    assert set(catalogue["label"]) == {"Normal", "ill"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data.folders": ["north", "../south"]}, "'../south' is no folder inside data.path"),
        ({"data.folders": ["/etc"]}, "'/etc' is no folder inside data.path"),
        ({"data.folders": ["north", "north"]}, "'north' is named twice"),
        ({"data.folders": ["north", "north/NORMAL"]}, "'north/NORMAL' is inside 'north'"),
        ({"data.folders": ["north", "west"]}, "west: does not exist"),
        ({"data.folders": ["north/NORMAL/IM-0001-0001.png"]}, "is a file"),
        ({"data.labels": {"Covd": "PNEUMONIA"}}, "no image has the label 'Covd'; there are Covid"),
        (
            {"data.labels": dict.fromkeys(("Covid", "NORMAL", "PNEUMONIA"))},
            "leaves out every label",
        ),
    ],
)
def test_what_cannot_be_read_together_is_said(
    two: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(PneumoscopeError, match=reason):
        prepare_recipe(told(two, **changes), reporter=Silent())


def test_an_archive_is_not_read_together_with_folders(tmp_path: Path) -> None:
    put(tmp_path / "north" / "a" / "1.png")
    (tmp_path / "south").mkdir()
    arrays = {"train_images": np.zeros((3, 8, 8), np.uint8), "train_labels": np.zeros((3, 1), int)}
    np.savez(tmp_path / "south" / "set.npz", allow_pickle=False, **arrays)
    with pytest.raises(LayoutError, match="south is read as medmnist"):
        recognise_folders(tmp_path, ["north", "south"])


def test_a_folder_too_small_for_every_split_is_said(two: Path, tmp_path: Path) -> None:
    (tmp_path / "north").symlink_to(two / "north")
    write_phantoms(tmp_path / "few", patients=2, seed=900)
    reporter = Noting(Silent())
    changes = {"data.folders": ["north", "few"], "data.labels": {}}
    prepare_split(told(tmp_path, **changes), reporter=reporter)
    assert any(note.startswith("few: none of its images of 'NORMAL'") for note in reporter.notices)


def test_a_folder_without_a_usable_image_is_refused(two: Path, tmp_path: Path) -> None:
    for label in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "broken" / label).mkdir(parents=True)
        (tmp_path / "broken" / label / "a.png").write_bytes(b"broken")
    (tmp_path / "north").symlink_to(two / "north")
    changes = {"data.folders": ["north", "broken"], "data.labels": {}}
    with pytest.raises(LabelError, match="broken has no usable image"):
        prepare_split(told(tmp_path, **changes), reporter=Silent())
    folders = [tmp_path / "north", tmp_path / "broken"]
    audited = audit(folders, output=tmp_path / "audit", fix=True)
    assert "unreadable" in {issue.check for issue in audited.issues}, "an audit tells it all"


def test_a_limit_takes_about_as_many_of_each_folder(two: Path) -> None:
    prepared, _ = prepare_split(told(two, **{"data.limit": 80}), reporter=Silent())
    live = prepared.catalogue.filter(pl.col("excluded").is_null())
    north, south = (live.filter(pl.col("source") == name).height for name in ("north", "south"))
    assert 30 <= north <= 48
    assert 30 <= south <= 48


def test_patients_of_the_same_name_are_said(two: Path) -> None:
    reporter = Noting(Silent())
    prepare_recipe(told(two), reporter=reporter)
    assert any("have the name of a patient of another" in note for note in reporter.notices)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data.folders": "north"}, "a list is needed"),
        ({"data.labels": {"a": "x", "A": "y"}}, "named twice"),
        ({"data.labels": {"a": " "}}, "null leaves it out"),
    ],
)
def test_what_a_recipe_cannot_mean_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        override(Recipe(), changes)


def test_the_spelling_asked_for_stands(tmp_path: Path) -> None:
    for label in ("PNEUMONIA", "Covid"):
        put(tmp_path / "x" / label / "1.png")
    listing = relabelled(recognise_folders(tmp_path, ["x"]), {"Covid": "pneumonia"})
    assert {entry.label for entry in listing.entries} == {"pneumonia"}


def test_the_data_are_called_by_their_folders(two: Path, tmp_path: Path) -> None:
    protocol = begin(told(two), tmp_path, seeds=1, quick=False, reporter=Silent())
    assert protocol.data.startswith("north+south@")
    assert all(path.is_file() for path in protocol.test_paths)


def test_an_audit_keeps_given_test_parts_and_takes_the_same_labels(
    parted: Path, tmp_path: Path
) -> None:
    folders = [parted / "north", parted / "south"]
    labels = {"Covid": "PNEUMONIA", "Normal": "NORMAL"}
    audited = audit(folders, output=tmp_path / "audit", label_map=labels, fix=True)
    recipe = told(parted, **{"split.file": str(audited.split)})
    prepared, found = prepare_split(recipe, reporter=Silent())
    assert found == ("NORMAL", "PNEUMONIA")
    catalogue = pl.read_parquet(audited.output / "catalogue.parquet")
    assert set(catalogue["label"]) == {"NORMAL", "PNEUMONIA"}
    live = prepared.catalogue.filter(pl.col("excluded").is_null())
    given = live.filter(pl.col("path").str.contains("/test/"))
    assert given.height > 5
    assert set(given["split"]) == {"test"}
    south = live.filter(pl.col("source") == "south")
    assert 0.05 < south.filter(pl.col("split") == "test").height / south.height < 0.3
    with pytest.raises(LayoutError, match="--map: no image has the label 'Covd'"):
        audit(folders, output=tmp_path / "other", label_map={"Covd": None})
    assert not (tmp_path / "other").exists()


def test_an_audit_leaves_a_label_out(two: Path, tmp_path: Path) -> None:
    audited = audit([two / "south"], output=tmp_path / "audit", label_map={"covid": None})
    catalogue = pl.read_parquet(audited.output / "catalogue.parquet")
    assert set(catalogue["label"]) == {"Normal"}
