from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.v2 import functional as reference

from pneumoscope.core.errors import InputError
from pneumoscope.core.recipe import AugmentRecipe
from pneumoscope.data.augmentation import Draws, apply, cumulative_histograms, draw
from pneumoscope.data.phantoms import LABELS, draw_phantom

OFF = AugmentRecipe(
    rotation=0, zoom=0, aspect=0, shift=0, shear=0, brightness=0, contrast=0, gamma=0
)
IDS = ("a" * 16, "b" * 16, "c" * 16)
LATER = {"histogram": 1.0, "blur": 3.0, "degrade": 1.0, "noise": 20.0, "erase": 0.4}
"""The parts with draws of their own, strong."""
EVERYTHING = AugmentRecipe(shear=5, horizontal_flip=0.5, **LATER)


def pictures(count: int = 3, size: int = 32) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (count, 1, size, size), dtype=np.uint8)
    )


def test_view_zero_and_a_recipe_switched_off_leave_the_picture() -> None:
    images = pictures()
    for recipe, view in ((AugmentRecipe(), 0), (OFF, 3)):
        views = apply(images, draw(recipe, IDS, view=view, seed=0))
        torch.testing.assert_close(views, images.float(), atol=1e-3, rtol=0)


def test_a_draw_depends_on_seed_image_and_view_never_on_the_batch() -> None:
    recipe = AugmentRecipe()
    together = apply(pictures(), draw(recipe, IDS, view=1, seed=0))
    alone = apply(pictures()[2:], draw(recipe, IDS[2:], view=1, seed=0))
    torch.testing.assert_close(together[2:], alone)
    for view, seed in ((2, 0), (1, 1)):
        other = apply(pictures(), draw(recipe, IDS, view=view, seed=seed))
        assert (other - together).abs().mean() > 1


def test_a_quarter_turn_goes_one_way_only() -> None:
    """The matrix leads from output to input: y' = x turns the picture clockwise."""
    matrix = np.array([[[0.0, 1, 0], [-1, 0, 0]]])
    turned = apply(pictures(1), Draws(matrix, *(np.ones(1) for _ in range(3))))
    torch.testing.assert_close(turned[0, 0], pictures(1)[0, 0].rot90(-1).float())


def test_what_comes_in_from_outside_is_the_fill() -> None:
    matrix = np.array([[[1.0, 0, 1], [0, 1, 0]]])  # half a canvas to the left
    moved = apply(pictures(1), Draws(matrix, *(np.ones(1) for _ in range(3))), fill=200)
    torch.testing.assert_close(moved[0, 0, :, :16], pictures(1)[0, 0, :, 16:].float())
    assert (moved[0, 0, :, 17:] == 200).all()


def test_zoom_and_aspect_stay_in_their_ranges() -> None:
    for name, axes in (("zoom", (0, 1)), ("aspect", (0,))):
        recipe = OFF.model_copy(update={name: 0.2})
        drawn = np.concatenate([draw(recipe, IDS, view=v, seed=0).matrices for v in range(1, 80)])
        ratio = drawn[:, 0, 0] if name == "zoom" else drawn[:, 0, 0] / drawn[:, 1, 1]
        assert 1 / 1.2 <= ratio.min() < 0.86, axes
        assert 1.16 < ratio.max() <= 1.2


def test_photometry_is_torchvisions_with_a_factor_per_image() -> None:
    images = pictures(2)
    identity = np.tile(np.eye(2, 3), (2, 1, 1))
    gamma, contrast, brightness = np.array([0.7, 1.4]), np.array([1.2, 0.8]), np.array([0.9, 1.1])
    ours = apply(images, Draws(identity, gamma, contrast, brightness)) / 255
    for i in range(2):
        expected = reference.adjust_gamma(images[i].float() / 255, gamma[i])
        expected = reference.adjust_contrast(expected, contrast[i])
        expected = reference.adjust_brightness(expected, brightness[i])
        torch.testing.assert_close(ours[i], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["rotation", "zoom", "aspect", "shift", "shear"])
