"""Operating points: chosen on one split, measured on another, and predictive values anywhere."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import confusion_matrix, roc_curve

from pneumoscope.core.errors import BundleError, PredictionsError
from pneumoscope.evaluation.intervals import wilson_interval
from pneumoscope.evaluation.operating_point import (
    AtLeast,
    Cost,
    OperatingPoint,
    Rule,
    Youden,
    choose_point,
    outcome,
)
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.predictive_values import at_prevalence
from pneumoscope.evaluation.resampling import Rate, proportion

LABELS = ("NORMAL", "PNEUMONIA")


def make_predictions(
    scores: list[float], positive: list[bool], clusters: NDArray[np.int64] | None = None
) -> Predictions:
    probabilities = np.stack([1 - np.array(scores), np.array(scores)], axis=1)
    return Predictions(
        labels=LABELS,
        image_ids=tuple(f"image{index:05d}" for index in range(len(scores))),
        truth=np.array(positive).astype(np.int64),
        logits=np.log(np.maximum(probabilities, 1e-9)),
        probabilities=probabilities,
        clusters=np.arange(len(scores)) if clusters is None else clusters,
    )


def random_predictions(
    n_images: int, *, seed: int, ties: bool = False, per_patient: int = 1
) -> Predictions:
    random = np.random.default_rng(seed)
    clusters = np.arange(n_images) // per_patient
    positive = random.random(n_images) < 0.4
    positive[:2] = True, False
    evidence = random.normal(size=n_images) + random.normal(size=n_images)[clusters]
    scores = 1 / (1 + np.exp(-evidence - 1.5 * positive))
    return make_predictions(
        (scores.round(1) if ties else scores).tolist(), positive.tolist(), clusters
    )


def choose(predictions: Predictions, rule: Rule) -> OperatingPoint:
    return choose_point(predictions, label="PNEUMONIA", rule=rule)


def roc(predictions: Predictions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sensitivity and specificity at every threshold that scikit-learn sees."""
    false, true, _ = roc_curve(
        predictions.truth, predictions.probabilities[:, 1], drop_intermediate=False
    )
    return true, 1 - false


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_youden_is_the_best_on_scikit_learns_curve(seed: int, ties: bool) -> None:
    predictions = random_predictions(80, seed=seed, ties=ties)
    sensitivity, specificity = roc(predictions)
    found = choose(predictions, Youden())
    best = (sensitivity + specificity).max()
    assert found.sensitivity.value + found.specificity.value == pytest.approx(best, abs=1e-12)
    equals = sensitivity + specificity > best - 1e-12
    assert found.sensitivity.value == pytest.approx(sensitivity[equals].max())


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("value", [0.0, 0.5, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_kept_rate_leaves_the_other_as_great_as_can_be(
    seed: int, value: float, ties: bool
) -> None:
    predictions = random_predictions(80, seed=seed, ties=ties)
    sensitivity, specificity = roc(predictions)
    found = choose(predictions, AtLeast("sensitivity", value))
    assert found.sensitivity.value >= value
    best = specificity[sensitivity >= value - 1e-12].max()
    assert found.specificity.value == pytest.approx(best)
    assert found.sensitivity.value == pytest.approx(
        sensitivity[np.isclose(specificity, best)].max()
    )
    found = choose(predictions, AtLeast("specificity", value))
    assert found.specificity.value >= value
    best = sensitivity[specificity >= value - 1e-12].max()
    assert found.sensitivity.value == pytest.approx(best)
    assert found.specificity.value == pytest.approx(
        specificity[np.isclose(sensitivity, best)].max()
    )


@pytest.mark.parametrize("ratio", [0.1, 1.0, 20.0])
@pytest.mark.parametrize("prevalence", [None, 0.02, 0.7])
def test_cost_rule_has_the_least_cost_of_all_thresholds(
    ratio: float, prevalence: float | None
) -> None:
    predictions = random_predictions(120, seed=3, ties=True)
    sensitivity, specificity = roc(predictions)
    share = float(predictions.truth.mean()) if prevalence is None else prevalence

    def cost(sensitivity: Any, specificity: Any) -> Any:
        return ratio * share * (1 - sensitivity) + (1 - share) * (1 - specificity)

    found = choose(predictions, Cost(ratio, prevalence))
    assert cost(found.sensitivity.value, found.specificity.value) == pytest.approx(
        cost(sensitivity, specificity).min(), abs=1e-12
    )


def test_of_equals_the_more_sensitive_is_chosen() -> None:
    predictions = make_predictions([0.8, 0.6, 0.4, 0.2], [True, False, True, False])
    for rule in (Youden(), Cost(1, 0.5)):
        found = choose(predictions, rule)
        assert (found.sensitivity.value, found.specificity.value) == (1, 0.5)


def test_costs_of_equal_weight_are_youden() -> None:
    predictions = random_predictions(200, seed=4)
    assert choose(predictions, Cost(1, 0.5)).threshold == choose(predictions, Youden()).threshold


def test_thresholds_lie_between_probabilities_that_occur() -> None:
    predictions = make_predictions([0.1, 0.3, 0.7, 0.9], [False, False, True, True])
    assert choose(predictions, Youden()).threshold == pytest.approx(0.5)
    everything = make_predictions([0.4, 0.4, 0.8], [True, False, False])
    found = choose(everything, AtLeast("sensitivity", 1))
    assert found.threshold == pytest.approx(0.2)
    assert (found.sensitivity.value, found.specificity.value) == (1, 0)


def test_equal_probabilities_fall_on_one_side() -> None:
    predictions = make_predictions([0.2, 0.6, 0.6, 0.6], [False, True, True, False])
    found = choose(predictions, AtLeast("sensitivity", 0.5))
    assert (found.sensitivity.successes, found.specificity.successes) == (2, 1)
    assert found.threshold == pytest.approx(0.4)


def test_neighbouring_numbers_are_told_apart() -> None:
    high = 0.7
    for _ in range(4):
        high, low = math.nextafter(high, 1), high
        found = choose(make_predictions([low, high], [False, True]), Youden())
        assert found.threshold == high
        assert found.answers(np.array([low, high])).tolist() == [False, True]
        assert (found.sensitivity.value, found.specificity.value) == (1, 1)
    zero = choose(make_predictions([0.0, 0.0], [False, True]), AtLeast("sensitivity", 1))
    assert zero.threshold == 0
    assert zero.sensitivity.value == 1


def test_a_promise_that_only_silence_keeps_has_no_finite_threshold() -> None:
    predictions = make_predictions([1.0, 0.9, 1.0], [True, True, False])
    found = choose(predictions, AtLeast("specificity", 1))
    assert found.threshold == math.inf
    assert (found.sensitivity.value, found.specificity.value) == (0, 1)
    assert not found.answers(np.array([0.0, 1.0])).any()
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["threshold"] is None
    assert OperatingPoint.from_json(content) == found
    given = outcome(found, predictions)
    assert given.ppv.trials == 0
    assert math.isnan(given.ppv.value)
    assert given.npv.value == pytest.approx(1 / 3)
    json.dumps(given.to_json(), allow_nan=False)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=25).filter(
        lambda rows: len({positive for _, positive in rows}) == 2
    ),
    st.sampled_from([Youden(), AtLeast("sensitivity", 0.8), AtLeast("specificity", 0.8), Cost(3)]),
    st.randoms(use_true_random=False),
)
def test_the_order_of_images_does_not_matter(
    rows: list[tuple[int, bool]], rule: Rule, random: Any
) -> None:
    shuffled = random.sample(rows, len(rows))
    found, again = (
        choose(make_predictions([s / 6 for s, _ in part], [p for _, p in part]), rule)
        for part in (rows, shuffled)
    )
    assert found == again
    assert OperatingPoint.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("per_patient", [1, 3])
