from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pneumoscope.evaluation.resampling import proportion, score_bounds
from pneumoscope.evaluation.verdict.figures import operating_points
from pneumoscope.evaluation.verdict.judge import (
    ITEMS,
    colour_word,
    judge,
    overall_colour,
    overall_sentence,
)
from pneumoscope.evaluation.verdict.parts import Estimate, difference, estimate
from pneumoscope.evaluation.verdict.sets import groups, label_sets
from pneumoscope.evaluation.verdict.several import one_of
from pneumoscope.reporting.sentences import label_set_lines, source_lines

sys.path.append(str(Path(__file__).parent))
from assessment_example import condition, corruption, entry, example, of_labels, sources


def _judged(item: str, **changes: Any) -> dict[str, str]:
    """One item of the verdict on the example with some sections replaced."""
    found = example()
    return _on(item, found.metrics, {**found.assessment, **changes})


def _on(item: str, metrics: dict[str, Any], assessment: dict[str, Any]) -> dict[str, str]:
    (row,) = [row for row in judge(metrics, assessment) if row["item"] == item]
    return row


def _metrics(**changes: Any) -> dict[str, Any]:
    return {**example().metrics, **changes}


def _rate(successes: int, trials: int, low: float, high: float) -> dict[str, Any]:
    return {
        "value": successes / trials, "low": low, "high": high, "successes": successes,
        "trials": trials, "patients": trials, "effective": float(trials),
    }  # fmt: skip


def _group(group: str, error: dict[str, Any]) -> dict[str, Any]:
    return {"column": "view", "group": group, "error_rates": {"pneumonia": error}}


def _point(promised: tuple[float, float, float], seen: tuple[float, float, float]) -> Any:
    kept = {"specificity": entry(0.9), "sensitivity": entry(*promised)}
    return [{
        "name": "sensitivity >= 0.95", "label": "pneumonia", "rule": "", "promised": kept,
        "seen": {**kept, "sensitivity": entry(*seen)},
    }]  # fmt: skip


def _covered(value: float, low: float, high: float, single: float = 0.9) -> dict[str, Any]:
    return {
        "confidence_level": 0.9, "conditional": True,
        "coverage": [
            {"group": "all", "value": "all", "coverage": entry(0.9), "single": single},
            {"group": "label", "value": "pneumonia", "coverage": entry(value, low, high)},
            {"group": "view", "value": "AP", "coverage": entry(0.1)},
        ],
    }  # fmt: skip


def test_every_item_is_judged_in_order_with_a_number_and_a_sentence() -> None:
    verdict = example().assessment["verdict"]
    assert [row["item"] for row in verdict] == list(ITEMS)
    for row in verdict:
        assert set(row) == {"item", "colour", "value", "threshold", "sentence", "said", "limit"}
        assert row["said"]
        assert row["sentence"].endswith(".")
        assert any(character.isdigit() for character in row["sentence"])
        assert not any(word in row["sentence"] for word in ("nan", "None", "inf "))
    assert json.loads(json.dumps(verdict, allow_nan=False)) == verdict


def test_confounded_data_are_red_for_shortcuts_and_the_source_is_named() -> None:
    row = _judged("shortcuts")
    assert row["colour"] == "red"
    assert "AUC of 0.921 (0.902 to 0.938) where chance is 0.5" in row["sentence"]
    assert "source confounding" in row["sentence"]
    assert "Cramér's V 0.710" in row["sentence"]
    assert "0.840 (0.810 to 0.860)" in row["sentence"]
    assert "see also lungs swapped, metadata only and border only" in row["sentence"]
    assert _judged("sources")["colour"] == "red"


def test_reason_is_not_given_where_sources_and_labels_are_not_tied() -> None:
    free = sources(tie=0.05, oracle=(0.56, 0.53, 0.59))
    row = _judged("shortcuts", sources=free)
    assert row["colour"] == "red"
    assert "confounding" not in row["sentence"]
    assert "sources are not recorded" in _judged("shortcuts", sources=None)["sentence"]