def test_each_geometric_part_moves_the_picture_and_stays_in_range(name: str) -> None:
    recipe = OFF.model_copy(update={name: 30.0 if name in ("rotation", "shear") else 0.3})
    views = apply(pictures(), draw(recipe, IDS, view=1, seed=0))
    assert (views - pictures().float()).abs().mean() > 1
    assert views.min() >= 0
    assert views.max() <= 255


def test_shift_is_a_fraction_of_the_canvas() -> None:
    image = torch.zeros(1, 1, 101, 101)
    image[0, 0, 50, 50] = 255
    recipe = OFF.model_copy(update={"shift": 0.2})
    places = []
    for view in range(1, 60):
        found = apply(image, draw(recipe, IDS[:1], view=view, seed=0))[0, 0]
        places.append(np.unravel_index(int(found.argmax()), found.shape))
    offsets = np.abs(np.array(places) - 50)
    assert 15 <= offsets.max() <= 21


def phantoms(count: int, size: int = 64) -> torch.Tensor:
    drawn = [draw_phantom(seed=i, label=LABELS[i % 2], size=size) for i in range(count)]
    return torch.from_numpy(np.stack(drawn))[:, None]


def only(images: torch.Tensor, **parts: np.ndarray) -> torch.Tensor:
    """The images after the parts given and nothing else."""
    plain = draw(OFF, [str(i) for i in range(len(images))], view=0, seed=0)
    histograms = cumulative_histograms(images)
    return apply(images, Draws(**{**vars(plain), **parts}), histograms=histograms)


def test_draws_of_the_first_nine_parts_are_those_of_the_first_version() -> None:
    golden = np.array([
        [1.0626047163435939, 0.06737931060041875, -0.07559805607736192, -0.11454454563815379,
         1.1075428986147149, 0.02312851831577644, 1.2068502308972175, 1.1812635537382292,
         0.859781529584141],
        [0.9572173592084688, 0.08602421795013532, 0.05733352846931431, -0.10302058301762719,
         0.925705523703266, 0.10307926887555155, 0.8567573421883169, 0.8292250717407612,
         1.0049700613290193],
    ])  # fmt: skip
    for later in ({}, LATER):
        drawn = draw(AugmentRecipe(shear=3, **later), IDS[:2], view=2, seed=7)
        photometric = np.stack([drawn.gamma, drawn.contrast, drawn.brightness], axis=1)
        ours = np.hstack([drawn.matrices.reshape(2, 6), photometric])
        np.testing.assert_allclose(ours, golden, rtol=1e-12)


def test_a_later_part_is_drawn_where_it_is_on_whatever_the_others_and_the_batch() -> None:
    assert all(getattr(draw(AugmentRecipe(), IDS, view=1, seed=0), name) is None for name in LATER)
    assert all(getattr(draw(EVERYTHING, IDS, view=0, seed=0), name) is None for name in LATER)
    together = draw(EVERYTHING, IDS, view=1, seed=0)
    for name, reach in LATER.items():
        alone = draw(OFF.model_copy(update={name: reach}), IDS, view=1, seed=0)
        np.testing.assert_array_equal(getattr(alone, name), getattr(together, name))
        fewer = draw(EVERYTHING, IDS[2:], view=1, seed=0)
        np.testing.assert_array_equal(getattr(fewer, name), getattr(together, name)[2:])
        for view, seed in ((2, 0), (1, 1)):
            other = draw(EVERYTHING, IDS, view=view, seed=seed)
            assert (getattr(other, name) != getattr(together, name)).any(), name


def test_each_image_may_have_a_view_of_its_own() -> None:
    images, histograms = phantoms(3), cumulative_histograms(phantoms(5))
    flipping = EVERYTHING.model_copy(update={"horizontal_flip": 1.0})
    mixed = draw(flipping, IDS, view=[2, 0, 1], seed=0)
    for row, view in ((0, 2), (2, 1)):
        alone = draw(flipping, IDS[row : row + 1], view=view, seed=0)
        for name, values in vars(alone).items():
            np.testing.assert_array_equal(getattr(mixed, name)[row : row + 1], values)
    views = apply(images, mixed, histograms=histograms)
    torch.testing.assert_close(views[1], images[1].float(), atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="broadcast"):
        draw(flipping, IDS, view=[1, 2], seed=0)


