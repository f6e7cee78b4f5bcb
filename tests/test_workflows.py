from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from pneumoscope.bundle import export as export_module
from pneumoscope.bundle.archive import open_bundle
from pneumoscope.core.errors import (
    InputError,
    LabelError,
    LayoutError,
    RecipeError,
    StorageError,
)
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import AuditRecipe, EvaluateRecipe, Recipe, load_recipe, override
from pneumoscope.data.phantoms import draw_phantom, write_phantoms
from pneumoscope.evaluation.predictions import load_predictions
from pneumoscope.workflows import demonstration as demo_module
from pneumoscope.workflows.evaluation import evaluate
from pneumoscope.workflows.prediction import predict
from pneumoscope.workflows.results import TrainResult
from pneumoscope.workflows.training import train

CONTRACT = {
    "recipe.yaml", "split.parquet", "catalogue.parquet", "predictions.parquet", "metrics.json",
    "history.csv", "report.html", "model_card.md", "bundle", "figures", "assessment.json",
    "calibration.parquet", "conditions.parquet", "saliency.parquet", "gate.parquet",
    "tracking.json",
}  # fmt: skip
SHALLOW = {"model": {"backbone": "cnn3", "weights": "none"}, "preprocess.size": 64}
PLAIN = EvaluateRecipe(resamples=100, audit=AuditRecipe(enabled=False))


def test_a_run_folder_is_the_contract(trained: TrainResult) -> None:
    assert {path.name for path in trained.output.iterdir()} == CONTRACT
    metrics = json.loads((trained.output / "metrics.json").read_text())
    assert metrics == trained.metrics
    assert metrics["split"] == "test"
    assert metrics["labels"] == ["NORMAL", "PNEUMONIA"]
    assert metrics["auc"]["low"] <= metrics["auc"]["value"] <= metrics["auc"]["high"]
    report = trained.report.read_text()
    assert "not a medical device" in report.lower()
    assert metrics["bundle"] in report


def test_splits_are_disjoint_and_predictions_are_of_the_test_split(trained: TrainResult) -> None:
    split = pl.read_parquet(trained.output / "split.parquet")
    assert split.columns == ["image_id", "group", "split"]
    assert set(split["split"]) == {"train", "validation", "calibration", "test"}
    assert split.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    tested = set(split.filter(pl.col("split") == "test")["image_id"])
    assert set(load_predictions(trained.output / "predictions.parquet")["image_id"]) == tested


