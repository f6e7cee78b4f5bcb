"""Every page, run by Streamlit itself without a browser: what it says, and that it never breaks."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest

from pneumoscope.app.data import read_audit, suspects
from pneumoscope.app.examine import example
from pneumoscope.app.language import decimal, spoken
from pneumoscope.app.words import common, evaluation, experiments, overview, trying
from pneumoscope.bundle.prediction import GateStage, GateVerdict, Prediction
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.data.label_patch import read_patch
from pneumoscope.evaluation.verdict.judge import overall_colour
from pneumoscope.reporting.words import number
from pneumoscope.workflows.auditing import audit

if TYPE_CHECKING:
    from pneumoscope.workflows.results import TrainResult

PAGES = tuple(common.PAGES)
SECONDS = 60


def script(page: str, bundle: str | None, runs: str | None, audit: str | None) -> None:
    from pathlib import Path

    from pneumoscope.app.main import begin, show_page
    from pneumoscope.app.settings import Settings

    begin(Settings(bundle and Path(bundle), runs, audit and Path(audit)))  # type: ignore[arg-type]
    show_page(page)


def opened(
    page: str, *, bundle: Path | None = None, runs: Path | None = None, audit: Path | None = None,
    language: str = "en",
) -> AppTest:  # fmt: skip
    given = {"bundle": bundle, "runs": runs, "audit": audit}
    arguments: dict[str, Any] = {name: path and str(path) for name, path in given.items()}
    test = AppTest.from_function(
        script, kwargs={"page": page, **arguments}, default_timeout=SECONDS
    )
    test.query_params["lang"] = language
    return test.run()


def said(test: AppTest) -> str:
    """All HTML of a page, its titles and headers."""
    assert not test.exception, test.exception
    parts = [element.proto.body for element in test.get("html")]
    return "\n".join(
        [*parts, *(str(one.value) for one in (*test.title, *test.header, *test.subheader))]
    )


@pytest.fixture(scope="module")
def audited(trained: TrainResult, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit of the phantoms, with three labels doubted by hand."""
    folder = tmp_path_factory.mktemp("audits") / "audit"
    audit([phantoms], output=folder)
    content = json.loads((folder / "audit.json").read_text())
    paths = read_audit(folder).catalogue["path"].sort().to_list()[:3]
    content["issues"].append({
        "check": "label_suspects", "severity": "warning", "title": "Suspects", "message": "m",
        "paths": paths, "facts": {paths[0]: 0.95},
    })  # fmt: skip
    (folder / "audit.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_without_an_error_in_both_languages(
    page: str, language: str, trained: TrainResult, audited: Path
) -> None:
    runs = trained.output.parent
    test = opened(page, bundle=trained.bundle, runs=runs, audit=audited, language=language)
    words = said(test)
    notice = getattr(common.NOTICE, language)
    for place in ("research", "foot"):
        assert f'class="{place}">{notice}' in words, "above and below"
    assert getattr(common.FAILED, language) not in words
    assert test.query_params["lang"] in (language, [language])
    if language == "fr":
        # The issue written by hand above has no keys, as in audits of older versions.
        assert words.count('lang="en"') == (page in ("data", "overview"))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_with_nothing_to_show_says_how_to_give_it_something(page: str) -> None:
    words = said(opened(page))
    assert "pneumoscope " in words
    assert common.FAILED.en not in words