def test_draws_fill_their_ranges() -> None:
    ids = [str(i) for i in range(400)]
    drawn = draw(EVERYTHING, ids, view=1, seed=0)
    spans = {
        "histogram": ((0, 1), (0, 1)), "blur": ((0, 3),), "degrade": ((10, 100),),
        "noise": ((0, 20), (0, 2**32)),
    }  # fmt: skip
    for name, columns in spans.items():
        table = getattr(drawn, name).reshape(400, -1)
        for values, (low, high) in zip(table.T, columns, strict=True):
            room = 0.03 * (high - low)
            assert low <= values.min() < low + room, name
            assert high - room < values.max() <= high, name
    assert drawn.erase is not None
    top, left, height, width = drawn.erase.T
    assert 0.38 < (height * width).max() <= 0.4 + 1e-9
    assert 1 / 3 - 1e-9 <= (height / width).min() < 0.4
    assert (np.minimum(top, left) >= 0).all()
    assert (np.maximum(top + height, left + width) <= 1 + 1e-9).all()


def test_a_large_rectangle_keeps_its_area_and_stays_on_the_canvas() -> None:
    recipe = OFF.model_copy(update={"erase": 0.95})
    erase = draw(recipe, [str(i) for i in range(400)], view=1, seed=0).erase
    assert erase is not None
    assert (erase[:, 2:] * erase[:, 3:]).max() > 0.5
    assert (erase[:, 2] * erase[:, 3]).max() > 0.9
    assert (erase[:, :2] + erase[:, 2:]).max() <= 1 + 1e-9


def test_a_flip_mirrors_as_often_as_asked() -> None:
    images = pictures()
    mirrored = apply(images, draw(OFF.model_copy(update={"horizontal_flip": 1.0}), IDS, view=1,
                                  seed=0))  # fmt: skip
    torch.testing.assert_close(mirrored, reference.horizontal_flip(images).float(), atol=1e-3,
                               rtol=0)  # fmt: skip
    plain = apply(images, draw(AugmentRecipe(), IDS, view=1, seed=0))
    mirrored = apply(images, draw(AugmentRecipe(horizontal_flip=1), IDS, view=1, seed=0))
    torch.testing.assert_close(mirrored, reference.horizontal_flip(plain), atol=0.05, rtol=0)
    ids = [str(i) for i in range(1000)]
    drawn = draw(AugmentRecipe(horizontal_flip=0.3), ids, view=1, seed=0).matrices
    assert 0.25 < (np.linalg.det(drawn[:, :, :2]) < 0).mean() < 0.35


def test_geometry_is_torchvisions_affine() -> None:
    images = phantoms(3)
    drawn = draw(OFF.model_copy(update={"rotation": 20.0, "zoom": 0.2}), IDS, view=1, seed=0)
    ours = apply(images, drawn)
    for i, matrix in enumerate(drawn.matrices):
        zoom = np.sqrt(np.linalg.det(matrix[:, :2]))
        expected = reference.affine(
            images[i].float(), angle=-np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])),
            translate=[0, 0], scale=float(1 / zoom), shear=[0.0, 0.0],
            interpolation=reference.InterpolationMode.BILINEAR,
        )  # fmt: skip
        torch.testing.assert_close(ours[i], expected, atol=0.1, rtol=0)


def test_blur_is_torchvisions_with_a_deviation_per_image() -> None:
    images, deviations = pictures(3), np.array([0.6, 1.5, 2.5])
    ours = only(images, blur=deviations)
    for i, deviation in enumerate(deviations.tolist()):
        size = 2 * int(np.ceil(4 * deviation)) + 1
        expected = reference.gaussian_blur(images[i].float(), [size, size], [deviation, deviation])
        torch.testing.assert_close(ours[i], expected, atol=1e-2, rtol=0)


