from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.errors import InputError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import PreprocessRecipe
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import build_catalogue
from pneumoscope.data.layouts import recognise
from pneumoscope.data.masks import with_mask_folder, with_masks
from pneumoscope.imaging.preprocess import Preprocess

KEEP = Preprocess(PreprocessRecipe(size=32, lungs="keep"))
LEFT = np.arange(16)[None].repeat(16, axis=0) < 8


def put(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def put_mask(folder: Path, number: int) -> None:
    put(folder / "N" / "masks" / f"N-{number}.png", LEFT.astype(np.uint8) * 255)


def prepared(folder: Path, preprocess: Preprocess = KEEP) -> tuple[pl.DataFrame, PixelCache]:
    listing = recognise(folder)
    pixels = PixelCache(with_masks(preprocess, listing))
    return build_catalogue(listing, pixels=pixels, reporter=Silent()), pixels


def canvas(found: tuple[pl.DataFrame, PixelCache], name: str) -> NDArray[np.uint8]:
    catalogue, pixels = found
    row = catalogue.filter(pl.col("path").str.ends_with(name))
    assert row["excluded"].item() is None
    return np.asarray(pixels.pixels([row["image_id"].item()])[0, 0])


@pytest.fixture
def folder(tmp_path: Path, fresh_cache: Path) -> Path:
    root = tmp_path / "data"
    for number in range(4):
        levels = np.random.default_rng(number).integers(1, 256, (32, 32), dtype=np.uint8)
        put(root / "N" / "images" / f"N-{number}.png", levels)
    put_mask(root, 0)
    put_mask(root, 1)
    put(root / "N" / "masks" / "N-2.png", np.zeros((16, 16), np.uint8))
    return root


def test_masks_of_the_catalogue_reach_the_canvas(folder: Path) -> None:
    found = prepared(folder)
    assert found[0]["mask_path"].null_count() == 1
    kept = canvas(found, "N-0.png")
    assert not kept[:, 16:].any()
    plain = canvas(prepared(folder, Preprocess(PreprocessRecipe(size=32))), "N-0.png")
    np.testing.assert_array_equal(kept[:, :16], plain[:, :16])
    assert plain[:, 16:].all()


def test_masks_of_a_folder_take_the_place_of_the_layouts_own(folder: Path, tmp_path: Path) -> None:
    right = (~LEFT).astype(np.uint8) * 255
    put(tmp_path / "lungs" / "N" / "images" / "N-0.png", right)
    put(tmp_path / "lungs" / "N" / "images" / "N-3.png", right)
    listing = with_mask_folder(recognise(folder), tmp_path / "lungs")
    masked = {entry.path: entry.mask_path for entry in listing.entries if entry.mask_path}
    assert masked == {f"N/images/N-{n}.png": f"../lungs/N/images/N-{n}.png" for n in (0, 3)}, (
        "N-1 has a mask of another maker, and none there"
    )
    pixels = PixelCache(with_masks(KEEP, listing))
    found = build_catalogue(listing, pixels=pixels, reporter=Silent()), pixels
    kept = canvas(found, "N-0.png")
    assert not kept[:, :16].any()
    assert kept[:, 16:].all()
    assert found[0]["excluded"].null_count() == 2
    with pytest.raises(InputError, match=r"data\.masks=.*nowhere: is no folder of masks"):
        with_mask_folder(recognise(folder), tmp_path / "nowhere")


def test_images_without_a_usable_mask_are_excluded_with_the_reason(folder: Path) -> None:
    (folder / "N" / "masks" / "N-1.png").write_bytes(b"no picture at all")
    for _ in range(2):  # the second run knows the files, and says the same
        reasons = dict(prepared(folder)[0].select("path", "excluded").iter_rows())
        assert reasons["N/images/N-0.png"] is None
        assert "no usable lung mask: N/masks/N-1.png: starts with" in reasons["N/images/N-1.png"]
        assert "N/masks/N-2.png: marks no lung" in reasons["N/images/N-2.png"]
        assert reasons["N/images/N-3.png"] == "no lung mask, which preprocess.lungs needs."
    other = prepared(folder, Preprocess(PreprocessRecipe(size=32)))[0]
    assert other["excluded"].null_count() == 4, "the reason is the masks', not the files'"


def test_another_mask_makes_another_canvas(folder: Path) -> None:
    before = canvas(prepared(folder), "N-0.png")
    put(folder / "N" / "masks" / "N-0.png", (~LEFT).astype(np.uint8) * 200)
    after = canvas(prepared(folder), "N-0.png")
    assert not before[:, 16:].any()
    assert not after[:, :16].any()
    assert after[:, 16:].all()


def test_masks_come_from_a_table_too(folder: Path) -> None:
    rows = "".join(f"N/images/N-{i}.png,{'AB'[i % 2]},N/masks/N-0.png\n" for i in range(4))
    shutil.move(folder / "N", folder.parent / "flat" / "N")
    (folder.parent / "flat" / "labels.csv").write_text(f"path,label,mask_path\n{rows}")
    found = prepared(folder.parent / "flat" / "labels.csv")
    assert found[0]["excluded"].null_count() == 4
    assert not canvas(found, "N-3.png")[:, 16:].any()


def test_without_any_mask_there_is_one_line(folder: Path) -> None:
    shutil.rmtree(folder / "N" / "masks")
    with pytest.raises(InputError, match=r"none of the 4 images has one.*mask_path") as caught:
        prepared(folder)
    assert "\n" not in str(caught.value)


def test_a_bundle_that_needs_masks_refuses_files(folder: Path) -> None:
    predictor = Predictor.__new__(Predictor)
    predictor.preprocess = KEEP
    with pytest.raises(InputError, match=r"lungs=keep needs a lung mask.*lungs=off"):
        predictor.predict(folder / "N" / "images" / "N-0.png")