def test_one_recorded_source_is_named_and_not_called_unrecorded() -> None:
    images = example().metrics["n_images"]
    one = {"sources": ["Madrid"], "n_images": images}
    cannot = "confounding by source cannot be measured, nor generalisation to another."
    partly = f"7 of {images} images come from one source (Madrid) and the others' is not recorded"
    for section, expected in (
        (one, f"all images come from one source (Madrid): {cannot}"),
        ({**one, "n_images": 7}, f"{partly}: {cannot}"),
        ({**one, "sources": ["Madrid", "Rome"]}, "no two of the 2 sources have enough patients"),
        (None, "no image has a recorded source"),
    ):  # fmt: skip
        row = _judged("sources", sources=section)
        assert row["colour"] == "grey"
        assert expected in row["sentence"]
    told = _judged("shortcuts", sources=one)["sentence"]
    assert "come from one source (Madrid): confounding by source cannot be measured." in told
    assert "not recorded" not in told
    (line,) = source_lines({"sources": one})
    assert "One source is recorded, Madrid" in line


def test_no_shortcut_is_found_where_nothing_but_lungs_tells_the_label() -> None:
    clean = [
        condition("lungs_removed", (0.53, 0.47, 0.59)),
        condition("lungs_swapped", (0.92, 0.89, 0.95), (0.08, 0.05, 0.11)),
        condition("metadata_only", (0.50, 0.44, 0.56)),
        condition("lungs_only", (0.95, 0.93, 0.97)),
    ]
    assert _judged("shortcuts", conditions=clean)["colour"] == "green"


@pytest.mark.parametrize(
    ("low", "colour"), [(0.59, "green"), (0.60, "green"), (0.61, "amber"), (0.76, "red")]
)
def test_models_that_see_no_lungs_are_judged_by_the_lower_end(low: float, colour: str) -> None:
    swapped = condition("lungs_swapped", (0.9, 0.88, 0.92), (0.1, 0.08, 0.12))
    for name in ("lungs_removed", "metadata_only", "border_only"):
        rows = [
            swapped,
            condition("lungs_removed", (0.5, 0.45, 0.55)),
            condition(name, (0.9, low, 0.95)),
        ]
        rows = rows if name != "lungs_removed" else [swapped, rows[-1]]
        assert _judged("shortcuts", conditions=rows)["colour"] == colour


def test_a_ranking_turned_round_knows_as_much_of_the_label() -> None:
    swapped = condition("lungs_swapped", (0.9, 0.88, 0.92), (0.1, 0.08, 0.12))
    for area, colour in (
        ((0.15, 0.11, 0.20), "red"),
        ((0.33, 0.28, 0.38), "amber"),
        ((0.45, 0.38, 0.52), "green"),
    ):
        row = _judged("shortcuts", conditions=[swapped, condition("lungs_removed", area)])
        assert row["colour"] == colour


def test_an_abstention_that_cannot_be_promised_is_said_to_withhold_nothing() -> None:
    seen = {"coverage": {"value": 0.0}, "risk": {"value": None}}
    for threshold, said in ((1.0, "No answer is withheld for its confidence"), (0.7, "Answering")):
        limit = {"threshold": threshold, "wanted_risk": 0.05}
        (line,) = label_set_lines({"selective": {"threshold": limit, "seen": seen}})
        assert said in line


@pytest.mark.parametrize(
    ("name", "calm", "bad", "colour"),
    [
        ("metadata_only", (0.5, 0.45, 0.55), (0.92, 0.87, 0.97), "red"),
        ("border_only", (0.5, 0.45, 0.55), (0.2, 0.15, 0.25), "amber"),
        ("lungs_removed", (0.5, 0.45, 0.55), (0.92, 0.87, 0.97), "red"),
        ("lungs_swapped", (0.9, 0.88, 0.92), (0.3, 0.25, 0.35), "red"),
        ("lungs_only", (0.95, 0.93, 0.97), (0.3, 0.25, 0.35), "amber"),
    ],
)
def test_one_label_told_without_lungs_does_not_hide_in_the_mean(
    name: str, calm: Any, bad: Any, colour: str
) -> None:
    rows = {
        "lungs_removed": condition("lungs_removed", (0.5, 0.45, 0.55)),
        "lungs_swapped": condition("lungs_swapped", (0.9, 0.88, 0.92), (0.1, 0.08, 0.12)),
    }
    row = rows.get(name, condition(name, calm))
    for last, expected in ((calm, "green"), (bad, colour)):
        areas = {"a": calm, "b": calm, "COVID {x}": last}
        judged = _judged(
            "shortcuts", conditions=[*{**rows, name: of_labels(row, **areas)}.values()]
        )
        assert judged["colour"] == expected, judged["sentence"]
    named = " for COVID {x}, which stands out most of 3 labels (intervals hold for all"
    assert named in judged["sentence"]
    assert "of COVID {x}, " in judged["value"]
    assert "'shortcuts.of_label', 'values': {'label': 'COVID {x}', 'labels': 3}" in str(judged)
    assert f"({bad[1] - 0.02:.3f} to {bad[2] + 0.02:.3f})" in judged["sentence"]


