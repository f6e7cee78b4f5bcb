from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from pneumoscope.core.errors import LabelError
from pneumoscope.core.progress import Silent
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import SCHEMA, build_catalogue, fingerprint, require_labels, usable
from pneumoscope.data.layouts import recognise
from pneumoscope.data.phantoms import write_phantoms
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.imaging.radiograph import read_radiograph


def catalogue_of(folder: Path, pixels: PixelCache | None = None) -> pl.DataFrame:
    return build_catalogue(recognise(folder), pixels=pixels, reporter=Silent())


@pytest.fixture
def folder(tmp_path: Path, fresh_cache: Path) -> Path:
    write_phantoms(tmp_path / "data", patients=24, size=32, seed=3)
    return tmp_path / "data"


def test_the_contract(folder: Path) -> None:
    catalogue = catalogue_of(folder)
    assert catalogue.columns == list(SCHEMA)
    assert catalogue["excluded"].null_count() == catalogue.height
    assert catalogue["width"].unique().to_list() == [32]
    assert catalogue["view"].null_count() == catalogue.height, "unknown is null"
    assert (catalogue["image_id"] == catalogue["sha256"].str.slice(0, 16)).all()
    assert catalogue["patient_id"].n_unique() == 24


def test_pixels_are_those_of_the_image_the_id_names(folder: Path) -> None:
    pixels = PixelCache(Preprocess())
    catalogue = catalogue_of(folder, pixels)
    for row in catalogue.sample(5, seed=0).iter_rows(named=True):
        canvas, _ = pixels.preprocess.apply(read_radiograph(folder / row["path"]))
        assert (pixels.pixels([row["image_id"]])[0, 0] == canvas).all()


def test_copies_keep_the_one_in_test_and_contradictions_none(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "src", patients=24, size=32, seed=3)
    images = sorted((tmp_path / "src" / "NORMAL").iterdir())
    for part in ("train", "test"):
        for label in ("NORMAL", "PNEUMONIA"):
            (tmp_path / "data" / part / label).mkdir(parents=True)
    shutil.copy(images[0], tmp_path / "data/train/NORMAL/a.png")
    shutil.copy(images[0], tmp_path / "data/test/NORMAL/b.png")
    shutil.copy(images[1], tmp_path / "data/train/NORMAL/c.png")
    shutil.copy(images[1], tmp_path / "data/train/PNEUMONIA/d.png")
    reasons = dict(catalogue_of(tmp_path / "data").select("path", "excluded").iter_rows())
    assert reasons["test/NORMAL/b.png"] is None
    assert reasons["train/NORMAL/a.png"] == "identical copy of test/NORMAL/b.png"
    assert reasons["train/NORMAL/c.png"] == "identical copies carry different labels"
    assert reasons["train/PNEUMONIA/d.png"] == "identical copies carry different labels"


def test_unreadable_images_are_listed_and_left_out(folder: Path) -> None:
    good = sorted((folder / "NORMAL").iterdir())[0]
    (folder / "NORMAL" / "cut.png").write_bytes(good.read_bytes()[:100])
    (folder / "NORMAL" / "text.jpg").write_text("no image")
    (folder / "NORMAL" / "empty.png").write_bytes(b"")
    left_out = catalogue_of(folder).filter(pl.col("excluded").is_not_null())
    assert left_out.height == 3
    assert left_out["excluded"].str.starts_with("unreadable: ").all()
    assert usable(catalogue_of(folder)).height == catalogue_of(folder).height - 3


def test_a_second_run_opens_no_image_file(folder: Path, fresh_cache: Path) -> None:
    """An audit hook sees every file that Python opens; all decoders here are given bytes."""
    (folder / "NORMAL" / "broken.png").write_bytes(b"broken")
    script = """
import sys
from pathlib import Path
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from pneumoscope.core.progress import Silent
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import build_catalogue
from pneumoscope.data.layouts import recognise
from pneumoscope.imaging.preprocess import Preprocess
folder = Path(sys.argv[1])
build_catalogue(recognise(folder), pixels=PixelCache(Preprocess()), reporter=Silent())
print(sum(name.startswith(str(folder)) for name in opened))
"""
    counts = [
        int(subprocess.run(
            [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True
        ).stdout)
        for _ in range(2)
    ]  # fmt: skip
    assert counts[0] >= 30
    assert counts[1] == 0


def test_a_changed_file_is_read_again(folder: Path) -> None:
    image = sorted((folder / "NORMAL").iterdir())[0]
    before = catalogue_of(folder)
    other = sorted((folder / "PNEUMONIA").iterdir())[0]
    shutil.copy(other, image)
    os.utime(image, ns=(1, 1))
    assert catalogue_of(folder)["excluded"].null_count() < before.height


def test_the_fingerprint_is_of_images_and_labels_not_of_order_or_names(folder: Path) -> None:
    catalogue = catalogue_of(folder)
    assert fingerprint(catalogue) == fingerprint(catalogue.sample(fraction=1, shuffle=True, seed=1))
    other = catalogue.with_columns(pl.lit("NORMAL").alias("label"))
    assert fingerprint(catalogue) != fingerprint(other)


def test_labels_that_cannot_be_learned_are_refused(folder: Path) -> None:
    catalogue = catalogue_of(folder)
    one = catalogue.filter(pl.col("label") == "NORMAL")
    with pytest.raises(LabelError, match="two or more are needed"):
        require_labels(one)
    few = pl.concat([one, catalogue.filter(pl.col("label") == "PNEUMONIA").head(9)])
    with pytest.raises(LabelError, match="label 'PNEUMONIA': 9 usable images; at least 10"):
        require_labels(few)


def test_a_cut_segment_is_ignored_and_filled_again(folder: Path) -> None:
    pixels = PixelCache(Preprocess())
    count = catalogue_of(folder, pixels).height
    segment = next(pixels.folder.glob("*.u8"))
    segment.write_bytes(segment.read_bytes()[:-1])
    again = PixelCache(Preprocess())
    assert len(again) == 0
    catalogue_of(folder, again)
    assert len(again) == count


def test_a_refusal_of_the_system_is_not_remembered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pneumoscope.data import sources

    def denied(path: Path, limits: object) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(sources, "read_file", denied)
        refused = catalogue_of(folder)
    assert refused["excluded"].str.contains("Permission denied").all()
    assert catalogue_of(folder)["excluded"].null_count() == refused.height


def test_a_pipe_is_refused_and_not_awaited(folder: Path) -> None:
    os.mkfifo(folder / "NORMAL" / "pipe.png")
    rows = catalogue_of(folder).filter(pl.col("path") == "NORMAL/pipe.png")
    assert "is not a file" in rows["excluded"].item()


def test_a_damaged_index_is_ignored(folder: Path) -> None:
    pixels = PixelCache(Preprocess())
    count = catalogue_of(folder, pixels).height
    next(pixels.folder.glob("*.parquet")).write_bytes(b"")
    again = PixelCache(Preprocess())
    catalogue_of(folder, again)
    assert len(again) == count


def test_a_name_that_is_no_text_is_listed_and_left_out(folder: Path) -> None:
    image = sorted((folder / "NORMAL").iterdir())[0]
    shutil.copy(image, folder / "NORMAL" / os.fsdecode(b"caf\xe9.png"))
    left_out = catalogue_of(folder).filter(pl.col("excluded").is_not_null())
    assert left_out["path"].to_list() == ["NORMAL/caf\\udce9.png"]
    assert "Rename the file" in left_out["excluded"].item()
