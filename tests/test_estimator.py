"""The classifier in scikit-learn's manner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError

import pneumoscope as ps
from pneumoscope.core.errors import InputError, LabelError, RadiographError, RecipeError
from pneumoscope.core.progress import Reporter
from pneumoscope.core.recipe import Recipe, override
from pneumoscope.data.patients import patient_from_name
from pneumoscope.workflows import estimator
from pneumoscope.workflows.prepare import prepare_split
from pneumoscope.workflows.results import TrainResult


def test_it_trains_on_what_train_reads_from_the_folder(
    small_recipe: Recipe,
    trained: TrainResult,
    phantoms: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = sorted(phantoms.rglob("*.png"))
    labels = np.array([path.parent.name for path in paths])
    patients = [patient_from_name(path.stem) for path in paths]
    columns = ["image_id", "label", "patient_id", "split", "excluded"]
    wanted = pl.read_parquet(trained.output / "catalogue.parquet").select(columns)
    asked: list[Recipe] = []

    def read_and_leave(recipe: Recipe, *, output: Path, reporter: Reporter) -> TrainResult:
        prepared, _ = prepare_split(recipe, reporter=reporter)
        found = prepared.catalogue.select(columns)
        assert found.sort("image_id").equals(wanted.sort("image_id"))
        asked.append(recipe)
        return trained

    monkeypatch.setattr(estimator, "train", read_and_leave)
    several = {"data.folders": ["a", "b"], "data.labels": {"x": "y"}}
    recipe = override(small_recipe, several)  # of other data than those given
    model = ps.RadiographClassifier(recipe, folder=tmp_path / "kept")
    for unfitted in (model, clone(model)):
        assert unfitted.get_params() == {"recipe": recipe, "folder": tmp_path / "kept"}
        with pytest.raises(NotFittedError):
            unfitted.predict(paths)
    assert model.fit(paths, labels, groups=patients) is model
    temporary = clone(model).set_params(folder=None)
    assert temporary.fit(np.array(list(map(str, paths))), labels.tolist()) is temporary

    first, second = asked
    assert first.data.path == str(tmp_path / "kept" / "data")
    assert (first.tracking, second.tracking.enabled) == (small_recipe.tracking, False)
    assert second.data.path is not None
    assert not Path(second.data.path).exists()
    assert (model.metrics_, model.warnings_) == (trained.metrics, [])


def test_it_answers_in_the_order_of_its_classes(
    trained: TrainResult, phantoms: Path, tmp_path: Path
) -> None:
    paths = sorted((phantoms / "NORMAL").iterdir())[:40]
    model = ps.RadiographClassifier()
    model.predictor_ = ps.load_bundle(trained.bundle)
    own = model.predictor_.predict(paths[0]).probabilities
    for classes in (["NORMAL", "PNEUMONIA"], ["PNEUMONIA", "NORMAL"]):
        model.classes_ = np.array(classes)
        probabilities = model.predict_proba(paths)
        assert probabilities.shape == (40, 2)
        assert probabilities[0] == pytest.approx([own[label] for label in classes], abs=1e-6)
        said = model.predict(paths)
        assert said.tolist() == model.classes_[probabilities.argmax(axis=1)].tolist()
        assert model.score(paths, ["NORMAL"] * 40) == np.mean(said == "NORMAL")
    assert model.predict_proba([]).shape == (0, 2)
    (tmp_path / "bad.png").write_bytes(b"x")
    with pytest.raises(RadiographError, match=r"bad\.png: starts with"):
        model.predict([tmp_path / "bad.png"])


def test_what_cannot_be_learnt_is_said_before_the_work(phantoms: Path, tmp_path: Path) -> None:
    model = ps.RadiographClassifier()
    assert is_classifier(model)
    first, second, *_ = map(str, sorted((phantoms / "NORMAL").iterdir()))
    for paths, labels, groups, words in (
        ([first], ["a", "b"], None, r"\[1, 2\] entries; allowed: one for each image"),
        ([first, second], ["a", "b"], ["p"], r"\[2, 2, 1\] entries"),
        ([first, first], ["a", "b"], None, "is given twice"),
        ([first, str(tmp_path / "x.png")], ["a", "b"], None, r"x\.png: does not exist"),
    ):
        with pytest.raises(InputError, match=words):
            model.fit(paths, labels, groups=groups)
    with pytest.raises(LabelError, match=r"two or more are needed|at least 10 are needed"):
        model.fit([first, second], ["a", "b"])
    with pytest.raises(RecipeError, match="cannot be read"):
        ps.RadiographClassifier(tmp_path / "absent.yaml").fit([first, second], ["a", "b"])
    assert not any(tmp_path.iterdir())
