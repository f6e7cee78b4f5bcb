from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from pneumoscope.core.recipe import AugmentRecipe
from pneumoscope.data.augmentation import Draws, apply, draw

OFF = AugmentRecipe(
    rotation=0, zoom=0, aspect=0, shift=0, shear=0, brightness=0, contrast=0, gamma=0
)
IDS = ("a" * 16, "b" * 16, "c" * 16)


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
