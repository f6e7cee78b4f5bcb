"""Figures of the trust sections: what they draw, what they say, and that words keep apart."""

from __future__ import annotations

import io
from dataclasses import asdict
from functools import cache
from itertools import chain, combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from pneumoscope.core.errors import InputError
from pneumoscope.evaluation.abstention import selective_risk
from pneumoscope.evaluation.calibration import softmax
from pneumoscope.evaluation.curves import reliability_bins
from pneumoscope.evaluation.decision_curve import decision_curve
from pneumoscope.evaluation.operating_point import AtLeast, Youden, choose_point, outcome
from pneumoscope.evaluation.predictions import Predictions, predictions_table, read_table
from pneumoscope.evaluation.set_coverage import set_coverage
from pneumoscope.evaluation.subgroups import subgroups
from pneumoscope.imaging.decoded import Radiograph
from pneumoscope.imaging.overlay import overlay
from pneumoscope.reporting.canvas import NamedFigure
from pneumoscope.reporting.forest import (
    MOST_ROWS,
    Column,
    Mark,
    Row,
    Scale,
    fit_scale,
    forest,
    mark_of,
)
from pneumoscope.reporting.gallery import gallery_png, worst_errors
from pneumoscope.reporting.rendering import to_png, to_svg
from pneumoscope.reporting.sheet import fit_text, text_width
from pneumoscope.reporting.trust.figures import TRUST_FIGURES, trust_figures

TWO = ("Normal", "Pneumonia")
FOUR = ("Normal", "Bacterial Pneumonia", "Viral Pneumonia", "COVID-19")
NAMES = (
    "reliability_before_after", "operating_points", "risk_coverage", "decision_curve", "coverage",
    "subgroups", "conditions", "corruptions", "saliency",
)  # fmt: skip
SOURCES = (
    "RSNA Pneumonia Detection", "Guangzhou Women and Children", "PadChest (Alicante)", "BIMCV",
    "Eurorad", "SIRM", "Figure1", "Twitter", "Hannover Medical School", "Montgomery",
)  # fmt: skip
KINDS = ("noise", "blur", "jpeg", "gamma", "rotation", "crop", "resolution", "marker_added")

Case = tuple[Predictions, dict[str, object], dict[str, Any]]


def entry(value: float | None, half: float = 0.02) -> dict[str, object]:
    if value is None:
        return {"value": None, "low": None, "high": None, "unit": "fraction"}
    low, high = max(-1.0, value - half), min(1.0, value + half)
    return {"value": value, "low": low, "high": high, "unit": "fraction"}


def predictions_of(labels: tuple[str, ...], *, n_images: int = 400, seed: int = 0) -> Predictions:
    generator = np.random.default_rng((len(labels), seed))
    truth = list(generator.choice(labels, n_images))
    ids = [f"image-{index:03d}" for index in range(n_images)]
    rows = [
        4 * row + 6 * np.array([label == true for label in labels])
        for row, true in zip(generator.normal(0, 1, (n_images, len(labels))), truth, strict=True)
    ]
    table = predictions_table(
        image_ids=ids, patient_ids=[f"patient-{index // 2}" for index in range(n_images)],
        truth=truth, logits=dict(zip(ids, rows, strict=True)), temperature=2.5, labels=labels,
    )  # fmt: skip
    return read_table(table)


def answers(predictions: Predictions) -> dict[str, Any]:
    """The sections about operating points, abstention, net benefit and label sets."""
    points, calibration = [], predictions_of(predictions.labels, n_images=300, seed=1)
    for label in predictions.labels[1:]:
        for rule in (Youden(), AtLeast("sensitivity", 0.95), AtLeast("specificity", 0.95)):
            point = choose_point(calibration, label=label, rule=rule)
            promised = point.to_json()
            points.append(
                {
                    **{name: promised[name] for name in ("name", "label", "rule", "threshold")},
                    "promised": {name: promised[name] for name in ("sensitivity", "specificity")},
                    "seen": outcome(point, predictions).to_json(),
                    "at_prevalence": None,
                }
            )
    confidence = predictions.probabilities.max(axis=1)
    wrong = predictions.predicted != predictions.truth
    curve = selective_risk(confidence, wrong, clusters=predictions.clusters, resamples=100)
    curves = [
        decision_curve(predictions, label=label, resamples=100).to_json()
        for label in predictions.labels[1:]
    ]
    covered = set_coverage(
        predictions.probabilities > 0.15, predictions.truth, labels=predictions.labels,
        clusters=predictions.clusters,
        groups={"view": ["PA" if index % 3 else "AP" for index in range(predictions.n_images)]},
    )  # fmt: skip
    return {
        "operating_points": points,
        "decision_curves": curves,
        "selective": {
            **{name: getattr(curve, name).tolist() for name in ("coverage", "risk", "low", "high")},
            "area": entry(curve.area.value, 0.01),
            "threshold": {"wanted_risk": 0.05, "threshold": 0.6},
            "seen": {"coverage": entry(0.62), "risk": entry(0.043)},
        },
        "label_sets": {
            "confidence_level": 0.9,
            "coverage": [
                {
                    **{
                        name: getattr(part, name)
                        for name in ("group", "value", "n_images", "n_patients", "empty", "single")
                    },
                    "coverage": asdict(part.coverage),
                    "size": asdict(part.size),
                }
                for part in covered
            ],
        },
    }