def test_the_mean_is_judged_where_it_is_worse_than_any_label_alone() -> None:
    rows = [
        condition("lungs_swapped", (0.9, 0.88, 0.92), (0.1, 0.08, 0.12)),
        of_labels(
            condition("lungs_removed", (0.65, 0.62, 0.68)),
            **dict.fromkeys("abc", (0.65, 0.61, 0.69)),
        ),
    ]
    row = _judged("shortcuts", conditions=rows)
    assert row["colour"] == "amber"
    assert "reaches an AUC of 0.650 (0.620 to 0.680) where chance" in row["sentence"]


def test_answer_that_follows_the_surroundings_is_red_and_an_undecided_one_amber() -> None:
    removed = condition("lungs_removed", (0.5, 0.45, 0.55))
    for lungs, around, colour in (
        ((0.3, 0.25, 0.35), (0.7, 0.65, 0.75), "red"),
        ((0.5, 0.45, 0.55), (0.5, 0.45, 0.55), "amber"),
        ((0.45, 0.40, 0.56), (0.55, 0.44, 0.60), "amber"),
        ((0.7, 0.65, 0.75), (0.3, 0.25, 0.35), "green"),
    ):
        rows = [removed, condition("lungs_swapped", lungs, around)]
        assert _judged("shortcuts", conditions=rows)["colour"] == colour


def test_what_the_cut_costs_is_told_beside_what_exchanged_lungs_do() -> None:
    swapped = condition("lungs_swapped", (0.3, 0.25, 0.35), (0.7, 0.65, 0.75))
    control = condition("lungs_exchanged", (0.91, 0.88, 0.94))
    assert "the same label cost" not in _judged("shortcuts", conditions=[swapped])["sentence"]
    row = _judged("shortcuts", conditions=[swapped, control])
    assert f"the same label cost {control['drop']['value']:.3f}" in row["sentence"]
    assert row["colour"] == "red"


def test_losing_the_surroundings_is_amber_at_most() -> None:
    rows = [
        condition("lungs_removed", (0.5, 0.45, 0.55)),
        condition("lungs_swapped", (0.9, 0.88, 0.92), (0.1, 0.08, 0.12)),
        condition("lungs_only", (0.55, 0.5, 0.6)),
    ]
    assert _judged("shortcuts", conditions=rows)["colour"] == "amber"


def test_shortcuts_are_not_green_before_the_lungs_were_tested() -> None:
    row = _judged("shortcuts", conditions=[condition("metadata_only", (0.5, 0.45, 0.55))])
    assert row["colour"] == "grey"
    assert "lungs removed and lungs swapped was not tested" in row["sentence"]
    assert "lung masks" in row["sentence"]


def test_what_was_not_measured_is_grey_and_says_how_to_measure_it() -> None:
    verdict = judge({"labels": ["a", "b"]}, {})
    assert {row["colour"] for row in verdict} == {"grey"}
    for row in verdict:
        assert row["sentence"].startswith("Not judged: ")
        assert row["value"] == "not measured"
        assert len(row["sentence"].split(". ")) == 2, row["sentence"]
    assert overall_colour(verdict) == "grey"


def test_null_sections_are_grey_and_the_others_are_judged() -> None:
    nothing = dict.fromkeys(("label_sets", "shift", "sources", "saliency"))
    empty: dict[str, Any] = {"conditions": [], "corruptions": [], "subgroups": []}
    found = example()
    verdict = judge(found.metrics, {**found.assessment, **nothing, **empty})
    grey = [row["item"] for row in verdict if row["colour"] == "grey"]
    assert grey == [
        "label sets", "groups", "shortcuts", "sources", "robustness", "saliency", "shift",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("area", "colour"),
    [
        ((0.9, 0.81, 0.95), "green"), ((0.9, 0.79, 0.95), "amber"), ((0.6, 0.55, 0.69), "red"),
        ((0.75, 0.49, 0.9), "red"), ((0.6, 0.55, 0.71), "amber"),
    ],
)  # fmt: skip
def test_discrimination_is_judged_by_ends(area: Any, colour: str) -> None:
    metrics = _metrics(**{"auc:normal": entry(*area)})
    assert _on("discrimination", metrics, {})["colour"] == colour