def test_outcome_counts_as_scikit_learn(per_patient: int) -> None:
    point = choose(random_predictions(150, seed=0), AtLeast("sensitivity", 0.9))
    other = random_predictions(150, seed=1, per_patient=per_patient)
    found = outcome(point, other)
    answered = other.probabilities[:, 1] >= point.threshold
    (tn, fp), (fn, tp) = confusion_matrix(other.truth, answered).tolist()
    counts = {
        "sensitivity": (tp, tp + fn), "specificity": (tn, tn + fp), "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn), "prevalence": (tp + fn, 150),
    }  # fmt: skip
    for name, (successes, trials) in counts.items():
        rate: Rate = getattr(found, name)
        assert (rate.successes, rate.trials) == (successes, trials), name
        assert rate.value == successes / trials
        wilson = wilson_interval(successes, trials, confidence_level=0.95)
        if per_patient == 1:
            assert [rate.low, rate.high] == pytest.approx([wilson.low, wilson.high]), name
        else:
            assert rate.high - rate.low >= wilson.high - wilson.low - 1e-12, name
    assert found.sensitivity.value < 1


def test_promises_are_outcomes_on_the_same_images() -> None:
    predictions = random_predictions(150, seed=0, per_patient=2)
    point = choose(predictions, Youden())
    found = outcome(point, predictions)
    assert (found.sensitivity, found.specificity) == (point.sensitivity, point.specificity)
    assert (point.name, point.rule, found.name) == ("youden", "youden", "youden")


