"""The comparison's page: verdict first, every run beside the others, nothing unescaped."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import polars as pl
import pytest

from pneumoscope.evaluation.agreement import agreements, disputed_images
from pneumoscope.evaluation.comparison import Comparison, compare
from pneumoscope.evaluation.intervals import Interval
from pneumoscope.evaluation.predictions import Predictions, predictions_table, read_table
from pneumoscope.evaluation.summary import evaluate_predictions
from pneumoscope.reporting.canvas import stroke
from pneumoscope.reporting.comparison_figures import (
    forest_figure,
    overlaid_history_figure,
    overlaid_roc_figure,
)
from pneumoscope.reporting.comparison_report import ComparisonPage, render_comparison_page
from pneumoscope.reporting.rendering import to_svg
from pneumoscope.reporting.standings import standings

TWO, THREE = ("NORMAL", "PNEUMONIA"), ("NORMAL", "VIRAL", "BACTERIAL")
VOID = {"meta", "link", "br", "img", "input", "hr"}


def table(strength: float, labels: tuple[str, ...], seed: int) -> pl.DataFrame:
    random = np.random.default_rng(0)
    truth, shared = random.integers(len(labels), size=120), random.normal(size=(120, len(labels)))
    own = np.random.default_rng(seed).normal(size=shared.shape)
    logits = strength * np.eye(len(labels))[truth] + shared + 0.4 * own
    ids = [f"{image:04}" for image in range(120)]
    return predictions_table(
        image_ids=ids,
        patient_ids=[f"p{image // 2}" for image in range(120)],
        truth=[labels[index] for index in truth],
        logits=dict(zip(ids, logits, strict=True)),
        temperature=1.0,
        labels=labels,
    )


def history(epochs: int, best: int) -> pl.DataFrame:
    steps = np.arange(1, epochs + 1)
    return pl.DataFrame({
        "phase": ["probe"] * epochs,
        "epoch": steps,
        "validation_loss": 1 / steps,
        "validation_auc": 1 - 0.2 / steps,
        "best": steps <= best,
    })  # fmt: skip


def page(
    strengths: dict[str, float], labels: tuple[str, ...] = TWO, *, reference: str | None = None
) -> ComparisonPage:
    tables = {name: table(own, labels, seed) for seed, (name, own) in enumerate(strengths.items())}
    predictions = {name: read_table(own) for name, own in tables.items()}
    comparisons = compare(
        predictions, metrics=("auc", "log_loss"), resamples=400, reference=reference
    )
    pairs = list(dict.fromkeys((one.first, one.second) for one in comparisons))
    disputed = disputed_images(predictions)
    return ComparisonPage(
        predictions=predictions,
        metrics={
            name: evaluate_predictions(
                own, resamples=100, confidence_level=0.95, seed=0, split="", bundle="", data=""
            )
            for name, own in tables.items()
        },
        comparisons=comparisons,
        reference=reference,
        agreements=agreements(predictions, pairs),
        disputed=disputed.with_columns(pl.lit(None, dtype=pl.String).alias("path")),
        differences={"model.backbone": dict.fromkeys(strengths, "lenet5"), "seed": {}},
        histories={next(iter(strengths)): history(6, 4)},
        facts={name: {"model": f"m-{name}"} for name in strengths},
        notices=["something to know"],
        settings={"resamples": 400},
        provenance={"created": "today"},
    )


class Balance(HTMLParser):
    """Every element that is opened is closed, and ids are given once."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)


def parsed(html: str) -> Balance:
    found = Balance()
    found.feed(html)
    assert found.open == []
    assert len(set(found.ids)) == len(found.ids)
    return found


def shown(html: str) -> str:
    return " ".join(" ".join(parsed(html).words).split())


def test_the_verdict_stands_before_every_number() -> None:
    one = page({"weak": 0.8, "strong": 2.6})
    html = render_comparison_page(one)
    text = shown(html)
    sentence = f"{one.comparisons[0].words()}.".replace("\u00a0", " ")
    assert "strong is better than weak in AUC by" in sentence
    assert text.index(sentence) < text.index("The numbers, side by side")
    assert text.index("weak and strong compared") < text.index(sentence)
    assert "120 images of 60 patients that both runs answered" in text
    assert html == render_comparison_page(one)


