from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.text import Text
from PIL import Image

from pneumoscope.core.errors import StorageError
from pneumoscope.evaluation.curves import (
    confusion_matrix,
    precision_recall_curve,
    reliability_bins,
    roc_curve,
)
from pneumoscope.evaluation.predictions import Predictions, predictions_table, read_table
from pneumoscope.evaluation.summary import evaluate_predictions
from pneumoscope.reporting.canvas import PALETTE, STROKES, stroke
from pneumoscope.reporting.figures import (
    EVALUATION_FIGURES,
    NamedFigure,
    confusion_figure,
    evaluation_figures,
    history_figure,
    precision_recall_figure,
    reliability_figure,
    roc_figure,
    save_figures,
    to_svg,
)

TWO = ("normal", "pneumonia")
FOUR = ("normal", "bacterial pneumonia", "viral pneumonia", "COVID-19")
NAMES = ("roc", "precision_recall", "reliability", "confusion")

Case = tuple[Predictions, dict[str, object]]


def _case(
    labels: tuple[str, ...], *, truth: tuple[str, ...] = (), n_images: int = 120, signal: float = 2
) -> Case:
    generator = np.random.default_rng(0)
    chosen = truth or tuple(generator.choice(labels, n_images))
    ids = [f"image-{index:03d}" for index in range(len(chosen))]
    noise = generator.normal(0, 1, (len(chosen), len(labels)))
    rows = [
        row + signal * np.array([label == true for label in labels])
        for row, true in zip(noise, chosen, strict=True)
    ]
    table = predictions_table(
        image_ids=ids, patient_ids=[f"patient-{index // 2}" for index in range(len(ids))],
        truth=chosen, logits=dict(zip(ids, rows, strict=True)), temperature=1.0, labels=labels,
    )  # fmt: skip
    metrics = evaluate_predictions(
        table, resamples=100, confidence_level=0.95, seed=0, split="test", bundle="b", data="d"
    )
    return read_table(table), metrics


@pytest.fixture(scope="module")
def two() -> Case:
    return _case(TWO)


@pytest.fixture(scope="module")
def four() -> Case:
    return _case(FOUR)


def _history(epochs: int = 12, *, best: int | None = 8) -> pl.DataFrame:
    loss = [0.7 / (1 + index) for index in range(epochs)]
    return pl.DataFrame(
        {
            "phase": ["probe" if index < 6 else "fine_tune" for index in range(epochs)],
            "epoch": [index % 6 for index in range(epochs)],
            "train_loss": loss,
            "validation_loss": [value + 0.05 for value in loss],
            "validation_auc": [1 - value for value in loss],
            "learning_rate": [1e-3] * epochs,
            "best": [index == best for index in range(epochs)],
        }
    )