@pytest.mark.parametrize("page", ["overview", "try"])
def test_a_broken_bundle_is_a_sentence_with_a_remedy(page: str, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    words = said(opened(page, bundle=tmp_path / "bundle"))
    assert common.FAILED.en in words
    assert "bundle" in words


def test_a_bundle_alone_shows_its_own_verdict_and_figures(
    trained: TrainResult, tmp_path: Path
) -> None:
    verdict = json.loads((trained.output / "assessment.json").read_text())["verdict"]
    colour = overall_colour(verdict)
    alone = said(opened("overview", bundle=trained.bundle))
    assert common.OVERALL[colour].en in alone
    assert alone.count('<span class="value">') == 4
    assert decimal(number(trained.metrics["auc"]), "en") in alone
    assert "<h3>small</h3>" in alone.partition('lang="en">')[2]
    assert common.NO_RUNS.en.partition(".")[0] in alone
    other = tmp_path / "other"
    shutil.copytree(trained.output, other, ignore=shutil.ignore_patterns("bundle"))
    metrics = json.loads((other / "metrics.json").read_text()) | {"bundle": "another"}
    (other / "metrics.json").write_text(json.dumps(metrics))
    among = said(opened("overview", bundle=trained.bundle, runs=tmp_path))
    assert common.OVERALL[colour].en in among
    assert overview.OTHER_RUNS.en in among
    assert common.NO_RUNS.en not in among


def test_runs_of_different_images_are_not_ranked_against_each_other(
    trained: TrainResult, tmp_path: Path
) -> None:
    for name, split, auc in (("one", "test", 0.7), ("two", "all", 0.9), ("zoo", "test", 0.8)):
        place = tmp_path / name
        shutil.copytree(trained.output, place, ignore=shutil.ignore_patterns("bundle"))
        metrics = {**trained.metrics, "split": split, "auc": {"value": auc}}
        (place / "metrics.json").write_text(json.dumps(metrics))
    words = said(opened("experiments", runs=tmp_path))
    rows = re.findall(r'<tr><th scope="row">(\w+)</th>', words)
    assert rows[:3] == ["two", "zoo", "one"]
    assert experiments.OTHER_DATA.en in words
    assert experiments.NOT_OVERLAID.en in words
    shutil.rmtree(tmp_path / "two")
    words = said(opened("experiments", runs=tmp_path.rename(tmp_path.with_name("moved"))))
    assert experiments.OTHER_DATA.en not in words
    assert experiments.ROC.en in words


def test_the_language_is_switched_and_kept_in_the_address(trained: TrainResult) -> None:
    test = opened("overview", bundle=trained.bundle, runs=trained.output)
    assert "A classifier you can question" in said(test)
    test.button_group(key="switch").set_value("fr").run()
    assert "Un classifieur" in said(test)
    assert test.query_params["lang"] in ("fr", ["fr"])


def test_a_phantom_is_answered_gate_first(trained: TrainResult) -> None:
    test = opened("try", bundle=trained.bundle)
    test.button(key="try-PNEUMONIA").click().run()
    words = said(test)
    assert [one.value for one in test.subheader][:2] == ["Gate", "Answer"]
    assert "A chest?" in words
    assert "640 \u00d7 640 pixels, 8 bits, png" in words
    assert test.status[0].label.startswith("Phantom, PNEUMONIA: Answered in")
    assert trying.NOT_AT_HAND.en in words
    assert re.search(f'{common.VERDICT_ON.en} <span class="chip .+">(Red|Amber|Green)<', words)


def test_several_files_keep_the_gates_word_and_the_label_of_a_probability(
    trained: TrainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Predictor.answer

    def doubtful(self: Predictor, *given: Any, **options: Any) -> list[Prediction]:
        gate = GateVerdict(quality=GateStage("warned", None, "may be turned"),
                           familiarity=GateStage("passed", 0.5))  # fmt: skip
        return [replace(one, gate=gate, decision="abstain", label=None, reason="too close",
                        probabilities={"NORMAL": 0.4, "PNEUMONIA": 0.6})
                for one in answer(self, *given, **options)]  # fmt: skip

    monkeypatch.setattr(Predictor, "answer", doubtful)
    test = opened("try", bundle=trained.bundle)
    picture = example("NORMAL")
    files = [("*a*.png", picture, "image/png"), ("b.png", picture, "image/png")]
    test.file_uploader[0].set_value(files)
    table = said(test.run()).partition("<tbody>")[2].partition("</tbody>")[0]
    assert table.count('<span class="chip amber">With a warning</span>') == 2
    assert table.count(">PNEUMONIA\u00a060.0%<") == 2
    assert table.count(">No answer<") == 2
    assert ">*a*.png<" in table
    assert test.status[0].label.startswith(r"\*a\*.png: Answered")


def test_files_beyond_the_most_are_dropped(
    trained: TrainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []
    monkeypatch.setattr(
        MemoryUploadedFileManager, "remove_file", lambda _, __, file_id: removed.append(file_id)
    )
    test = opened("try", bundle=trained.bundle)
    files = [(f"{at}.png", b"no picture", "image/png") for at in range(14)]
    test.file_uploader[0].set_value(files)
    test.run()
    told = "14 files were given; the first 12 are answered"
    assert told in said(test)
    assert len(test.status) == 12
    assert len(removed) == 2
    assert told in said(test.run()), "also once the others are gone"


def test_similar_training_images_are_shown_without_their_patient(trained: TrainResult) -> None:
    test = opened("try", bundle=trained.bundle, runs=trained.output.parent, language="fr")
    test.button(key="try-PNEUMONIA").click().run()
    words = said(test)
    assert trying.SIMILAR.fr in [one.value for one in test.subheader]
    assert len(re.findall(r"<figcaption>(?:NORMAL|PNEUMONIA), distance\u00a0\d+,\d<", words)) == 4
    assert ".png" not in words.partition(spoken(trying.SIMILAR_LEAD, "fr"))[2]


def test_threshold_and_prevalence_move_the_figures(trained: TrainResult) -> None:
    test = opened("evaluation", runs=trained.output)
    begun = test.select_slider[0].value
    test.select_slider[0].set_value(1.0).run()
    assert '<span class="value">0.000</span>' in said(test)
    test.select_slider[1].set_value(0.005).run()
    words = said(test)
    assert "Of 1000 such images, 0 would be called positive, 0 of them rightly; 5 with" in words
    assert (
        "At 0.5%, an image on the threshold has PNEUMONIA with a probability of &gt;\u00a099.9%"
        in words
    )
    name = "cost ratio 5, prevalence 0.005"
    button = test.button(key=f"{test.select_slider[0].key}-{name}")
    assert button.label == "A miss worth 5 false alarms, at 0.5%"
    button.click().run()
    assert test.select_slider[1].value == 0.005
    test.button(key=f"{test.select_slider[0].key}-youden").click().run()
    assert test.select_slider[0].value == begun
    assert "0 would be called positive, 0 of" not in said(test)


def test_a_label_without_images_is_a_dash(trained: TrainResult, tmp_path: Path) -> None:
    shutil.copytree(trained.output, tmp_path / "one", ignore=shutil.ignore_patterns("bundle"))
    file = tmp_path / "one" / "predictions.parquet"
    table = pl.read_parquet(file)
    table.filter(pl.col("label") == "NORMAL").write_parquet(file)
    words = said(opened("evaluation", runs=tmp_path))
    assert common.FAILED.en not in words
    assert '<span class="value">\u2013</span>' in words
    assert spoken(evaluation.OF_NONE, "en", label="PNEUMONIA") in words


def test_what_nobody_foresaw_is_a_sentence_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise KeyError("^".join(("DOE", "JANE")))

    monkeypatch.setattr("pneumoscope.app.pages.data.show", broken)
    words = said(opened("data", language="fr"))
    assert spoken(common.BROKEN, "fr", kind="KeyError") in words
    assert "KeyError" in caplog.text
    assert "in broken" in caplog.text
    assert "DOE^JANE" not in caplog.text + words


def test_review_decides_saves_and_goes_on(audited: Path) -> None:
    queue = suspects(read_audit(audited))
    test = opened("review", audit=audited)
    test.button(key="decide-keep").click().run()
    test.button(key="decide-relabel").click().run()
    test.button(key="back").click().run()
    test.button(key="decide-exclude").click().run()
    save = next(one for one in test.button if one.label.startswith("Save"))
    save.click().run()
    assert "label_patch_0001.json" in said(test)
    found = {one.image_id: one for one in read_patch(audited / "label_patch_0001.json").decisions}
    assert [found[one.image_id].verdict for one in queue[:2]] == ["keep", "exclude"]
    again = opened("review", audit=audited)
    assert "Goes on from label_patch_0001.json: 2 decisions." in said(again)


def test_an_mlflow_store_is_listed(trained: TrainResult) -> None:
    assert trained.tracking_uri is not None
    given = {"page": "experiments", "bundle": None, "audit": None, "runs": trained.tracking_uri}
    test = AppTest.from_function(script, kwargs=given, default_timeout=SECONDS).run()
    words = said(test)
    assert "Runs of the MLflow store sqlite" in words
    assert '<th scope="row">small</th>' in words