def test_it_needs_no_network_and_no_script() -> None:
    html = render_comparison_page(page({"a": 1.0, "b": 2.0}))
    assert "<script" not in html
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", html)


def test_every_run_and_label_is_there_whatever_its_name() -> None:
    names = {"<b>&\"'": 1.0, "two": 1.5, "три": 2.0}
    one = page(names, ("a<i>", "b&", "c"))
    html = render_comparison_page(one)
    assert '<b>&"' not in html
    assert "<i>" not in html
    text = shown(html)
    for name in (*names, "a<i>", "b&", "c"):
        assert name in text
    assert html.count('id="figure-confusion_') == 3
    assert html.count('id="figure-roc_') == 3
    assert html.count('id="figure-forest_') == 2


def test_side_by_side_numbers_are_those_of_the_metrics() -> None:
    one = page({"a": 1.0, "b": 2.0})
    rows = re.findall(r"<tr><th scope=\"row\">AUC</th>(.*?)</tr>", render_comparison_page(one))
    values = re.findall(r"number\">([\d.]+)<small>([\d.]+) to ([\d.]+)", rows[0])
    entries = [own["auc"] for own in one.metrics.values()]
    assert values == [
        tuple(f"{entry[key]:.3f}" for key in ("value", "low", "high"))
        for entry in entries
        if isinstance(entry, dict)
    ]


def test_disagreements_are_counted_and_the_wrong_answers_marked() -> None:
    one = page({"weak": 0.8, "strong": 2.6})
    html = render_comparison_page(one)
    counts = one.agreements[0].counts
    row = re.search(r"<th scope=\"row\">weak, strong</th><td>all</td>(.*?)</tr>", html)
    assert row is not None
    assert [int(number) for number in re.findall(r">(\d+)<", row.group(1))] == [
        counts.both_right, counts.only_first, counts.only_second, counts.both_wrong,
    ]  # fmt: skip
    assert html.count("(wrong)") == 20
    assert f"{one.disputed.height} images that some runs have right" in shown(html)
    agreed = replace(one, disputed=one.disputed.clear())
    assert "There is no image that one run has right" in shown(render_comparison_page(agreed))


def test_recipe_fields_that_one_run_lacks_have_a_dash() -> None:
    one = replace(
        page({"a": 1.0, "b": 2.0}),
        differences={"phases.1.kind": {"b": "fine_tune"}, "flip": {"a": True, "b": None}},
    )
    html = render_comparison_page(one)
    assert re.search(r"phases\.1\.kind</th><td[^>]*>\u2013</td><td[^>]*>fine_tune</td>", html)
    assert re.search(r"flip</th><td[^>]*>true</td><td[^>]*>null</td>", html)
    assert "No recipe field differs" in shown(render_comparison_page(replace(one, differences={})))
    unknown = render_comparison_page(replace(one, differences=None))
    assert "Fewer than two of these folders hold a recipe" in shown(unknown)


def test_without_a_history_no_training_is_drawn() -> None:
    one = page({"a": 1.0, "b": 2.0})
    assert 'id="figure-history"' in render_comparison_page(one)
    assert 'id="figure-history"' not in render_comparison_page(replace(one, histories={}))


def made(first: str, second: str, values: tuple[float, float], p_value: float) -> Comparison:
    gap = values[0] - values[1]
    interval = Interval(gap, gap - 0.01, gap + 0.01)
    return Comparison(
        "log_loss", first, second, *values, interval, p_value, p_value, "bootstrap", 3, 0.95
    )