def test_discrimination_names_the_label_told_apart_worst() -> None:
    labels = {
        "labels": ["a", "b", "c"],
        "auc:a": entry(0.9),
        "auc:b": entry(0.7),
        "auc": entry(0.8),
    }
    assert "AUC of b, the label told apart worst," in _on("discrimination", labels, {})["sentence"]


@pytest.mark.parametrize(
    ("error", "colour"),
    [((0.03, 0.01, 0.05), "green"), ((0.03, 0.01, 0.06), "amber"), ((0.2, 0.11, 0.3), "red"),
     ((0.2, 0.09, 0.3), "amber"), ((0.03, 0.0, 0.08), "green"), ((0.06, 0.0, 0.11), "amber"),
     ((0.06, None, None), "amber")],
)  # fmt: skip
def test_calibration_is_judged_by_ends_after_calibration(error: Any, colour: str) -> None:
    ece = dict(zip(("value", "low", "high"), error, strict=True))
    after = {"calibration": {"before": {"ece": entry(0.4)}, "after": {"ece": ece}}}
    assert _on("calibration", _metrics(), after)["colour"] == colour
    assert _on("calibration", _metrics(ece=ece), {})["colour"] == colour


def test_calibration_that_made_things_worse_is_amber() -> None:
    small = entry(0.02, 0.01, 0.03)
    section = {
        "before": {"log_loss": entry(0.2, 0.19, 0.21)},
        "after": {"ece": small, "log_loss": entry(0.3, 0.28, 0.32)},
    }
    assert _on("calibration", _metrics(), {"calibration": section})["colour"] == "amber"


@pytest.mark.parametrize(
    ("seen", "colour"),
    [
        ((0.94, 0.90, 0.97), "green"), ((0.94, 0.80, 0.97), "amber"), ((0.90, 0.88, 0.92), "amber"),
        ((0.88, 0.86, 0.90), "amber"), ((0.80, 0.76, 0.84), "red"),
    ],
)  # fmt: skip
def test_operating_points_are_judged_by_the_interval_of_the_loss(seen: Any, colour: str) -> None:
    points = _point((0.95, 0.93, 0.97), seen)
    row = _judged("operating points", operating_points=points)
    assert row["colour"] == colour
    assert "0.950 (0.930 to 0.970)" in row["sentence"] or colour == "green"


def test_of_many_rates_kept_hardly_ever_one_is_called_less() -> None:
    """In 100 evaluations of 8 rates of 0.9, promised and seen by 400 images each."""
    random = np.random.default_rng(0)

    def rates() -> dict[str, Any]:
        return {
            rate: proportion(random.random(400) < 0.9, np.arange(400)).to_json()
            for rate in ("sensitivity", "specificity")
        }

    rows = [
        operating_points({}, {"operating_points": [
            {"name": str(point), "label": "a", "promised": rates(), "seen": rates()}
            for point in range(4)
        ]}) for _ in range(100)
    ]  # fmt: skip
    less = [row for row in rows if "surely less" in row.sentence]
    assert len(less) <= 5
    wrong = proportion(np.arange(400) < 300, np.arange(400)).to_json()
    seen = {**rates(), "sensitivity": wrong}
    lost = {"name": "x", "label": "a", "promised": rates(), "seen": seen}
    row = operating_points({}, {"operating_points": [lost]})
    assert row.colour == "red"
    assert row.sentence.endswith("or more, corrected for 2 comparisons.")


def test_rate_without_an_interval_keeps_no_promise_and_breaks_none() -> None:
    points = _point((0.95, 0.93, 0.97), (0.9, 0.9, 0.9))
    points[0]["seen"]["sensitivity"] |= {"low": None, "high": None}
    row = _judged("operating points", operating_points=points)
    assert row["colour"] == "amber"
    assert "no interval" in row["sentence"]