def test_blur_of_nothing_changes_nothing_and_wide_blur_fits_a_small_canvas() -> None:
    images = pictures(2, size=16)
    torch.testing.assert_close(only(images, blur=np.zeros(2)), images.float(), atol=1e-3, rtol=0)
    assert only(images, blur=np.array([0.0, 8.0]))[1].std() < 5


@pytest.mark.parametrize("size", [64, 61])
def test_degrading_is_what_libjpeg_does(size: int) -> None:
    images, qualities = phantoms(4, size), np.array([10.0, 40.0, 75.0, 100.0])
    ours = only(images, degrade=qualities)
    for i, quality in enumerate(qualities):
        stream = io.BytesIO()
        Image.fromarray(images[i, 0].numpy()).save(stream, "JPEG", quality=int(quality))
        expected = torch.from_numpy(np.array(Image.open(stream), np.float32))
        # It rounds to whole grey levels, which leaves half a level at most.
        assert (ours[i, 0] - expected).abs().mean() < 0.45
        assert quality > 75 or (expected - images[i, 0]).abs().mean() > 1


def test_noise_is_normal_of_its_deviation_and_unlike_between_keys() -> None:
    grey = torch.full((3, 1, 101, 101), 128)
    drawn = np.array([[10.0, 1], [5.0, 2], [10.0, 3]])
    noise = (only(grey, noise=drawn) - 128).flatten(1)
    assert noise.mean(dim=1).abs().max() < 0.5
    torch.testing.assert_close(noise.std(dim=1), torch.tensor([10.0, 5, 10]), rtol=0.03, atol=0)
    torch.testing.assert_close((noise**4).mean(1) / noise.var(1) ** 2, torch.full((3,), 3.0),
                               rtol=0.1, atol=0)  # fmt: skip
    halves = torch.cat([noise[:, :5100], noise[:, 5101:]])
    assert (torch.corrcoef(halves) - torch.eye(6)).abs().max() < 0.07
    spectrum = torch.fft.rfft2(noise.view(3, 101, 101)).abs()[:, 1:, 1:]
    assert (spectrum.amax(dim=(1, 2)) / spectrum.mean(dim=(1, 2))).max() < 5


def test_a_rectangle_of_the_mean_covers_its_place_only() -> None:
    images = pictures(2, size=40)
    ours = only(images, erase=np.array([[0.25, 0.5, 0.5, 0.25], [0, 0, 0, 0]]))
    expected = images.float()
    expected[0, :, 10:30, 20:30] = expected[0].mean()
    torch.testing.assert_close(ours, expected)


def test_matching_in_full_gives_the_reference_s_histogram() -> None:
    generator = np.random.default_rng(0)
    levels = [generator.beta(a, b, (1, 64, 64)) * 255 for a, b in ((2, 5), (5, 2), (4, 4))]
    images = torch.from_numpy(np.stack(levels)).round().clamp(1, 255)
    histograms = cumulative_histograms(images)
    for wanted in range(3):
        drawn = np.array([[1.0, (wanted + 0.5) / 3]] * 3)
        found = cumulative_histograms(only(images, histogram=drawn))
        assert (found - histograms[wanted]).abs().max() < 0.05
        half = cumulative_histograms(only(images, histogram=drawn * [0.5, 1]))
        other = (wanted + 1) % 3
        before = (histograms[other] - histograms[wanted]).abs().mean()
        assert 0.3 < (half[other] - histograms[wanted]).abs().mean() / before < 0.7


def test_an_image_matched_to_itself_does_not_change() -> None:
    images = phantoms(3)
    itself = np.array([[1.0, (i + 0.5) / 3] for i in range(3)])
    torch.testing.assert_close(only(images, histogram=itself), images.float(), atol=0.01, rtol=0)


