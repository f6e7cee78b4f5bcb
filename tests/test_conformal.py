"""Label sets: against MAPIE and crepes, and the coverage they promise."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from crepes import ConformalClassifier
from hypothesis import given
from hypothesis import strategies as st
from mapie.classification import SplitConformalClassifier
from numpy.typing import NDArray
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin

from pneumoscope.core.errors import BundleError, PredictionsError
from pneumoscope.evaluation.calibration import softmax
from pneumoscope.evaluation.conformal import (
    Conformal,
    Score,
    assured_rank,
    conformal_quantile,
    conformalize,
    nonconformity_scores,
)
from pneumoscope.evaluation.intervals import Interval, wilson_interval
from pneumoscope.evaluation.set_coverage import cluster_proportion, set_coverage

Probabilities = NDArray[np.float64]
Truth = NDArray[np.int64]
LABELS = ("NORMAL", "BACTERIA", "VIRUS")


def simulate(n_images: int, *, seed: int, n_labels: int = 3) -> tuple[Probabilities, Truth]:
    """Overconfident probabilities and labels."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n_images, n_labels)) * 1.5
    truth: Truth = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    return softmax(2 * logits), truth


class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted scikit-learn classifier whose features are its probabilities."""

    def __init__(self, n_labels: int) -> None:
        self.n_labels = n_labels
        self.classes_ = np.arange(n_labels)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, features: Probabilities, truth: Truth) -> Given:
        return self

    def predict_proba(self, features: Probabilities) -> Probabilities:
        return features

    def predict(self, features: Probabilities) -> Truth:
        winners: Truth = features.argmax(axis=1)
        return winners


def mapie_sets(
    score: Score, fitted: tuple[Probabilities, Truth], new: Probabilities, level: float
) -> tuple[float, NDArray[np.bool_]]:
    """MAPIE's quantile and sets; `aps` is randomised with the uniforms of `mapie_uniforms`."""
    mapie = SplitConformalClassifier(
        Given(fitted[0].shape[1]),
        confidence_level=level,
        conformity_score=score,
        prefit=True,
        random_state=7,
    ).conformalize(*fitted)
    options = {"include_last_label": "randomized"} if score == "aps" else {}
    _, sets = mapie.predict_set(new, conformity_score_params=options)
    quantile = mapie._mapie_classifier.conformity_score_function_.quantiles_
    return float(quantile[0]), sets[:, :, 0]


def mapie_uniforms(n_images: int) -> NDArray[np.float64]:
    """What MAPIE draws; it leaves out the part of its own probability that we count."""
    return 1 - np.random.RandomState(7).uniform(size=n_images)


@pytest.mark.parametrize("n_labels", [2, 3, 5])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_lac_is_that_of_mapie(n_labels: int, level: float) -> None:
    fitted = simulate(301, seed=n_labels, n_labels=n_labels)
    new, _ = simulate(400, seed=90 + n_labels, n_labels=n_labels)
    ours = conformalize(*fitted, labels=list("abcde")[:n_labels], confidence_level=level)
    quantile, sets = mapie_sets("lac", fitted, new, level)
    assert ours.quantiles == pytest.approx([quantile] * n_labels, abs=1e-12)
    assert np.array_equal(ours.label_sets(new), sets)


@pytest.mark.parametrize("n_labels", [3, 5])  # MAPIE has no APS for two
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_randomised_aps_is_that_of_mapie(n_labels: int, level: float) -> None:
    fitted = simulate(301, seed=n_labels, n_labels=n_labels)
    new, _ = simulate(400, seed=90 + n_labels, n_labels=n_labels)
    ours = conformalize(
        *fitted,
        labels=list("abcde")[:n_labels],
        confidence_level=level,
        score="aps",
        uniforms=mapie_uniforms(301),
    )
    quantile, sets = mapie_sets("aps", fitted, new, level)
    assert ours.quantiles == pytest.approx([quantile] * n_labels, abs=1e-12)
    assert np.array_equal(ours.label_sets(new, uniforms=mapie_uniforms(400)), sets)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("score", ["lac", "aps"])
