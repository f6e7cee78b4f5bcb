"""The set-ups of `recipes/`: every file is sound, every plan runs to its end in the quick form."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import typer
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from pneumoscope.bundle import export as export_module
from pneumoscope.bundle.export import export_onnx
from pneumoscope.cli.main import app
from pneumoscope.core.errors import RecipeError, TrainingError
from pneumoscope.core.recipe import FineTunePhase, dump_recipe, load_recipe, override
from pneumoscope.core.recipe.convert import convert, load_parameters
from pneumoscope.core.recipe.space import load_space
from pneumoscope.data.phantoms import draw_phantom
from pneumoscope.models import hub
from pneumoscope.models.classifier import Classifier
from pneumoscope.models.saliency import FixedViews, SaliencyClassifier
from pneumoscope.workflows.benchmark import process
from pneumoscope.workflows.benchmark import run as benchmark_run
from run_plan import HERE, WHOLE, in_a_process, load_plan, run_plan

NAMES = (
    "balanced",
    "champion",
    "modality",
    "parametric",
    "pneumonia",
    "populations",
    "radiography",
)
RECIPES = [path for path in HERE.rglob("*.yaml") if path.name not in ("plan.yaml", "space.yaml")]
TINY = {
    "preprocess.size": 64,
    "model.pooling": "avg",
    "model.head": [],
    "tracking.enabled": False,
    "evaluate.resamples": 100,
    "evaluate.audit.enabled": False,
    "gate.enabled": False,
}
CHEAPER = {
    "--set model.backbone=EfficientNet-Lite0": "--set model.backbone=cnn3 --set model.weights=none",
    "EfficientNet-Lite0": "cnn3",
    "EfficientNet-Lite1": "cnn3",
    "EfficientNet-Lite2": "cnn3",
    "tf_efficientnet_lite0": "cnn3",
    "--seeds 2": "--seeds 1",
    "--seeds 3": "--seeds 1",
    "--trials 12": "--trials 2 --seeds 0",
    ",cnn4,cnn6": "",
}
"""Of a plan: what keeps its commands and costs a second instead of ten."""


def named(path: Path) -> str:
    return str(path.relative_to(HERE))


def parse(words: Sequence[str]) -> None:
    """Parse a command of `pneumoscope` without running it; wrong usage is an error."""
    group: Any = typer.main.get_command(app)
    name, *rest = words
    if name == "recipe":
        group, (name, *rest) = group.commands[name], rest
    group.commands[name].make_context(name, list(rest))


@pytest.mark.parametrize("file", RECIPES, ids=named)
def test_every_recipe_is_sound(file: Path) -> None:
    recipe = load_recipe(file)
    space = file.parent / "space.yaml"
    if file.parent != HERE and space.is_file():
        tuned = re.findall(r"tune \$here/(\S+)", (file.parent / "plan.yaml").read_text())
        assert file.name not in tuned or load_space(space, recipe).fields


def test_every_set_up_has_its_plan_and_page() -> None:
    assert sorted(path.parent.name for path in HERE.glob("*/plan.yaml")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_commands_of_plan_and_page_are_those_of_the_program(name: str) -> None:
    places = {"data": "d", "output": "o", "here": str(HERE / name), "quick": "--quick"}
    steps = load_plan(HERE / name)
    for step in steps:
        parse(step.words(places))
    text = (HERE / name / "README.md").read_text()
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    lines = [shlex.split(line, comments=True) for line in blocks.splitlines()]
    assert ["make", "recipe", f"NAME={name}"] in lines
    assert ["make", "recipe", f"NAME={name}", "QUICK=1"] in lines
    for line in lines:
        if line[:1] == ["pneumoscope"]:
            parse(line[1:])
            shipped = [word for word in line if word.startswith("recipes/")]
            assert all((HERE.parent / word).is_file() for word in shipped)


@pytest.mark.parametrize("pick", ["frozen", "fixed"])
def test_the_parametric_recipes_are_what_their_dictionaries_mean(pick: str) -> None:
    found = convert(load_parameters(HERE / "parametric" / "parameters.py", pick=pick), name=pick)
    assert load_recipe(HERE / "parametric" / f"{pick}.yaml") == found.recipe


def write_labels(folder: Path, labels: Mapping[str, str], each: int) -> None:
    """Phantoms in a folder for each label; every second label is of pneumonia."""
    for number, inside in enumerate(labels.values()):
        (folder / inside).mkdir(parents=True)
        for one in range(each):
            shown = ("NORMAL", "PNEUMONIA")[number % 2]
            pixels = draw_phantom(seed=1000 * number + one, label=shown, size=64)
            Image.fromarray(pixels).save(folder / inside / f"{number}-{one:03}.png")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms under the names and in the layouts of the development data."""
    folder = tmp_path_factory.mktemp("data")
    four = ("Bacterial Pneumonia", "COVID", "Normal", "Viral Pneumonia")
    write_labels(folder / "chest_xray", {"N": "NORMAL", "P": "PNEUMONIA"}, 30)
    write_labels(folder / "modality", {name: name for name in ("brain", "chest", "other")}, 20)
    write_labels(folder / "radiography", {name: f"{name}/images" for name in four}, 20)
    return folder


