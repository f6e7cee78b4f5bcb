"""Overlays: colour where the evidence lies, the radiograph everywhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.core.errors import InputError, StorageError
from pneumoscope.core.types import FloatArray, GreyImage
from pneumoscope.imaging.decoded import Radiograph
from pneumoscope.imaging.overlay import colours, overlay, save_png


def radiograph(pixels: GreyImage) -> Radiograph:
    bits = 8 * pixels.dtype.itemsize
    return Radiograph(pixels, bits=bits, photometric="L", format="png")


def ramp() -> NDArray[np.uint8]:
    return np.arange(48 * 32, dtype=np.uint32).reshape(48, 32).astype(np.uint8)


def lightness(colour: NDArray[np.uint8]) -> NDArray[np.float64]:
    """CIE L* of sRGB, 0-100 (IEC 61966-2-1, CIE 15)."""
    value = colour / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    scaled: NDArray[np.float64] = np.where(
        luminance > 216 / 24389, 116 * np.cbrt(luminance) - 16, luminance * 24389 / 27
    )
    return scaled


def test_colours_rise_in_lightness_evenly() -> None:
    table = colours()
    assert table.shape == (256, 3)
    assert table.dtype == np.uint8
    steps = np.diff(lightness(table)[::15])
    assert (steps > 0).all()
    assert steps.max() < 2.5 * steps.min()


@pytest.mark.parametrize("level", [0.0, -3.0])
def test_without_saliency_the_radiograph_is_plain(level: float) -> None:
    picture = overlay(radiograph(ramp()), np.full((48, 32), level))
    assert picture.shape == (48, 32, 3)
    assert picture.dtype == np.uint8
    for channel in range(3):
        np.testing.assert_array_equal(picture[:, :, channel], ramp())


def test_only_salient_places_are_coloured() -> None:
    saliency = np.zeros((48, 32))
    saliency[10:20, 5:15] = 2.0
    picture = overlay(radiograph(ramp()), saliency)
    coloured = (picture != ramp()[:, :, np.newaxis]).any(axis=-1)
    assert not coloured[saliency == 0].any()
    assert coloured[saliency > 0].all()


def test_the_highest_saliency_has_the_given_opacity() -> None:
    saliency = np.zeros((48, 32))
    saliency[4, 4], saliency[5, 5] = 8.0, 4.0
    grey = ramp()
    picture = overlay(radiograph(grey), saliency, opacity=0.6)
    table = colours().astype(np.float64)
    np.testing.assert_allclose(picture[4, 4], 0.4 * grey[4, 4] + 0.6 * table[255], atol=0.51)
    np.testing.assert_allclose(picture[5, 5], 0.7 * grey[5, 5] + 0.3 * table[128], atol=0.51)


def test_the_unit_of_saliency_does_not_matter() -> None:
    saliency = np.random.default_rng(0).random((48, 32))
    plain = overlay(radiograph(ramp()), saliency)
    np.testing.assert_array_equal(overlay(radiograph(ramp()), saliency * 1024), plain)
    np.testing.assert_array_equal(overlay(radiograph(ramp()), saliency / 1024), plain)


def test_opacity_zero_shows_the_radiograph() -> None:
    picture = overlay(radiograph(ramp()), np.ones((48, 32)), opacity=0)
    np.testing.assert_array_equal(picture[:, :, 0], ramp())


def test_deep_radiographs_are_shown_over_their_whole_range() -> None:
    deep = ramp().astype(np.uint16) * 16 + 300
    picture = overlay(radiograph(deep), np.zeros((48, 32)))
    np.testing.assert_array_equal(picture[:, :, 1], ramp())


def test_saliency_is_left_alone() -> None:
    saliency = np.random.default_rng(0).standard_normal((48, 32)).astype(np.float32)
    before = saliency.copy()
    overlay(radiograph(ramp()), saliency)
    np.testing.assert_array_equal(saliency, before)


@pytest.mark.parametrize(
    ("saliency", "opacity", "reason"),
    [
        (np.zeros((7, 7)), 0.5, "Geometry.restore"),
        (np.full((48, 32), np.nan), 0.5, "not finite"),
        (np.full((48, 32), np.inf), 0.5, "not finite"),
        (np.zeros((48, 32)), 1.5, "opacity=1.5"),
        (np.zeros((48, 32)), -0.1, "opacity=-0.1"),
    ],
)
def test_what_cannot_be_laid_over_is_refused(
    saliency: FloatArray, opacity: float, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        overlay(radiograph(ramp()), saliency, opacity=opacity)


def test_saved_pictures_read_back_and_leave_nothing_beside(tmp_path: Path) -> None:
    picture = overlay(radiograph(ramp()), np.random.default_rng(0).random((48, 32)))
    path = tmp_path / "folder" / "overlay.png"
    save_png(picture, path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), picture)
    assert [entry.name for entry in path.parent.iterdir()] == ["overlay.png"]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError):
        save_png(np.zeros((4, 4, 3), np.uint8), tmp_path / "taken" / "overlay.png")