def test_sets_are_those_of_crepes(score: Score, conditional: bool) -> None:
    probabilities, truth = simulate(500, seed=1)
    new, _ = simulate(400, seed=2)
    ours = conformalize(probabilities, truth, labels=LABELS, score=score, conditional=conditional)
    own = nonconformity_scores(probabilities, score=score)[np.arange(500), truth]
    theirs = ConformalClassifier().fit(own, bins=truth if conditional else None)
    scores = nonconformity_scores(new, score=score)
    if conditional:  # crepes wants the category of the image; here it is the label in question
        p_values = np.stack(
            [
                theirs.predict_p(scores, bins=np.full(400, label), smoothing=False)[:, label]
                for label in range(3)
            ],
            axis=1,
        )
    else:
        p_values = theirs.predict_p(scores, smoothing=False)
    assert np.array_equal(ours.label_sets(new), p_values > 0.1)


def slow_aps(row: list[float], uniform: float) -> list[float]:
    return [sum(other for other in row if other > own) + uniform * own for own in row]


@given(
    st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3), min_size=1, max_size=6),
    st.floats(0, 0.99),
)
def test_aps_is_its_definition_with_ties(rows: list[list[int]], uniform: float) -> None:
    probabilities = np.array(rows) / 8
    uniforms = np.full(len(rows), uniform)
    for chosen, own in ((None, 0.0), (uniforms, uniform)):
        found = nonconformity_scores(probabilities, score="aps", uniforms=chosen)
        expected = [slow_aps(row, own) for row in probabilities.tolist()]
        np.testing.assert_allclose(found, expected, atol=1e-14)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(1, 99))
def test_the_quantile_has_the_rank_that_is_promised(scores: list[float], percent: int) -> None:
    values = np.array(scores)
    rank = math.ceil((len(scores) + 1) * Fraction(percent, 100))
    expected = sorted(scores)[rank - 1] if rank <= len(scores) else math.inf
    assert conformal_quantile(values, confidence_level=percent / 100) == expected
    alone = np.random.default_rng(0).permutation(len(scores))
    by_patient = conformal_quantile(values, confidence_level=percent / 100, clusters=alone)
    assert by_patient == expected


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=40),
    st.integers(1, 99),
)
def test_patients_weigh_the_same(images: list[tuple[float, int]], percent: int) -> None:
    scores = np.array([score for score, _ in images])
    clusters = np.array([patient for _, patient in images])
    found = conformal_quantile(scores, confidence_level=percent / 100, clusters=clusters)
    patients = set(clusters.tolist())
    wanted = (len(patients) + 1) * Fraction(percent, 100)
    expected = math.inf
    for threshold in sorted(scores.tolist(), reverse=True):
        below = sum(
            Fraction(
                int((scores[clusters == one] <= threshold).sum()), int((clusters == one).sum())
            )
            for one in patients
        )
        if below < wanted:
            break
        expected = threshold
    assert found == expected


@given(st.integers(0, 10_000), st.sampled_from(["lac", "aps"]), st.booleans())
def test_more_confidence_excludes_no_more(seed: int, score: Score, conditional: bool) -> None:
    probabilities, truth = simulate(60, seed=seed)
    new, _ = simulate(30, seed=seed + 1)
    sets = [
        conformalize(
            probabilities,
            truth,
            labels=LABELS,
            confidence_level=level,
            score=score,
            conditional=conditional,
        ).label_sets(new)
        for level in (0.5, 0.8, 0.9, 0.99)
    ]
    for smaller, larger in pairwise(sets):
        assert (larger | ~smaller).all()
    if not conditional:
        order = np.argsort(-new, axis=1)
        ordered = np.take_along_axis(sets[1], order, axis=1)
        assert (np.diff(ordered.astype(int), axis=1) <= 0).all()


def test_deterministic_aps_keeps_the_first_label_and_is_the_smaller_rule() -> None:
    probabilities, truth = simulate(400, seed=3)
    new, _ = simulate(2000, seed=4)
    ours = conformalize(probabilities, truth, labels=LABELS, score="aps").label_sets(new)
    assert ours[np.arange(2000), new.argmax(axis=1)].all()
    # The other rule: count all of the own probability, put back the label that crosses.
    whole = nonconformity_scores(probabilities, score="aps") + probabilities
    quantile = conformal_quantile(whole[np.arange(400), truth], confidence_level=0.9)
    other = nonconformity_scores(new, score="aps") < quantile
    assert (other | ~ours).all()
    assert ours.sum() < other.sum()


