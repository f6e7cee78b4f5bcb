"""The training images most like an image: found where the run and its data are at hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from pneumoscope.app.data import Run
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.bundle.similar import Memory, features_of, open_memory, similar_images
from pneumoscope.core.recipe import load_recipe, override, save_recipe

if TYPE_CHECKING:
    from pneumoscope.workflows.results import TrainResult


@pytest.fixture(scope="module")
def predictor(trained: TrainResult) -> Predictor:
    return Predictor.open(trained.bundle)


def memory_of(predictor: Predictor, folder: Path) -> Memory | None:
    drawn = Run("run", folder, "run", {}, {}).remembered()
    return None if drawn is None else open_memory(predictor, *drawn)


def test_a_training_image_is_nearest_to_itself(trained: TrainResult, predictor: Predictor) -> None:
    memory = memory_of(predictor, trained.output)
    assert memory is not None
    image_id, label, path = memory.images.row(7)
    seen = predictor.read(memory.data / path).seen
    assert seen is not None
    found = similar_images(memory, features_of(predictor, seen.canvas[None, None]), most=3)
    assert (found[0].image_id, found[0].label, found[0].path) == (
        image_id,
        label,
        memory.data / path,
    )
    assert [one.same for one in found] == [True, False, False]
    distances = [one.distance for one in found]
    assert distances == sorted(distances)
    assert not any("patient" in name for name in vars(found[0]))


def _shuffled(run: Path) -> None:
    table = pl.read_parquet(run / "catalogue.parquet")
    table.with_columns(pl.col("path").reverse()).write_parquet(run / "catalogue.parquet")


def _fewer(run: Path) -> None:
    table = pl.read_parquet(run / "catalogue.parquet")
    train = table.filter(pl.col("split") == "train")["image_id"][0]
    table.filter(pl.col("image_id") != train).write_parquet(run / "catalogue.parquet")


def _moved(run: Path) -> None:
    recipe = load_recipe(run / "recipe.yaml")
    save_recipe(override(recipe, {"data.path": str(run / "gone")}), run / "recipe.yaml")


def _without(run: Path) -> None:
    (run / "catalogue.parquet").unlink()


@pytest.mark.parametrize("change", [_shuffled, _fewer, _moved, _without])
def test_a_memory_that_does_not_fit_is_not_at_hand(
    change: Callable[[Path], None], trained: TrainResult, predictor: Predictor, tmp_path: Path
) -> None:
    for name in ("recipe.yaml", "catalogue.parquet"):
        shutil.copy(trained.output / name, tmp_path / name)
    assert memory_of(predictor, tmp_path) is not None
    change(tmp_path)
    assert memory_of(predictor, tmp_path) is None


def test_without_a_gate_there_is_no_memory(trained: TrainResult) -> None:
    plain = Predictor.open(trained.bundle, gated=False)
    assert memory_of(plain, trained.output) is None
