"""The way to the canvas and back: exact where it can be, the same as Pillow where it cannot."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pneumoscope.core.errors import BundleError, InputError, RadiographError
from pneumoscope.core.recipe import PreprocessRecipe
from pneumoscope.core.types import GreyImage
from pneumoscope.imaging.borders import inside_borders
from pneumoscope.imaging.contrast import clahe
from pneumoscope.imaging.decoded import Radiograph
from pneumoscope.imaging.lungs import lung_mask
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


recipes = st.builds(
    PreprocessRecipe,
    size=sizes,
    fit=fits,
    pad_value=st.integers(0, 255),
    crop_borders=st.booleans(),
    levels=st.sampled_from(["range", "full", "percentile"]),
    clahe=st.floats(0, 40) | st.integers(0, 40),
    lungs=st.sampled_from(["off", "keep", "remove", "crop"]),
)


@given(recipes)
def test_what_is_written_reads_back(recipe: PreprocessRecipe) -> None:
    original = Preprocess(recipe)
    assert original.to_dict() == {"version": 2, **recipe.model_dump()}
    assert Preprocess.from_dict(json.loads(json.dumps(original.to_dict()))) == original


def test_masks_are_part_of_the_key_and_not_of_the_bundle() -> None:
    plain = preprocess(lungs="keep")
    masked = replace(plain, mask_set="these")
    assert masked.fingerprint != plain.fingerprint
    assert masked.to_dict() == plain.to_dict()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"colour": "red"}, "colour"),
        ({"size": None}, "expected"),
        ({"version": 1}, "version 1"),
        ({"size": 4}, "size=4"),
        ({"size": "224"}, "size='224'"),
        ({"fit": "squash"}, "fit='squash'"),
        ({"pad_value": 256}, "pad_value=256"),
        ({"crop_borders": 1}, "crop_borders=1"),
        ({"levels": "window"}, "levels='window'"),
        ({"clahe": -1.0}, "clahe=-1.0"),
        ({"lungs": True}, "lungs=True"),
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
        preprocess(crop_borders=True),
        preprocess(levels="full"),
        preprocess(clahe=2.0),
        preprocess(lungs="keep"),
    ]
    assert len({variant.fingerprint for variant in variants}) == len(variants)
    assert preprocess().fingerprint == preprocess(size=224).fingerprint == "289cb1c97635"


@pytest.mark.parametrize(
    ("fit", "digest"),
    [
        ("letterbox", "c873c0509f66b9d4"),
        ("stretch", "5c8d3cf0c4921c8b"),
        ("center_crop", "003488fc3afc15e2"),
    ],
)
def test_canvases_without_options_are_those_of_version_1(fit: str, digest: str) -> None:
    found = hashlib.sha256()
    for height, width in ((300, 401), (64, 40), (500, 333), (224, 224)):
        shallow = scene(height, width)
        for pixels in (shallow, shallow.astype(np.uint16) * 201 + 7):
            found.update(preprocess(fit=fit).apply(radiograph(pixels))[0].tobytes())
    assert found.hexdigest()[:16] == digest


# Borders


def framed(
    picture: NDArray[np.uint8], top: int, bottom: int, left: int, right: int, *, level: int
) -> NDArray[np.uint8]:
    return np.pad(picture, ((top, bottom), (left, right)), constant_values=level)


frames = st.tuples(*[st.integers(0, 12)] * 4)


@given(frames, frames, st.integers(0, 255), st.integers(0, 255), st.integers(0, 1000))
def test_frames_are_left_out_also_one_in_another(
    inner: tuple[int, ...], outer: tuple[int, ...], first: int, second: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    picture = generator.integers(0, 256, (60, 70), dtype=np.uint8)
    picture[[0, -1]] = generator.permuted(np.linspace(0, 255, 70).astype(np.uint8))
    picture[:, [0, -1]] = generator.permuted(np.linspace(0, 255, 60).astype(np.uint8))[:, None]
    page = framed(framed(picture, *inner, level=first), *outer, level=second)
    noise = generator.integers(-4, 5, page.shape)  # as JPEG leaves it
    top, left = inner[0] + outer[0], inner[2] + outer[2]
    noise[top : top + 60, left : left + 70] = 0
    noisy = np.clip(page.astype(np.int64) + noise, 0, 255).astype(np.uint8)
    assert inside_borders(noisy) == (top, left, 60, 70)


@given(st.integers(8, 90), st.integers(8, 90), st.data())
def test_at_least_half_of_a_side_stays_around_what_is_there(
    height: int, width: int, data: st.DataObject
) -> None:
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    pixels = np.zeros((height, width), np.uint8)
    pixels[y, x] = 200
    box = inside_borders(pixels)
    assert (box.height, box.width) == (-(-height // 2), -(-width // 2))
    assert box.is_inside(height, width)
    assert pixels[box.slices].any()


BLANK = np.full((40, 50), 7, np.uint8)
RAMP = np.repeat(np.linspace(0, 250, 40).astype(np.uint8)[:, None], 50, axis=1)


@pytest.mark.parametrize(
    "source",
    [BLANK, RAMP, BLANK + scene(40, 50) // 40, BLANK.astype(np.uint16), RAMP.astype(np.uint16)],
    ids=["blank", "ramp", "noise", "deep blank", "deep ramp"],
)
def test_a_picture_without_borders_to_find_stays_whole(source: GreyImage) -> None:
    canvas, geometry = preprocess(crop_borders=True, size=64).apply(radiograph(source))
    assert geometry.crop == (0, 0, 40, 50)
    np.testing.assert_array_equal(canvas, preprocess(size=64).apply(radiograph(source))[0])


def test_nothing_of_a_border_reaches_the_canvas() -> None:
    picture = scene(150, 180)
    page = framed(picture, 30, 20, 10, 40, level=255)
    for fit in FITS:
        way = preprocess(crop_borders=True, fit=fit, size=96)
        canvas, geometry = way.apply(radiograph(page))
        np.testing.assert_array_equal(canvas, way.apply(radiograph(picture))[0])
        assert geometry.crop.top >= 30
        assert geometry.crop.left >= 10


@pytest.mark.parametrize("seen", [(0, 0, 0, 5), (-1, 0, 5, 5), (0, 3, 10, 18)])
def test_a_part_outside_the_source_is_refused(seen: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match="not inside"):
        preprocess().geometry(10, 20, seen=Box(*seen))


# Grey levels


def test_full_levels_run_over_all_that_the_bits_can_hold() -> None:
    levels = np.linspace(1000, 3000, 64 * 64).reshape(64, 64).astype(np.uint16)
    twelve = Radiograph(levels, bits=12, photometric="L", format="png")
    canvas, _ = preprocess(size=64, levels="full").apply(twelve)
    np.testing.assert_array_equal(canvas, np.rint(levels * (255 / 4095)))
    # Decoding a DICOM has spread its 12 bits over 16 already.
    dicom = Radiograph(levels, bits=12, photometric="MONOCHROME2", format="dicom")
    canvas, _ = preprocess(size=64, levels="full").apply(dicom)
    np.testing.assert_array_equal(canvas, np.rint(levels * (255 / 65535)))


@pytest.mark.parametrize("levels", ["range", "full"])
def test_only_percentiles_change_eight_bits(levels: str) -> None:
    pixels = scene(64, 64) // 2
    canvas, _ = preprocess(size=64, levels=levels).apply(radiograph(pixels))
    np.testing.assert_array_equal(canvas, pixels)


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_percentiles_are_numpys_nearest_ranks(seed: int, deep: bool) -> None:
    generator = np.random.default_rng(seed)
    levels = generator.random((32, 32)) ** 3 * 250
    pixels = (levels * 200).astype(np.uint16) if deep else levels.astype(np.uint8)
    canvas, _ = preprocess(size=32, levels="percentile").apply(radiograph(pixels))
    low, top = np.percentile(pixels, [0.5, 99.5], method="inverted_cdf").astype(np.float64)
    expected = np.clip((pixels - low) * 255 / (top - low), 0, 255)
    assert np.abs(canvas - expected).max() <= 0.5 + 1e-4


def test_percentiles_are_of_what_is_left_without_borders() -> None:
    picture = scene(64, 64) // 2 + 60
    way = preprocess(size=64, levels="percentile", crop_borders=True)
    canvas, _ = way.apply(radiograph(framed(picture, 10, 10, 10, 10, level=0)))
    np.testing.assert_array_equal(canvas, way.apply(radiograph(picture))[0])
    assert canvas.max() == 255


@pytest.mark.parametrize(("bright", "expected"), [(1, 255), (0, 0)])
def test_where_percentiles_fall_together_extremes_stand(bright: int, expected: int) -> None:
    pixels = np.full((64, 64), 50, np.uint8)
    pixels.ravel()[:bright] = 90
    canvas, _ = preprocess(size=64, levels="percentile").apply(radiograph(pixels))
    assert canvas.max() == expected


# Contrast-limited adaptive histogram equalisation


def slow_clahe(image: NDArray[np.uint8], limit: float, tiles: int = 8) -> NDArray[np.float64]:
    """Zuiderveld 1994, one pixel after the other; sides are multiples of the tiles."""
    rows, columns = image.shape[0] // tiles, image.shape[1] // tiles
    area = rows * columns
    most = max(int(limit * area / 256), 1)
    maps = np.zeros((tiles, tiles, 256))
    for i in range(tiles):
        for j in range(tiles):
            tile = image[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
            counts = [int((tile == level).sum()) for level in range(256)]
            excess = sum(max(count - most, 0) for count in counts)
            counts = [min(count, most) + excess // 256 for count in counts]
            left = excess % 256
            for step in range(left):
                counts[step * max(256 // left, 1)] += 1
            maps[i, j] = np.rint(np.minimum(np.cumsum(counts) * 255 / area, 255))
    result = np.zeros(image.shape)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            down, across = (y / rows) - 0.5, (x / columns) - 0.5
            i, j = int(np.floor(down)), int(np.floor(across))
            a, b = down - i, across - j
            for row, share in ((i, 1 - a), (i + 1, a)):
                for column, part in ((j, 1 - b), (j + 1, b)):
                    near = min(max(row, 0), tiles - 1), min(max(column, 0), tiles - 1)
                    result[y, x] += share * part * maps[(*near, image[y, x])]
    return result


@pytest.mark.parametrize("limit", [0.5, 2.0, 4.5, 40.0])
def test_clahe_is_the_straightforward_one(limit: float) -> None:
    noise = np.random.default_rng(1).normal(0, 9, (64, 48))
    image = np.clip(scene(64, 48) / 3 + noise + 60, 0, 255).astype(np.uint8)
    expected = slow_clahe(image, limit)
    assert np.abs(clahe(image, clip_limit=limit) - expected).max() <= 0.5 + 1e-3


def test_clahe_is_that_of_opencv() -> None:
    # SHA-256 of cv2.createCLAHE(limit, (8, 8)).apply(image), OpenCV 5.0, also where tiles do not
    # divide a side.
    digests = {
        (224, 224, 2.0): "91455103d1f0b8e5",
        (224, 173, 3.5): "ab5c97233823d3af",
        (99, 131, 1.0): "c8344866dc88204c",
    }
    for (height, width, limit), digest in digests.items():
        equalised = clahe(scene(height, width) // 3 + 50, clip_limit=limit)
        assert hashlib.sha256(equalised.tobytes()).hexdigest()[:16] == digest, (height, width)


def test_a_higher_limit_gives_more_contrast() -> None:
    image = scene(224, 224) // 8 + 100
    spread = [float(clahe(image, clip_limit=limit).std()) for limit in (1, 2, 4, 8)]
    assert image.std() < spread[0] < spread[1] < spread[2] < spread[3]


@given(st.integers(1, 70), st.integers(1, 70), st.floats(0.01, 40))
def test_clahe_takes_every_shape_and_keeps_the_order_of_levels_in_a_tile(
    height: int, width: int, limit: float
) -> None:
    image = scene(height, width)
    equalised = clahe(image, clip_limit=limit, tiles=(1, 1))
    assert clahe(image, clip_limit=limit).shape == equalised.shape == image.shape
    order = np.argsort(image, axis=None)
    assert (np.diff(equalised.ravel()[order].astype(np.int64)) >= 0).all()


def test_clahe_sees_the_placed_part_alone() -> None:
    picture = scene(64, 40)
    canvas, geometry = preprocess(size=64, clahe=2.0, pad_value=9).apply(radiograph(picture))
    placed = canvas[geometry.placement.slices]
    np.testing.assert_array_equal(placed, clahe(picture, clip_limit=2.0))
    assert (canvas[:, :12] == 9).all()


# Lungs


def two_lungs(height: int, width: int) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), dtype=bool)
    mask[height // 4 : 3 * height // 4, width // 8 : 3 * width // 8] = True
    mask[height // 4 : 3 * height // 4, 5 * width // 8 : 7 * width // 8] = True
    return mask


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("equalised", [0.0, 3.0])
def test_keep_and_remove_hide_all_that_is_to_be_hidden(scale: int, equalised: float) -> None:
    pixels, mask = scene(64, 64) // 2 + 60, two_lungs(64 // scale, 64 // scale)
    lungs = mask.repeat(scale, axis=0).repeat(scale, axis=1)
    for use, hidden in (("keep", ~lungs), ("remove", lungs)):
        way = preprocess(size=64, lungs=use, pad_value=3, clahe=equalised)
        canvas, _ = way.apply(radiograph(pixels), mask)
        assert (canvas[hidden] == 3).all()
        if not equalised:
            np.testing.assert_array_equal(canvas[~hidden], pixels[~hidden])
        other = np.where(hidden, 255 - pixels, pixels)
        np.testing.assert_array_equal(way.apply(radiograph(other), mask)[0], canvas)


def test_a_mask_lies_where_its_radiograph_does() -> None:
    pixels = np.full((300, 500), 200, np.uint8)
    mask = np.zeros((30, 25), dtype=bool)
    mask[15:24, 5:10] = True  # rows 150 to 239, columns 100 to 199
    for fit in FITS:
        canvas, geometry = preprocess(size=200, fit=fit, lungs="keep").apply(
            radiograph(pixels), mask
        )
        corners = geometry.to_canvas(np.array([[149.5, 99.5], [239.5, 199.5]])) + 0.5
        (top, left), (bottom, right) = np.rint(np.clip(corners, 0, 200)).astype(int)
        expected = np.zeros_like(canvas)
        expected[top:bottom, left:right] = 200
        np.testing.assert_array_equal(canvas, expected)


def test_a_pixel_of_the_canvas_takes_the_mask_at_its_centre() -> None:
    mask = np.random.default_rng(0).random((96, 96)) < 0.5
    white = radiograph(np.full((96, 96), 255, np.uint8))
    canvas, _ = preprocess(size=32, lungs="keep").apply(white, mask)
    np.testing.assert_array_equal(canvas > 0, mask[1::3, 1::3])


@given(st.integers(20, 300), st.integers(20, 300), st.integers(8, 90), st.integers(8, 90))
def test_crop_is_the_lungs_box_and_a_twentieth_more(
    height: int, width: int, rows: int, columns: int
) -> None:
    mask = two_lungs(rows, columns)
    _, geometry = preprocess(size=64, lungs="crop").apply(radiograph(scene(height, width)), mask)
    crop = geometry.crop
    for first, length, side, held, lines in (
        (crop.top, crop.height, height, np.flatnonzero(mask.any(axis=1)), rows),
        (crop.left, crop.width, width, np.flatnonzero(mask.any(axis=0)), columns),
    ):
        start, stop = held[0] * side / lines, (held[-1] + 1) * side / lines
        margin = 0.05 * (stop - start)
        assert first == pytest.approx(max(start - margin, 0), abs=1.001)
        assert first + length == pytest.approx(min(stop + margin, side), abs=1.001)


def test_without_lungs_to_use_there_is_one_line() -> None:
    pixels = radiograph(scene(64, 64))
    for use in ("keep", "remove", "crop"):
        with pytest.raises(
            InputError, match=rf"preprocess.lungs={use} needs a lung mask.*mask_path"
        ):
            preprocess(lungs=use).apply(pixels)
        with pytest.raises(RadiographError, match="marks no lung"):
            preprocess(lungs=use).apply(pixels, np.zeros((9, 9), dtype=bool))
        with pytest.raises(InputError, match="bool"):
            preprocess(lungs=use).apply(pixels, np.ones((9, 9)))  # type: ignore[arg-type]


@pytest.mark.parametrize("levels", [(0, 255, 255), (0, 1, 1), (0, 1, 2), (0, 100, 200)])
def test_every_region_of_a_map_is_lung(levels: tuple[int, int, int]) -> None:
    regions = np.random.default_rng(0).integers(0, 3, (20, 20))
    picture = np.array(levels, np.uint8)[regions]
    np.testing.assert_array_equal(lung_mask(radiograph(picture)), regions > 0)


def test_smooth_and_noisy_masks_are_cut_at_half() -> None:
    smooth = blob(60, 60, y=30, x=30, spread=10)
    mask = lung_mask(radiograph(np.rint(255 * smooth).astype(np.uint8)))
    np.testing.assert_array_equal(mask[30], smooth[30] > 0.5)


# Every option


@given(recipes, st.integers(8, 200), st.integers(8, 200), frames, st.integers(0, 255))
def test_every_option_has_an_exact_inverse(
    recipe: PreprocessRecipe, height: int, width: int, frame: tuple[int, ...], level: int
) -> None:
    page = framed(scene(height, width), *frame, level=level)
    way = Preprocess(recipe.model_copy(update={"size": min(recipe.size, 128)}))
    canvas, geometry = way.apply(radiograph(page), two_lungs(32, 32))
    assert canvas.shape == (way.size, way.size)
    assert (geometry.source_height, geometry.source_width) == page.shape
    assert geometry.crop.is_inside(*page.shape)
    assert geometry.placement.is_inside(way.size, way.size)
    points = np.array([[-3.0, 5.0], [0.0, 0.0], [7.25, 190.5]])
    np.testing.assert_allclose(geometry.to_source(geometry.to_canvas(points)), points, atol=1e-6)
    restored = geometry.restore(np.full((7, 7), 0.7))
    np.testing.assert_allclose(restored[geometry.crop.slices], 0.7, rtol=1e-5)
    assert np.count_nonzero(restored) == geometry.crop.height * geometry.crop.width


@pytest.mark.parametrize("fields", [{"crop_borders": True}, {"lungs": "crop"}])
@pytest.mark.parametrize("fit", FITS)
def test_a_point_is_drawn_where_a_cropping_geometry_says(fields: dict[str, Any], fit: str) -> None:
    spot = np.rint(200 * blob(300, 400, y=150.0, x=220.0, spread=9)).astype(np.uint8)
    page = np.zeros((400, 500), np.uint8)
    page[40:340, 60:460] = spot + np.arange(400, dtype=np.uint8) % 2 * 20
    mask = np.zeros((400, 500), dtype=bool)
    mask[60:320, 100:420] = True
    canvas, geometry = preprocess(size=128, fit=fit, **fields).apply(radiograph(page), mask)
    weights = np.where(canvas > 110, canvas, 0).astype(np.float64)
    rows, columns = np.mgrid[:128, :128]
    seen = np.array([(rows * weights).sum(), (columns * weights).sum()]) / weights.sum()
    said = geometry.to_canvas(np.array([[190.0, 280.0]]))[0]
    np.testing.assert_allclose(seen, said, atol=0.35)
    np.testing.assert_allclose(centre_of(geometry.restore(weights)), [190.0, 280.0], atol=1.0)