def repeated_coverage(
    score: Score, *, conditional: bool, randomised: bool, repetitions: int = 200
) -> NDArray[np.float64]:
    """Coverage of each true label, and of all, of 2000 new images: `[repetition, 1 + label]`."""
    rows = []
    for seed in range(repetitions):
        random = np.random.default_rng(seed)
        probabilities, truth = simulate(2300, seed=10_000 + seed)
        uniforms = random.random(2300) if randomised else None
        split = [None, None] if uniforms is None else [uniforms[:300], uniforms[300:]]
        predictor = conformalize(
            probabilities[:300],
            truth[:300],
            labels=LABELS,
            score=score,
            conditional=conditional,
            uniforms=split[0],
        )
        sets = predictor.label_sets(probabilities[300:], uniforms=split[1])
        covered = sets[np.arange(2000), truth[300:]]
        by_label = [covered[truth[300:] == label].mean() for label in range(3)]
        rows.append([covered.mean(), *by_label])
    return np.array(rows)


@pytest.mark.parametrize(("score", "randomised"), [("lac", False), ("aps", False), ("aps", True)])
def test_coverage_is_what_was_asked(score: Score, randomised: bool) -> None:
    coverage = repeated_coverage(score, conditional=False, randomised=randomised)
    assert coverage[:, 0].mean() == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("score", ["lac", "aps"])
def test_coverage_of_every_label_is_what_was_asked(score: Score) -> None:
    coverage = repeated_coverage(score, conditional=True, randomised=score == "aps").mean(axis=0)
    # About 100 images of each label: 1/101 above at most.
    assert (coverage > 0.89).all()
    assert (coverage < 0.92).all()


@pytest.mark.parametrize("patients", [1, 3])
def test_assured_sets_hold_the_level_in_as_many_splits_as_asked(patients: int) -> None:
    """Of 400 calibration splits, about one in ten may fall short of 0.9, not half of them."""
    shortfalls, uniform = [], np.linspace(0, 1, 4000)
    for seed in range(400):
        scores = np.repeat(np.random.default_rng(seed).random(90), patients)
        found = conformal_quantile(
            scores, confidence_level=0.9, assurance=0.9, clusters=np.repeat(np.arange(90), patients)
        )
        shortfalls.append((uniform <= found).mean() < 0.9)
    assert 0.04 < np.mean(shortfalls) < 0.13


@given(st.integers(1, 300), st.floats(0.5, 0.99), st.floats(0.05, 0.95))
def test_the_assured_rank_is_the_least_that_reaches_it(
    count: int, level: float, assurance: float
) -> None:
    found = assured_rank(count, confidence_level=level, assurance=assurance)
    reached = stats.binom.cdf(np.arange(-1, count), count, level)  # by rank, from 0
    assert found == count + 1 or reached[found] >= assurance - 1e-9
    assert reached[found - 1] < assurance + 1e-9


def test_coverage_for_new_patients_with_many_images() -> None:
    """A third of the patients are hard and have 12 images; a new patient counts once."""
    random = np.random.default_rng(0)
    by_image, by_patient = [], []
    for _ in range(400):
        hard = random.random(60) < 1 / 3
        clusters = np.repeat(np.arange(60), np.where(hard, 12, 1))
        scores = random.normal(size=60)[clusters] + 2 * ~hard[clusters]
        scores += 0.3 * random.normal(size=len(scores))
        new_hard = random.random(2000) < 1 / 3
        new = random.normal(size=2000) + 2 * ~new_hard + 0.3 * random.normal(size=2000)
        naive = conformal_quantile(scores, confidence_level=0.9)
        fair = conformal_quantile(scores, confidence_level=0.9, clusters=clusters)
        by_image.append((new <= naive).mean())
        by_patient.append((new <= fair).mean())
    assert np.mean(by_image) < 0.87
    assert 0.895 < np.mean(by_patient) < 0.925


def test_quantiles_of_conditional_and_of_patients() -> None:
    probabilities, truth = simulate(300, seed=5)
    clusters = np.arange(300) // 2
    ours = conformalize(probabilities, truth, labels=LABELS, conditional=True, clusters=clusters)
    for label in range(3):
        own = truth == label
        expected = conformal_quantile(
            1 - probabilities[own, label], confidence_level=0.9, clusters=clusters[own]
        )
        assert ours.quantiles[label] == expected
        assert ours.support[label] == len(set(clusters[own].tolist()))
    marginal = conformalize(probabilities, truth, labels=LABELS, clusters=clusters)
    assert len(set(marginal.quantiles)) == 1
    assert marginal.support == (150, 150, 150)


