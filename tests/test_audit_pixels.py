from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pneumoscope.core.errors import StorageError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import PreprocessRecipe
from pneumoscope.core.types import Canvas, FloatArray
from pneumoscope.data.audit import orientation, statistics
from pneumoscope.data.audit.data import AuditData
from pneumoscope.data.audit.pictures import captioned_sheet, contact_sheet, mean_images
from pneumoscope.data.audit.pixel_checks import inverted, lateral, mirrored, rotated
from pneumoscope.data.audit.statistics import image_statistics
from pneumoscope.data.cache import PixelCache, SegmentWriter
from pneumoscope.data.catalogue import SCHEMA
from pneumoscope.data.phantoms import draw_phantom
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.imaging.thumbnail import thumbnail

SIDE = 64


@cache
def chests(count: int = 160) -> NDArray[np.uint8]:
    labels = ("NORMAL", "PNEUMONIA")
    drawn = [draw_phantom(seed=seed, label=labels[seed % 2], size=SIDE) for seed in range(count)]
    return np.stack(drawn)


def cache_of(canvases: NDArray[np.uint8], folder: Path) -> PixelCache:
    pixels = PixelCache(Preprocess(PreprocessRecipe(size=canvases.shape[1])), folder)
    with SegmentWriter.for_cache(pixels) as writer:
        for row, canvas in enumerate(canvases):
            writer.add(f"{row:04d}", canvas)
    return pixels


def measured(
    canvases: NDArray[np.uint8], folder: Path, sizes: dict[str, tuple[int, int]] | None = None
) -> pl.DataFrame:
    ids = [f"{row:04d}" for row in range(len(canvases))]
    pixels = cache_of(canvases, folder)
    return image_statistics(ids, pixels, reporter=Silent(), sizes=sizes)


def data_of(canvases: NDArray[np.uint8], folder: Path) -> AuditData:
    rows = [
        {**dict.fromkeys(SCHEMA), "image_id": f"{row:04d}", "path": f"{row:04d}.png", "label": "A"}
        for row in range(len(canvases))
    ]
    files = pl.DataFrame(schema={"path": pl.String, "bytes": pl.Int64, "format": pl.String})
    return AuditData(pl.DataFrame(rows, schema=SCHEMA), files, measured(canvases, folder))


def planted(change: Callable[[Any], NDArray[Any]], folder: Path) -> AuditData:
    """The first eight of the chests changed."""
    canvases = chests().copy()
    canvases[:8] = change(canvases[:8])
    return data_of(canvases, folder)


