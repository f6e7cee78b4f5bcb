from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from pneumoscope.core.errors import InputError, RadiographError
from pneumoscope.core.types import PixelBatch
from pneumoscope.data.changes import (
    LUNG_CONDITIONS,
    Masks,
    lungs_only,
    lungs_removed,
    lungs_swapped,
    pair_with_other_label,
    pair_with_same_label,
    with_lungs,
)
from pneumoscope.data.phantoms import render_phantom

SIZE = 64


@pytest.fixture(scope="module")
def chests() -> tuple[PixelBatch, Masks]:
    """Eight phantoms, NORMAL and PNEUMONIA in turn, and their lungs."""
    drawn = [
        render_phantom(seed=seed, label=("NORMAL", "PNEUMONIA")[seed % 2], size=SIZE)
        for seed in range(8)
    ]
    return np.stack([one.image for one in drawn])[:, None], np.stack([one.lungs for one in drawn])


def scrambled(canvases: PixelBatch, where: NDArray[np.bool_]) -> PixelBatch:
    noise = np.random.default_rng(0).integers(0, 256, canvases.shape, dtype=np.uint8)
    return np.where(where[:, None], noise, canvases)


def boxes(masks: Masks) -> NDArray[np.bool_]:
    """Tight boxes over both lungs."""
    filled = np.zeros_like(masks)
    for mask, box in zip(masks, filled, strict=True):
        rows, columns = np.nonzero(mask)
        box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    return filled


def test_lungs_only_holds_nothing_of_the_surroundings(chests: tuple[PixelBatch, Masks]) -> None:
    canvases, masks = chests
    shown = lungs_only(canvases, masks)
    np.testing.assert_array_equal(shown, lungs_only(scrambled(canvases, ~masks), masks))
    assert not np.array_equal(shown, lungs_only(scrambled(canvases, masks), masks))
    for canvas, mask, before in zip(shown[:, 0], masks, canvases[:, 0], strict=True):
        assert len(np.unique(canvas[~mask])) == 1
        assert (canvas[mask] == before[mask]).mean() > 0.4


def test_the_grey_around_lungs_makes_a_weaker_edge_than_black(
    chests: tuple[PixelBatch, Masks],
) -> None:
    canvases, masks = chests
    for canvas, mask, before in zip(
        lungs_only(canvases, masks)[:, 0], masks, canvases[:, 0], strict=True
    ):
        black = np.where(mask, before, 0)
        steps = [np.abs(np.diff(x.astype(float), axis=1)).max() for x in (canvas, black)]
        assert steps[0] < steps[1] / 2


def test_lungs_removed_holds_nothing_of_the_lungs_box(chests: tuple[PixelBatch, Masks]) -> None:
    canvases, masks = chests
    inside = boxes(masks)
    left = lungs_removed(canvases, masks)
    np.testing.assert_array_equal(left, lungs_removed(scrambled(canvases, inside), masks))
    corner = np.s_[:, 0, :3, :3]
    np.testing.assert_array_equal(left[corner], canvases[corner])
    other = lungs_removed(scrambled(canvases, ~inside), masks)
    assert not np.array_equal(left[:, 0][inside], other[:, 0][inside])


def test_the_filled_box_does_not_stand_out(chests: tuple[PixelBatch, Masks]) -> None:
    flat = np.full((1, 1, SIZE, SIZE), 90, dtype=np.uint8)
    dark = np.where(chests[1][:1, None], np.uint8(10), flat)
    np.testing.assert_array_equal(lungs_removed(dark, chests[1][:1]), flat)


def test_lungs_that_fill_the_canvas_leave_grey() -> None:
    canvases = np.random.default_rng(0).integers(0, 256, (1, 1, SIZE, SIZE), dtype=np.uint8)
    left = lungs_removed(canvases, np.ones((1, SIZE, SIZE), dtype=np.bool_))
    assert np.unique(left).tolist() == [128]


def test_swapped_lungs_are_the_donors_and_the_surroundings_the_hosts(
    chests: tuple[PixelBatch, Masks],
) -> None:
    canvases, masks = chests
    donors, donor_masks = canvases[::-1], masks[::-1]
    swapped = lungs_swapped(canvases, masks, donors, donor_masks)
    corner = np.s_[:, 0, :3, :3]
    np.testing.assert_array_equal(swapped[corner], canvases[corner])
    # Neither the host's lungs nor the donor's surroundings are in it.
    np.testing.assert_array_equal(
        swapped,
        lungs_swapped(canvases, masks, scrambled(donors, far(donor_masks)), donor_masks),
    )
    inner = boxes(masks)
    same = lungs_swapped(scrambled(canvases, shrunk(inner)), masks, donors, donor_masks)
    np.testing.assert_array_equal(same[:, 0][shrunk(inner)], swapped[:, 0][shrunk(inner)])


