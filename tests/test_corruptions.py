from __future__ import annotations

import numpy as np
import pytest

from pneumoscope.core.errors import InputError
from pneumoscope.core.types import PixelBatch
from pneumoscope.data.corruptions import CORRUPTIONS, Corruption, corrupt, find_corruption
from pneumoscope.data.phantoms import draw_phantom

IDS = ("a", "b", "c", "d", "e", "f")
EVERY = pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda one: str(one.kind))


@pytest.fixture(scope="module")
def canvases() -> PixelBatch:
    return np.stack([draw_phantom(seed=n, label="PNEUMONIA", size=64) for n in range(6)])[:, None]


def all_severities(canvases: PixelBatch, one: Corruption, seed: int = 0) -> list[PixelBatch]:
    return [
        corrupt(canvases, IDS, kind=one.kind, severity=severity, seed=seed)
        for severity in range(1, len(one.strengths) + 1)
    ]


@EVERY
def test_each_severity_changes_every_image_more(
    corruption: Corruption, canvases: PixelBatch
) -> None:
    before = canvases.copy()
    results = all_severities(canvases, corruption)
    assert all(one.shape == canvases.shape and one.dtype == np.uint8 for one in results)
    np.testing.assert_array_equal(canvases, before)
    away = np.array([np.abs(one.astype(int) - canvases).mean(axis=(1, 2, 3)) for one in results])
    assert (away[0] > 0).all()
    assert (np.diff(away, axis=0) > 0).all()


@EVERY
def test_what_is_drawn_is_fixed_by_seed_and_image(
    corruption: Corruption, canvases: PixelBatch
) -> None:
    together = all_severities(canvases, corruption)[-1]
    severity, kind = len(corruption.strengths), corruption.kind
    order = np.array([4, 1])
    alone = corrupt(canvases[order], [IDS[at] for at in order], kind=kind, severity=severity)
    np.testing.assert_array_equal(alone, together[order])


@EVERY
def test_flat_and_extreme_canvases_survive(corruption: Corruption) -> None:
    for level in (0, 255):
        flat = np.full((6, 1, 32, 32), level, dtype=np.uint8)
        assert all(one.shape == flat.shape for one in all_severities(flat, corruption))


def test_the_registry_is_the_contracts() -> None:
    assert [one.kind for one in CORRUPTIONS] == [
        "noise", "blur", "jpeg", "gamma", "rotation", "inversion", "marker", "crop", "resolution",
    ]  # fmt: skip
    names = [name for one in CORRUPTIONS for name in one.conditions]
    assert len(names) == len(set(names)) == 25
    assert find_corruption("noise").conditions == ("noise:1", "noise:2", "noise:3")
    assert find_corruption("inversion").conditions == ("inversion:1",)
    assert all("\n" not in one.description and len(one.description) < 80 for one in CORRUPTIONS)


@pytest.mark.parametrize("kind", ["noise", "gamma", "rotation", "marker", "crop"])
def test_other_images_and_seeds_draw_otherwise(kind: str, canvases: PixelBatch) -> None:
    same = np.repeat(canvases[:1], 6, axis=0)
    drawn = [corrupt(same, IDS, kind=kind, severity=2, seed=seed) for seed in range(3)]
    assert len({one.tobytes() for batch in drawn for one in batch}) > 1
    assert len({batch.tobytes() for batch in drawn}) > 1


def test_strengths_are_what_descriptions_say(canvases: PixelBatch) -> None:
    grey = np.full((1, 1, 64, 64), 128, dtype=np.uint8)
    noisy = corrupt(grey, ["a"], kind="noise", severity=2)
    assert noisy.std() == pytest.approx(12, rel=0.05)
    inverted = corrupt(canvases, IDS, kind="inversion", severity=1)
    np.testing.assert_array_equal(inverted, 255 - canvases)
    marked = corrupt(grey, ["a"], kind="marker", severity=3)
    rows = np.flatnonzero((marked != grey)[0, 0].any(axis=1))
    assert rows[-1] - rows[0] + 1 == round(0.18 * 64)
    assert {0, 255} == set(np.unique(marked[marked != grey]).tolist())
    few = corrupt(canvases, IDS, kind="resolution", severity=3)
    spectrum = np.abs(np.fft.fft(few[0, 0, 32].astype(float)))
    detail = np.abs(np.fft.fft(canvases[0, 0, 32].astype(float)))
    assert spectrum[20:44].sum() < detail[20:44].sum() / 3


def test_what_is_unknown_is_refused(canvases: PixelBatch) -> None:
    with pytest.raises(InputError, match=r"corruption 'fog'; allowed: noise, blur.*Choose"):
        corrupt(canvases, IDS, kind="fog", severity=1)
    with pytest.raises(InputError, match=r"severity 2 of inversion; allowed: 1 to 1"):
        corrupt(canvases, IDS, kind="inversion", severity=2)
    with pytest.raises(InputError, match=r"1 ids for canvases \[6, 1, 64, 64\]"):
        corrupt(canvases, ["a"], kind="noise", severity=1)
