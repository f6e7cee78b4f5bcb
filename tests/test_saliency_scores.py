"""Scores of saliency maps: known answers, ROAD against an exact solution, the contract."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.types import FloatArray, PixelBatch
from pneumoscope.evaluation.resampling import proportion
from pneumoscope.evaluation.saliency_removal import (
    FRACTIONS,
    NOISE,
    Removal,
    impute,
    removal_curves,
)
from pneumoscope.evaluation.saliency_scores import (
    SCHEMA,
    area_inside,
    energy_inside,
    pointing_hit,
    saliency_table,
    summarise_saliency,
)

SIDE = 24
OPTIONS: dict[str, Any] = {"resamples": 200, "confidence_level": 0.9, "seed": 3}


def half_mask(count: int = 1) -> NDArray[np.bool_]:
    """The left quarter of the canvas."""
    mask = np.zeros((count, SIDE, SIDE), bool)
    mask[:, :, : SIDE // 4] = True
    return mask


def smooth(seed: int, side: int = SIDE) -> NDArray[np.float64]:
    """A landscape of a few waves, 0 to 255."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    waves = sum(
        np.cos(2 * np.pi * (a * x + b * y) + phase) for a, b, phase in random.uniform(-1, 1, (6, 3))
    )
    landscape = np.asarray(waves)
    result: NDArray[np.float64] = 255 * (landscape - landscape.min()) / np.ptp(landscape)
    return result