def test_padding_is_neither_counted_nor_moved() -> None:
    images = phantoms(2).clamp(min=1)
    padded = images.clone()
    padded[:, :, :10] = padded[:, :, -10:] = 0
    drawn = draw(OFF, IDS[:2], view=0, seed=0)
    drawn = Draws(**{**vars(drawn), "histogram": np.array([[1.0, 0.9], [1.0, 0.1]])})
    views = apply(padded, drawn, histograms=cumulative_histograms(images[:, :, 10:-10]))
    cropped = apply(images[:, :, 10:-10], drawn,
                    histograms=cumulative_histograms(padded))  # fmt: skip
    assert (views[:, :, :10] == 0).all()
    torch.testing.assert_close(views[:, :, 10:-10], cropped)
    black = apply(padded, drawn, histograms=torch.zeros(1, 256))
    torch.testing.assert_close(black, padded.float())


@pytest.mark.parametrize("histograms", [None, torch.zeros(0, 256)])
def test_matching_without_references_says_what_to_do(histograms: torch.Tensor | None) -> None:
    drawn = draw(OFF.model_copy(update={"histogram": 0.5}), IDS, view=1, seed=0)
    with pytest.raises(InputError, match=r"augment\.histogram is on .* Give some training images"):
        apply(pictures(), drawn, histograms=histograms)


@pytest.mark.parametrize("name", LATER)
def test_each_later_part_changes_every_picture(name: str) -> None:
    recipe = OFF.model_copy(update={name: LATER[name]})
    images = phantoms(3)
    histograms = cumulative_histograms(phantoms(7))
    views = [apply(images, draw(recipe, IDS, view=v, seed=0), histograms=histograms)
             for v in (1, 2, 3)]  # fmt: skip
    assert ((torch.stack(views) - images).abs().mean(dim=(0, 2, 3, 4)) > 0.5).all()


def test_erasing_comes_after_noise_and_blur() -> None:
    images = phantoms(1)
    drawn = draw(EVERYTHING, IDS[:1], view=1, seed=0)
    box = np.array([[0.25, 0.25, 0.5, 0.5]])
    views = apply(images, Draws(**{**vars(drawn), "erase": box}),
                  histograms=cumulative_histograms(images))  # fmt: skip
    assert views[0, 0, 16:48, 16:48].std() < 1e-3
    assert views[0, 0, :16].std() > 3


recipes = st.builds(
    AugmentRecipe,
    rotation=st.sampled_from([0.0, 8, 180]),
    zoom=st.sampled_from([0.0, 0.5]),
    shear=st.sampled_from([0.0, 30]),
    gamma=st.sampled_from([0.0, 1]),
    horizontal_flip=st.sampled_from([0.0, 0.5, 1]),
    noise=st.floats(0, 64),
    blur=st.floats(0, 8),
    degrade=st.floats(0, 1),
    erase=st.floats(0, 0.99),
    histogram=st.floats(0, 1),
)


@settings(max_examples=25, deadline=None)
@given(
    recipe=recipes, size=st.integers(16, 40), fill=st.sampled_from([0, 128, 255]),
    view=st.integers(0, 3), seed=st.integers(0, 99),
)  # fmt: skip
def test_any_view_is_finite_in_range_repeatable_and_independent_of_its_batch(
    recipe: AugmentRecipe, size: int, fill: int, view: int, seed: int
) -> None:
    images = torch.cat([phantoms(2, size), torch.full((1, 1, size, size), fill)])
    histograms = cumulative_histograms(phantoms(4), fill=fill)

    def views(order: list[int]) -> torch.Tensor:
        drawn = draw(recipe, [IDS[i] for i in order], view=view, seed=seed)
        return apply(images[order], drawn, fill=fill, histograms=histograms)

    together = views([0, 1, 2])
    assert together.dtype == torch.float32
    assert together.shape == images.shape
    assert torch.isfinite(together).all()
    assert together.min() >= 0
    assert together.max() <= 255
    torch.testing.assert_close(views([0, 1, 2]), together, atol=0, rtol=0)
    alone = torch.cat([views([2, 1])[[1]], views([0])])
    # Another batch may sum in another order, and a coefficient of a block then round otherwise.
    assert ((alone - together[[1, 0]]).abs() > 0.05).float().mean() < 0.3
    if view == 0:
        torch.testing.assert_close(together, images.float(), atol=0, rtol=0)
