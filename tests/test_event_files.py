"""`train --tensorboard`: read back by TensorBoard's own reader."""

from __future__ import annotations

import copy
import importlib.util
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pneumoscope.core.errors import DependencyError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import Recipe, override
from pneumoscope.models.classifier import build_classifier
from pneumoscope.tracking.tensorboard import EventFiles
from pneumoscope.training.example_step import example_step, let_learn
from pneumoscope.workflows.event_files import board_in
from pneumoscope.workflows.results import TrainResult
from pneumoscope.workflows.training import train

pytest.importorskip("tensorboard")

CHANGES = {
    "model.backbone": "lenet5",
    "model.weights": "none",
    "preprocess.size": 40,
    "phases": [
        {"kind": "probe", "epochs": 2, "views": 1},
        {"kind": "fine_tune", "last": "all", "epochs": 2, "precision": "float32"},
    ],
    "tracking.enabled": False,
}


@pytest.fixture(scope="module")
def recipe(small_recipe: Recipe) -> Recipe:
    return override(small_recipe, CHANGES)


@pytest.fixture(scope="module")
def watched(
    recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainResult, list[str]]:
    output, reporter = tmp_path_factory.mktemp("watched") / "run", Silent()
    result = train(recipe, output=output, reporter=reporter, tensorboard=True)
    return result, reporter.warnings


@pytest.fixture(scope="module")
def events(watched: tuple[TrainResult, list[str]]) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(
        str(watched[0].output / "tensorboard"), size_guidance={"images": 0, "scalars": 0}
    )
    found.Reload()
    return found


def test_scalars_are_those_of_the_history(
    watched: tuple[TrainResult, list[str]], events: Any
) -> None:
    result, warnings = watched
    assert not warnings
    for phase in ("probe", "fine_tune"):
        assert [event.step for event in events.Scalars(f"{phase}/validation_loss")] == [1, 2]
    auc = result.metrics["auc"]
    assert isinstance(auc, dict)
    assert events.Scalars("test/auc")[0].value == pytest.approx(auc["value"])
    assert not [name for name in events.Tags()["scalars"] if name.startswith("test.")]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_everything_else_is_there_once(watched: tuple[TrainResult, list[str]], events: Any) -> None:
    tags = events.Tags()
    assert tags["graph"]
    assert "classifier" in str(events.Graph()).lower() or "head" in str(events.Graph())
    assert [event.step for event in events.Images("augmented/0")] == list(range(5))
    plain, *views = [event.encoded_image_string for event in events.Images("augmented/0")]
    assert len({plain, *views}) == 5, "every view is another one"
    assert len([name for name in tags["images"] if name.startswith("saliency/")]) == 8
    assert {"pr/NORMAL", "pr/PNEUMONIA", "recipe/text_summary"} <= set(tags["tensors"])
    table = events.Tensors("profile/operations/text_summary")[0].tensor_proto.string_val[0]
    assert "Optimizer.step" in table.decode()
    folder = watched[0].output / "tensorboard"
    assert len(list(folder.glob("events.out.*"))) == 1
    assert (folder / "steps.pt.trace.json").is_file()
    rows = (folder / "00000" / "embedding" / "metadata.tsv").read_text().splitlines()
    assert rows[0] == "label\tanswer\tright"
    assert len(rows) - 1 == watched[0].metrics["n_images"]
    assert [path.name for path in folder.parent.parent.iterdir()] == ["run"]


def test_a_missing_extra_is_said_before_anything_is_read(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find(name)
    )
    with pytest.raises(DependencyError, match=r"pip install pneumoscope\[tensorboard\]"):
        train(recipe, output=tmp_path / "run", tensorboard=True)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_costs_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    reporter = Silent()
    monkeypatch.setattr(EventFiles, "scalar", full)
    with board_in(tmp_path, wanted=True, reporter=reporter) as board:
        assert board is not None
        board.scalar("a", 1.0, 1)
        board.scalar("a", 2.0, 2)
    assert len(reporter.warnings) == 1
    assert "scalars is left out (OSError: [Errno 28] No space left" in reporter.warnings[0]


def test_a_scalar_that_comes_late_is_not_taken(tmp_path: Path) -> None:
    with board_in(tmp_path, wanted=True, reporter=Silent()) as board:
        pass
    assert board is not None
    before = sorted(tmp_path.rglob("*"))
    late = threading.Thread(target=board.scalar, args=("a", 1.0, 1))
    late.start()
    late.join()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("phase", "learns", "stays"),
    [
        ({"kind": "probe"}, "head", "backbone"),
        ({"kind": "fine_tune", "last": 1}, "stages.1", "stages.0"),
        ({"kind": "fine_tune", "last": "all"}, "stages.0", "nothing"),
    ],
)
def test_the_step_looked_at_trains_what_the_phase_trains(
    recipe: Recipe, phase: dict[str, object], learns: str, stays: str
) -> None:
    changed = override(recipe, {"phases": [phase]})
    built = build_classifier(changed.model, ("A", "B"), size=40, seed=0).classifier
    before = copy.deepcopy(built.state_dict())
    pixels, truth = torch.zeros(4, 1, 40, 40, dtype=torch.uint8), np.array([0, 1, 0, 1])
    example_step(built, changed, pixels, truth, counts=[2, 2])()
    assert all(torch.equal(before[name], value) for name, value in built.state_dict().items())
    learning = let_learn(built, changed.phases[0], 40)
    named = [name for name, value in built.named_parameters() if value.requires_grad]
    assert len(named) == len(learning)
    assert [name for name in named if learns in name]
    assert not [name for name in named if stays in name]
