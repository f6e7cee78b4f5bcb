"""The way to the canvas and back: exact where it can be, the same as Pillow where it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pneumoscope.core.errors import BundleError, InputError
from pneumoscope.core.recipe import PreprocessRecipe
from pneumoscope.core.types import GreyImage
from pneumoscope.imaging.decoded import Radiograph
from pneumoscope.imaging.preprocess import Box, Preprocess, to_uint8

FITS = ("letterbox", "stretch", "center_crop")

fits = st.sampled_from(FITS)
sides = st.integers(8, 3000)
sizes = st.integers(16, 512)


def preprocess(**fields: Any) -> Preprocess:
    return Preprocess(PreprocessRecipe(**fields))


def radiograph(pixels: GreyImage) -> Radiograph:
    bits = 8 * pixels.dtype.itemsize
    return Radiograph(pixels, bits=bits, photometric="L", format="png")


def scene(height: int, width: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    levels: NDArray[np.float64] = 127 + 70 * np.sin(x / 11 + 0.3) + 50 * np.cos(y / 7)
    return np.clip(levels, 0, 255).astype(np.uint8)


def blob(height: int, width: int, *, y: float, x: float, spread: float) -> NDArray[np.float64]:
    rows, columns = np.arange(height)[:, None], np.arange(width)
    squared = (rows - y) ** 2 + (columns - x) ** 2
    bright: NDArray[np.float64] = np.exp(-squared / (2 * spread**2))
    return bright


# Points


@given(fits, sides, sides, sizes, st.lists(st.floats(-10, 3010), min_size=2, max_size=8))
def test_back_from_the_canvas_is_where_it_started(
    fit: str, height: int, width: int, size: int, values: list[float]
) -> None:
    points = np.array(values[: len(values) // 2 * 2]).reshape(-1, 2)
    geometry = preprocess(fit=fit, size=size).geometry(height, width)
    np.testing.assert_allclose(geometry.to_source(geometry.to_canvas(points)), points, atol=1e-6)
    np.testing.assert_allclose(geometry.to_canvas(geometry.to_source(points)), points, atol=1e-6)


@given(fits, sides, sides, sizes)
def test_corners_of_what_is_seen_lie_on_the_corners_of_the_placement(
    fit: str, height: int, width: int, size: int
) -> None:
    geometry = preprocess(fit=fit, size=size).geometry(height, width)

    def corners(box: Box) -> NDArray[np.float64]:
        # Pixel centres are whole numbers, so edges are halves.
        top, left = box.top - 0.5, box.left - 0.5
        return np.array([[top, left], [top + box.height, left + box.width]])

    on_canvas = geometry.to_canvas(corners(geometry.crop))
    np.testing.assert_allclose(on_canvas, corners(geometry.placement), atol=1e-9)


@given(fits, sides, sides, sizes)
def test_boxes_lie_inside(fit: str, height: int, width: int, size: int) -> None:
    geometry = preprocess(fit=fit, size=size).geometry(height, width)
    for box, bottom, right in (
        (geometry.crop, height, width),
        (geometry.placement, size, size),
    ):
        assert min(box.top, box.left) >= 0
        assert min(box.height, box.width) >= 1
        assert box.top + box.height <= bottom
        assert box.left + box.width <= right


@given(sides, sides, sizes)
def test_letterbox_keeps_aspect_and_centre(height: int, width: int, size: int) -> None:
    geometry = preprocess(fit="letterbox", size=size).geometry(height, width)
    placement = geometry.placement
    assert geometry.crop == (0, 0, height, width)
    assert max(placement.height, placement.width) == size
    scale = size / max(height, width)
    assert abs(placement.height - max(1, height * scale)) <= 0.5
    assert abs(placement.width - max(1, width * scale)) <= 0.5
    centre = geometry.to_canvas(np.array([[(height - 1) / 2, (width - 1) / 2]]))
    np.testing.assert_allclose(centre, (size - 1) / 2, atol=0.5 + 1e-9)


@given(sides, sides, sizes)
def test_center_crop_fills_the_canvas_with_the_middle_square(
    height: int, width: int, size: int
) -> None:
    geometry = preprocess(fit="center_crop", size=size).geometry(height, width)
    assert geometry.placement == (0, 0, size, size)
    assert geometry.crop.height == geometry.crop.width == min(height, width)
    centre = geometry.to_source(np.full((1, 2), (size - 1) / 2))
    np.testing.assert_allclose(centre[0], [(height - 1) / 2, (width - 1) / 2], atol=0.5 + 1e-9)


def test_stretch_takes_all_to_all() -> None:
    geometry = preprocess(fit="stretch", size=64).geometry(30, 500)
    assert geometry.crop == (0, 0, 30, 500)
    assert geometry.placement == (0, 0, 64, 64)


def test_extreme_aspects_keep_one_pixel() -> None:
    canvas, geometry = preprocess(size=16, pad_value=9).apply(
        radiograph(np.full((3000, 8), 200, dtype=np.uint8))
    )
    assert geometry.placement == (0, 7, 16, 1)
    assert (canvas[:, 7] == 200).all()
    assert (np.delete(canvas, 7, axis=1) == 9).all()


@pytest.mark.parametrize(("height", "width"), [(0, 5), (5, 0), (-1, 5)])
def test_a_source_without_pixels_has_no_geometry(height: int, width: int) -> None:
    with pytest.raises(InputError, match="1 or more"):
        preprocess().geometry(height, width)


# Canvas


@pytest.mark.parametrize("fit", FITS)
def test_what_has_the_size_already_is_untouched(fit: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224), dtype=np.uint8)
    canvas, _ = preprocess(fit=fit).apply(radiograph(pixels))
    np.testing.assert_array_equal(canvas, pixels)
    assert canvas.dtype == np.uint8
    canvas[:] = 0
    assert pixels.any()


def test_letterbox_without_scaling_only_pads() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 40), dtype=np.uint8)
    canvas, geometry = preprocess(size=64, pad_value=3).apply(radiograph(pixels))
    assert geometry.placement == (0, 12, 64, 40)
    np.testing.assert_array_equal(canvas[:, 12:52], pixels)
    assert (canvas[:, :12] == 3).all()
    assert (canvas[:, 52:] == 3).all()


def test_center_crop_without_scaling_only_cuts() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 100), dtype=np.uint8)
    canvas, _ = preprocess(size=64, fit="center_crop").apply(radiograph(pixels))
    np.testing.assert_array_equal(canvas, pixels[:, 18:82])


@pytest.mark.parametrize(("height", "width"), [(300, 400), (400, 300), (30, 40), (500, 500)])
@pytest.mark.parametrize("pad_value", [0, 128])
def test_letterbox_is_pillow_pad(height: int, width: int, pad_value: int) -> None:
    pixels = scene(height, width)
    canvas, _ = preprocess(size=96, pad_value=pad_value).apply(radiograph(pixels))
    expected = ImageOps.pad(
        Image.fromarray(pixels), (96, 96), method=Image.Resampling.BILINEAR, color=pad_value
    )
    np.testing.assert_array_equal(canvas, np.asarray(expected))


@pytest.mark.parametrize(("height", "width"), [(300, 401), (30, 40)])
def test_stretch_is_pillow_resize(height: int, width: int) -> None:
    pixels = scene(height, width)
    canvas, _ = preprocess(size=96, fit="stretch").apply(radiograph(pixels))
    expected = Image.fromarray(pixels).resize((96, 96), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(canvas, np.asarray(expected))


def test_center_crop_is_pillow_fit() -> None:
    pixels = scene(300, 420)
    canvas, _ = preprocess(size=96, fit="center_crop").apply(radiograph(pixels))
    expected = ImageOps.fit(Image.fromarray(pixels), (96, 96), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(canvas, np.asarray(expected))


def test_shrinking_does_not_alias() -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (512, 256))
    canvas, _ = preprocess(size=64).apply(radiograph(stripes))
    assert np.abs(canvas[:, 2:-2].astype(np.int64) - 127).max() <= 2


@pytest.mark.parametrize("fit", FITS)
def test_a_point_of_the_source_is_drawn_where_the_geometry_says(fit: str) -> None:
    pixels = np.rint(255 * blob(350, 470, y=150.0, x=260.0, spread=9)).astype(np.uint8)
    canvas, geometry = preprocess(size=128, fit=fit).apply(radiograph(pixels))
    weights = canvas.astype(np.float64)
    rows, columns = np.mgrid[:128, :128]
    seen = np.array([(rows * weights).sum(), (columns * weights).sum()]) / weights.sum()
    said = geometry.to_canvas(np.array([[150.0, 260.0]]))[0]
    np.testing.assert_allclose(seen, said, atol=0.1)


# Depth


def test_deep_levels_run_from_their_own_minimum_to_their_maximum() -> None:
    levels = np.linspace(1000, 5000, 64 * 64).reshape(64, 64).astype(np.uint16)
    canvas, _ = preprocess(size=64).apply(radiograph(levels))
    expected = np.rint((levels.astype(np.float64) - 1000) * 255 / 4000)
    np.testing.assert_array_equal(canvas, expected)
    np.testing.assert_array_equal(canvas, to_uint8(radiograph(levels)))
    assert (canvas.min(), canvas.max()) == (0, 255)


def test_deep_levels_are_rounded_once_after_scaling() -> None:
    # Rounding to 8 bits before shrinking as well would be off by up to one level.
    ramp = np.linspace(0, 65535, 2048).astype(np.uint16)[None].repeat(2048, axis=0)
    canvas, _ = preprocess(size=256, fit="stretch").apply(radiograph(ramp))
    exact = np.asarray(
        Image.fromarray(ramp.astype(np.float32) * (255 / float(ramp.max()))).resize(
            (256, 256), Image.Resampling.BILINEAR
        )
    )
    assert np.abs(canvas - exact).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("level", [0, 700, 65535])
def test_a_deep_radiograph_of_one_level_is_black(level: int) -> None:
    source = radiograph(np.full((50, 40), level, dtype=np.uint16))
    canvas, _ = preprocess(size=32).apply(source)
    assert not canvas.any()
    assert not to_uint8(source).any()
    assert to_uint8(source).dtype == np.uint8


def test_eight_bit_levels_are_not_stretched() -> None:
    pixels = np.full((64, 64), 90, dtype=np.uint8)
    pixels[0, 0] = 110
    canvas, _ = preprocess(size=64).apply(radiograph(pixels))
    np.testing.assert_array_equal(canvas, pixels)
    np.testing.assert_array_equal(to_uint8(radiograph(pixels)), pixels)


def test_the_radiograph_is_left_alone() -> None:
    levels = scene(90, 70).astype(np.uint16) * 17
    before = levels.copy()
    preprocess(size=32).apply(radiograph(levels))
    np.testing.assert_array_equal(levels, before)


# Maps back


@given(fits, st.integers(8, 600), st.integers(8, 600), sizes, st.integers(1, 30))
def test_a_constant_map_is_constant_where_seen_and_zero_elsewhere(
    fit: str, height: int, width: int, size: int, side: int
) -> None:
    geometry = preprocess(fit=fit, size=size).geometry(height, width)
    restored = geometry.restore(np.full((side, side), 0.7))
    assert restored.shape == (height, width)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored[geometry.crop.slices], 0.7, rtol=1e-5)
    outside = np.ones((height, width), dtype=bool)
    outside[geometry.crop.slices] = False
    assert not restored[outside].any()


@given(fits, st.floats(0.25, 0.75), st.floats(0.25, 0.75), st.sampled_from([(310, 420), (97, 80)]))
def test_a_bright_spot_comes_back_to_its_place(
    fit: str, down: float, across: float, shape: tuple[int, int]
) -> None:
    height, width = shape
    side = min(shape)
    y = (height - side) / 2 + side * (0.1 + 0.8 * down)
    x = (width - side) / 2 + side * (0.1 + 0.8 * across)
    pixels = np.rint(255 * blob(height, width, y=y, x=x, spread=side / 20)).astype(np.uint8)
    canvas, geometry = preprocess(size=112, fit=fit).apply(radiograph(pixels))
    restored = geometry.restore(canvas.astype(np.float32))
    np.testing.assert_allclose(centre_of(restored), [y, x], atol=0.02 * side)


def centre_of(map_: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    weights = np.where(map_ > map_.max() / 2, map_, 0).astype(np.float64)
    rows, columns = np.mgrid[: map_.shape[0], : map_.shape[1]]
    moments: NDArray[np.float64] = np.array([(rows * weights).sum(), (columns * weights).sum()])
    moments /= weights.sum()
    return moments


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("height", "width"), [(600, 800), (800, 600)])
def test_a_coarse_map_lies_where_its_cells_lie(fit: str, height: int, width: int) -> None:
    geometry = preprocess(size=224, fit=fit).geometry(height, width)
    coarse = np.zeros((7, 7), dtype=np.float32)
    coarse[4, 2] = 1
    restored = geometry.restore(coarse)
    # Cell i covers canvas pixels 32 i to 32 i + 31, so its centre is at 32 i + 15.5.
    expected = geometry.to_source(np.array([[4 * 32 + 15.5, 2 * 32 + 15.5]]))[0]
    np.testing.assert_allclose(centre_of(restored), expected, atol=1.0)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("height", "width"), [(600, 800), (800, 600)])
def test_restoring_is_bilinear_in_between(fit: str, height: int, width: int) -> None:
    geometry = preprocess(size=64, fit=fit).geometry(height, width)
    rows, columns = np.mgrid[:64, :64]
    plane = 0.5 + 0.01 * rows - 0.004 * columns
    restored = geometry.restore(plane)
    points = np.array([[300.0, 350.0], [200.0, 220.0], [440.0, 470.0]])
    on_canvas = geometry.to_canvas(points)
    expected = 0.5 + 0.01 * on_canvas[:, 0] - 0.004 * on_canvas[:, 1]
    found = restored[points[:, 0].astype(int), points[:, 1].astype(int)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


# What a bundle keeps


@given(fits, sizes, st.integers(0, 255))
def test_what_is_written_reads_back(fit: str, size: int, pad_value: int) -> None:
    original = preprocess(fit=fit, size=size, pad_value=pad_value)
    assert original.to_dict() == {"version": 1, "size": size, "fit": fit, "pad_value": pad_value}
    assert Preprocess.from_dict(original.to_dict()) == original


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"colour": "red"}, "colour"),
        ({"size": None}, "expected"),
        ({"version": 2}, "version 2"),
        ({"size": 4}, "size=4"),
        ({"size": "224"}, "size='224'"),
        ({"fit": "squash"}, "fit='squash'"),
        ({"pad_value": 256}, "pad_value=256"),
    ],
)
def test_what_is_not_understood_is_refused(change: dict[str, Any], reason: str) -> None:
    content = {**preprocess().to_dict(), **change}
    content = {name: value for name, value in content.items() if value is not None}
    with pytest.raises(BundleError, match=reason):
        Preprocess.from_dict(content)


def test_the_fingerprint_tells_canvases_apart_and_stays() -> None:
    variants = [
        preprocess(),
        preprocess(size=256),
        preprocess(fit="stretch"),
        preprocess(pad_value=1),
    ]
    assert len({variant.fingerprint for variant in variants}) == 4
    assert preprocess().fingerprint == preprocess(size=224).fingerprint == "49c824d6e0f1"
