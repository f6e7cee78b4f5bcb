"""An external test holds nothing that the bundle was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pneumoscope.bundle.archive import REFERENCE, open_bundle
from pneumoscope.bundle.reference import Reference, reference_bytes
from pneumoscope.core.errors import InputError, RecipeError
from pneumoscope.core.progress import Noting, Silent
from pneumoscope.core.recipe import EvaluateRecipe
from pneumoscope.data.phantoms import write_phantoms
from pneumoscope.evaluation.operating_point import Cost, choose_point
from pneumoscope.evaluation.predictions import read_table
from pneumoscope.workflows.evaluation import evaluate
from pneumoscope.workflows.recomputing import recompute
from pneumoscope.workflows.results import TrainResult

QUICK = {"resamples": 100, "permutations": 9, "audit": {"enabled": False}}


def settings(**changes: object) -> EvaluateRecipe:
    return EvaluateRecipe.model_validate(QUICK | changes)


def test_training_images_are_refused_as_an_external_test(
    trained: TrainResult, phantoms: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"this is no external test: .* --drop-known") as caught:
        evaluate(
            trained.bundle, phantoms, output=tmp_path / "out",
            settings=settings(known_images="refuse"),
        )  # fmt: skip
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_known_images_can_be_left_out(trained: TrainResult, phantoms: Path, tmp_path: Path) -> None:
    result = evaluate(
        trained.bundle, phantoms, output=tmp_path / "out", settings=settings(known_images="drop")
    )
    left = set(pl.read_parquet(result.output / "predictions.parquet")["image_id"])
    split = pl.read_parquet(trained.output / "split.parquet")
    test = set(split.filter(pl.col("split") == "test")["image_id"])
    assert left
    assert left <= test
    assert "are left out" in result.report.read_text()


def test_known_images_are_said_where_they_are_kept(
    trained: TrainResult, phantoms: Path, tmp_path: Path
) -> None:
    heard = Noting(Silent())
    evaluate(trained.bundle, phantoms, output=tmp_path / "out", settings=settings(), reporter=heard)
    assert any("the figures are better than those of new images" in note for note in heard.notices)


def test_other_images_are_no_copies(trained: TrainResult, tmp_path: Path) -> None:
    """Phantoms of one drawing are too alike to tell; a picture of another kind is not."""
    write_phantoms(tmp_path / "other", patients=12, size=64, seed=77)
    result = evaluate(
        trained.bundle, tmp_path / "other", output=tmp_path / "out",
        settings=settings(prevalence=0.03),
    )  # fmt: skip
    assert "External test" in result.report.read_text()
    assert '"prevalence": 0.03' in (result.output / "assessment.json").read_text()
    found = recompute(result.output)
    assert found.differences == ()
    points: Any = found.assessment["operating_points"]
    assert [point["rule"] for point in points[3:]] == [
        "cost ratio 5, prevalence 0.03", "cost ratio 20, prevalence 0.03",
    ]  # fmt: skip
    calibration = read_table(pl.read_parquet(result.output / "calibration.parquet"))
    again = choose_point(calibration, label=points[3]["label"], rule=Cost(5, 0.03))
    assert points[3]["threshold"] == again.to_json()["threshold"]


def test_a_bundle_without_memory_cannot_say(
    trained: TrainResult, phantoms: Path, tmp_path: Path
) -> None:
    plain = open_bundle(trained.bundle).with_file(REFERENCE, reference_bytes(Reference()))
    plain.save(tmp_path / "plain")
    with pytest.raises(InputError, match="does not remember its training images"):
        evaluate(
            tmp_path / "plain", phantoms, output=tmp_path / "out",
            settings=settings(known_images="refuse"),
        )  # fmt: skip


def test_options_that_contradict_each_other_are_refused() -> None:
    from pneumoscope.cli.arguments import evaluation_settings

    with pytest.raises(InputError, match="--external refuses what --drop-known leaves out"):
        evaluation_settings(audit=True, external=True, drop_known=True, prevalence=None)
    with pytest.raises(RecipeError, match="prevalence"):
        evaluation_settings(audit=True, external=False, drop_known=False, prevalence=1.5)
    chosen = evaluation_settings(audit=False, external=True, drop_known=False, prevalence=0.1)
    assert chosen.known_images == "refuse"
    assert chosen.cost_ratios == EvaluateRecipe().cost_ratios
    asked = evaluation_settings(
        audit=True, external=False, drop_known=False, prevalence=0.1, cost_ratios=[3]
    )
    assert [*asked.cost_ratios] == [3]
    with pytest.raises(InputError, match="Give --prevalence too"):
        evaluation_settings(
            audit=True, external=False, drop_known=False, prevalence=None, cost_ratios=[3]
        )
    assert not chosen.audit.enabled
