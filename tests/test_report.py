from __future__ import annotations

import copy
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pneumoscope.core.errors import PredictionsError, StorageError
from pneumoscope.core.recipe import Recipe, dump_recipe
from pneumoscope.evaluation.predictions import predictions_table, read_table
from pneumoscope.evaluation.summary import evaluate_predictions
from pneumoscope.reporting.gallery import WorstError
from pneumoscope.reporting.prevalence_words import decision_lines
from pneumoscope.reporting.report import GalleryImage, ReportInput, render_report, write_report
from pneumoscope.reporting.sections import assessment_sections
from pneumoscope.reporting.tables import (
    count_table,
    excluded_table,
    headline_tiles,
    label_table,
    metric_row,
    overall_rows,
)
from pneumoscope.reporting.trust.figures import trust_figures
from pneumoscope.reporting.trust.tables import rate_cell
from pneumoscope.reporting.words import NOTICE, describe, format_number, is_entry, spell

sys.path.append(str(Path(__file__).parent))
from assessment_example import condition, example, of_labels

HOSTILE = "<script>alert(1)</script>"
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source"}


class Page(HTMLParser):
    """What a browser would find: elements in order, texts, and tags that do not close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style" and data.strip():
            self.texts.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def _table(labels: tuple[str, ...], truth: tuple[str, ...] = ()) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    chosen = truth or tuple(generator.choice(labels, 90))
    ids = [f"image-{index:03d}" for index in range(len(chosen))]
    logits = {
        image_id: generator.normal(0, 1, len(labels)) + 2 * np.array([x == true for x in labels])
        for image_id, true in zip(ids, chosen, strict=True)
    }
    return predictions_table(
        image_ids=ids, patient_ids=[f"patient-{index // 2}" for index in range(len(ids))],
        truth=chosen, logits=logits, temperature=1.0, labels=labels,
    )  # fmt: skip


def _metrics(table: pl.DataFrame) -> dict[str, object]:
    return evaluate_predictions(
        table, resamples=100, confidence_level=0.9, seed=0, split="test", bundle="bundle-1f",
        data="hospital B",
    )  # fmt: skip


def _counts(labels: tuple[str, ...]) -> pl.DataFrame:
    rows = [("test", label, 40, 30) for label in labels] + [("train", labels[0], 12345, 9000)]
    return pl.DataFrame(rows, schema=["split", "label", "images", "patients"], orient="row")


def _report(labels: tuple[str, ...] = ("normal", "pneumonia")) -> ReportInput:
    table = _table(labels)
    history = pl.DataFrame(
        {
            "phase": ["probe"] * 5,
            "epoch": [0, 1, 2, 3, 4],
            "train_loss": [0.9, 0.5, 0.4, 0.35, 0.3],
            "validation_loss": [0.8, 0.6, 0.5, 0.45, 0.5],
            "validation_auc": [0.7, 0.8, 0.9, 0.92, 0.91],
            "learning_rate": [1e-3] * 5,
            "best": [False, False, False, True, False],
        }
    )
    return ReportInput(
        title="Pneumonia on hospital B",
        kind="train",
        metrics=_metrics(table),
        predictions=table,
        history=history,
        counts=_counts(labels),
        notices=["Size and format alone reach an AUC of 0.71."],
        excluded=[(f"train/image {index}.png", "truncated") for index in range(23)],
        facts={"backbone": "tf_efficientnet_lite0", "temperature": "1.31"},
        recipe=dump_recipe(Recipe()),
        provenance={"created": "2026-01-01T00:00:00+00:00", "machine": {"cores": 2}},
    )


@pytest.fixture(scope="module")
def report() -> ReportInput:
    return _report()


@pytest.fixture(scope="module")
def html(report: ReportInput) -> str:
    return render_report(report)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_every_tag_closes_in_order(page: Page) -> None:
    assert page.faults == []
    assert page.open == []


def test_nothing_is_fetched_and_no_script_runs(html: str, page: Page) -> None:
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset"):
            inner = ("#", "data:,", "data:image/png;base64,")
            assert attributes.get(name, "#").startswith(inner)
        assert not any(name.startswith("on") for name in attributes)
    assert page.all("script") == []
    assert "@import" not in html
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*['\"]?([^)]*)", html))
    assert "default-src 'none'" in page.all("meta")[1]["content"]
    others = re.sub(r'xmlns(:xlink)?="http://www\.w3\.org/[^"]*"', "", html)
    assert "http://" not in others
    assert "https://" not in others


def test_ids_are_unique_and_inner_links_lead_somewhere(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        link = attributes.get("href") or attributes.get("xlink:href") or ""
        if link.startswith("#"):
            assert link[1:] in ids
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids


def test_document_has_language_headings_landmarks_and_a_skip_link(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    assert [tag for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)] == ["h1"] + ["h2"] * 6
    assert page.all("main")[0]["id"] == "main"
    assert page.all("a")[0] == {"class": "skip", "href": "#main"}
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all(
        "meta"
    )


def test_notice_comes_before_anything_else(page: Page, report: ReportInput) -> None:
    assert NOTICE == "For research use. Not a medical device."
    assert page.texts[:3] == [report.title, "Skip to the results", NOTICE]


def test_tables_have_captions_and_scopes(page: Page) -> None:
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(cell["scope"] in {"row", "col"} for cell in page.all("th"))


def test_every_metric_occurs_with_its_interval(page: Page, report: ReportInput) -> None:
    entries = [entry for entry in report.metrics.values() if is_entry(entry)]
    assert len(entries) == 9 + 2 * 5
    for entry in entries:
        assert isinstance(entry, dict)
        assert format_number(entry["value"]) in page.texts
        interval = f"{format_number(entry['low'])} to {format_number(entry['high'])}"
        assert interval in page.texts
    for name in ("Accuracy", "Balanced accuracy", "Matthews correlation", "Log loss", "F1, macro"):
        assert name in page.texts
    assert "bundle-1f" in page.texts
    for row in report.metrics["confusion_matrix"]:  # type: ignore[attr-defined]
        assert all(str(amount) in page.texts for amount in row)


def test_metric_of_a_later_version_is_shown_too(report: ReportInput) -> None:
    more = {
        **report.metrics,
        "coverage": {"value": 0.4321, "low": 0.4, "high": 0.5, "unit": "fraction"},
        "coverage:normal": {"value": 0.1234, "low": None, "high": None, "unit": "fraction"},
        "shortcut_check": "passed",
    }
    texts = Page(render_report(replace(report, metrics=more))).texts
    assert {"Coverage", "0.432", "0.123", "shortcut check", "passed"} <= set(texts)


def test_headline_says_split_amounts_and_area(page: Page, report: ReportInput) -> None:
    (lead,) = [text for text in page.texts if text.startswith("On the test split")]
    assert "hospital B, 90 images of 45 patients" in lead
    assert describe(report.metrics, "auc") in lead
    assert "(90% CI " in lead


def test_images_of_unknown_patients_are_not_told_as_patients(report: ReportInput) -> None:
    unknown = {**report.metrics, "n_patients": 90, "n_unknown_patients": 90}
    counts = _counts(("normal", "pneumonia")).with_columns(unknown="images", patients="images")
    page = Page(render_report(replace(report, metrics=unknown, counts=counts)))
    (lead,) = [text for text in page.texts if text.startswith("On the test split")]
    assert "hospital B, 90 images whose patients are not known, the area" in lead
    assert any("bootstrap resamples of images" in text for text in page.texts)
    assert not any(re.search(r"\d patients?$", text) for text in page.texts)


def test_figures_carry_their_finding(page: Page, report: ReportInput) -> None:
    drawn = [svg["aria-label"] for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(drawn) == 5
    assert len(page.all("figcaption")) == 5
    assert all(alt.endswith(".") for alt in drawn)
    assert describe(report.metrics, "auc:pneumonia") in drawn[0]


def test_excluded_images_are_counted_and_the_first_twenty_shown(page: Page) -> None:
    shown = [text for text in page.texts if text.startswith("train/image ")]
    assert shown == [f"train/image {index}.png" for index in range(20)]
    assert any(text.startswith("23 images excluded; the first 20") for text in page.texts)


def test_recipe_lies_folded(page: Page, report: ReportInput) -> None:
    assert report.recipe is not None
    assert report.recipe.strip() in page.texts
    assert all("open" not in details for details in page.all("details"))


def test_foreign_words_are_escaped_everywhere() -> None:
    labels = ("normal", HOSTILE)
    hostile = replace(
        _report(labels),
        title=HOSTILE,
        notices=[HOSTILE],
        excluded=[(HOSTILE, HOSTILE)],
        facts={HOSTILE: HOSTILE},
        recipe=f"name: {HOSTILE}",
        provenance={HOSTILE: {HOSTILE: [HOSTILE]}},
    )
    html = render_report(hostile)
    page = Page(html)
    assert "<script" not in html
    assert page.faults == []
    assert page.all("script") == []
    # Titles, tile, tables, notice, excluded image, facts, recipe, provenance.
    assert sum(HOSTILE in text for text in page.texts) >= 15


def test_file_names_that_are_no_unicode_are_spelled_out(report: ReportInput) -> None:
    path = b"scan-\xff.png".decode("utf8", "surrogateescape")
    html = render_report(replace(report, excluded=[(path, "unreadable")]))
    assert "scan-\\udcff.png" in html
    html.encode("utf8")


def test_equal_input_gives_equal_bytes(html: str) -> None:
    assert render_report(_report()) == html


def test_row_order_of_predictions_does_not_matter(report: ReportInput, html: str) -> None:
    assert render_report(replace(report, predictions=report.predictions.reverse())) == html


def test_report_without_optional_parts_leaves_them_out(report: ReportInput) -> None:
    bare = replace(
        report, kind="evaluate", history=None, counts=None, notices=[], excluded=[], facts={},
        recipe=None, provenance={},
    )  # fmt: skip
    page = Page(render_report(bare))
    assert page.faults == []
    assert {"Evaluation report", "What was evaluated", "No image was excluded."} <= set(page.texts)
    assert "The data" not in page.texts
    assert "Training history" not in page.texts
    assert len([svg for svg in page.all("svg") if svg.get("role") == "img"]) == 4


def test_report_of_one_true_label_says_not_defined() -> None:
    table = _table(("normal", "pneumonia"), truth=("normal",) * 10)
    page = Page(render_report(replace(_report(), metrics=_metrics(table), predictions=table)))
    assert page.faults == []
    assert "not defined" in page.texts
    assert not any(re.search(r"\bnan\b|\bNone\b", text) for text in page.texts)


def test_report_of_an_invalid_table_is_refused(report: ReportInput) -> None:
    with pytest.raises(PredictionsError):
        render_report(replace(report, predictions=report.predictions.drop("label")))


def test_write_report_writes_what_is_rendered(
    report: ReportInput, html: str, tmp_path: Path
) -> None:
    write_report(report, tmp_path / "new" / "report.html")
    assert (tmp_path / "new" / "report.html").read_text(encoding="utf8") == html
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]


def test_write_report_says_when_the_place_cannot_be_written(
    report: ReportInput, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError, match="taken"):
        write_report(report, tmp_path / "taken" / "report.html")


def test_page_stays_small(html: str) -> None:
    assert len(html) < 200_000


def test_many_labels_show_the_extreme_sensitivities() -> None:
    labels = ("a", "b", "c", "d")
    values = {"a": 0.9, "b": 0.6, "c": None, "d": 0.95}
    metrics: dict[str, object] = {"labels": list(labels)} | {
        f"sensitivity:{label}": {"value": value, "low": None, "high": None, "unit": "fraction"}
        for label, value in values.items()
    }
    tiles = headline_tiles(metrics)
    assert [(tile.name, tile.value) for tile in tiles] == [
        ("AUC", "not defined"),
        ("Lowest sensitivity, b", "0.600"),
        ("Highest sensitivity, d", "0.950"),
    ]


def test_known_metrics_come_first() -> None:
    entry = {"value": 0.5, "low": 0.4, "high": 0.6, "unit": "fraction"}
    rows = overall_rows({"odd": entry, "accuracy": entry, "auc": entry, "labels": []})
    assert [row.name for row in rows] == ["AUC", "Accuracy", "Odd"]


def test_labels_with_colons_keep_their_metrics() -> None:
    entry = {"value": 0.5, "low": 0.4, "high": 0.6, "unit": "fraction"}
    table = label_table({"labels": ["view: PA", "b"], "f1:view: PA": entry, "f1:b": entry})
    assert table.columns == ("F1",)
    assert [(row.label, row.cells[0]["value"]) for row in table.rows] == [
        ("view: PA", "0.500"),
        ("b", "0.500"),
    ]


@pytest.mark.parametrize(
    ("unit", "drawn"), [("fraction", True), ("area", True), ("nats", False), ("correlation", False)]
)
def test_intervals_are_drawn_only_on_a_scale_from_0_to_1(unit: str, drawn: bool) -> None:
    row = metric_row({"value": 0.75, "low": 0.5, "high": 0.875, "unit": unit}, name="x")
    assert (row.low, row.width, row.at) == (
        ("50.00", "37.50", "75.00") if drawn else (None, None, None)
    )


def test_counts_are_laid_out_by_label_and_split() -> None:
    table = count_table(_counts(("normal", "pneumonia")))
    assert table is not None
    assert table.splits == ("train", "test")
    assert table.totals == ("12\u202f345", "80")
    normal, pneumonia = table.rows
    assert normal.cells[0] == {"images": "12\u202f345", "patients": "9000 patients"}
    assert pneumonia.cells[0] == {"images": "0", "patients": ""}


def test_counts_without_split_label_or_patients_say_so() -> None:
    rows = [(None, None, 3, None)]
    schema = {"split": pl.String, "label": pl.String, "images": pl.Int64, "patients": pl.Int64}
    table = count_table(pl.DataFrame(rows, schema=schema, orient="row"))
    assert table is not None
    assert (table.splits, table.rows[0].label) == (("no split",), "no label")
    assert table.rows[0].cells == ({"images": "3", "patients": ""},)
    assert count_table(pl.DataFrame(schema=schema)) is None
    counted = pl.DataFrame([("test", "a", 9, 7, 2)],
                           schema=["split", "label", "images", "patients", "unknown"],
                           orient="row")  # fmt: skip
    some = count_table(counted)
    assert some is not None
    assert some.rows[0].cells == ({"images": "9", "patients": "at most 7 patients"},)


def test_few_excluded_images_are_all_shown() -> None:
    table = excluded_table([("a.png", "truncated")])
    assert table.caption == "1 image excluded"
    assert table.rows == (("a.png", "truncated"),)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9996, "1.000"), (-0.0001, "0.000"), (-0.5, "\u22120.500"), (None, "not defined")],
)
def test_numbers_have_three_decimals(value: float | None, text: str) -> None:
    assert format_number(value) == text


def test_spelling_of_what_is_empty() -> None:
    empty: tuple[object, ...] = (None, "", {}, [])
    assert [spell(value) for value in empty] == ["not recorded"] * 4
    assert spell(0) == "0"


def _gallery(*pairs: tuple[str, str]) -> list[GalleryImage]:
    return [
        GalleryImage.of(f"png {at}".encode(), WorstError(f"image-{at}", truth, answered, 0.9))
        for at, (truth, answered) in enumerate(pairs)
    ]


def _assessed(**changes: Any) -> ReportInput:
    """A report with everything; `changes` replace sections of the assessment."""
    found = example()
    assessment = {**found.assessment, **changes}
    predictions = read_table(found.predictions)
    return replace(
        _report(),
        metrics=found.metrics,
        predictions=found.predictions,
        assessment=assessment,
        figures=trust_figures(predictions, found.metrics, assessment),
        gallery=_gallery(("pneumonia", "normal"), ("pneumonia", "normal"), ("normal", "pneumonia")),
    )


@pytest.fixture(scope="module")
def assessed_html() -> str:
    return render_report(_assessed())


@pytest.fixture(scope="module")
def assessed(assessed_html: str) -> Page:
    return Page(assessed_html)


def _numbers(content: object) -> Iterator[float]:
    """Every value that has an interval."""
    if isinstance(content, Mapping):
        if isinstance(content.get("value"), float) and "low" in content:
            yield content["value"]
        for inner in content.values():
            yield from _numbers(inner)
    elif isinstance(content, list):
        for inner in content:
            yield from _numbers(inner)


def test_assessed_page_keeps_the_rules_of_every_page(assessed_html: str, assessed: Page) -> None:
    test_every_tag_closes_in_order(assessed)
    test_nothing_is_fetched_and_no_script_runs(assessed_html, assessed)
    test_ids_are_unique_and_inner_links_lead_somewhere(assessed)
    test_tables_have_captions_and_scopes(assessed)
    assert not any(re.search(r"\bnan\b|\bNone\b", text) for text in assessed.texts)
    levels = [int(tag[1]) for tag, _ in assessed.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_verdict_comes_first_and_says_every_item(assessed: Page) -> None:
    verdict = example().assessment["verdict"]
    texts = assessed.texts
    tile = texts.index("95% CI " + texts[texts.index("AUC") + 2].removeprefix("95% CI "))
    assert texts.index("Red") < tile
    assert any(text.startswith("The figures do not stand as they are.") for text in texts[:tile])
    for row in verdict:
        for key in ("value", "threshold", "sentence"):
            assert row[key] in texts[:tile], row
        title = row["item"].capitalize()
        word = row["colour"].capitalize()
        assert texts[texts.index(title) : texts.index(row["sentence"])][-1] == word


def test_colours_of_the_verdict_are_words_too(assessed: Page) -> None:
    chips = [
        at for at, (_, found) in enumerate(assessed.elements) if "chip" in found.get("class", "")
    ]
    assert len(chips) == 11 + 11
    for at in chips:
        assert assessed.elements[at + 1] == ("i", {"aria-hidden": "true"})


def test_sections_come_in_order_with_their_figures(assessed: Page) -> None:
    ids = [found["id"] for _, found in assessed.elements if "id" in found]
    wanted = [
        "verdict", "numbers", "figure-roc", "figure-precision_recall", "figure-confusion",
        "calibration", "figure-reliability_before_after",
        "points", "figure-operating_points",
        "sets", "figure-coverage", "figure-risk_coverage",
        "groups", "figure-subgroups",
        "use", "figure-decision_curve",
        "shortcuts", "figure-conditions",
        "robustness", "figure-corruptions",
        "saliency", "figure-saliency",
        "errors", "data", "noticed", "made", "figure-history", "provenance",
    ]  # fmt: skip
    assert [one for one in ids if one in wanted or one.startswith("figure-")] == wanted


def test_every_number_of_the_assessment_is_shown(assessed: Page) -> None:
    found = example().assessment
    shown = set(assessed.texts)
    parts = {
        "calibration": found["calibration"],
        "promised": [point["promised"] for point in found["operating_points"]],
        "seen": [
            {rate: point["seen"][rate] for rate in ("sensitivity", "specificity", "ppv", "npv")}
            for point in found["operating_points"]
        ],
        "prevalence": [point["at_prevalence"] for point in found["operating_points"]],
        "coverage": found["label_sets"]["coverage"],
        "subgroups": found["subgroups"],
        "conditions": [
            {key: row[key] for key in ("auc", "full_auc", "drop", "surroundings_auc")}
            for row in found["conditions"]
        ],
        "corruptions": [row["drop"] for row in found["corruptions"]],
        "sources": found["sources"]["left_out"],
        "saliency": found["saliency"]["labels"],
    }
    for name, part in parts.items():
        values = list(_numbers(part))
        assert values, name
        assert {format_number(value) for value in values} <= shown, name


def test_page_shows_the_numbers_of_the_assessment_and_no_others() -> None:
    changed = copy.deepcopy(example().assessment["conditions"])
    for row in changed:
        row["auc"] |= {"value": 0.7777, "low": 0.7666, "high": 0.7888}
    report = replace(_assessed(conditions=changed), figures=())
    texts = Page(render_report(report)).texts
    assert texts.count("0.778") == 5
    assert texts.count("0.767 to 0.789") == 5


def test_areas_of_many_labels_are_shown_beside_their_mean() -> None:
    areas = {"a": (0.61, 0.6, 0.62), "b": (0.51, 0.5, 0.52), "c|d": (0.93, 0.9, 0.96)}
    swapped = condition("lungs_swapped", (0.4, 0.3, 0.5), (0.6, 0.5, 0.7))
    rows = [of_labels(condition("border_only", (0.7, 0.6, 0.8)), **areas),
            of_labels(swapped, **areas)]  # fmt: skip
    (section,) = assessment_sections({"conditions": rows}, {}, {}, [])
    means, by_label = section.tables
    assert by_label.columns == ("Seen", "a", "b", "c|d")
    assert [row.small for row in by_label.rows] == ["", "", "by the label of the surroundings"]
    border, _, around = ([(cell.value, cell.small) for cell in row.cells] for row in by_label.rows)
    assert border[2] == ("0.930", "0.900 to 0.960")
    assert around[2] == ("0.070", "0.040 to 0.100")
    assert means.rows[0].cells[0].value == "0.700"


def test_page_says_how_to_compute_its_numbers_again(assessed: Page, page: Page) -> None:
    assert any("pneumoscope recompute FOLDER" in text for text in assessed.texts)
    assert not any("recompute" in text for text in page.texts)


def test_gallery_groups_errors_by_their_direction(assessed: Page) -> None:
    assert len(assessed.all("img")) == 3
    first = assessed.all("img")[0]
    assert first["src"] == "data:image/png;base64,cG5nIDA="
    assert first["alt"] == (
        "Radiograph with the label pneumonia, answered normal with probability 0.900"
    )
    headings = [text for text in assessed.texts if " taken for " in text]
    assert headings == ["pneumonia taken for normal", "normal taken for pneumonia"]
    assert {"normal, 0.900", "pneumonia, 0.900", "image-2"} <= set(assessed.texts)


def test_gallery_of_many_labels_is_about_the_label_of_interest() -> None:
    labels = ("a", "b", "c")
    table = _table(labels)
    gallery = _gallery(("a", "b"), ("c", "b"), ("b", "a"))
    many = replace(
        _report(labels), predictions=table, metrics=_metrics(table), gallery=gallery,
        assessment={"rules": {"label_of_interest": "b"}},
    )  # fmt: skip
    texts = Page(render_report(many)).texts
    assert texts.index("b given wrongly") < texts.index("b missed")
    texts = Page(render_report(replace(many, assessment={}))).texts
    assert "Surest wrong answers" in texts


def test_assessment_without_figures_shows_the_plain_reliability() -> None:
    page = Page(render_report(replace(_assessed(), figures=(), gallery=())))
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert ids.index("calibration") < ids.index("figure-reliability") < ids.index("points")
    assert "errors" not in ids
    test_every_tag_closes_in_order(page)


def test_assessment_that_holds_nothing_leaves_its_sections_out() -> None:
    empty: dict[str, Any] = {**dict.fromkeys(example().assessment), "verdict": []}
    page = Page(render_report(replace(_assessed(), assessment=empty, figures=(), gallery=())))
    test_every_tag_closes_in_order(page)
    test_ids_are_unique_and_inner_links_lead_somewhere(page)
    assert "Verdict" not in page.texts
    assert "Discrimination" in page.texts
    assert "Operating points" not in page.texts


def test_items_without_a_section_have_no_link() -> None:
    alone = replace(_assessed(sources=None, conditions=[]), figures=(), gallery=())
    page = Page(render_report(alone))
    test_ids_are_unique_and_inner_links_lead_somewhere(page)
    assert "Shortcuts" in page.texts
    assert "#shortcuts" not in [link["href"] for link in page.all("a")]


def test_unknown_figures_are_shown_and_none_is_lost() -> None:
    report = _assessed()
    other = replace(report.figures[0], name="new_curve")
    page = Page(render_report(replace(report, figures=(*report.figures, other))))
    assert "New curve" in page.texts


def test_foreign_words_of_the_assessment_are_escaped() -> None:
    row = {"item": HOSTILE, "colour": HOSTILE, "value": HOSTILE, "threshold": HOSTILE,
           "sentence": HOSTILE}  # fmt: skip
    hostile = _assessed(
        verdict=[row],
        conditions=[{"condition": HOSTILE}],
        corruptions=[{"kind": HOSTILE, "severity": 1}],
        sources={"left_out": [{"source": HOSTILE, "reason": HOSTILE}]},
        saliency={"method": HOSTILE, "labels": {HOSTILE: {}}},
        subgroups=[{"column": HOSTILE, "group": HOSTILE, "error_rates": {HOSTILE: {}}}],
    )
    html = render_report(replace(hostile, figures=(), gallery=_gallery((HOSTILE, HOSTILE))))
    assert "<script" not in html
    assert Page(html).faults == []
    assert html.count("&lt;script&gt;alert(1)") >= 15


def test_assessed_page_is_the_same_for_the_same_input(assessed_html: str) -> None:
    assert render_report(_assessed()) == assessed_html


def test_rates_say_what_they_were_counted_in() -> None:
    rate = {"value": 0.9, "low": 0.8, "high": 0.95, "successes": 18, "trials": 20}
    cell = rate_cell(rate)
    assert (cell.value, cell.small, cell.note) == ("0.900", "0.800 to 0.950", "18 of 20")
    nothing = rate_cell({"value": None, "low": None, "high": None, "successes": 0, "trials": 0})
    assert (nothing.value, nothing.small, nothing.note) == ("not defined", "", "")


@pytest.mark.parametrize(
    ("useful", "words"),
    [
        ([True, True, False, True], "for thresholds of 0.10 to 0.20 and 0.40."),
        ([True, True, True, True], "for thresholds of 0.10 to 0.40."),
        ([False, False, False, False], "at no threshold surely worth more"),
    ],
)
def test_decision_curves_are_told_by_where_the_model_is_worth_more(
    useful: list[bool], words: str
) -> None:
    curve = {"label": "x", "thresholds": [0.1, 0.2, 0.3, 0.4], "useful": useful}
    (line,) = decision_lines({"decision_curves": [curve]})
    assert words in line