def shrunk(name: str, folder: Path) -> Path:
    """A copy of a set-up whose commands are the same and whose networks are small."""
    copy = folder / "recipes" / name
    copy.mkdir(parents=True)
    for file in (HERE / name).glob("*.yaml"):
        text = file.read_text()
        if file in RECIPES:
            recipe = override(load_recipe(file), TINY)
            short: dict[str, object] = {f"phases.{n}.epochs": 1 for n in range(len(recipe.phases))}
            for number, phase in enumerate(recipe.phases):
                if isinstance(phase, FineTunePhase) and phase.last == 3:
                    short[f"phases.{number}.last"] = 2  # the small network has no more
            text = dump_recipe(override(recipe, short))
        elif file.name == "plan.yaml":
            for costly, cheap in CHEAPER.items():
                text = text.replace(costly, cheap)
        (copy / file.name).write_text(text)
    return copy


def in_this_process(words: Sequence[str]) -> int:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, f"{done.output}{done.exception!r}"
    return done.exit_code


GRAPHS: dict[tuple[str, int], tuple[onnx.ModelProto, Mapping[str, NDArray[np.float32]]]] = {}


def quick_export(
    classifier: Classifier, *, size: int, views: FixedViews | None, fuse: bool
) -> bytes:
    """As `export_onnx`, by the graph of an equal network with the weights exchanged.

    The export's own parity check would tell if that were wrong.
    """
    network = SaliencyClassifier(classifier, views)
    weights = {name: held.detach().numpy() for name, held in network.state_dict().items()}
    key = (f"{network!r} {fuse}", size)
    if key not in GRAPHS:
        made = export_onnx(classifier, size=size, views=views, fuse=fuse)
        GRAPHS[key] = (onnx.load_from_string(made), {n: w.copy() for n, w in weights.items()})
        return made
    model, before = GRAPHS[key]
    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    for tensor in graph.graph.initializer:
        held = onnx.numpy_helper.to_array(tensor)
        for name, old in before.items():  # some are folded into constants of another name and shape
            if tensor.name == name or (held.size > 8 and np.array_equal(held.ravel(), old.ravel())):
                new = weights[name].reshape(held.shape)
                tensor.CopyFrom(onnx.numpy_helper.from_array(new, tensor.name))
    return bytes(graph.SerializeToString())