def test_names_and_rules_in_words() -> None:
    rules = [Youden(), AtLeast("specificity", 0.95), Cost(5), Cost(5, 0.02)]
    assert [str(rule) for rule in rules] == [
        "youden", "specificity >= 0.95", "cost ratio 5, prevalence of the images",
        "cost ratio 5, prevalence 0.02",
    ]  # fmt: skip
    point = choose_point(
        random_predictions(40, seed=0), label="NORMAL", rule=Cost(5), name="rule out"
    )
    assert (point.name, point.label, point.rule) == ("rule out", "NORMAL", str(Cost(5)))


def test_copies_of_an_image_are_worth_one() -> None:
    hits = np.array([True, False, True, True, False, True, True, True])
    once = proportion(hits, np.arange(8))
    thrice = proportion(hits.repeat(3), np.arange(8).repeat(3))
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert (thrice.trials, thrice.patients) == (24, 8)
    assert thrice.effective == pytest.approx(8)
    perfect = proportion(np.ones(24, dtype=bool), np.arange(8).repeat(3))
    assert perfect.low == wilson_interval(8, 8, confidence_level=0.95).low
    assert perfect.high == 1
    single = proportion(np.array([True, False]), np.array([4, 4]))
    assert single.effective == 1


def test_even_patients_are_not_worth_more_than_their_images() -> None:
    rate = proportion(np.tile([True, False], 10), np.arange(20) // 2)
    assert rate.effective == 20
    with pytest.raises(PredictionsError, match="Give a patient per image"):
        proportion(np.ones(3, dtype=bool), np.arange(2))


def test_interval_of_patients_covers_the_proportion() -> None:
    """Beta-binomial patients of 1 to 5 images; Wilson of the images alone is too sure."""
    random, runs = np.random.default_rng(2), 500
    covered = apart = 0
    for _ in range(runs):
        clusters = np.arange(60).repeat(random.integers(1, 6, size=60))
        hits = random.random(len(clusters)) < random.beta(1.8, 0.2, size=60)[clusters]
        found = proportion(hits, clusters)
        alone = wilson_interval(found.successes, found.trials, confidence_level=0.95)
        covered += found.low <= 0.9 <= found.high
        apart += alone.low <= 0.9 <= alone.high
    assert 0.92 <= covered / runs <= 0.98
    assert apart / runs < 0.87


def with_rates(sensitivity: tuple[int, int], specificity: tuple[int, int]) -> OperatingPoint:
    found, silent = (
        proportion(np.arange(trials) < successes, np.arange(trials))
        for successes, trials in (sensitivity, specificity)
    )
    return OperatingPoint("p", "PNEUMONIA", 0.5, "youden", found, silent, 0.95)


@pytest.mark.parametrize("prevalence", [0.001, 0.03, 0.5, 0.9])
def test_predictive_values_are_bayes_rule(prevalence: float) -> None:
    found = at_prevalence(with_rates((240, 418), (288, 375)), prevalence)
    natural = 1e9 * prevalence
    healthy = 1e9 - natural
    tp, fp = natural * 240 / 418, healthy * (1 - 288 / 375)
    assert found.ppv.value == pytest.approx(tp / (tp + fp), rel=1e-12)
    tn, fn = healthy * 288 / 375, natural * (1 - 240 / 418)
    assert found.npv.value == pytest.approx(tn / (tn + fn), rel=1e-12)


def test_at_their_own_prevalence_they_are_the_measured_ones() -> None:
    point = choose(random_predictions(150, seed=0), AtLeast("sensitivity", 0.9))
    found = outcome(point, random_predictions(150, seed=1))
    again = at_prevalence(found, found.prevalence.value)
    assert again.ppv.value == pytest.approx(found.ppv.value)
    assert again.npv.value == pytest.approx(found.npv.value)


def test_logit_intervals_are_those_of_the_likelihood_ratios() -> None:
    """Simel's interval of a likelihood ratio (1991), carried by the odds of the prevalence."""
    from scipy.stats.contingency import relative_risk

    found = at_prevalence(with_rates((240, 418), (288, 375)), 0.03)
    for one, hits in ((found.ppv, (240, 418, 87, 375)), (found.npv, (288, 375, 178, 418))):
        bounds = relative_risk(*hits).confidence_interval(0.95)
        odds = 0.03 / 0.97 if one is found.ppv else 0.97 / 0.03
        expected = [odds * bound / (1 + odds * bound) for bound in (bounds.low, bounds.high)]
        assert [one.low, one.high] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("sensitivity", "specificity"),
    [((30, 30), (40, 50)), ((20, 30), (50, 50)), ((30, 30), (50, 50))],
)
def test_perfect_rates_still_have_intervals(
    sensitivity: tuple[int, int], specificity: tuple[int, int]
) -> None:
    found = at_prevalence(with_rates(sensitivity, specificity), 0.1)
    for one in (found.ppv, found.npv):
        assert 0 < one.low < one.value <= one.high <= 1
    if specificity[0] == specificity[1]:
        assert (found.ppv.value, found.ppv.high) == (1, 1)
    json.dumps(found.to_json(), allow_nan=False)