@pytest.mark.parametrize(
    ("coverage", "colour"),
    [((0.89, 0.86, 0.91), "green"), ((0.87, 0.84, 0.89), "amber"), ((0.8, 0.76, 0.84), "red")],
)
def test_label_sets_are_judged_by_the_upper_end_for_every_label(
    coverage: tuple[float, float, float], colour: str
) -> None:
    assert _judged("label sets", label_sets=_covered(*coverage))["colour"] == colour


def test_label_sets_that_promise_nothing_per_label_are_amber_at_most() -> None:
    marginal = {**_covered(0.8, 0.76, 0.84), "conditional": False}
    assert _judged("label sets", label_sets=marginal)["colour"] == "amber"


def test_label_sets_kept_by_saying_little_are_amber() -> None:
    row = _judged("label sets", label_sets=_covered(0.95, 0.9, 0.97, single=0.3))
    assert row["colour"] == "amber"
    assert "0.300 of the sets" in row["sentence"]


@pytest.mark.parametrize(
    ("errors", "colour"),
    [
        ((_rate(5, 100, 0.02, 0.11), _rate(6, 100, 0.03, 0.12)), "green"),
        ((_rate(5, 100, 0.02, 0.11), _rate(20, 100, 0.13, 0.29)), "amber"),
        ((_rate(5, 100, 0.02, 0.11), _rate(40, 100, 0.31, 0.50)), "red"),
        ((_rate(1, 20, 0.01, 0.24), _rate(3, 20, 0.05, 0.36)), "amber"),
        ((_rate(5, 100, 0.02, 0.11), _rate(9, 10, 0.60, 0.98)), "grey"),
    ],
)
def test_groups_are_judged_by_the_gap_of_error_rates(errors: Any, colour: str) -> None:
    table = [_group("PA", errors[0]), _group("AP", errors[1])]
    assert _judged("groups", subgroups=table)["colour"] == colour


def _columns(
    groups: tuple[int, ...], rates: list[float], *, n_images: int, seed: int
) -> list[dict[str, Any]]:
    """Subgroups of so many values per column, dealt by lot; the last value misses as `rates`."""
    random = np.random.default_rng(seed)
    table = []
    for column, count in enumerate(groups):
        value = random.integers(count, size=n_images)
        label, chance = random.integers(2, size=n_images), random.random(n_images)
        for group in range(count):
            rate = rates[-1] if group == count - 1 and column == len(groups) - 1 else rates[0]
            own = [chance[(value == group) & (label == place)] < rate for place in (0, 1)]
            errors = {
                name: proportion(wrong, np.arange(len(wrong))).to_json()
                for name, wrong in zip("ab", own, strict=True)
            }
            table.append({"column": str(column), "group": str(group), "error_rates": errors})
    return table


def test_of_many_groups_alike_hardly_ever_one_is_called_worse() -> None:
    """In 60 evaluations of 11 groups and 22 comparisons each, none of which differs."""
    rows = [
        groups({}, {"subgroups": _columns((2, 2, 3, 4), [0.07], n_images=1500, seed=seed)})
        for seed in range(60)
    ]
    assert sum(row.colour != "green" for row in rows) <= 4
    assert rows[0].said[1].values == {"comparisons": 22}
    assert "may be chance, corrected for 22 comparisons" in rows[0].sentence


def test_a_group_that_is_worse_is_found_among_many() -> None:
    table = _columns((2, 2, 3, 4), [0.07, 0.35], n_images=1500, seed=0)
    row = groups({}, {"subgroups": table})
    assert row.colour == "red"
    assert "where 3 is 3" in row.sentence
    assert row.sentence.endswith("or more is sure, corrected for 22 comparisons.")
    alone = groups({}, {"subgroups": table[-4:]})
    assert "corrected for 12 comparisons" in alone.sentence
    sure = [one.said[1].values["gap"] for one in (row, alone)]
    assert sure[0] < sure[1]  # type: ignore[operator]


def test_an_interval_of_several_is_wilsons_at_the_corrected_level() -> None:
    for value, trials in ((0.0, 30), (0.07, 41.5), (0.5, 20), (1.0, 12)):
        plain = Estimate(value, *score_bounds(value, trials, confidence_level=0.9))
        found = one_of(plain, 8, level=0.9)
        expected = score_bounds(value, trials, confidence_level=1 - 0.1 / 8)
        assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)
        assert one_of(plain, 1, level=0.9) == plain
    unknown = estimate({"value": 0.5})
    assert unknown is not None
    assert one_of(unknown, 5, level=0.95) == unknown
    wide = Estimate(0.5, -0.2, 0.9)
    assert one_of(wide, 5, level=0.95) == Estimate(0.5, -0.2, 1.0)


