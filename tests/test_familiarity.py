"""Distances to the training images, their calibration, and what a batch of them says."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from pneumoscope.bundle.gate.familiarity import (
    LEAST_CALIBRATION,
    Familiarity,
    Features,
)
from pneumoscope.core.errors import BundleError, PredictionsError
from pneumoscope.evaluation.familiarity import FEWEST, batch_shift, summarise_gate

Labels = NDArray[np.int64]


def drawn(
    count: int, seed: int, *, shift: float = 0.0, scale: float = 1.0
) -> tuple[Features, Labels]:
    """Features of images whose label moves some of them; all positive, as activations are."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, count)
    mixing = np.random.default_rng(99).normal(size=(12, 60))

    def kind(start: int) -> NDArray[np.float32]:
        hidden = rng.normal(size=(count, 12)) * scale
        hidden[:, start] += 2 * truth
        hidden[:, start + 1] += shift
        levels = hidden @ mixing + 0.5 * rng.normal(size=(count, 60)) * scale
        return np.exp(0.1 * levels).astype(np.float32)

    return Features(kind(0), kind(4)[:, :40]), truth


@pytest.fixture(scope="module")
def known() -> Familiarity:
    training, truth = drawn(500, 0)
    calibration, answers = drawn(800, 1)
    return Familiarity.fit(training, truth, calibration, answers, labels=2)


def test_of_the_same_population_as_many_are_unfamiliar_as_asked_for(known: Familiarity) -> None:
    features, answers = drawn(4000, 2)
    scores = known.scores(features, answers)
    assert 0 < scores.min() <= scores.max() <= 1
    for level in (0.02, 0.1, 0.5):
        # Binomial of 4,000 images, and of the 400 calibration images of each answer.
        spread = 4 * (level * (1 - level) / 4000 + level * (1 - level) / 800) ** 0.5
        assert np.mean(scores <= level) == pytest.approx(level, abs=spread)


