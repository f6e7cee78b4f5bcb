"""Fine-tuning: what learns and what stays, cached activations, several processes, kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from typer.testing import CliRunner

from pneumoscope.cli.main import app
from pneumoscope.core.errors import InputError, RecipeError, StorageError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import Recipe, dump_recipe, override
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import build_catalogue
from pneumoscope.data.layouts import recognise
from pneumoscope.data.split import assign_splits
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.models.classifier import build_classifier
from pneumoscope.models.stages import stage_parameters, stages
from pneumoscope.training.checkpoints import Checkpoints
from pneumoscope.training.distributed import World
from pneumoscope.training.trainer import Trained, train_classifier
from pneumoscope.workflows.training import train
from pneumoscope.workflows.unfinished import find_unfinished, unfinished

LABELS = ("NORMAL", "PNEUMONIA")


@dataclass
class Given:
    """A recipe on phantoms, its split catalogue and its pixels."""

    recipe: Recipe
    catalogue: pl.DataFrame
    pixels: PixelCache

    def train(self, changes: dict[str, Any] | None = None) -> tuple[Trained, Silent]:
        heard = Silent()
        trained = train_classifier(
            override(self.recipe, changes or {}),
            self.catalogue,
            LABELS,
            self.pixels,
            checkpoints=Checkpoints(),
            world=World(),
            reporter=heard,
            on_epoch=lambda _: None,
        )
        return trained, heard

    def before(self, changes: dict[str, Any] | None = None) -> dict[str, Tensor]:
        recipe = override(self.recipe, changes or {})
        built = build_classifier(recipe.model, LABELS, size=64, seed=recipe.seed)
        return built.classifier.state_dict()


FINE_TUNE = {
    "kind": "fine_tune", "last": 2, "views": 2, "epochs": 2, "batch_size": 24,
    "precision": "float32", "learning_rate": 1e-2,
}  # fmt: skip
SMALL = {
    "preprocess.size": 64,
    "model.backbone": "resnet10t",
    "model.weights": "none",
    "model.head": [],  # dropout is drawn per process
    "compute.precision": "float32",
    "phases": [FINE_TUNE],
    "evaluate.resamples": 100,
    "evaluate.audit.enabled": False,
    "gate.enabled": False,
    "tracking.enabled": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def given(phantoms: Path) -> Given:
    recipe = override(Recipe(), {**SMALL, "data.path": str(phantoms)})
    pixels = PixelCache(Preprocess(recipe.preprocess))
    found = build_catalogue(recognise(phantoms), pixels=pixels, reporter=Silent())
    return Given(recipe, assign_splits(found, recipe.split, seed=0, reporter=Silent()), pixels)


def moved(trained: Trained, before: dict[str, Tensor]) -> set[str]:
    after = trained.classifier.state_dict()
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


def stage_names(network: nn.Module, number: slice) -> set[str]:
    return {
        f"backbone.network.{name}"
        for stage in stages(network, 64)[number]
        for name, _ in stage_parameters(network, stage)
    }


@pytest.mark.parametrize("views", [2, 0])
def test_only_the_last_stages_and_the_head_learn(given: Given, views: int) -> None:
    changes = {"phases.0.views": views}
    trained, _ = given.train(changes)
    network = trained.classifier.backbone.network
    changed = moved(trained, given.before(changes))
    learning = stage_names(network, slice(-2, None))
    assert changed == learning | {"head.output.weight", "head.output.bias"}
    assert not changed & stage_names(network, slice(None, -2))


def test_batch_statistics_are_kept_unless_they_are_to_be_learned(given: Given) -> None:
    before = given.before()
    kept, _ = given.train()
    learned, _ = given.train({"phases.0.batch_norm": "train"})
    assert not [name for name in moved(kept, before) if "running" in name]
    statistics = [name for name in moved(learned, before) if "running_mean" in name]
    assert statistics
    assert not [name for name in statistics if "layer1" in name], "of frozen stages neither"


def test_all_stages_from_random_weights_learn_their_statistics(given: Given) -> None:
    before = given.before()
    trained, _ = given.train({"phases.0.last": "all"})
    changed = moved(trained, before)
    assert {
        f"backbone.network.{n}" for n, _ in trained.classifier.backbone.network.named_parameters()
    } <= changed
    assert [name for name in changed if "running_mean" in name]


def test_cached_activations_train_what_computing_them_again_trains(given: Given) -> None:
    """The same views in the same order; only the batches they are computed in differ."""
    slowly = {"phases.0.learning_rate": 1e-3}
    cached, _ = given.train(slowly)
    again, heard = given.train({**slowly, "phases.0.cache_gib": 0.0})
    assert any("more than cache_gib: 0" in warning for warning in heard.warnings)
    one, other = (t.history["validation_loss"].to_numpy() for t in (cached, again))
    np.testing.assert_allclose(one, other, rtol=0.003)
    fresh, _ = given.train({**slowly, "phases.0.views": 0})
    assert np.abs(fresh.history["validation_loss"].to_numpy() - one).max() > 1e-4


def test_activations_are_computed_once(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = given.train()
    monkeypatch.setattr(
        "pneumoscope.training.activations.Recorder._write",
        lambda *_: pytest.fail("computed again"),
    )
    again, _ = given.train()
    assert first.history.equals(again.history)
    with pytest.raises(pytest.fail.Exception):
        given.train({"seed": 1})


def test_a_full_disk_costs_the_cache_not_the_run(
    given: Given, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    given.pixels.pixels(given.catalogue["image_id"].to_list()[:1])
    monkeypatch.setattr("pneumoscope.training.activations.Recorder._write", full)
    trained, heard = given.train()
    assert trained.history.height == 2
    assert any("computed again in every epoch: the disk is full" in w for w in heard.warnings)


def test_more_stages_than_there_are_is_refused(given: Given) -> None:
    with pytest.raises(
        RecipeError, match=r"phases.0.last: 5; resnet10t has 5 stages. Give 1 to 4, or `all`"
    ):
        given.train({"phases.0.last": 5})


def test_weights_are_rounded_after_training_where_the_recipe_says_so(given: Given) -> None:
    trained, _ = given.train()
    rounded, _ = given.train({"model.rounding": "bfloat16"})
    for name, value in rounded.classifier.named_parameters():
        expected: Tensor = trained.classifier.get_parameter(name)
        if value.ndim > 1:
            assert not torch.equal(value, expected), "training itself leaves finer weights"
            expected = expected.to(torch.bfloat16).to(torch.float32)
        assert torch.equal(value, expected), name


def test_a_probe_before_fine_tuning_is_where_it_begins(given: Given) -> None:
    phases = [{"kind": "probe", "epochs": 3, "views": 1}, FINE_TUNE]
    trained, _ = given.train({"phases": phases})
    assert trained.history["phase"].unique(maintain_order=True).to_list() == ["probe", "fine_tune"]
    probe = trained.history.filter(pl.col("phase") == "probe")
    first = trained.history.filter(pl.col("phase") == "fine_tune")[0]
    begun, reached = (rows["validation_loss"].to_numpy().min() for rows in (first, probe))
    assert begun < 1.5 * reached


@pytest.mark.parametrize(
    "changes",
    [
        {"model.pooling": "gem", "loss.name": "focal", "optimizer.name": "sgd"},
        {"model.pooling": "flatten", "balance.method": "undersample", "regularize.mixup": 0.4},
        {"model.pooling": "avgmax", "regularize.cutmix": 1.0, "phases.0.last": "all"},
        {"balance.method": "none", "loss.name": "logit_adjusted", "optimizer.clip_norm": 1.0},
        {"augment.histogram": 0.5, "augment.noise": 4, "phases.0.schedule": "one_cycle"},
        {"model.head": [{"dense": 8}, {"batch_norm": True}], "regularize.average": 0.9},
        {"phases.0.schedule": "plateau", "phases.0.monitor": "validation_auc"},
    ],
    ids=" ".join,
)
def test_every_way_to_learn_trains(given: Given, changes: dict[str, Any]) -> None:
    trained, _ = given.train(changes)
    assert trained.history.height == 2
    assert np.isfinite(trained.history["validation_loss"].to_numpy()).all()
    assert moved(trained, given.before(changes))


# From the command line


def arguments(tmp_path: Path, recipe: Recipe, name: str) -> list[str]:
    file = tmp_path / "recipe.yaml"
    file.write_text(dump_recipe(recipe))
    return ["train", str(file), "--output", str(tmp_path / name), "--json"]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def weights(run: Path) -> dict[str, Tensor]:
    return load_file(run / "bundle" / "model.safetensors")


@pytest.fixture(scope="module")
def longer(given: Given) -> Recipe:
    return override(given.recipe, {"phases.0.epochs": 3, "model.backbone": "cnn4"})


@pytest.fixture(scope="module")
def unbroken(longer: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(longer, output=tmp_path_factory.mktemp("unbroken") / "run").output


def test_a_killed_run_goes_on_to_the_same_bits(
    longer: Recipe, unbroken: Path, tmp_path: Path
) -> None:
    words = [*arguments(tmp_path, longer, "run"), "--resume"]
    command = [sys.executable, "-m", "pneumoscope", *words]
    progress = tmp_path / ".run.unfinished" / "phase-0.safetensors"
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment(), stdout=quiet, stderr=quiet) as process:
        _wait_for_one(progress)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "run").exists()
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    one, other = weights(unbroken), weights(tmp_path / "run")
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert (unbroken / "metrics.json").read_bytes() == (tmp_path / "run/metrics.json").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.yaml", "run"]


def _wait_for_one(file: Path) -> None:
    end = time.monotonic() + 120
    while not file.is_file():
        assert time.monotonic() < end, "nothing was kept"
        time.sleep(0.02)


def test_two_processes_train_what_one_trains(
    longer: Recipe, unbroken: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29617",
        "-m", "pneumoscope", *arguments(tmp_path, longer, "run"),
    ]  # fmt: skip
    done = subprocess.run(command, env=environment(), capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    one, other = (pl.read_csv(run / "history.csv") for run in (unbroken, tmp_path / "run"))
    for column in ("train_loss", "validation_loss", "validation_auc"):
        np.testing.assert_allclose(one[column], other[column], rtol=1e-3, atol=1e-3)
    for name, value in weights(unbroken).items():
        torch.testing.assert_close(weights(tmp_path / "run")[name], value, rtol=1e-2, atol=1e-3)


# What is unfinished


def begin(recipe: Recipe, output: Path, *, resume: bool = False) -> Any:
    return unfinished(recipe, output, resume=resume, reporter=Silent())


def interrupted(recipe: Recipe, output: Path) -> None:
    with pytest.raises(KeyboardInterrupt), begin(recipe, output) as at:
        (at.folder / "phase-0.safetensors").touch()
        at.require_data("abc")
        raise KeyboardInterrupt


def test_an_unfinished_run_is_not_overwritten(tmp_path: Path) -> None:
    interrupted(Recipe(), tmp_path / "run")
    with (
        pytest.raises(StorageError, match="--resume, or remove"),
        begin(Recipe(), tmp_path / "run"),
    ):
        pass
    with begin(Recipe(), tmp_path / "run", resume=True) as at:
        at.require_data("abc")
    assert not list(tmp_path.iterdir()), "nothing is left when it is finished"


def test_it_goes_on_with_the_same_recipe_and_data_only(tmp_path: Path) -> None:
    interrupted(Recipe(), tmp_path / "run")
    other = override(Recipe(), {"seed": 7})
    with (
        pytest.raises(RecipeError, match=r"another recipe \('seed: 0', now 'seed: 7'\)"),
        begin(other, tmp_path / "run", resume=True),
    ):
        pass
    changed = pytest.raises(InputError, match="the data have changed")
    with changed, begin(Recipe(), tmp_path / "run", resume=True) as at:
        at.require_data("def")
    assert (tmp_path / ".run.unfinished" / "phase-0.safetensors").is_file(), "nothing is lost"


def test_what_a_killed_run_left_goes_and_nothing_else_does(tmp_path: Path) -> None:
    for name in (".run.abcdefgh.partial", ".run.2.abcdefgh.partial", ".run2.abcdefgh.partial"):
        (tmp_path / name).mkdir()
    with begin(Recipe(), tmp_path / "run"):
        left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".run.2.abcdefgh.partial", ".run.unfinished", ".run2.abcdefgh.partial"]


def test_two_processes_do_not_train_the_same_run(tmp_path: Path) -> None:
    with (
        begin(Recipe(), tmp_path / "run"),
        pytest.raises(StorageError, match="another process is training it"),
        begin(Recipe(), tmp_path / "run", resume=True),
    ):
        pass


def test_the_last_unfinished_run_of_a_recipe_is_found(tmp_path: Path) -> None:
    assert find_unfinished(Recipe(), tmp_path) is None
    interrupted(Recipe(), tmp_path / "one")
    interrupted(override(Recipe(), {"seed": 1}), tmp_path / "two")
    assert find_unfinished(Recipe(), tmp_path) == tmp_path / "one"