def draw_lateral(rng: np.random.Generator, size: int = SIDE) -> Canvas:
    """One lung field in the middle, heart in front, spine behind."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    x = (x + rng.normal(0, 0.05)) * rng.choice([-1, 1])
    y = y + rng.normal(0, 0.05)

    def soft(distance: FloatArray) -> FloatArray:
        return np.asarray(1 / (1 + np.exp(np.clip(-distance * 18, -50, 50))))

    body = 0.55 * soft(0.78 - np.abs(x)) + 0.25 * soft(-0.55 - y + 0.25 * np.abs(x))
    lung = soft(1 - ((x + 0.02) / 0.58) ** 2 - ((y + 0.05) / 0.72) ** 2) * soft(0.42 - y)
    heart = 0.2 * soft(1 - ((x - 0.25) / 0.28) ** 2 - ((y - 0.2) / 0.25) ** 2)
    level = body - 0.38 * lung + heart * lung + 0.22 * soft(0.11 - np.abs(x + 0.6))
    level = level + rng.normal(0, 0.012, level.shape)
    return np.asarray(np.clip(level * 250 + 5, 0, 255), dtype=np.uint8)


FIRST_EIGHT = {f"{row:04d}.png" for row in range(8)}


def test_statistics_agree_with_numpy(tmp_path: Path) -> None:
    canvases = chests()[:70]
    table = measured(canvases, tmp_path).sort("image_id")
    flat = canvases.reshape(len(canvases), -1)
    np.testing.assert_allclose(table["mean"], flat.mean(axis=1))
    np.testing.assert_allclose(table["standard_deviation"], flat.std(axis=1))
    assert table["minimum"].to_list() == flat.min(axis=1).tolist()
    assert table["maximum"].to_list() == flat.max(axis=1).tolist()
    ring = np.ones((SIDE, SIDE), np.bool_)
    ring[3:-3, 3:-3] = False
    np.testing.assert_allclose(table["border_mean"], canvases[:, ring].mean(axis=1))
    np.testing.assert_allclose(table["border_standard_deviation"], canvases[:, ring].std(axis=1))
    np.testing.assert_allclose(table["black_fraction"], (flat <= 5).mean(axis=1))


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    from scipy.ndimage import convolve

    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float64)
    canvas = chests()[0]
    reference = convolve(canvas.astype(np.float64), kernel)[1:-1, 1:-1].var()
    assert statistics.sharpness(canvas[None])[0] == pytest.approx(reference, rel=1e-5)


def test_letterbox_margins_are_left_out(tmp_path: Path) -> None:
    canvas = np.zeros((1, SIDE, SIDE), np.uint8)
    canvas[0, 16:48] = 200
    placed = measured(canvas, tmp_path, {"0000": (200, 100)})
    whole = measured(canvas, tmp_path)
    assert placed["mean"].item() == 200
    assert placed["black_fraction"].item() == 0
    assert whole["mean"].item() == 100


def test_statistics_of_many_batches_and_none(tmp_path: Path) -> None:
    pixels = cache_of(chests()[:130], tmp_path)
    ids = [f"{row:04d}" for row in range(130)]
    assert image_statistics(ids, pixels, reporter=Silent())["image_id"].to_list() == ids
    assert image_statistics([], pixels, reporter=Silent()).schema == pl.Schema(statistics.SCHEMA)
    with pytest.raises(StorageError):
        image_statistics(["absent"], pixels, reporter=Silent())


@pytest.mark.parametrize("size", [16, 30, 33, 224])
def test_every_size_can_be_measured(tmp_path: Path, size: int) -> None:
    canvases = np.random.default_rng(0).integers(0, 256, (2, size, size), dtype=np.uint8)
    assert measured(canvases, tmp_path)["sharpness"].min() > 0  # type: ignore[operator]


def test_corner_text_is_seen() -> None:
    plain = np.stack([draw_phantom(seed=s, label="NORMAL", size=224) for s in range(12)])
    marked = []
    for canvas in plain:
        image = Image.fromarray(canvas)
        pen = ImageDraw.Draw(image)
        pen.text((6, 6), "PORTABLE", fill=255)
        pen.text((6, 20), "SUPINE R", fill=255)
        marked.append(np.asarray(image))
    before, after = (statistics.corner_text(part) for part in (plain, np.stack(marked)))
    assert (after > before + 0.01).all()
    assert after.min() > before.max()


def test_margins_are_cut_from_thumbnails() -> None:
    canvas = chests()[0]
    framed = np.zeros((SIDE + 40, SIDE + 20), np.uint8)
    framed[30 : 30 + SIDE, 12 : 12 + SIDE] = np.maximum(canvas, 20)
    difference = thumbnail(framed).astype(int) - thumbnail(canvas)
    assert np.abs(difference).mean() < 8


def test_clean_chests_raise_nothing(tmp_path: Path) -> None:
    data = data_of(chests(), tmp_path)
    assert not [*inverted(data), *rotated(data), *mirrored(data), *lateral(data)]


def test_inverted_images_are_found(tmp_path: Path) -> None:
    (issue,) = inverted(planted(np.invert, tmp_path))
    assert set(issue.paths) == FIRST_EIGHT
    assert issue.severity == "error"


@pytest.mark.parametrize("name", list(orientation.TURNS))
def test_turned_images_are_found(tmp_path: Path, name: str) -> None:
    (issue,) = rotated(planted(orientation.TURNS[name], tmp_path))
    assert set(issue.paths) >= FIRST_EIGHT
    assert len(issue.paths) <= 9
    assert issue.facts[name] == len(issue.paths)


def test_mirrored_images_are_found_and_said_to_be_weak_evidence(tmp_path: Path) -> None:
    (issue,) = mirrored(planted(lambda images: images[:, :, ::-1], tmp_path))
    assert set(issue.paths) <= FIRST_EIGHT
    assert len(issue.paths) >= 7
    assert "weak" in issue.message


def test_lateral_views_are_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sides = np.stack([draw_lateral(rng) for _ in range(8)])
    (issue,) = lateral(planted(lambda _: sides, tmp_path))
    assert set(issue.paths) <= FIRST_EIGHT
    assert len(issue.paths) >= 7


def test_declared_lateral_views_among_frontal_ones(tmp_path: Path) -> None:
    data = data_of(chests()[:12], tmp_path)
    views = pl.Series("view", ["LATERAL", *["PA"] * 11])
    shown = AuditData(data.catalogue.with_columns(views), data.files, data.statistics)
    assert [issue.paths for issue in lateral(shown)] == [("0000.png",)]


def test_a_data_set_that_is_wholly_inverted_or_turned_is_found(tmp_path: Path) -> None:
    (issue,) = inverted(data_of(255 - chests()[:30], tmp_path / "inverted"))
    assert issue.severity == "error"
    assert len(issue.paths) == 30
    (issue,) = rotated(data_of(chests()[:30, ::-1, ::-1], tmp_path / "turned"))
    assert "180" in issue.title


def test_few_or_shapeless_images_are_not_judged(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, SIDE, SIDE), dtype=np.uint8)
    data = data_of(noise, tmp_path / "noise")
    assert not [*inverted(data), *rotated(data), *mirrored(data)]
    few = chests()[:20].copy()
    few[0] = 255 - few[0]
    assert not inverted(data_of(few, tmp_path / "few"))


def test_contact_sheet_shows_every_canvas_in_its_place() -> None:
    canvases = np.stack([np.full((1, 32, 32), level, np.uint8) for level in (10, 90, 170)])
    sheet = contact_sheet(canvases, columns=2, side=16)
    assert sheet.shape == (34, 34)
    assert (sheet[:16, :16] == 10).all()
    assert (sheet[:16, 18:] == 90).all()
    assert (sheet[18:, :16] == 170).all()
    assert contact_sheet(canvases[:0], columns=2, side=16).shape == (16, 16)


def test_a_captioned_sheet_parts_groups_and_says_what_they_are() -> None:
    canvases = np.stack([np.full((1, 16, 16), level, np.uint8) for level in (60, 70, 80, 90)])
    sheet = captioned_sheet(canvases, ["0.91", "0.99 mirrored, and too long"], columns=4, side=16)
    assert sheet.shape == (16 + 16, 2 * (2 * 16 + 2 + 2 * 8 + 1))
    assert sheet[8].tolist().count(60) == sheet[8].tolist().count(90) == 16
    lines = np.flatnonzero((sheet == sheet[0]).all(axis=0) & (sheet[0] > 0))
    assert lines.tolist() == [8 + 34 + 8], "one line, between the two groups"
    assert sheet[16:, 8:42].max() > 200
    assert sheet[16:, 42:59].max() < 200, "words stay under their group"
    one_below = captioned_sheet(canvases, ["a", "b"], columns=1, side=16)
    assert one_below.shape == (2 * 32 + 8, sheet.shape[1] // 2)


def test_mean_images_are_means_of_their_label(tmp_path: Path) -> None:
    canvases = chests()[:70]
    pixels = cache_of(canvases, tmp_path)
    ids = {"A": ["0000", "0002"], "B": [f"{row:04d}" for row in range(70)], "none": []}
    means = mean_images(ids, pixels)
    assert list(means) == ["A", "B"]
    expected = canvases[[0, 2]].astype(float).mean(axis=0)
    np.testing.assert_allclose(means["A"], expected, atol=0.51)
    np.testing.assert_allclose(means["B"], canvases.astype(float).mean(axis=0), atol=0.51)
