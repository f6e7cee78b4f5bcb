from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pneumoscope.core.errors import RecipeError
from pneumoscope.core.recipe import FineTunePhase, ProbePhase, Recipe, parse_recipe
from pneumoscope.core.recipe.convert import Converted, convert, load_parameters

PARAMETRIC: dict[str, Any] = {
    "model": "MobileNetV2",
    "weights": "imagenet",
    "alpha": 0.35,
    "pooling": "max",
    "strategy": "frozen",
    "epochs": 30,
    "batch_size": 64,
    "img_size": (160, 160, 3),
    "equilibrate": "undersample",
    "optimizer": {"name": "AdamW", "learning_rate": 5e-4, "weight_decay": 1e-3},
    "loss": "categorical_crossentropy",
    "data_augmentation": {
        "rotation_range": 12, "zoom_range": [0.9, 1.2], "width_shift_range": 0.1,
        "height_shift_range": 0.05, "horizontal_flip": True, "brightness_range": [0.8, 1.1],
        "rescale": 1 / 255, "fill_mode": "constant",
    },
    "added_layers": [
        {"type": "Dropout", "count": 0.2},
        {"type": "Dense", "count": 128, "activation": "relu"},
        {"type": "Dropout", "count": 0.5},
        {"type": "Dense", "count": 2, "activation": "softmax"},
    ],
}  # fmt: skip


def noted(found: Converted) -> dict[str, str]:
    return {note.key: str(note) for note in found.notes}


def test_the_parametric_style_with_a_frozen_backbone() -> None:
    found = convert(PARAMETRIC, name="parametric")
    recipe = found.recipe
    assert (recipe.model.backbone, recipe.model.width, recipe.model.pooling) == (
        "MobileNetV2", 0.35, "max",
    )  # fmt: skip
    assert [layer.model_dump() for layer in recipe.model.head] == [
        {"dropout": 0.2}, {"dense": 128, "activation": "relu"}, {"dropout": 0.5},
    ]  # fmt: skip
    (phase,) = recipe.phases
    assert isinstance(phase, ProbePhase)
    assert (phase.epochs, phase.batch_size, phase.learning_rate) == (30, 64, None)
    assert (recipe.optimizer.name, recipe.optimizer.learning_rate) == ("adamw", 5e-4)
    assert recipe.optimizer.weight_decay == 1e-3
    assert (recipe.preprocess.size, recipe.balance.method) == (160, "undersample")
    augment = recipe.augment
    assert (augment.rotation, augment.zoom, augment.shift) == (12, 0.2, 0.1)
    assert (augment.horizontal_flip, augment.brightness) == (0.5, 0.2)
    assert (augment.contrast, augment.gamma, augment.aspect) == (0, 0, 0)
    assert set(noted(found)) == {"data_augmentation", "data_augmentation.fill_mode"}
    assert parse_recipe(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("model", "fixed", "last"),
    [
        ("MobileNetV2", 100, 3), ("MobileNetV2", 143, 1), ("VGG16", 15, 1), ("VGG16", 11, 2),
        ("ResNet50", 143, 1), ("DenseNet121", 141, 2), ("SomethingNew", 20, 2),
    ],
)  # fmt: skip
def test_fixed_layers_become_stages(model: str, fixed: int, last: int) -> None:
    parameters = {**PARAMETRIC, "model": model, "strategy": "fixed", "fixed_layers": fixed}
    found = convert(parameters)
    head, fine = found.recipe.phases
    assert isinstance(head, ProbePhase)
    assert isinstance(fine, FineTunePhase)
    assert (fine.last, fine.epochs, fine.layer_decay) == (last, 30, 1.0)
    assert "Keras' own count" in noted(found)["fixed_layers"]
    assert "comes first" in noted(found)["strategy"]


@pytest.mark.parametrize(
    ("strategy", "last"),
    [
        ("100 layers fixed", 3), ("fix_143", 1), ("last 11 layers trained", 1),
        ("unfreeze_last_30", 2), ("fine_tuning", "all"), ("unfrozen", "all"),
    ],
)  # fmt: skip
def test_strategies_in_words(strategy: str, last: int | str) -> None:
    fine = convert({**PARAMETRIC, "strategy": strategy}).recipe.phases[-1]
    assert isinstance(fine, FineTunePhase)
    assert fine.last == last


@pytest.mark.parametrize("strategy", ["frozen", "freeze", "feature_extraction", None])
def test_a_frozen_backbone_is_a_probe(strategy: str | None) -> None:
    phases = convert({**PARAMETRIC, "strategy": strategy}).recipe.phases
    assert [phase.kind for phase in phases] == ["probe"]
    everything = convert({**PARAMETRIC, "strategy": "fixed", "fixed_layers": 154})
    assert [phase.kind for phase in everything.recipe.phases] == ["probe"]


def test_random_weights_train_everything_in_one_phase() -> None:
    found = convert({"model": "VGG16", "weights": None, "epochs": 3, "img_size": 64})
    (phase,) = found.recipe.phases
    assert isinstance(phase, FineTunePhase)
    assert (phase.last, phase.epochs) == ("all", 3)
    assert found.recipe.model.weights == "none"