def test_of_many_labels_kept_hardly_ever_one_is_called_short() -> None:
    """In 100 evaluations of 12 labels of 300 images, whose sets all hold 0.9 of them."""
    random = np.random.default_rng(0)
    short = 0
    for _ in range(100):
        coverage = []
        for label in range(12):
            rate = proportion(random.random(300) < 0.9, np.arange(300)).to_json()
            coverage.append({"group": "label", "value": str(label), "coverage": rate})
        section = {"confidence_level": 0.9, "conditional": True, "coverage": coverage}
        short += label_sets({}, {"label_sets": section}).colour != "green"
    assert short <= 7


def test_unknown_values_are_no_group() -> None:
    table = [
        _group("PA", _rate(5, 100, 0.02, 0.11)), _group("unknown", _rate(40, 100, 0.31, 0.50)),
    ]  # fmt: skip
    assert _judged("groups", subgroups=table)["colour"] == "grey"


@pytest.mark.parametrize(
    ("tie", "oracle", "colour"),
    [
        (0.1, (0.58, 0.56, 0.60), "green"), (0.1, (0.63, 0.61, 0.65), "amber"),
        (0.4, (0.58, 0.56, 0.60), "amber"), (0.1, (0.80, 0.76, 0.84), "red"),
    ],
)  # fmt: skip
def test_sources_are_judged_by_what_the_source_alone_adds(
    tie: float, oracle: tuple[float, float, float], colour: str
) -> None:
    section = {**sources(tie=tie, oracle=oracle), "left_out": [], "told": entry(0.6)}
    assert _judged("sources", sources=section)["colour"] == colour


def test_source_left_out_that_loses_much_is_red() -> None:
    section = sources(tie=0.1, oracle=(0.56, 0.54, 0.58))
    row = _judged("sources", sources=section)
    assert row["colour"] == "red"
    assert "Madrid" in row["sentence"]
    kept = {**section, "left_out": section["left_out"][2:]}
    assert _judged("sources", sources=kept)["colour"] == "green"


@pytest.mark.parametrize(
    ("kind", "severity", "drop", "colour"),
    [
        ("noise", 1, 0.06, "green"), ("noise", 1, 0.08, "amber"), ("noise", 1, 0.13, "red"),
        ("noise", 3, 0.08, "green"), ("noise", 3, 0.4, "amber"),
    ],
)  # fmt: skip
def test_robustness_is_judged_by_the_drop_and_its_severity(
    kind: str, severity: int, drop: float, colour: str
) -> None:
    table = [corruption("blur", 1, 0.0), corruption(kind, severity, drop)]
    assert _judged("robustness", corruptions=table)["colour"] == colour


def test_inversion_is_not_judged() -> None:
    table = [corruption("inversion", 1, 0.5)]
    assert _judged("robustness", corruptions=table)["colour"] == "grey"
    assert _judged("robustness", corruptions=[*table, corruption("blur", 1, 0.0)])[
        "colour"
    ] == "green"  # fmt: skip


@pytest.mark.parametrize(
    ("energy", "colour"),
    [((0.4, 0.35, 0.45), "green"), ((0.27, 0.24, 0.3), "amber"), ((0.1, 0.05, 0.15), "red")],
)
def test_saliency_is_judged_against_the_area_of_the_lungs(energy: Any, colour: str) -> None:
    section = copy.deepcopy(example().assessment["saliency"])
    section["labels"]["pneumonia"]["energy_in_lungs"] = entry(*energy)
    assert _judged("saliency", saliency=section)["colour"] == colour


def test_saliency_of_the_label_of_interest_counts() -> None:
    rules = {**example().assessment["rules"], "label_of_interest": "normal"}
    assert _judged("saliency", rules=rules)["colour"] == "amber"
    assert _judged("saliency")["colour"] == "green"