def changes() -> dict[str, Any]:
    """The sections about conditions and corruptions."""
    conditions = [
        {"condition": name, "n_images": 400, "n_patients": 200, "auc": entry(auc, 0.03),
         "balanced_accuracy": entry(0.7), "full_auc": entry(0.95), "drop": entry(0.95 - auc),
         "surroundings_auc": entry(0.71) if name == "lungs_swapped" else None}
        for name, auc in (
            ("border_only", 0.61), ("lungs_only", 0.91), ("lungs_removed", 0.83),
            ("lungs_swapped", 0.35), ("metadata_only", 0.55),
        )
    ]  # fmt: skip
    corruptions = [
        {"kind": kind, "severity": severity, "n_images": 200,
         "auc": entry(0.95 - 0.012 * severity * index), "balanced_accuracy": entry(0.7),
         "drop": entry(0.012 * severity * index)}
        for index, kind in reversed(list(enumerate(KINDS)))
        for severity in (1, 2, 3)
    ]  # fmt: skip
    corruptions.append({"kind": "inversion", "severity": 1, "auc": entry(None),
                        "drop": entry(None)})  # fmt: skip
    return {"conditions": conditions, "corruptions": corruptions}


@cache
def case(labels: tuple[str, ...]) -> Case:
    predictions = predictions_of(labels)
    sources = {
        image_id: SOURCES[int(number**1.5 / 800)]
        for number, image_id in enumerate(predictions.image_ids)
    }
    views = {image_id: "PA" if index % 3 else "AP" for index, image_id in enumerate(sources)}
    groups = subgroups(predictions, {"source": sources, "view": views}, resamples=20)
    saliency = {
        label: {"n_images": 25, "energy_in_lungs": entry(0.31 + 0.1 * index),
                "lung_area": entry(0.29, 0.01), "hit_rate": entry(0.5)}
        for index, label in enumerate(labels)
    }  # fmt: skip
    assessment = {
        **answers(predictions),
        **changes(),
        "calibration": {
            "method": "temperature",
            "before": {"ece": entry(0.098)},
            "after": {"ece": entry(0.023)},
        },
        "subgroups": [one.to_json() for one in groups],
        "saliency": {"method": "grad_cam", "labels": saliency, "randomised_similarity": None},
    }
    return predictions, {"auc": entry(0.95), "confidence_level": 0.95}, assessment


@cache
def drawn(labels: tuple[str, ...]) -> dict[str, NamedFigure]:
    return {named.name: named for named in trust_figures(*case(labels))}


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def lines(axes: Axes, label: str) -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        (np.asarray(line.get_xdata()), np.asarray(line.get_ydata()))
        for line in axes.get_lines()
        if line.get_label() == label
    ]


