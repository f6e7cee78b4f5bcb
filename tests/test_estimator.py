"""The classifier in scikit-learn's manner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError

import pneumoscope as ps
from pneumoscope.core.errors import InputError, LabelError, RadiographError, RecipeError
from pneumoscope.core.recipe import Recipe, override
from pneumoscope.data.patients import patient_from_name
from pneumoscope.workflows.results import TrainResult


def test_it_is_train_in_other_clothes(
    small_recipe: Recipe, trained: TrainResult, phantoms: Path, tmp_path: Path
) -> None:
    paths = sorted(phantoms.rglob("*.png"))
    labels = [path.parent.name for path in paths]
    patients = [patient_from_name(path.stem) for path in paths]
    recipe = override(small_recipe, {"tracking.enabled": False})
    model = ps.RadiographClassifier(recipe, folder=tmp_path / "kept")
    with pytest.raises(NotFittedError):
        model.predict(paths)

    assert model.fit(np.array(list(map(str, paths))), labels, groups=patients) is model
    run = tmp_path / "kept" / "run"
    weights = "bundle/model.safetensors"
    assert (run / weights).read_bytes() == (trained.output / weights).read_bytes()
    assert model.metrics_["auc"] == trained.metrics["auc"]
    assert ps.load_recipe(run / "recipe.yaml").data.path == str(tmp_path / "kept" / "data")

    probabilities = model.predict_proba(paths[:40])
    own = ps.load_bundle(trained.bundle).predict(paths[0]).probabilities
    assert model.classes_.tolist() == ["NORMAL", "PNEUMONIA"]
    assert probabilities.shape == (40, 2)
    assert probabilities[0] == pytest.approx([own["NORMAL"], own["PNEUMONIA"]], abs=1e-6)
    said = model.predict(paths[:40])
    assert said.tolist() == model.classes_[probabilities.argmax(axis=1)].tolist()
    assert model.score(paths[:40], labels[:40]) == np.mean(said == labels[:40])
    assert model.predict_proba([]).shape == (0, 2)
    model.classes_ = model.classes_[::-1]
    assert model.predict_proba(paths[:40]) == pytest.approx(probabilities[:, ::-1])
    (tmp_path / "bad.png").write_bytes(b"x")
    with pytest.raises(RadiographError, match=r"bad\.png: starts with"):
        model.predict([tmp_path / "bad.png"])

    again = clone(model)
    assert again.get_params() == {"recipe": recipe, "folder": tmp_path / "kept"}
    with pytest.raises(NotFittedError):
        again.predict(paths)
    assert again.set_params(folder=None).folder is None


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