def far(masks: Masks) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_dilation

    return ~np.stack([binary_dilation(box, iterations=SIZE // 8) for box in boxes(masks)])


def shrunk(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_erosion

    return np.stack([binary_erosion(box, iterations=SIZE // 16) for box in inside])


def test_swapping_with_oneself_changes_next_to_nothing(chests: tuple[PixelBatch, Masks]) -> None:
    canvases, masks = chests
    swapped = lungs_swapped(canvases, masks, canvases, masks)
    assert np.abs(swapped.astype(int) - canvases).max() <= 1


def test_an_opacity_travels_with_the_lungs(chests: tuple[PixelBatch, Masks]) -> None:
    canvases, masks = chests
    spot = canvases[:1].copy()
    rows, columns = np.nonzero(masks[0])
    middle = len(rows) // 2
    spot[0, 0, rows[middle] - 2 : rows[middle] + 3, columns[middle] - 2 : columns[middle] + 3] = 255
    hosts, host_masks = canvases[1:2], masks[1:2]
    plain, spotted = (
        lungs_swapped(hosts, host_masks, donor, masks[:1]).astype(int)
        for donor in (canvases[:1], spot)
    )
    assert (np.abs(spotted - plain) > 40).sum() >= 9


@pytest.mark.parametrize("name", ["only", "removed", "swapped"])
def test_a_change_depends_on_the_image_alone(chests: tuple[PixelBatch, Masks], name: str) -> None:
    canvases, masks = chests
    assert f"lungs_{name}" in LUNG_CONDITIONS

    def change(at: NDArray[np.int64]) -> PixelBatch:
        if name == "swapped":
            return lungs_swapped(canvases[at], masks[at], canvases[7 - at], masks[7 - at])
        return (lungs_only if name == "only" else lungs_removed)(canvases[at], masks[at])

    before, order = canvases.copy(), np.array([5, 2, 0])
    together = change(np.arange(8))
    np.testing.assert_array_equal(change(order), together[order])
    np.testing.assert_array_equal(canvases, before)
    assert together.dtype == np.uint8
    assert together.shape == canvases.shape


def test_a_stray_blob_is_no_lung(chests: tuple[PixelBatch, Masks]) -> None:
    canvases, masks = chests
    noisy = masks.copy()
    noisy[:, -4:, -4:] = True
    for change in (lungs_only, lungs_removed):
        np.testing.assert_array_equal(change(canvases, noisy), change(canvases, masks))


def test_an_empty_mask_is_named_and_can_be_left_out(chests: tuple[PixelBatch, Masks]) -> None:
    canvases, masks = chests
    none = masks.copy()
    none[3] = False
    assert np.flatnonzero(~with_lungs(none)).tolist() == [3]
    with pytest.raises(RadiographError, match=r"1 of 8 masks, first number 3, mark no lung"):
        lungs_only(canvases, none)
    with pytest.raises(InputError, match=r"masks are \[8, 64, 64\] of uint8; allowed: .* of bool"):
        lungs_removed(canvases, masks.astype(np.uint8))
    with pytest.raises(InputError, match=r"canvases are \[8, 64, 64\] of uint8; allowed"):
        lungs_removed(canvases[:, 0], masks)
    with pytest.raises(InputError, match=r"2 donors for 8 images; allowed: as many"):
        lungs_swapped(canvases, masks, canvases[:2], masks[:2])


def images(counts: dict[str, int]) -> tuple[list[str], list[str], list[str | None]]:
    labels = [label for label, count in counts.items() for _ in range(count)]
    ids = [f"{number:03d}" for number in range(len(labels))]
    return ids, labels, [f"p{number // 2}" for number in range(len(labels))]


@pytest.mark.parametrize(
    ("counts", "pairs"),
    [({"A": 10, "B": 10}, 20), ({"A": 30, "B": 10}, 20), ({"A": 8, "B": 6, "C": 4}, 18),
     ({"A": 20, "B": 3, "C": 4}, 14), ({"A": 5}, 0), ({}, 0)],
)  # fmt: skip
def test_donors_are_of_another_label_and_give_once(counts: dict[str, int], pairs: int) -> None:
    ids, labels, patients = images(counts)
    paired = pair_with_other_label(ids, labels, [None] * len(ids), seed=1)
    label = dict(zip(ids, labels, strict=True))
    assert len(paired) == pairs
    assert all(label[host] != label[donor] for host, donor in paired.items())
    assert max(Counter(paired.values()).values(), default=1) == 1
    patient = dict(zip(ids, patients, strict=True))
    apart = pair_with_other_label(ids, labels, patients, seed=1)
    assert all(patient[host] != patient[donor] for host, donor in apart.items())
    assert apart.items() <= paired.items()


def test_pairs_are_fixed_by_ids_and_seed() -> None:
    ids, labels, patients = images({"A": 12, "B": 12})
    first = pair_with_other_label(ids, labels, patients, seed=3)
    back = pair_with_other_label(ids[::-1], labels[::-1], patients[::-1], seed=3)
    assert first == back
    assert all(first[first[host]] == host for host in first), "two labels exchange"
    others = [pair_with_other_label(ids, labels, patients, seed=seed) for seed in range(4)]
    assert all(one != other for one, other in pairwise(others))


@pytest.mark.parametrize("counts", [{"A": 9, "B": 4}, {"A": 2}, {"A": 1, "B": 1}])
def test_controls_have_donors_of_their_own_label_and_another_patient(
    counts: dict[str, int],
) -> None:
    ids, labels, patients = images(counts)
    paired = pair_with_same_label(ids, labels, patients, seed=1)
    label, patient = dict(zip(ids, labels, strict=True)), dict(zip(ids, patients, strict=True))
    assert all(label[host] == label[donor] for host, donor in paired.items())
    assert all(patient[host] != patient[donor] for host, donor in paired.items())
    assert max(Counter(paired.values()).values(), default=1) == 1
    assert set(pair_with_same_label(ids, labels, [None] * len(ids))) == {
        name for name in ids if labels.count(label[name]) > 1
    }
    assert paired == pair_with_same_label(ids[::-1], labels[::-1], patients[::-1], seed=1)