def test_the_farther_off_the_less_familiar(known: Familiarity) -> None:
    shares = [
        float(np.mean(known.scores(*drawn(500, 3, shift=shift)))) for shift in (0, 1, 2, 4, 8)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.01
    assert np.mean(known.scores(*drawn(500, 4, scale=2.0))) < 0.1


def test_the_score_falls_as_the_distance_grows(known: Familiarity) -> None:
    features, answers = drawn(300, 5, shift=1.0)
    scores, distances = known.scores(features, answers), known.distance(features, answers)
    for answer in (0, 1):
        own = answers == answer
        order = np.argsort(distances[own])
        assert (np.diff(scores[own][order]) <= 0).all()


def test_another_answer_is_another_comparison(known: Familiarity) -> None:
    features, truth = drawn(500, 6)
    right, wrong = known.scores(features, truth), known.scores(features, 1 - truth)
    assert np.mean(wrong) < np.mean(right) - 0.05


def test_few_calibration_images_cannot_show_a_small_share() -> None:
    training, truth = drawn(100, 0)
    calibration, answers = drawn(20, 1)
    few = Familiarity.fit(training, truth, calibration, answers, labels=2)
    assert few.least(0, 0.01) == pytest.approx(1 / 21)
    assert few.least(0, 0.2) == 0.2
    far = few.scores(*drawn(50, 2, shift=30.0))
    np.testing.assert_allclose(far, 1 / 21)


def test_an_answer_with_enough_images_is_compared_with_its_own(known: Familiarity) -> None:
    count = int((known.answers == 0).sum())
    assert count >= LEAST_CALIBRATION
    assert known.least(0, 0.0) == pytest.approx(1 / (count + 1))


def test_the_file_brings_back_the_same_scores(known: Familiarity) -> None:
    content = known.to_bytes()
    again = Familiarity.from_bytes(content, labels=2)
    features, answers = drawn(50, 7)
    np.testing.assert_array_equal(again.scores(features, answers), known.scores(features, answers))
    assert again.to_bytes() == content


def test_features_that_never_vary_say_nothing() -> None:
    training, truth = drawn(200, 0)
    calibration, answers = drawn(200, 1)
    dead = np.zeros((200, 3), np.float32)
    both = [Features(np.hstack([part.embedding, dead]), part.look)
            for part in (training, calibration)]  # fmt: skip
    found = Familiarity.fit(both[0], truth, both[1], answers, labels=2)
    assert np.isfinite(found.far).all()


def test_arrays_that_do_not_fit_are_refused(known: Familiarity) -> None:
    from safetensors.numpy import load, save

    arrays = load(known.to_bytes())
    with pytest.raises(BundleError, match="no safetensors"):
        Familiarity.from_bytes(b"nothing", labels=2)
    with pytest.raises(BundleError, match="shapes of embedding"):
        Familiarity.from_bytes(known.to_bytes(), labels=3)
    with pytest.raises(BundleError, match="far is missing"):
        Familiarity.from_bytes(save({k: v for k, v in arrays.items() if k != "far"}), labels=2)
    with pytest.raises(BundleError, match="do not fit one another"):
        Familiarity.from_bytes(save({**arrays, "known": arrays["known"][:, :5].copy()}), labels=2)
    spoilt = {**arrays, "far": np.full_like(arrays["far"], np.nan)}
    with pytest.raises(BundleError, match="not finite"):
        Familiarity.from_bytes(save(spoilt), labels=2)


def test_a_batch_from_elsewhere_is_said_to_be() -> None:
    hits = np.arange(100) < 87
    shift = batch_shift(hits, np.arange(100), level=0.01)
    assert shift is not None
    assert shift.shifted
    assert shift.statement == (
        "87 % of these images are less familiar than 99 % of the training population: expect the "
        "stated performance not to hold. Without true labels, other images and labels in other "
        "shares cannot be told apart, so neither what is promised for each label nor predictive "
        "values are to be relied upon."
    )
    known = batch_shift(hits, np.arange(100), level=0.01, labelled=True)
    assert known is not None
    assert known.statement.endswith("expect the stated performance not to hold.")


def test_a_batch_of_the_same_population_is_not() -> None:
    shift = batch_shift(np.arange(200) < 2, np.arange(200), level=0.01)
    assert shift is not None
    assert not shift.shifted
    assert "as many as are expected" in shift.statement
    assert batch_shift([True] * (FEWEST - 1), range(FEWEST - 1), level=0.01) is None
    # One patient with many unfamiliar images is one surprise, not many.
    one = batch_shift(np.arange(100) < 8, np.maximum(np.arange(100), 8), level=0.02)
    assert one is not None
    assert not one.shifted


def gate_table(unfamiliar: list[bool]) -> pl.DataFrame:
    count = len(unfamiliar)
    return pl.DataFrame({
        "image_id": [f"{n:03}" for n in range(count)],
        "patient_id": [f"p{n}" for n in range(count)],
        "familiarity": [0.001 if one else 0.5 for one in unfamiliar],
        "unfamiliar": unfamiliar,
        "level": [0.01] * count,
        "refused": [n == 0 for n in range(count)],
    })  # fmt: skip


def test_the_assessments_section_follows_from_the_table() -> None:
    table = gate_table([True] * 30 + [False] * 10)
    found = summarise_gate(table, confidence_level=0.95)
    assert found == summarise_gate(table[::-1], confidence_level=0.95)
    assert (found["n_images"], found["refused"], found["shifted"]) == (40, 1, True)
    assert found["median_familiarity"] == 0.001
    with pytest.raises(PredictionsError, match="no column refused"):
        summarise_gate(table.drop("refused"), confidence_level=0.95)


def test_without_scores_nothing_is_said() -> None:
    table = gate_table([False] * 20).with_columns(familiarity=pl.lit(None, pl.Float64))
    found = summarise_gate(table, confidence_level=0.95)
    assert found["statement"] is None
    assert found["n_images"] == 20