def test_interval_covers_the_predictive_value() -> None:
    random, runs = np.random.default_rng(5), 500
    true = 0.1 * 0.9 / (0.1 * 0.9 + 0.9 * 0.2)
    covered = 0
    for _ in range(runs):
        counts = (int(random.binomial(80, 0.9)), 80), (int(random.binomial(120, 0.8)), 120)
        found = at_prevalence(with_rates(*counts), 0.1)
        covered += found.ppv.low <= true <= found.ppv.high
    assert 0.92 <= covered / runs <= 0.985


def test_images_of_patients_make_predictive_values_less_sure() -> None:
    together = random_predictions(300, seed=6, per_patient=5)
    apart = replace(together, clusters=np.arange(300))
    widths = []
    for predictions in (together, apart):
        found = at_prevalence(choose(predictions, Youden()), 0.1)
        widths.append(found.ppv.high - found.ppv.low)
    assert widths[0] > 1.05 * widths[1]


def test_copies_of_images_leave_predictive_values_as_they_are() -> None:
    once = random_predictions(100, seed=7)
    scores, positive = once.probabilities[:, 1].repeat(3), (once.truth == 1).repeat(3)
    thrice = make_predictions(scores.tolist(), positive.tolist(), np.arange(100).repeat(3))
    for rule in (Youden(), AtLeast("sensitivity", 1)):
        one, other = (at_prevalence(choose(part, rule), 0.1) for part in (once, thrice))
        for name in ("ppv", "npv"):
            bounds = [(getattr(x, name).low, getattr(x, name).high) for x in (one, other)]
            assert bounds[0] == pytest.approx(bounds[1])


def test_no_positive_answer_has_no_predictive_value() -> None:
    found = at_prevalence(with_rates((0, 30), (50, 50)), 0.1)
    assert all(math.isnan(x) for x in (found.ppv.value, found.ppv.low, found.ppv.high))
    assert found.npv.value == pytest.approx(0.9)
    empty = outcome(with_rates((5, 10), (5, 10)), make_predictions([0.2], [False]))
    nothing = at_prevalence(empty, 0.2)
    assert math.isnan(nothing.ppv.value)
    assert math.isnan(nothing.npv.low)


def test_a_wider_level_is_the_normal_quantile() -> None:
    point = with_rates((240, 418), (288, 375))
    widths = []
    for level in (0.9, 0.99):
        one = at_prevalence(point, 0.03, confidence_level=level).ppv
        widths.append(math.log(one.high / (1 - one.high)) - math.log(one.low / (1 - one.low)))
    assert widths[1] / widths[0] == pytest.approx(stats.norm.ppf(0.995) / stats.norm.ppf(0.95))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (AtLeast("sensitivity", 95), "sensitivity=95; allowed: 0 to 1"),
        (Cost(0), "cost ratio 0"),
        (Cost(math.inf), "cost ratio inf"),
        (Cost(2, 0), "prevalence=0"),
    ],
)
def test_rules_out_of_range_are_refused(rule: Rule, message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        choose(random_predictions(20, seed=0), rule)


def test_labels_that_are_not_there_are_refused() -> None:
    predictions = random_predictions(20, seed=0)
    with pytest.raises(PredictionsError, match="label 'TB'; allowed: NORMAL, PNEUMONIA"):
        choose_point(predictions, label="TB", rule=Youden())
    for truth, words in ((0, "with"), (1, "without")):
        one_sided = replace(predictions, truth=np.full(20, truth))
        with pytest.raises(PredictionsError, match=f"no image {words} label 'PNEUMONIA'"):
            choose(one_sided, Youden())
    with pytest.raises(PredictionsError, match=r"prevalence=1\.5"):
        at_prevalence(choose(predictions, Youden()), 1.5)


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": "0.5"}, {"threshold": -1.0}, {"threshold": math.nan}, {"confidence_level": 5},
        {"sensitivity": {}}, {"sensitivity": None}, {"name": ...},
    ],
)  # fmt: skip
def test_broken_points_are_refused(change: dict[str, object]) -> None:
    content = {**choose(random_predictions(20, seed=0), Youden()).to_json(), **change}
    content = {key: value for key, value in content.items() if value is not ...}
    with pytest.raises(BundleError, match="operating point: "):
        OperatingPoint.from_json(content)
    rate = {**with_rates((1, 2), (1, 2)).sensitivity.to_json(), "successes": 3}
    with pytest.raises(ValueError, match="3 successes in 2 trials"):
        Rate.from_json(rate)