def check_words(figure: Figure) -> None:
    """No word lies over another or beyond the edge."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    width, height = figure.get_size_inches() * figure.dpi
    texts = [
        text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()
    ]
    boxes = {
        (text.get_text(), index): text.get_window_extent(renderer)
        for index, text in enumerate(texts)
    }
    for (name, _), box in boxes.items():
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert inside, f"{name}: beyond the edge"
    for ((name, _), one), ((other, _), two) in combinations(boxes.items(), 2):
        over = min(one.x1, two.x1) - max(one.x0, two.x0), min(one.y1, two.y1) - max(one.y0, two.y0)
        assert min(over) < 2, f"{name} lies over {other}"
    for axes in figure.axes:
        for x, y in chain(*(lines(axes, style) for style in ("main", "other", "weak", "tick"))):
            place = axes.transData.transform((x[0], y[0]))
            hit = [name for (name, _), box in boxes.items() if box.padded(0, 4).contains(*place)]
            assert not hit, f"a mark lies on {hit}"


def test_trust_figures_come_in_the_registry_s_order_with_alt_text() -> None:
    figures = drawn(TWO)
    assert tuple(figures) == NAMES
    assert len(TRUST_FIGURES) == len(NAMES)
    for named in figures.values():
        assert named.alt.endswith(".")
        assert len(named.alt) > 40
        assert "None" not in named.alt


@pytest.mark.parametrize("empty", [None, [], {}])
def test_sections_without_content_draw_nothing(empty: object) -> None:
    predictions, metrics, assessment = case(TWO)
    assert trust_figures(predictions, metrics, {}) == ()
    assert trust_figures(predictions, metrics, dict.fromkeys(assessment, empty)) == ()


@pytest.mark.parametrize("labels", [TWO, FOUR])
@pytest.mark.parametrize("name", NAMES)
def test_words_keep_apart(labels: tuple[str, ...], name: str) -> None:
    check_words(drawn(labels)[name].figure)


def test_figures_are_the_same_bytes_again_and_fit_a_page() -> None:
    again = {named.name: named for named in trust_figures(*case(TWO))}
    for name, named in drawn(TWO).items():
        svg = to_svg(named)
        assert svg == to_svg(again[name])
        assert 'role="img"' in svg
        assert named.figure.get_size_inches()[0] == pytest.approx(4.4)


def test_reliability_draws_plain_softmax_and_calibrated_probabilities() -> None:
    predictions, _, _ = case(TWO)
    axes = drawn(TWO)["reliability_before_after"].figure.axes
    for panel, probabilities in (
        (axes[0], softmax(predictions.logits)),
        (axes[2], predictions.probabilities),
    ):
        bins = reliability_bins(probabilities, predictions.truth)
        (dots,) = [one for one in panel.collections if one.get_label() == "accuracy"]
        offsets = np.asarray(dots.get_offsets())
        np.testing.assert_allclose(offsets[:, 1], bins.accuracy[bins.count > 0])
        np.testing.assert_allclose(offsets[:, 0], bins.confidence[bins.count > 0])
    said = words(drawn(TWO)["reliability_before_after"].figure)
    assert "error 0.098" in said
    assert "error 0.023" in said


def test_operating_points_stand_below_their_label_seen_above_promised() -> None:
    _, _, assessment = case(FOUR)
    named = drawn(FOUR)["operating_points"]
    said = words(named.figure)
    for label in FOUR[1:]:
        assert said.count(label) == 1
    first = assessment["operating_points"][0]
    (seen, *_), (promised, *_) = (lines(named.figure.axes[0], one) for one in ("main", "other"))
    assert seen[0][0] == first["seen"]["sensitivity"]["value"]
    assert promised[0][0] == first["promised"]["sensitivity"]["value"]
    assert seen[0][0] != promised[0][0]
    assert seen[1][0] < promised[1][0]  # the axis points down


def test_risk_coverage_marks_the_threshold_and_the_wanted_risk() -> None:
    _, _, assessment = case(TWO)
    named = drawn(TWO)["risk_coverage"]
    (axes,) = named.figure.axes
    (curve,) = lines(axes, "line")
    np.testing.assert_array_equal(curve[1], assessment["selective"]["risk"])
    (mark,) = lines(axes, "threshold")
    assert (mark[0][0], mark[1][0]) == (0.62, 0.043)
    (wanted,) = lines(axes, "wanted")
    assert set(wanted[1]) == {0.05}


def test_risk_coverage_without_threshold_draws_the_curve_alone() -> None:
    predictions, metrics, assessment = case(TWO)
    plain = {**assessment["selective"], "threshold": None, "seen": None}
    figures = trust_figures(predictions, metrics, {"selective": plain})
    (axes,) = figures[0].figure.axes
    assert lines(axes, "line")
    assert not lines(axes, "threshold")
    assert not lines(axes, "wanted")


@pytest.mark.parametrize("labels", [TWO, FOUR])
def test_decision_curves_have_a_panel_for_each_label(labels: tuple[str, ...]) -> None:
    _, _, assessment = case(labels)
    panels = [axes for axes in drawn(labels)["decision_curve"].figure.axes if axes.axison]
    assert len(panels) == len(labels) - 1
    for axes, curve in zip(panels, assessment["decision_curves"], strict=True):
        for style, name in (("line", "model"), ("dashes", "treat_all"), ("dots", "treat_none")):
            (line,) = lines(axes, style)
            np.testing.assert_array_equal(line[1], curve[name]["value"])


def test_coverage_shows_the_requested_level_and_the_sizes() -> None:
    _, _, assessment = case(FOUR)
    named = drawn(FOUR)["coverage"]
    shares, sizes, _ = named.figure.axes
    (asked,) = lines(shares, "reference")
    assert set(asked[0]) == {0.9}
    parts = assessment["label_sets"]["coverage"]
    assert [line[0][0] for line in lines(sizes, "main")] == [one["size"]["value"] for one in parts]
    assert sizes.get_xlim() == (0, 4)
    heights = [[line[1][0] for line in lines(axes, "main")] for axes in (shares, sizes)]
    assert heights[0] == heights[1]


def test_small_groups_are_hollow_and_undefined_ones_say_so() -> None:
    _, _, assessment = case(FOUR)
    named = drawn(FOUR)["subgroups"]
    warned = [
        one for one in assessment["subgroups"]
        if one["warnings"] and one["metrics"]["auc"]["value"] is not None
    ]  # fmt: skip
    assert warned
    assert len(lines(named.figure.axes[0], "weak")) == len(warned)
    group = {**assessment["subgroups"][0], "metrics": {"auc": entry(None)}}
    figures = trust_figures(*case(FOUR)[:2], {"subgroups": [group]})
    assert "not defined" in words(figures[0].figure)


def test_conditions_come_in_a_fixed_order_after_the_full_image() -> None:
    named = drawn(TWO)["conditions"]
    drawn_values = [line[0][0] for line in lines(named.figure.axes[0], "main")]
    assert drawn_values == [0.95, 0.91, 0.83, 0.35, 0.71, 0.55, 0.61]
    (chance,) = lines(named.figure.axes[0], "reference")
    assert set(chance[0]) == {0.5}
    assert named.figure.axes[0].get_xlim()[0] < 0.35
    assert "around the lungs 0.710" in named.alt


def test_corruptions_say_auc_and_change_and_mark_sure_ones() -> None:
    named = drawn(TWO)["corruptions"]
    said = words(named.figure)
    assert "AUC of the unchanged image: 0.950" in said
    assert "0.698" in said
    assert "\u22120.252 \u25cf" in said
    assert "\u22120.012" in said  # its interval holds zero
    assert "not defined" in said
    assert "0.252, to 0.698, from marker added of severity 3" in named.alt


def test_saliency_draws_energy_above_the_area() -> None:
    axes = drawn(FOUR)["saliency"].figure.axes[0]
    assert [line[0][0] for line in lines(axes, "main")] == pytest.approx([0.31, 0.41, 0.51, 0.61])
    assert {line[0][0] for line in lines(axes, "other")} == {0.29}


def test_forest_grows_with_its_rows_and_says_what_it_leaves_out() -> None:
    rows = [
        Row(name=f"some_backbone_with_name_{index}", marks=(Mark(0.9, 0.85, 0.93),), note="n 1000")
        for index in range(MOST_ROWS + 3)
    ]  # fmt: skip
    scale = fit_scale(rows, Scale(name="AUC"))
    small, large = forest(Column(rows[:2], scale)), forest(Column(rows, scale))
    assert large.get_size_inches()[1] > 5 * small.get_size_inches()[1]
    assert "and 3 more" in words(large)
    assert f"some_backbone_with_name_{MOST_ROWS}" not in words(large)
    check_words(large)


def test_forest_cuts_names_that_leave_no_room_for_numbers() -> None:
    rows = [Row(name="W" * 80, marks=(Mark(0.9, 0.85, 0.93),), note="n 1000")]
    figure = forest(Column(rows, Scale(name="AUC")))
    check_words(figure)
    assert any(word.startswith("WWW") and word.endswith("…") for word in words(figure))
    assert "n 1000" in words(figure)


def test_forest_refuses_columns_of_different_lengths() -> None:
    row = Row(name="a", marks=())
    with pytest.raises(ValueError, match="as many each"):
        forest(Column([row], Scale(name="AUC")), Column([row, row], Scale(name="AUC")))
    with pytest.raises(ValueError, match="one or more"):
        forest(Column([], Scale(name="AUC")))


@pytest.mark.parametrize(
    ("value", "low", "line", "step"),
    [(0.97, 0.95, None, 0.05), (0.83, 0.79, 0.5, 0.1), (0.35, 0.31, 0.5, 0.2)],
)
def test_fit_scale_holds_every_mark(
    value: float, low: float, line: float | None, step: float
) -> None:
    row = Row(name="a", marks=(Mark(value, low, 1.0),))
    scale = fit_scale([row], Scale(name="AUC", line=line))
    assert scale.low <= min(low, line or 1)
    assert scale.step == step
    steps = (scale.high - scale.low) / scale.step
    assert steps == pytest.approx(round(steps))


def test_marks_of_undefined_entries_have_no_value() -> None:
    assert mark_of(None) == Mark(None)
    assert mark_of(entry(0.5, 0.1)) == Mark(0.5, 0.4, 0.6)


def test_fit_text_measures_letters_even_those_that_the_font_lacks() -> None:
    assert text_width("WWW") > 2 * text_width("iii")
    assert text_width("肺炎") >= 2 * 0.9 * 9 / 72
    assert fit_text("short", 2) == "short"
    cut = fit_text("a much longer line than there is room for", 1)
    assert cut.endswith("…")
    assert text_width(cut) <= 1


def test_labels_in_any_script_are_drawn() -> None:
    predictions, metrics, assessment = case(TWO)
    saliency = {"method": "m", "labels": {"肺炎 $x^2$": assessment["saliency"]["labels"]["Normal"]}}
    (named,) = trust_figures(predictions, metrics, {"saliency": saliency})
    assert "肺炎 $x^2$" in to_svg(named)
    assert to_png(named)


def two_label_errors() -> Predictions:
    logits = {"a": [0, 3], "b": [0, 1], "c": [4, 0], "d": [0, 2], "e": [1, 0], "f": [0, 3]}
    truth = ["Normal", "Normal", "Pneumonia", "Normal", "Pneumonia", "Pneumonia"]
    table = predictions_table(
        image_ids=list(logits), patient_ids=list(logits), truth=truth, labels=TWO,
        logits={name: np.array(row, dtype=np.float64) for name, row in logits.items()},
    )  # fmt: skip
    return read_table(table)


def test_worst_errors_are_the_surest_of_each_direction() -> None:
    found = worst_errors(two_label_errors(), most=2)
    assert [one.image_id for one in found] == ["c", "e", "a", "d"]
    assert found[0][1:3] == ("Pneumonia", "Normal")
    assert found[2].probability == pytest.approx(1 / (1 + np.exp(-3)))
    swapped = worst_errors(two_label_errors(), most=1, label="Normal")
    assert [one.image_id for one in swapped] == ["a", "c"]


def test_worst_errors_of_many_labels() -> None:
    predictions = case(FOUR)[0]
    wrong = predictions.predicted != predictions.truth
    found = worst_errors(predictions, most=5)
    assert len(found) == 10
    probabilities = [one.probability for one in found]
    assert probabilities == sorted(probabilities, reverse=True)
    assert probabilities[0] == predictions.probabilities.max(axis=1)[wrong].max()
    for one in worst_errors(predictions, label="COVID-19"):
        assert "COVID-19" in one[1:3]
        assert one.truth != one.answered
    with pytest.raises(InputError, match="allowed: Normal"):
        worst_errors(predictions, label="covid")


def test_gallery_png_has_the_radiograph_beside_its_overlay() -> None:
    canvas = np.arange(64 * 64, dtype=np.uint32).reshape(64, 64).astype(np.uint8)
    saliency = np.zeros((64, 64), dtype=np.float32)
    saliency[20:40, 20:40] = 1
    picture = np.asarray(Image.open(io.BytesIO(gallery_png(canvas, saliency))))
    assert picture.shape == (64, 132, 3)
    np.testing.assert_array_equal(picture[:, :64, 1], canvas)
    expected = overlay(Radiograph(canvas, bits=8, photometric="L", format="png"), saliency)
    np.testing.assert_array_equal(picture[:, 68:], expected)
    alone = np.asarray(Image.open(io.BytesIO(gallery_png(canvas))))
    np.testing.assert_array_equal(alone, canvas)
    large = Image.open(io.BytesIO(gallery_png(np.tile(canvas, (8, 8)), np.tile(saliency, (8, 8)))))
    assert large.size == (256 + 4 + 256, 256)


def test_gallery_png_refuses_a_map_of_another_size() -> None:
    with pytest.raises(InputError, match="saliency is"):
        gallery_png(np.zeros((32, 32), np.uint8), np.zeros((8, 8), np.float32))