@pytest.fixture
def here_and_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process of its own for a candidate, no hub, nothing drawn, no graph exported twice."""

    def nothing(figure: Figure, file: Any, **options: object) -> None:
        file.write("<svg></svg>" if options["format"] == "svg" else b"")

    monkeypatch.setattr(Figure, "savefig", nothing)
    monkeypatch.setattr(export_module, "export_onnx", quick_export)
    monkeypatch.setattr(benchmark_run, "run_apart", process.run_here)
    monkeypatch.setattr(hub, "_answers", lambda endpoint: False)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("here_and_offline")
def test_every_set_up_runs_to_its_end_in_the_quick_form(
    name: str, data: Path, tmp_path: Path
) -> None:
    folder, output = shrunk(name, tmp_path), tmp_path / "out"
    done = run_plan(folder, data=data, output=output, quick=True, only=None, run=in_this_process)
    assert list(done["steps"]) == [step.name for step in load_plan(HERE / name)]
    for step in load_plan(folder):
        record = done["steps"][step.name]
        assert record["status"] == ("skipped" if step.weights else "finished"), record
        assert not step.weights or "no ImageNet weights of" in record["reason"]
        assert step.weights or (output / record["output"]).exists()
        file = WHOLE.get(step.run.split()[0])
        assert step.weights or not file or (output / record["output"] / file).is_file()
    assert json.loads((output / "plan.json").read_text()) == done


def a_plan(folder: Path) -> Path:
    (folder / "plan.yaml").write_text(
        "first: {run: 'train $data/x --output $output/one $quick'}\n"
        "second: {run: 'compare $here $output/one --output $output/two'}\n"
        "third: {run: train x, weights: vgg16}\n"
    )
    return folder


@pytest.mark.usefixtures("here_and_offline")
def test_a_restart_does_what_is_missing(tmp_path: Path) -> None:
    asked: list[Sequence[str]] = []
    places = {"data": tmp_path / "d", "output": tmp_path / "o"}
    plan = a_plan(tmp_path)

    def run(words: Sequence[str]) -> int:
        asked.append(words)
        return int(len(asked) == 2)

    def killed(words: Sequence[str]) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, **places, quick=True, only=None, run=killed)
    begun = json.loads((tmp_path / "o" / "plan.json").read_text())["steps"]["first"]
    assert (begun["status"], begun["attempts"]) == ("interrupted", 1)
    with pytest.raises(TrainingError, match="second: ended with exit status 1"):
        run_plan(plan, **places, quick=True, only=None, run=run)
    done = run_plan(plan, **places, quick=True, only=None, run=run)["steps"]
    assert [words[0] for words in asked] == ["train", "compare", "compare"], "first is done once"
    assert asked[0] == ["train", f"{tmp_path}/d/x", "--output", f"{tmp_path}/o/one", "--quick"]
    assert [step["status"] for step in done.values()] == ["finished", "finished", "skipped"]
    assert (done["first"]["attempts"], done["first"]["output"]) == (2, "one")
    assert done["first"]["command"] == "pneumoscope train DATA/x --output OUTPUT/one --quick"
    assert str(tmp_path) not in json.dumps([step["command"] for step in done.values()])
    with pytest.raises(RecipeError, match="holds another set-up"):
        run_plan(plan, **places, quick=False, only=None, run=run)
    with pytest.raises(RecipeError, match="no such step"):
        run_plan(plan, **places, quick=True, only="fourth", run=run)


@pytest.mark.parametrize("how", ["killed", "refused"])
def test_a_command_that_outlived_its_plan_is_finished(how: str, tmp_path: Path) -> None:
    """The plan is killed and its `train` goes on; it may still be at it when the plan is back."""
    asked: list[str] = []
    places = {"data": tmp_path / "d", "output": tmp_path / "o"}
    plan, kept = a_plan(tmp_path), tmp_path / "o" / "plan.json"

    def kill(words: Sequence[str]) -> int:
        (tmp_path / "o" / "as_it_was").write_bytes(kept.read_bytes())  # nothing is caught
        raise KeyboardInterrupt

    def run(words: Sequence[str]) -> int:
        asked.append(words[0])
        return 0

    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, **places, quick=True, only="first", run=kill)
    (tmp_path / "o" / "as_it_was").replace(kept)
    if how == "refused":
        with pytest.raises(TrainingError, match="exit status 1"):
            run_plan(plan, **places, quick=True, only="first", run=lambda _: 1)
    (tmp_path / "o" / "one").mkdir()
    (tmp_path / "o" / "one" / "metrics.json").touch()
    for _ in range(2):
        done = run_plan(plan, **places, quick=True, only="first", run=run)["steps"]["first"]
        assert (asked, done["status"], done["output"]) == ([], "finished", "one")
        assert "outlived the plan" in done["reason"]
        assert json.loads(kept.read_text())["steps"]["first"] == done


def test_an_output_that_was_there_before_is_not_the_plans(tmp_path: Path) -> None:
    places = {"data": tmp_path / "d", "output": tmp_path / "o"}
    (tmp_path / "o" / "one").mkdir(parents=True)
    (tmp_path / "o" / "one" / "metrics.json").touch()
    for _ in range(2):
        with pytest.raises(TrainingError, match="exit status 1"):
            run_plan(a_plan(tmp_path), **places, quick=True, only="first", run=lambda _: 1)


def test_a_plan_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="Name one of balanced, champion, modality"):
        load_plan(tmp_path)
    (tmp_path / "plan.yaml").write_text("step: {command: train}")
    with pytest.raises(RecipeError, match="a step is"):
        load_plan(tmp_path)


def test_a_command_gets_its_own_process_and_answers_with_its_status() -> None:
    assert (in_a_process(["--version"]), in_a_process(["no-such-command"])) == (0, 2)