def test_the_written_recipe_repeats_the_run_to_the_last_digit_from_an_empty_cache(
    trained: TrainResult, tmp_path: Path, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The parity check of the export refuses this graph if the weights are not those of before.
    graph = (trained.bundle / "model.onnx").read_bytes()
    monkeypatch.setattr(export_module, "export_onnx", lambda *_, **__: graph)
    written = load_recipe(trained.output / "recipe.yaml")
    unlike = {"evaluate.audit.enabled": False, "tracking.enabled": False}  # no figure is theirs
    again = train(override(written, unlike), output=tmp_path / "again")
    assert (again.output / "metrics.json").read_bytes() == (
        trained.output / "metrics.json"
    ).read_bytes()
    assert (again.bundle / "model.safetensors").read_bytes() == (
        trained.bundle / "model.safetensors"
    ).read_bytes()


def test_evaluate_repeats_the_trainings_own_test(
    trained: TrainResult, phantoms: Path, tmp_path: Path
) -> None:
    """The test images in a folder of their own give the numbers of the run."""
    catalogue = pl.read_parquet(trained.output / "catalogue.parquet")
    for path in catalogue.filter(pl.col("split") == "test")["path"]:
        target = tmp_path / "data" / path.lower()
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(phantoms / path, target)
    result = evaluate(trained.bundle, tmp_path / "data", output=tmp_path / "out", settings=PLAIN)
    assert {p.name for p in result.output.iterdir()} == {
        "predictions.parquet", "metrics.json", "report.html", "figures", "assessment.json",
        "calibration.parquet", "gate.parquet",
    }  # fmt: skip
    for name in ("accuracy", "brier", "log_loss"):
        ours, theirs = result.metrics[name], trained.metrics[name]
        assert isinstance(ours, dict)
        assert isinstance(theirs, dict)
        assert ours["value"] == pytest.approx(theirs["value"], abs=1e-6)


def test_labels_of_other_names_are_mapped_or_refused(
    trained: TrainResult, phantoms: Path, tmp_path: Path
) -> None:
    for ours, theirs in (("NORMAL", "No_findings"), ("PNEUMONIA", "pneumonia")):
        shutil.copytree(phantoms / ours, tmp_path / "data" / theirs)
    nameless = sorted((tmp_path / "data" / "pneumonia").iterdir())
    for number, file in enumerate(nameless):
        file.rename(file.with_stem(f"nobody {number}"))
    write_phantoms(tmp_path / "more", patients=6, size=64, seed=77)
    shutil.copytree(tmp_path / "more" / "NORMAL", tmp_path / "data" / "Edema")
    reporter = Silent()
    with pytest.raises(LabelError, match=r"label 'Edema': unknown.*--map \"Edema=\""):
        evaluate(trained.bundle, tmp_path / "data", output=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    result = evaluate(
        trained.bundle,
        tmp_path / "data",
        output=tmp_path / "b",
        label_map={"No_findings": "NORMAL", "pneumonia": "PNEUMONIA", "Edema": None},
        settings=PLAIN,
        reporter=reporter,
    )
    assert result.metrics["labels"] == ["NORMAL", "PNEUMONIA"]
    unknown, images = (result.metrics[f"n_{name}"] for name in ("unknown_patients", "images"))
    assert 0 < int(str(unknown)) <= len(nameless)
    both = sum(len(list((phantoms / label).iterdir())) for label in ("NORMAL", "PNEUMONIA"))
    assert 0.9 * both < int(str(images)) <= both
    told = f"the patients of {unknown} of {images} evaluated images are not known"
    assert any(told in line for line in reporter.warnings)
    assert told in result.report.read_text()
    with pytest.raises(LabelError, match="the folder gives none"):
        evaluate(trained.bundle, tmp_path / "data", output=tmp_path / "c", split="test")


def test_predict_answers_every_file_and_draws_in_its_geometry(
    trained: TrainResult, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    chest = Image.fromarray(draw_phantom(seed=3, label="NORMAL", size=140))
    chest.resize((140, 90)).save(folder / "wide.png")
    chest.resize((70, 90)).convert("RGB").save(folder / "below/x.jpg")
    (folder / "bad.png").write_bytes(b"bad")
    labels, answers = predict(trained.bundle, [folder], saliency=tmp_path / "out")
    rows = {Path(str(a.row(labels)["path"])).name: a for a in answers}
    assert rows["bad.png"].prediction.decision == "unreadable"
    assert rows["bad.png"].overlay is None
    for name, place, size in (
        ("wide.png", "wide.png.png", (140, 90)),
        ("x.jpg", "below/x.jpg.png", (70, 90)),
    ):
        assert rows[name].overlay == tmp_path / "out" / place
        with Image.open(tmp_path / "out" / place) as drawn:
            assert drawn.size == size
            assert drawn.mode == "RGB"
        assert sum(rows[name].prediction.probabilities.values()) == pytest.approx(1)


def test_predict_without_images_says_so(trained: TrainResult, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image found"):
        predict(trained.bundle, [tmp_path])
    with pytest.raises(InputError, match="does not exist"):
        predict(trained.bundle, [tmp_path / "x"])


@pytest.mark.parametrize("fault", ["empty", "one label", "few images", "output taken"])
def test_bad_input_stops_before_training_and_leaves_nothing(
    fault: str, small_recipe: Recipe, phantoms: Path, tmp_path: Path
) -> None:
    data, output = tmp_path / "data", tmp_path / "run"
    if fault == "empty":
        data.mkdir()
    else:
        shutil.copytree(phantoms / "NORMAL", data / "NORMAL")
    if fault in ("few images", "output taken"):
        (data / "PNEUMONIA").mkdir()
        for path in sorted((phantoms / "PNEUMONIA").iterdir())[:5]:
            shutil.copy(path, data / "PNEUMONIA")
    if fault == "output taken":
        output.mkdir()
        (output / "precious").write_text("x")
    before = sorted(tmp_path.iterdir())
    with pytest.raises((LayoutError, LabelError, StorageError)) as caught:
        train(override(small_recipe, {"data.path": str(data)}), output=output)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before
    if fault == "output taken":
        assert [path.name for path in output.iterdir()] == ["precious"]


def test_a_failure_in_the_middle_leaves_nothing_half_written(
    plainest_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if "report.html" in path.name:
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    known = {"licence": "mit", "data.licence": "CC BY 4.0", "data.citation": "Roe, 2018"}
    recipe = override(plainest_recipe, known)
    with pytest.raises(StorageError, match="disk is full"):
        train(recipe, output=tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == [".run.unfinished"], "to go on from"
    monkeypatch.undo()
    done = train(recipe, output=tmp_path / "run", resume=True)
    assert done.run_id is None, "it was not to be tracked"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert open_bundle(done.bundle).spec.licence == "mit"
    card = (done.bundle / "model_card.md").read_text()
    assert "license: mit" in card
    assert "| Licence of the data | CC BY 4.0 |\n| To be cited | Roe, 2018 |" in card


def test_the_demo_without_network_draws_phantoms_and_says_so_and_quick_is_complete(
    tmp_path: Path, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pneumoscope.data import download

    real = download.find_data_set("pneumoniamnist_224")
    away = dataclasses.replace(real, url="http://127.0.0.1:9/pneumoniamnist_224.npz")
    monkeypatch.setattr(demo_module, "find_data_set", lambda name: away)
    monkeypatch.setattr(demo_module, "_PATIENTS", 40)
    monkeypatch.setattr(demo_module, "Recipe", lambda: override(Recipe(), SHALLOW))
    reporter = Silent()
    result = demo_module.demo(output=tmp_path / "run", quick=True, reporter=reporter)
    few = {"saliency.parquet"}  # so small a test split is not asked where evidence lies
    assert {path.name for path in result.output.iterdir()} | few == CONTRACT
    said = " ".join(reporter.warnings)
    assert "could not be downloaded" in said
    assert "procedural phantoms" in said
    assert "procedural phantoms" in (tmp_path / "run" / "report.html").read_text()


def test_overlays_never_overwrite_each_other(
    trained: TrainResult, phantoms: Path, tmp_path: Path
) -> None:
    image = sorted((phantoms / "NORMAL").iterdir())[0]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(image, tmp_path / name / "1.png")
    both = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(InputError, match=r"would both be 1\.png"):
        predict(trained.bundle, both, saliency=tmp_path / "out")
    overlays = tmp_path / "overlays"
    for _ in range(2):  # the second run must not answer the overlays of the first
        labels, answers = predict(trained.bundle, [tmp_path], saliency=overlays)
        assert len([answer.row(labels)["saliency"] for answer in answers]) == 2


def test_evaluating_on_the_training_data_is_said(
    trained: TrainResult, phantoms: Path, tmp_path: Path
) -> None:
    reporter = Silent()
    evaluate(trained.bundle, phantoms, output=tmp_path / "out", settings=PLAIN, reporter=reporter)
    assert any("images the bundle was trained on" in line for line in reporter.warnings)


def test_an_endless_learning_rate_is_refused(small_recipe: Recipe) -> None:
    with pytest.raises(RecipeError, match="learning_rate"):
        override(small_recipe, {"optimizer.learning_rate": float("inf")})