def test_what_cannot_be_carried_over_is_listed_with_what_was_taken() -> None:
    found = convert({
        "model": "DenseNet121", "alpha": 0.5, "weights": "weights.h5", "img_size": [224, 180],
        "optimizer": "Nadam", "loss": "hinge", "equilibrate": True, "callbacks": ["x"],
        "strategy": "progressive", "pooling": None, "data_augmentation": {
            "vertical_flip": True, "zca_whitening": True, "rotation_range": 400, "zoom_range": "a",
        },
        "added_layers": [
            {"type": "Dense", "count": 64, "activation": "swish", "kernel_regularizer": "l2"},
            {"type": "Conv2D", "count": 32}, {"type": "Dropout", "count": 50},
            {"type": "Activation", "activation": "relu"}, {"type": "Dense"},
        ],
    })  # fmt: skip
    said = noted(found)
    expected = {
        "alpha": "one width", "weights": "imagenet is taken", "img_size": "224 is taken",
        "optimizer": "adam is taken", "loss": "cross_entropy is taken",
        "equilibrate": "class_weights is taken", "callbacks": "no such field",
        "strategy": "the backbone is frozen", "pooling": "avg is taken",
        "data_augmentation.vertical_flip": "upside down",
        "data_augmentation.zca_whitening": "not known",
        "data_augmentation.rotation_range": "180 is taken",
        "data_augmentation.zoom_range": "0 is taken", "added_layers.0.activation": "gelu is taken",
        "added_layers.0.kernel_regularizer": "no such setting", "added_layers.1": "no such layer",
        "added_layers.2": "0.5 is taken", "added_layers.3": "follows a dense layer",
        "added_layers.4": "no number of units",
    }  # fmt: skip
    assert {key for key, words in expected.items() if words not in said.get(key, "")} == set()
    assert said.keys() == expected.keys()


def test_a_two_label_sigmoid_network() -> None:
    found = convert({
        "base_model": "MobileNetV3Large", "epochs": 10, "lr": 1e-4, "optimizer": "rmsprop",
        "loss": {"class_name": "BinaryFocalCrossentropy", "config": {"gamma": 1.5}},
        "image_size": 224, "class_weight": "balanced", "validation_split": 0.2,
        "data_augmentation": False,
        "layers": [
            {"type": "GlobalAveragePooling2D"}, {"type": "BatchNormalization"},
            {"type": "dense", "count": 1, "activation": "sigmoid"},
        ],
    })  # fmt: skip
    recipe = found.recipe
    assert recipe.model.pooling == "avg"
    assert [layer.model_dump() for layer in recipe.model.head] == [{"batch_norm": True}]
    assert (recipe.loss.name, recipe.loss.gamma) == ("focal", 1.5)
    assert (recipe.optimizer.name, recipe.optimizer.learning_rate) == ("rmsprop", 1e-4)
    assert recipe.split.validation == 0.2
    assert recipe.augment.rotation == 0
    assert set(noted(found)) == {"loss"}


def test_files_of_every_kind_say_the_same(tmp_path: Path) -> None:
    plain = {**PARAMETRIC, "img_size": [160, 160, 3]}
    files = {
        "a.json": json.dumps({"params": plain}),
        "b.yaml": yaml.safe_dump(plain),
        "c.py": f"import keras\nother = 3\nparams = {PARAMETRIC!r}\ntrain(params)\n",
        "d.json": json.dumps(plain),
    }
    found = []
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf8")
        found.append(convert(load_parameters(tmp_path / name), name="same").recipe)
    assert all(recipe == found[0] for recipe in found)
    assert isinstance(found[0], Recipe)


def test_python_is_read_and_never_executed(tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    file = tmp_path / "params.py"
    file.write_text(
        f"open({str(trap)!r}, 'w')\n"
        "params = {'model': 'VGG19', 'img_size': 224,\n"
        f"  'optimizer': open({str(trap)!r}, 'w'),\n"
        "  'added_layers': [{'type': 'Dense', 'count': UNITS}]}\n"
    )
    found = convert(load_parameters(file))
    assert not trap.exists()
    assert found.recipe.model.backbone == "VGG19"
    assert "is code, which is not executed" in noted(found)["optimizer"]
    assert "no number of units" in noted(found)["added_layers.0"]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", "{", "is no json"),
        ("a.py", "params = {", "is no py"),
        ("a.py", "x = 3", "holds no dictionary"),
        ("a.txt", "{}", r"'.txt' is not read; allowed: .json"),
        ("a.py", "one = {'model': 'a'}\ntwo = {'model': 'b'}", "There are: one, two"),
        ("a.yaml", "- 1", "holds no dictionary"),
    ],
)
def test_what_is_no_dictionary_is_refused(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(RecipeError, match=reason):
        load_parameters(tmp_path / name)


def test_one_of_several_dictionaries_is_picked(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("one = {'model': 'VGG16'}\ntwo = {'model': 'VGG19'}\n")
    assert load_parameters(file, pick="two")["model"] == "VGG19"
    with pytest.raises(RecipeError, match="there are: one, two"):
        load_parameters(file, pick="three")


def test_the_command_writes_a_recipe_and_says_what_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "params.py"
    file.write_text(f"params = {PARAMETRIC!r}\n")
    program = "from pneumoscope.cli.recipes import recipes; recipes()"
    arguments = ["convert", str(file), "--output", str(tmp_path / "recipe.yaml")]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    assert "data_augmentation.fill_mode" in done.stderr
    written = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    assert written["model"]["width"] == 0.35
    assert parse_recipe(written).name == "params"