def _line(axes: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    (line,) = [line for line in axes.get_lines() if line.get_label() == label]
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def _labels(axes: Axes) -> list[str]:
    return [str(line.get_label()) for line in axes.get_lines()]


def _words(named: NamedFigure) -> list[str]:
    return [text.get_text() for text in named.figure.findobj(Text) if text.get_text()]


def test_evaluation_figures_come_in_the_registry_s_order(two: Case) -> None:
    figures = evaluation_figures(*two)
    assert tuple(named.name for named in figures) == NAMES
    assert len(EVALUATION_FIGURES) == len(NAMES)
    for named in figures:
        assert named.alt.endswith(".")
        assert len(named.alt) > 40


def test_roc_of_two_labels_draws_the_second_label_s_curve_only(two: Case) -> None:
    predictions, metrics = two
    named = roc_figure(predictions, metrics)
    curve = roc_curve(predictions.truth == 1, predictions.probabilities[:, 1])
    x, y = _line(named.figure.axes[0], "pneumonia")
    np.testing.assert_array_equal(x, curve.false_positive_rate)
    np.testing.assert_array_equal(y, curve.true_positive_rate)
    assert "normal" not in _labels(named.figure.axes[0])
    assert "pneumonia" in _words(named)


def test_roc_marks_the_operating_point_of_the_more_probable_label(two: Case) -> None:
    predictions, metrics = two
    matrix = confusion_matrix(predictions)
    x, y = _line(roc_figure(predictions, metrics).figure.axes[0], "operating point")
    assert x[0] == pytest.approx(matrix[0, 1] / matrix[0].sum())
    assert y[0] == pytest.approx(matrix[1, 1] / matrix[1].sum())


def test_roc_says_the_metrics_area_and_interval(two: Case) -> None:
    predictions, metrics = two
    entry = metrics["auc:pneumonia"]
    assert isinstance(entry, Mapping)
    named = roc_figure(predictions, metrics)
    assert f"AUC {entry['value']:.3f}" in _words(named)
    assert f"{entry['low']:.3f} to {entry['high']:.3f}" in _words(named)
    assert f"{entry['value']:.3f} (95% CI {entry['low']:.3f} to {entry['high']:.3f})" in named.alt


def test_precision_recall_draws_the_curve_as_steps(two: Case) -> None:
    predictions, metrics = two
    axes = precision_recall_figure(predictions, metrics).figure.axes[0]
    curve = precision_recall_curve(predictions.truth == 1, predictions.probabilities[:, 1])
    x, y = _line(axes, "pneumonia")
    np.testing.assert_array_equal(x, curve.recall)
    np.testing.assert_array_equal(y, curve.precision)
    (line,) = [line for line in axes.get_lines() if line.get_label() == "pneumonia"]
    assert line.get_drawstyle() == "steps-pre"
    assert _line(axes, "prevalence")[1][0] == np.mean(predictions.truth == 1)


def test_precision_recall_says_scikit_learn_s_average_precision() -> None:
    metrics_module = pytest.importorskip("sklearn.metrics")
    predictions, metrics = _case(TWO, signal=0.3, n_images=40)
    expected = metrics_module.average_precision_score(
        predictions.truth == 1, predictions.probabilities[:, 1]
    )
    named = precision_recall_figure(predictions, metrics)
    assert f"Average precision {expected:.3f}" in _words(named)
    assert f"average precision {expected:.3f}" in named.alt


@pytest.mark.parametrize("draw", [roc_figure, precision_recall_figure])
def test_many_labels_give_one_curve_each(
    four: Case, draw: Callable[[Predictions, Mapping[str, object]], NamedFigure]
) -> None:
    named = draw(*four)
    drawn = _labels(named.figure.axes[0])
    assert [label for label in drawn if label in FOUR] == list(FOUR)
    for label in FOUR:
        assert any(word.endswith(label) for word in _words(named))


def test_each_of_many_labels_draws_its_own_arrays(four: Case) -> None:
    predictions, metrics = four
    axes = roc_figure(predictions, metrics).figure.axes[0]
    for index, label in enumerate(FOUR):
        curve = roc_curve(predictions.truth == index, predictions.probabilities[:, index])
        x, y = _line(axes, label)
        np.testing.assert_array_equal(x, curve.false_positive_rate)
        np.testing.assert_array_equal(y, curve.true_positive_rate)


def test_twenty_one_labels_look_different_and_the_rest_is_counted() -> None:
    strokes = {stroke(index) for index in range(len(PALETTE) * len(STROKES))}
    assert len(strokes) == 21
    case = _case(tuple(f"finding {index}" for index in range(21)))
    assert "and 7 more" in _words(roc_figure(*case))


def test_reliability_draws_the_filled_bins_and_all_counts(two: Case) -> None:
    predictions, metrics = two
    bins = reliability_bins(predictions.probabilities, predictions.truth)
    upper, lower = reliability_figure(predictions, metrics).figure.axes
    (dots,) = [found for found in upper.collections if isinstance(found, PathCollection)]
    filled = bins.count > 0
    drawn = np.asarray(dots.get_offsets())
    np.testing.assert_array_equal(
        drawn, np.column_stack([bins.confidence[filled], bins.accuracy[filled]])
    )
    heights = [patch.get_height() for patch in lower.patches]  # type: ignore[attr-defined]
    assert heights == bins.count.tolist()


def test_confusion_writes_every_count_and_its_share_of_the_row(two: Case) -> None:
    predictions, metrics = two
    matrix = confusion_matrix(predictions)
    named = confusion_figure(predictions, metrics)
    words = _words(named)
    for row in matrix:
        for images in row:
            assert str(images) in words
            assert f"{100 * images / row.sum():.1f}%" in words
    (mesh,) = named.figure.axes[0].collections
    shares = np.asarray(mesh.get_array()).reshape(2, 2)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    worst = max(int(matrix[0, 1]), int(matrix[1, 0]))
    assert f"{worst} image" in named.alt


def test_confusion_numbers_columns_too_narrow_for_their_names(four: Case) -> None:
    axes = confusion_figure(*four).figure.axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "3", "4"]
    rows = [tick.get_text() for tick in axes.get_yticklabels()]
    assert rows[3] == "COVID-19\u00a0\u00a04"


def test_history_draws_its_columns_over_all_phases() -> None:
    history = _history()
    named = history_figure(history)
    loss, area = named.figure.axes
    for axes, label, column in (
        (loss, "train", "train_loss"),
        (loss, "validation", "validation_loss"),
        (area, "validation", "validation_auc"),
    ):
        x, y = _line(axes, label)
        np.testing.assert_array_equal(x, np.arange(1, 13))
        np.testing.assert_array_equal(y, history[column].to_numpy())
    assert _line(area, "best")[0].tolist() == [9]
    assert {"probe", "fine tune", "best: epoch 9"} <= set(_words(named))
    assert "epoch 9" in named.alt


def test_history_marks_the_epoch_each_phase_kept() -> None:
    history = _history().with_columns(best=pl.Series([True] * 12))
    phases = history["phase"].to_list()
    kept = [row for row in range(12) if row == 11 or phases[row] != phases[row + 1]]
    for axes in history_figure(history).figure.axes:
        rings = [line for line in axes.lines if line.get_linestyle() == "None"]
        marked = sorted(int(x) - 1 for line in rings for x in np.asarray(line.get_xdata()))
        assert marked == kept