def test_a_label_as_strange_as_the_quantile_stays() -> None:
    ours = Conformal(("NORMAL", "PNEUMONIA"), "lac", False, False, 0.9, (0.75, 0.75), (9, 9))
    assert ours.label_sets(np.array([[0.75, 0.25]])).tolist() == [[True, True]]
    assert ours.label_sets(np.array([[0.76, 0.24]])).tolist() == [[True, False]]


def test_a_label_of_too_few_images_is_never_excluded() -> None:
    probabilities, truth = simulate(200, seed=6)
    keep = (truth != 2) | (np.cumsum(truth == 2) <= 8)
    few = conformalize(probabilities[keep], truth[keep], labels=LABELS, conditional=True)
    assert few.quantiles[2] == math.inf
    assert few.support[2] == 8
    new, _ = simulate(50, seed=7)
    assert few.label_sets(new)[:, 2].all()
    restored = Conformal.from_json(json.loads(json.dumps(few.to_json(), allow_nan=False)))
    assert restored == few


@given(
    st.lists(st.floats(0, 2) | st.just(math.inf), min_size=3, max_size=3),
    st.sampled_from(["lac", "aps"]),
    st.booleans(),
)
def test_json_brings_back_the_same(quantiles: list[float], score: Score, conditional: bool) -> None:
    made = Conformal(LABELS, score, conditional, score == "aps", 0.9, tuple(quantiles), (1, 2, 3))
    text = json.dumps(made.to_json(), allow_nan=False)
    assert Conformal.from_json(json.loads(text)) == made


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labels", "NORMAL"),
        ("labels", ["NORMAL", 1, 2]),
        ("quantiles", {"NORMAL": 0.5}),
        ("quantiles", dict.fromkeys(LABELS, "0.5")),
        ("quantiles", dict.fromkeys(LABELS, -0.5)),
        ("quantiles", dict.fromkeys(LABELS, 10**400)),
        ("quantiles", dict.fromkeys(LABELS, math.nan)),
        ("support", dict.fromkeys(LABELS, 1.5)),
        ("score", "raps"),
        ("score", ["lac"]),
        ("randomised", True),
        ("conditional", 1),
        ("confidence_level", 1.0),
        ("confidence_level", None),
        ("assurance", 1.0),
        ("assurance", "sure"),
        ("more", 1),
    ],
)
def test_strange_json_is_refused(name: str, value: object) -> None:
    content = Conformal(LABELS, "lac", False, False, 0.9, (0.5,) * 3, (9,) * 3).to_json()
    with pytest.raises(BundleError, match="allowed"):
        Conformal.from_json({**content, name: value})


def test_arguments_are_refused() -> None:
    probabilities, truth = simulate(20, seed=8)
    uniforms = np.zeros(20)
    with pytest.raises(PredictionsError, match="confidence_level=1"):
        conformalize(probabilities, truth, labels=LABELS, confidence_level=1)
    with pytest.raises(PredictionsError, match="'lac' with uniforms; allowed: aps"):
        conformalize(probabilities, truth, labels=LABELS, uniforms=uniforms)
    with pytest.raises(PredictionsError, match="2 labels; allowed: one row per image"):
        conformalize(probabilities, truth, labels=LABELS[:2])
    with pytest.raises(PredictionsError, match="truth 3 to 3"):
        conformalize(probabilities, np.full(20, 3), labels=LABELS)
    with pytest.raises(PredictionsError, match="one row per image"):
        conformalize(probabilities, truth, labels=LABELS, clusters=np.arange(3))
    plain = conformalize(probabilities, truth, labels=LABELS, confidence_level=0.5)
    with pytest.raises(PredictionsError, match="deterministic score"):
        plain.label_sets(probabilities, uniforms=uniforms)
    with pytest.raises(PredictionsError, match="probabilities of 2 labels; allowed: 3"):
        plain.label_sets(probabilities[:, :2])
    drawn = conformalize(probabilities, truth, labels=LABELS, score="aps", uniforms=uniforms)
    with pytest.raises(PredictionsError, match="uniforms are missing"):
        drawn.label_sets(probabilities)
    with pytest.raises(PredictionsError, match="a uniform number per image"):
        drawn.label_sets(probabilities, uniforms=uniforms[:3])