def test_the_leader_of_a_loss_is_the_lowest() -> None:
    pairs = [
        made("a", "b", (0.5, 0.2), 0.001),
        made("a", "c", (0.5, 0.21), 0.001),
        made("b", "c", (0.2, 0.21), 0.4),
    ]
    (found,) = standings(pairs)
    assert (found.model, found.better_than, found.tied_with) == ("b", ("a",), ("c",))
    assert found.words() == ("Log loss: b leads, is better than a and is a statistical tie with c.")
    (against,) = standings(pairs[:2], reference="a")
    assert against.words() == "Log loss: the reference a is worse than b and c."
    (alone,) = standings(pairs[:1])
    assert alone.words() == f"{pairs[0].words()}."
    tied = [replace(one, adjusted_p_value=0.2) for one in pairs]
    (nobody,) = standings(tied)
    assert nobody.words() == "Log loss: b, with the best value, is a statistical tie with a and c."
    (unknown,) = standings([made("a", "b", (math.nan, 0.2), math.nan), *pairs[1:]])
    assert (unknown.model, unknown.undecided, unknown.tied_with) == ("b", ("a",), ("c",))


def texts(svg: str) -> str:
    root = ET.fromstring(svg)
    return " ".join(node.text or "" for node in root.iter() if node.tag.endswith("text"))


def test_the_forest_names_pairs_and_the_better_side() -> None:
    pairs = [made("a", "b", (0.5, 0.2), 0.001), made("a", "c", (0.5, 0.499), 0.9)]
    words = texts(to_svg(forest_figure("log_loss", pairs)))
    assert "a \u2212 b" in words
    assert "a \u2212 c" in words
    assert "the second of a pair is better" in words
    assert "0.300" in words
    assert "b is better" in texts(to_svg(forest_figure("log_loss", pairs[:1])))
    assert "a is better" in texts(to_svg(forest_figure("auc", pairs[:1])))
    drawn = forest_figure("log_loss", pairs).figure
    faces = {
        str(line.get_markerfacecolor())
        for axes in drawn.axes
        for line in axes.lines
        if line.get_marker() == "o"
    }
    assert len(faces) == 2


def test_zero_is_written_without_a_sign() -> None:
    for gap in (0.484, 0.3, 0.07, 0.0007):
        words = texts(to_svg(forest_figure("auc", [made("a", "b", (0.0, gap), 0.001)])))
        assert " 0 " in f" {words} "
        assert " -0 " not in f" {words} "


def test_a_forest_of_undefined_differences_is_drawn() -> None:
    nothing = Interval(math.nan, math.nan, math.nan)
    one = replace(made("a", "b", (0.5, 0.2), math.nan), difference=nothing)
    assert "not defined" in texts(to_svg(forest_figure("log_loss", [one])))


def of(strengths: dict[str, float]) -> dict[str, Predictions]:
    return {
        name: read_table(table(own, TWO, seed))
        for seed, (name, own) in enumerate(strengths.items())
    }


@pytest.mark.parametrize(("strengths", "panels"), [((0.8, 1.2), 2), ((4.5, 5.0), 3)])
def test_crowded_roc_curves_are_drawn_again_larger(
    strengths: tuple[float, float], panels: int
) -> None:
    predictions = of({"a": strengths[0], "b": strengths[1]})
    areas = {"a": 0.7, "b": 0.8} if panels == 2 else {"a": 0.97, "b": 0.99}
    found = overlaid_roc_figure(predictions, "PNEUMONIA", areas)
    assert len(found.figure.axes) == panels
    curves = {line.get_label(): line for line in found.figure.axes[0].lines}
    assert curves["a"].get_color() == stroke(0)[0]
    assert curves["b"].get_color() == stroke(1)[0]
    assert "a 0.7" in found.alt or "a 0.97" in found.alt


def test_undefined_areas_are_said() -> None:
    found = overlaid_roc_figure(of({"a": 1.0, "b": 2.0}), "PNEUMONIA", {"a": None, "b": 0.8})
    assert "a not defined" in found.alt


def test_histories_of_other_lengths_share_their_axes() -> None:
    found = overlaid_history_figure({"b": history(3, 3), "c": history(9, 5)}, {"b": 1, "c": 2})
    loss = found.figure.axes[0]
    assert loss.get_xlim() == (1, 9)
    lines = [line for line in loss.lines if len(np.asarray(line.get_xdata())) > 1]
    assert [line.get_color() for line in lines] == [stroke(1)[0], stroke(2)[0]]
    assert "c, best at epoch 5" in found.alt