def test_saliency_that_random_weights_give_too_says_little() -> None:
    section = {**example().assessment["saliency"], "randomised_similarity": entry(0.8)}
    row = _judged("saliency", saliency=section)
    assert row["colour"] == "amber"
    assert "0.800" in row["sentence"]


@pytest.mark.parametrize(
    ("p_value", "distance", "colour"),
    [(0.2, 0.3, "green"), (0.03, 0.3, "amber"), (0.001, 0.1, "amber"), (0.001, 0.3, "red")],
)
def test_shift_is_judged_by_p_value_and_distance(
    p_value: float, distance: float, colour: str
) -> None:
    section = {"p_value": p_value, "statistic": distance}
    assert _judged("shift", shift=section)["colour"] == colour


@pytest.mark.parametrize(
    ("rarest", "width", "colour"),
    [(100, 0.1, "green"), (99, 0.1, "amber"), (100, 0.12, "amber"), (29, 0.1, "red")],
)
def test_sample_size_is_judged_by_the_rarest_label_and_the_interval(
    rarest: int, width: float, colour: str
) -> None:
    metrics = _metrics(
        confusion_matrix=[[300, 100], [0, rarest]], n_patients=1000,
        auc=entry(0.9, 0.95 - width, 0.95),
    )  # fmt: skip
    row = _on("sample size", metrics, {})
    assert row["colour"] == colour
    assert f"pneumonia, has {rarest} images" in row["sentence"]


def test_patients_count_where_they_are_known() -> None:
    section = {"coverage": [{"group": "label", "value": "normal", "n_patients": 12}]}
    row = _on("sample size", _metrics(), {"label_sets": section})
    assert row["colour"] == "red"
    assert "of 12 patients" in row["sentence"]


@pytest.mark.parametrize(
    ("rarest", "unknown", "colour", "counted"),
    [
        (200, 0, "green", "200 images of 200 patients"),
        (200, 50, "green", "200 images of at most 200 patients"),
        (200, 51, "amber", "200 images of at most 200 patients"),
        (200, 500, "amber", "200 images, and"),
        (20, 500, "red", "20 images, and"),
    ],
)
def test_unknown_patients_are_not_counted_as_known(
    rarest: int, unknown: int, colour: str, counted: str
) -> None:
    metrics = _metrics(
        confusion_matrix=[[300, 0], [0, rarest]], n_images=500, n_patients=500,
        n_unknown_patients=unknown, auc=entry(0.9, 0.87, 0.95),
    )  # fmt: skip
    row = _on("sample size", metrics, {})
    assert row["colour"] == colour
    assert f"has {counted}" in row["sentence"]
    reason = (
        f"Patients are not known for {unknown} of 500 images; several images of one patient would "
        "make intervals too narrow."
    )
    assert (reason in row["sentence"]) is (unknown > 50)
    assert ("more than 0.10" in row["threshold"]) is (unknown > 50)
    assert ("patients" in row["value"]) is (unknown < 500)


def test_overall_is_the_worst_and_grey_is_not_green() -> None:
    def of(*colours: str) -> list[dict[str, str]]:
        return [{"item": f"item {at}", "colour": colour} for at, colour in enumerate(colours)]

    assert overall_colour(of("green", "grey", "amber", "red")) == "red"
    assert overall_colour(of("green", "grey", "amber")) == "amber"
    assert overall_colour(of("green", "grey")) == "grey"
    assert overall_colour(of("green", "green")) == "green"
    assert overall_colour([]) == "grey"
    assert colour_word("grey") == "Not judged"
    sentence = overall_sentence(of("green", "red", "amber", "grey", "red"))
    assert sentence.endswith("Red: item 1 and item 4; amber: item 2; not judged: item 3.")
    assert overall_sentence(of("green")) == "Nothing that was measured speaks against the figures."
    assert overall_sentence([]) == "Nothing was judged."


def test_difference_is_newcombes() -> None:
    # Newcombe 1998, table II, example (a): 56/70 against 48/80, method 10: 0.0524 to 0.3339.
    first, second = Estimate(0.8, 0.6918, 0.8775), Estimate(0.6, 0.4906, 0.7002)
    found = difference(first, second)
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=2e-3)


def test_estimates_without_a_value_are_none() -> None:
    assert estimate(entry(None)) is None
    assert estimate(None) is None
    assert str(estimate({"value": 0.5, "low": None, "high": None})) == "0.500 (no interval)"