def test_parts_are_counted() -> None:
    sets = np.array([[1, 0], [1, 1], [0, 0], [0, 1], [1, 0]], dtype=bool)
    truth = np.array([0, 0, 1, 1, 1])
    rows = set_coverage(
        sets,
        truth,
        labels=("NORMAL", "PNEUMONIA"),
        clusters=np.array([0, 1, 2, 3, 3]),
        groups={"view": ["PA", "AP", "PA", None, "PA"]},
    )
    found = {(row.group, row.value): row for row in rows}
    assert list(found) == [
        ("all", "all"), ("label", "NORMAL"), ("label", "PNEUMONIA"), ("view", "AP"), ("view", "PA"),
    ]  # fmt: skip
    whole = found["all", "all"]
    assert (whole.n_images, whole.n_patients) == (5, 4)
    assert (whole.coverage.value, whole.size.value) == pytest.approx((0.6, 1.0))
    assert (whole.empty, whole.single) == pytest.approx((0.2, 0.6))
    assert found["label", "NORMAL"].coverage.value == 1
    assert found["label", "PNEUMONIA"].coverage.value == pytest.approx(1 / 3)
    assert found["view", "PA"].n_images == 3
    assert math.isnan(found["view", "AP"].size.low)


@given(st.integers(1, 60), st.data())
def test_single_images_have_wilsons_interval(n_images: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n_images))
    found = cluster_proportion(
        np.arange(n_images) < successes, np.arange(n_images), confidence_level=0.9
    )
    expected = wilson_interval(successes, n_images, confidence_level=0.9)
    as_tuple = [(one.value, one.low, one.high) for one in (found, expected)]
    assert as_tuple[0] == pytest.approx(as_tuple[1], abs=1e-12)


def test_copies_of_a_patient_add_nothing() -> None:
    successes = np.random.default_rng(0).random(50) < 0.8
    once = cluster_proportion(successes, np.arange(50), confidence_level=0.95)
    copied = cluster_proportion(
        np.repeat(successes, 4), np.repeat(np.arange(50), 4), confidence_level=0.95
    )
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high), abs=0.01)
    perfect = cluster_proportion(np.ones(200, bool), np.arange(200) // 4, confidence_level=0.95)
    assert perfect == Interval(1.0, wilson_interval(50, 50, confidence_level=0.95).low, 1.0)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Patients of 1 to 6 images, success shared within them."""
    random = np.random.default_rng(1)
    held = []
    for _ in range(600):
        clusters = np.repeat(np.arange(60), random.integers(1, 7, size=60))
        rates = random.beta(6, 1, size=60)
        successes = random.random(len(clusters)) < rates[clusters]
        interval = cluster_proportion(successes, clusters, confidence_level=0.9)
        held.append(interval.low <= 6 / 7 <= interval.high)
    assert np.mean(held) == pytest.approx(0.9, abs=0.04)


def test_set_sizes_have_students_interval() -> None:
    sets = np.random.default_rng(2).random((40, 3)) < 0.5
    (whole, *_) = set_coverage(
        sets, np.zeros(40, dtype=np.int64), labels=LABELS, clusters=np.arange(40)
    )
    sizes = sets.sum(axis=1)
    low, high = stats.t.interval(0.95, 39, loc=sizes.mean(), scale=stats.sem(sizes))
    assert (whole.size.low, whole.size.high) == pytest.approx((low, high), abs=1e-9)


def test_sets_of_one_size_may_have_another_elsewhere() -> None:
    sets, truth = np.eye(3, dtype=bool)[np.zeros(40, dtype=np.int64)], np.zeros(40, dtype=np.int64)
    (whole, _) = set_coverage(sets, truth, labels=("a", "b", "c"), clusters=np.arange(40) // 2)
    other = 1 - 0.025 ** (1 / 20)  # none of 20 patients
    assert whole.size.value == 1
    assert (whole.size.low, whole.size.high) == pytest.approx((1 - other, 1 + 2 * other))


def test_coverage_arguments_are_refused() -> None:
    sets, truth = np.ones((4, 3), dtype=bool), np.zeros(4, dtype=np.int64)
    with pytest.raises(PredictionsError, match="one per image"):
        set_coverage(sets, truth, labels=LABELS, clusters=truth, groups={"view": ["PA"]})
    with pytest.raises(PredictionsError, match=r"label sets \[4, 3\]"):
        set_coverage(sets, truth, labels=LABELS[:2], clusters=truth)
    with pytest.raises(PredictionsError, match="confidence_level=2"):
        set_coverage(sets, truth, labels=LABELS, clusters=truth, confidence_level=2)