def exact(canvas: FloatArray, removed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The imputed canvas by solving all equations at once."""
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import spsolve

    height, width = canvas.shape
    y, x = (axis.ravel() for axis in np.mgrid[:height, :width])
    parts = []
    for down, right in [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b]:
        there = (y + down >= 0) & (y + down < height) & (x + right >= 0) & (x + right < width)
        own = (y * width + x)[there]
        weight = np.full(len(own), 1 / 12 if down and right else 1 / 6)
        parts.append((weight, own, own + down * width + right))
    values, rows, columns = (np.concatenate(part) for part in zip(*parts, strict=True))
    near = coo_matrix((values, (rows, columns)), shape=(len(y), len(y))).tocsr()
    laplacian = (diags(np.asarray(near.sum(axis=1)).ravel()) - near).tocsc()
    gone, solved = removed.ravel(), np.array(canvas, dtype=np.float64).ravel()
    given = laplacian[gone][:, ~gone] @ solved[~gone]
    solved[gone] = spsolve(laplacian[gone][:, gone], -given)
    return solved.reshape(canvas.shape)


def test_energy_inside_beside_the_area() -> None:
    mask = half_mask(4)
    maps = np.zeros((4, SIDE, SIDE), np.float32)
    maps[0] = 2
    maps[1, :, : SIDE // 4] = 1
    maps[2, 0, 0], maps[2, 0, -1] = 1, 3
    energy = energy_inside(maps, mask)
    np.testing.assert_allclose(energy[:3], [0.25, 1, 0.25])
    assert np.isnan(energy[3])
    np.testing.assert_allclose(area_inside(mask), 0.25)
    assert pointing_hit(maps, mask).tolist()[1:3] == [True, False]


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (np.zeros((1, SIDE, SIDE - 1)), "maps .1, 24, 23., masks .1, 24, 24. of bool"),
        (np.full((1, SIDE, SIDE), -1.0), "negative or not finite"),
        (np.full((1, SIDE, SIDE), np.nan), "negative or not finite"),
    ],
)
def test_maps_that_cannot_be_scored_are_refused(maps: FloatArray, message: str) -> None:
    for score in (energy_inside, pointing_hit):
        with pytest.raises(PredictionsError, match=message):
            score(maps, half_mask())


@pytest.mark.parametrize("side", [80, 97])
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_imputing_solves_the_equations(side: int, fraction: float) -> None:
    canvas, saliency = smooth(1, side), smooth(2, side)
    for removed in (
        saliency >= np.quantile(saliency, 1 - fraction),
        np.random.default_rng(0).random((side, side)) < fraction,
    ):
        found, expected = impute(canvas, removed), exact(canvas, removed)
        np.testing.assert_array_equal(found[~removed], canvas[~removed].astype(np.float32))
        error = np.sqrt(np.mean((found - expected)[removed] ** 2))
        assert error < NOISE


def test_imputing_nothing_and_all_but_a_pixel() -> None:
    canvas = smooth(1)
    np.testing.assert_array_equal(impute(canvas, np.zeros((SIDE, SIDE), bool)), np.float32(canvas))
    removed = np.ones((SIDE, SIDE), bool)
    removed[3, 5] = False
    np.testing.assert_allclose(impute(canvas, removed), canvas[3, 5], atol=1)


def bright_corner(count: int = 3) -> PixelBatch:
    random = np.random.default_rng(7)
    canvases = random.integers(90, 110, (count, 1, SIDE, SIDE), dtype=np.uint8)
    canvases[:, :, :8, :8] = 220
    return canvases


def says_bright(canvases: PixelBatch) -> NDArray[np.float64]:
    """A network that sees nothing but the corner."""
    assert canvases.dtype == np.uint8
    assert canvases.shape[1:] == (1, SIDE, SIDE)
    share = canvases[:, 0, :8, :8].mean(axis=(1, 2)) / 255
    return np.stack([1 - share, share], axis=1)


def test_a_true_map_scores_better_than_a_false_one() -> None:
    canvases, labels, ids = bright_corner(), [1, 1, 1], ["a", "b", "c"]
    true = np.zeros((3, SIDE, SIDE), np.float32)
    true[:, :8, :8] = 1
    curves = {
        name: removal_curves(canvases, maps, labels, says_bright, image_ids=ids)
        for name, maps in (("true", true), ("false", 1 - true))
    }
    assert curves["true"].deletion.shape == (3, len(FRACTIONS))
    whole = says_bright(canvases)[:, 1]
    right, wrong = curves["true"], curves["false"]
    assert (right.deletion.mean(axis=1) < wrong.deletion.mean(axis=1) - 0.1).all()
    assert (right.insertion.mean(axis=1) > wrong.insertion.mean(axis=1) + 0.1).all()
    # The corner is a ninth: from 30 % on it is gone, or there, as a whole.
    np.testing.assert_allclose(right.deletion[:, 1:], 105 / 255, atol=0.1)
    np.testing.assert_allclose(right.insertion[:, 1:], whole[:, None] + np.zeros(4), atol=0.01)
    other = removal_curves(canvases, true, [0, 0, 0], says_bright, image_ids=ids)
    np.testing.assert_allclose(other.deletion, 1 - right.deletion)


def test_what_is_drawn_for_an_image_depends_on_its_id_alone() -> None:
    canvases, maps, ids = bright_corner(5), np.zeros((5, SIDE, SIDE)), list("abcde")
    one = removal_curves(canvases, maps, [1] * 5, says_bright, image_ids=ids)
    back = slice(None, None, -1)
    two = removal_curves(canvases[back], maps, [1] * 5, says_bright, image_ids=ids[back])
    np.testing.assert_array_equal(one.deletion, two.deletion[back])
    assert len(np.unique(one.deletion[:, 0])) == 5
    again = removal_curves(canvases, maps, [1] * 5, says_bright, image_ids=ids, seed=1)
    assert not np.array_equal(one.deletion, again.deletion)


def example(images: int = 40) -> pl.DataFrame:
    random = np.random.default_rng(2)
    ids = [f"image-{at:03d}" for at in range(images)]
    maps = random.random((images, SIDE, SIDE)).astype(np.float32)
    maps[0] = 0
    curves = Removal(random.random((images, 5)), random.random((images, 5)))
    return saliency_table(
        image_ids=ids,
        patient_ids=[None if at % 10 == 0 else f"patient-{at // 3}" for at in range(images)],
        labels=[("normal", "pneumonia")[at % 2] for at in range(images)],
        method="gradcam",
        maps=maps,
        masks={name: half_mask()[0] for name in ids if name != "image-001"},
        removal=curves,
        similarity={name: float(at) / 10 for at, name in enumerate(ids[:5])} | {ids[5]: np.nan},
    )


def test_the_table_keeps_its_columns_and_says_null_where_nothing_was_measured() -> None:
    table = example()
    assert dict(table.schema) == {name: kind() for name, kind in SCHEMA.items()}
    assert table["energy_in_lungs"].is_null().to_list()[:3] == [True, True, False]
    assert table["lung_area"].to_list()[:3] == [0.25, None, 0.25]
    assert table["hit"].is_null().to_list()[:3] == [True, True, False]
    assert table["randomised_similarity"].drop_nulls().to_list() == [0, 0.1, 0.2, 0.3, 0.4]
    bare = saliency_table(
        image_ids=["a"], patient_ids=[None], labels=["normal"], method="occlusion",
        maps=np.ones((1, SIDE, SIDE)), masks={"a": np.zeros((SIDE, SIDE), bool)},
    )  # fmt: skip
    assert dict(bare.schema) == dict(table.schema)
    assert bare.row(0)[4:] == (None,) * 6


def test_the_summary_is_that_of_the_table_in_any_order() -> None:
    table = example()
    summary: Mapping[str, Any] = summarise_saliency(table, **OPTIONS)
    assert list(summary) == ["method", "labels", "randomised_similarity"]
    assert summary["method"] == "gradcam"
    assert list(summary["labels"]) == ["normal", "pneumonia"]
    rows = table.filter(pl.col("label") == "normal")
    entry = summary["labels"]["normal"]
    assert set(entry) == {
        "n_images", "energy_in_lungs", "lung_area", "hit_rate", "deletion", "insertion",
    }  # fmt: skip
    assert entry["n_images"] == 20
    for name in ("energy_in_lungs", "deletion", "insertion"):
        assert entry[name]["value"] == pytest.approx(rows[name].mean())
        assert entry[name]["low"] < entry[name]["value"] < entry[name]["high"]
    assert entry["lung_area"] == {"value": 0.25, "low": 0.25, "high": 0.25, "unit": "fraction"}
    hits = rows.drop_nulls("hit")["hit"]
    assert entry["hit_rate"]["successes"] == hits.sum()
    assert entry["hit_rate"]["trials"] == 19
    assert summary["randomised_similarity"]["value"] == pytest.approx(0.2)
    json.dumps(summary, allow_nan=False)
    shuffled = table.sample(fraction=1, shuffle=True, seed=9)
    assert summarise_saliency(shuffled, **OPTIONS) == summary


def test_intervals_are_those_of_patients() -> None:
    table = example(90).with_columns(
        pl.Series("patient_id", [f"{at // 30}" for at in range(90)]),
        pl.Series("deletion", [at // 30 / 10 for at in range(90)]),
    )
    entry: Any = summarise_saliency(table, **OPTIONS)["labels"]
    assert entry["normal"]["deletion"]["high"] - entry["normal"]["deletion"]["low"] > 0.1
    rows = table.filter(pl.col("label") == "normal").drop_nulls("hit")
    clusters = rows["patient_id"].cast(pl.Int64).to_numpy()
    rate = proportion(rows["hit"].to_numpy(), clusters, confidence_level=0.9)
    assert entry["normal"]["hit_rate"] == rate.to_json()
    one: Any = summarise_saliency(table.with_columns(patient_id=pl.lit("1")), **OPTIONS)["labels"]
    assert one["normal"]["deletion"]["low"] is None
    assert one["normal"]["deletion"]["value"] == entry["normal"]["deletion"]["value"]


def test_what_was_not_measured_is_none() -> None:
    nothing = ["energy_in_lungs", "lung_area", "hit", "randomised_similarity"]
    table = example().with_columns(pl.lit(None, dtype=SCHEMA[name]).alias(name) for name in nothing)
    summary: Any = summarise_saliency(table, **OPTIONS)
    assert summary["randomised_similarity"] is None
    entry = summary["labels"]["normal"]
    assert entry["energy_in_lungs"]["value"] is None
    assert entry["hit_rate"]["trials"] == 0
    assert entry["hit_rate"]["value"] is None
    json.dumps(summary, allow_nan=False)


def test_the_method_is_the_served_one_unless_another_is_asked_for() -> None:
    table = example()
    both = pl.concat([table.with_columns(method=pl.lit("eigencam")), table])
    assert summarise_saliency(both, **OPTIONS)["method"] == "gradcam"
    assert summarise_saliency(both, **OPTIONS, method="eigencam")["method"] == "eigencam"
    first = both.filter(pl.col("method") == "eigencam")
    assert summarise_saliency(first, **OPTIONS)["method"] == "eigencam"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (example().drop("hit"), "no column hit"),
        (pl.concat([example(), example()]), "images more than once for gradcam"),
        (example().clear(), "saliency method ''; in the table: no rows"),
        (example().with_columns(label=pl.lit(None, dtype=pl.String)), "rows without image_id"),
    ],
)
def test_a_table_that_breaks_its_contract_is_refused(table: pl.DataFrame, message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        summarise_saliency(table, **OPTIONS)