@pytest.mark.parametrize("epochs", [1, 2])
def test_history_of_a_few_epochs_shows_points(epochs: int) -> None:
    loss = history_figure(_history(epochs, best=0)).figure.axes[0]
    (line,) = [line for line in loss.get_lines() if line.get_label() == "train"]
    assert line.get_marker() == "o"


def test_history_without_a_best_epoch_or_finite_numbers_is_drawn() -> None:
    history = _history(best=None).with_columns(
        validation_auc=pl.lit(None, dtype=pl.Float64), train_loss=pl.lit(float("nan"))
    )
    named = history_figure(history)
    assert "no epoch is marked" in named.alt
    to_svg(named)


@pytest.mark.parametrize("labels", [TWO, FOUR])
def test_figures_of_one_true_label_say_that_areas_are_not_defined(labels: tuple[str, ...]) -> None:
    case = _case(labels, truth=(labels[0],) * 8)
    roc, precision_recall, *others = evaluation_figures(*case)
    assert (
        "not defined" in roc.alt or "none is defined" in roc.alt or "n/d" in " ".join(_words(roc))
    )
    for named in (roc, precision_recall, *others):
        assert "nan" not in named.alt
        assert not any("nan" in word for word in _words(named))
        to_svg(named)


def test_labels_are_drawn_literally() -> None:
    labels = (r"a\frac{b}", "$x_2$ & <b>")
    figures = evaluation_figures(*_case(labels))
    for named in figures:
        texts = [text for text in named.figure.findobj(Text) if text.get_text()]
        assert not any(text.get_parse_math() for text in texts)
    svg = "".join(to_svg(named) for named in figures)
    assert "$x_2$ &amp; &lt;b&gt;" in svg
    assert r"a\frac{b}" in svg
    assert "<b>" not in svg


def test_labels_of_any_script_are_drawn() -> None:
    svg = to_svg(confusion_figure(*_case(("正常", "肺炎"))))
    assert "肺炎" in svg


@pytest.mark.parametrize("case", ["two", "four"])
def test_svg_is_well_formed_alone_and_carries_its_finding(
    case: str, request: pytest.FixtureRequest
) -> None:
    for named in evaluation_figures(*request.getfixturevalue(case)):
        root = ET.fromstring(to_svg(named))
        assert root.get("role") == "img"
        assert root.get("aria-label") == named.alt
        assert root.get("viewBox") == "0 0 316.8 331.2"


def test_svg_ids_are_unique_across_figures_and_all_references_resolve(two: Case) -> None:
    svgs = [to_svg(named) for named in (*evaluation_figures(*two), history_figure(_history()))]
    ids = [name for svg in svgs for name in re.findall(r'\bid="([^"]+)"', svg)]
    assert len(ids) == len(set(ids))
    for svg in svgs:
        own = set(re.findall(r'\bid="([^"]+)"', svg))
        references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
        assert references
        assert {first or second for first, second in references} <= own


def test_svg_leaves_the_page_s_styles_alone(two: Case) -> None:
    for named in evaluation_figures(*two):
        assert "<style" not in to_svg(named)
        assert "<metadata" not in to_svg(named)


def test_svg_of_equal_input_is_equal_whatever_the_user_s_settings(two: Case) -> None:
    first = [to_svg(named) for named in evaluation_figures(*two)]
    before = dict(mpl.rcParams)
    loud = {
        "font.size": 30, "font.family": "serif", "axes.grid": True, "axes.facecolor": "red",
        "lines.linewidth": 9, "lines.marker": "x", "xtick.direction": "in", "grid.color": "red",
        "savefig.facecolor": "red", "savefig.bbox": "tight", "axes.spines.top": False,
        "text.color": "red", "patch.linewidth": 7, "axes.xmargin": 0.4, "figure.autolayout": True,
    }  # fmt: skip
    with mpl.rc_context(loud):  # type: ignore[arg-type]
        second = [to_svg(named) for named in evaluation_figures(*two)]
    assert first == second
    assert dict(mpl.rcParams) == before


def test_save_figures_writes_one_png_each(two: Case, tmp_path: Path) -> None:
    paths = save_figures(evaluation_figures(*two), tmp_path / "new" / "figures")
    assert [path.name for path in paths] == [f"{name}.png" for name in NAMES]
    assert sorted(paths) == sorted((tmp_path / "new" / "figures").iterdir())
    with Image.open(paths[0]) as image:
        assert image.size == (880, 920)
        corner = image.convert("RGB").getpixel((0, 0))
    assert corner == (255, 255, 255)


def test_save_figures_says_when_the_place_cannot_be_written(two: Case, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError, match="taken"):
        save_figures(evaluation_figures(*two), tmp_path / "taken")
