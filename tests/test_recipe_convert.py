from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.errors import RecipeError
from pneumoscope.core.recipe import Dropout, FineTunePhase, ProbePhase, Recipe, parse_recipe
from pneumoscope.core.recipe.convert import SYNONYMS, Converted, convert, load_parameters
from pneumoscope.core.recipe.keras_reader import number, numbers

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
    said = noted(found)
    where = ("", ".fill_mode", ".zoom_range", ".brightness_range")
    assert set(said) == {f"data_augmentation{name}" for name in where}
    assert "the larger, 0.2, is taken" in said["data_augmentation.zoom_range"]
    assert parse_recipe(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("model", "fixed", "last"),
    [
        ("MobileNetV2", 100, 3), ("MobileNetV2", 143, 1), ("VGG16", 15, 1), ("VGG16", 11, 2),
        ("MobileNetV2", -54, 3), ("VGG16", -4, 1), ("SomethingNew", -20, 2),
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
        ("unfreeze_last_30", 2), ("fine_tuning", "all"), ("unfrozen", "all"), ("fix_0", "all"),
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


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"batch_size": "auto", "epochs": 3.5}, {
            "batch_size": "256 is taken", "epochs": "60 is taken"}),
        ({"epochs": [5, 20]}, {"epochs": "one phase is trained here; 5 is taken"}),
        ({"epochs": [5, 20, 30]}, {"epochs": "60 is taken"}),
        ({"fixed_layers": 100}, {"fixed_layers": "all layers are fixed"}),
        ({"strategy": "fixed"}, {"strategy": "the backbone is frozen"}),
        ({"weights": None, "strategy": None, "fixed_layers": 9}, {"fixed_layers": "not worth"}),
        ({"strategy": "fully_trained", "fixed_layers": 154}, {
            "strategy": "fixed_layers says how much", "fixed_layers": "are fixed"}),
        ({"early_stopping": False, "patience": 3}, {"patience": "early_stopping is off"}),
        ({"early_stopping": True}, {"early_stopping": "10 is taken"}),
        ({"early_stopping": {"patience": 4, "monitor": "val_acc"}, "patience": 5}, {
            "early_stopping.patience": "patience says otherwise",
            "early_stopping.monitor": "validation_loss is taken"}),
        ({"class_weight": {0: 1, 1: 3}}, {"class_weight": "equilibrate says otherwise"}),
        ({"lr": 0.1}, {"lr": "optimizer.learning_rate says otherwise"}),
        ({"label_smoothing": 1.5}, {"label_smoothing": "left out"}),
        ({"momentum": 0.9}, {"momentum": "adamw has none"}),
        ({"test_split": 0.45, "validation_split": 0.4}, {"test_split": "too little to train on"}),
        ({"include_top": True, "shuffle": True, "num_classes": 3}, {
            "include_top": "the recipe's own", "num_classes": "the data says"}),
        ({"img_size": [160, 160, 4], "name": "a b", "alpha": "thin"}, {
            "img_size": "160 is taken", "name": "a-b is taken", "alpha": "left out"}),
        ({"pooling": "max", "added_layers": [
            {"type": "GAP"}, {"type": "BatchNormalization", "momentum": 0.9, "epsilon": 1e-3},
            {"type": "Dropout", "rate": 0.2, "noise_shape": None, "seed": 3},
            {"class_name": "Dense", "config": {"name": "fc", "units": 8, "activation": "relu6"}},
        ]}, {"added_layers": "max is taken", "added_layers.1.momentum": "no such setting",
             "added_layers.1.epsilon": "no such setting", "added_layers.2.seed": "no such setting",
             "added_layers.2.noise_shape": "no such setting", "added_layers.3.name": "no such",
             "added_layers.3.activation": "relu is taken"}),
        ({"data_augmentation": {"channel_shift_range": 9, "rotation_range": 9, "rescale": 1 / 255,
                                "random_rotation": 0.1, "width_shift_range": [0.1, "x"]}}, {
            "data_augmentation.channel_shift_range": "one channel",
            "data_augmentation.random_rotation": "rotation_range says otherwise",
            "data_augmentation.width_shift_range": "0 is taken"}),
    ],
)  # fmt: skip
def test_nothing_is_lost_unsaid(changes: dict[str, Any], expected: dict[str, str]) -> None:
    said = noted(convert({**PARAMETRIC, "data_augmentation": {}, **changes}))
    assert {key for key, words in expected.items() if words not in said.get(key, "")} == set()
    assert said.keys() == expected.keys()


def test_what_a_recipe_can_say_is_carried_over() -> None:
    found = convert({
        **PARAMETRIC, "fixed_layers": -54, "strategy": "fixed", "epochs": [5, 20],
        "batch_size": [64, 16], "early_stopping": False, "label_smoothing": 0.1,
        "data_augmentation": {"random_zoom": [-0.2, 0.2]},
    })  # fmt: skip
    head, fine = found.recipe.phases
    assert (head.epochs, head.batch_size, head.patience) == (5, 64, 5)
    assert (fine.epochs, fine.batch_size, fine.patience) == (20, 16, 20)
    assert found.recipe.loss.label_smoothing == 0.1
    assert found.recipe.augment.zoom == 0.2
    assert set(noted(found)) == {"fixed_layers"}


def spells(field: Callable[[Recipe], object]) -> Callable[[Recipe, Any], bool]:
    """Whether the recipe's field is the value, or the number that it spells."""
    return lambda recipe, value: field(recipe) in (value, number(value))


def in_phases(field: str) -> Callable[[Recipe, Any], bool]:
    """Whether the last phases have the numbers, one for each."""

    def says(recipe: Recipe, value: Any) -> bool:
        several = value if isinstance(value, list) else [value]
        last = recipe.phases[-len(several) :]
        return [getattr(phase, field) for phase in last] == [number(one) for one in several]

    return says


def trains_as(recipe: Recipe, strategy: str) -> bool:
    if strategy in ("fixed", "fine"):
        return True  # whatever `fixed_layers` says; alone they are tested above
    return recipe.phases[-1].kind == ("probe" if strategy == "frozen" else "fine_tune")


def stops_as(recipe: Recipe, value: object) -> bool:
    last = recipe.phases[-1]
    if isinstance(value, dict):
        return bool(value.get("patience", last.patience) == last.patience)
    return value is True or last.patience == (last.epochs if value is False else number(value))


SAID: dict[str, tuple[st.SearchStrategy[Any], Callable[[Recipe, Any], bool]]] = {
    "model": (st.sampled_from(("VGG16", "keras.MobileNetV2")), lambda recipe, value: (
        isinstance(value, str) and value.endswith(recipe.model.backbone))),
    "weights": (st.sampled_from(("imagenet", None)), spells(lambda recipe: recipe.model.weights)),
    "alpha": (st.sampled_from((0.35, 1.0)), lambda recipe, value: (
        number(value) in (1.0, recipe.model.width))),
    "pooling": (st.sampled_from(("avg", "max")), spells(lambda recipe: recipe.model.pooling)),
    "strategy": (st.sampled_from(("frozen", "fixed", "fine", "full", "last 9")), trains_as),
    "fixed_layers": (st.integers(-200, 200), lambda recipe, _: (
        isinstance(recipe.phases[-1], FineTunePhase) and recipe.phases[-1].last == "all")),
    "epochs": (st.integers(1, 99), in_phases("epochs")),
    "batch_size": (st.integers(1, 99), in_phases("batch_size")),
    "img_size": (st.integers(32, 512), lambda recipe, value: (
        {recipe.preprocess.size} == set(numbers(value) or ()) - {1, 3})),
    "equilibrate": (st.sampled_from(("undersample", "oversample")), lambda recipe, value: (
        recipe.balance.method == (value or "none"))),
    "optimizer": (st.sampled_from(("adam", "sgd")), spells(lambda recipe: recipe.optimizer.name)),
    "loss": (st.sampled_from(("focal",)), spells(lambda recipe: recipe.loss.name)),
    "learning_rate": (st.floats(1e-5, 1), spells(lambda recipe: recipe.optimizer.learning_rate)),
    "weight_decay": (st.floats(0, 1), spells(lambda recipe: recipe.optimizer.weight_decay)),
    "momentum": (st.floats(0, 0.9), spells(lambda recipe: recipe.optimizer.momentum)),
    "label_smoothing": (st.floats(0, 0.9), spells(lambda recipe: recipe.loss.label_smoothing)),
    "patience": (st.integers(1, 99), stops_as),
    "early_stopping": (st.booleans(), stops_as),
    "seed": (st.integers(0, 99), spells(lambda recipe: recipe.seed)),
    "name": (st.sampled_from(("a", "a b")), lambda recipe, value: (
        recipe.name == str(value))),
    "data_path": (st.just("folder"), spells(lambda recipe: recipe.data.path)),
    "validation_split": (st.floats(0, 0.6), spells(lambda recipe: recipe.split.validation)),
    "test_split": (st.floats(0, 0.6), spells(lambda recipe: recipe.split.test)),
    "dropout": (st.floats(0, 0.9), lambda recipe, value: (
        Dropout(dropout=number(value) or 0) in recipe.model.head)),
    "data_augmentation": (st.just({}), lambda recipe, value: (
        not value and recipe.augment.rotation == 0)),
    "added_layers": (st.just([]), lambda recipe, value: value == []),
    "shuffle": (st.booleans(), lambda _, value: value in (True, 1)),
    "include_top": (st.booleans(), lambda _, value: value in (False, 0)),
}  # fmt: skip
"""Values that a known key may well have, and whether a recipe says so."""
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 999) | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner,
                                                               max_size=2),
    max_leaves=4,
)  # fmt: skip
KNOWN = st.sampled_from([*SAID, "lr", "class_weight", "layers", "backbone", "image_size"])
ENTRY = (KNOWN | st.text(max_size=8)).flatmap(
    lambda key: st.tuples(st.just(key), ANYTHING | SAID.get(key, (ANYTHING,))[0])
)
PLAIN = {"model": "VGG16", "pooling": "avg", "img_size": 64}


def field_of(key: str) -> str:
    return SYNONYMS.get(key.lower(), key.lower())


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(ENTRY, max_size=6, unique_by=lambda entry: entry[0]))
def test_every_key_is_reflected_or_named_in_a_note(entries: list[tuple[str, Any]]) -> None:
    parameters = {**PLAIN, **dict(entries)}
    found = convert(parameters)
    for key, value in parameters.items():
        name = field_of(key)
        # Of two names of a field with one value, one is read.
        keys = [one for one in parameters if field_of(one) == name and parameters[one] == value]
        named = any(f"{note.key}.".startswith(f"{one}.") for note in found.notes for one in keys)
        _, is_said = SAID.get(name, (None, None))
        if not named and is_said is not None and (value is not None or key == "weights"):
            kept = value if value is not None else "none"
            assert is_said(found.recipe, kept), (key, value)
        else:
            assert named or is_said is not None or value is None, (key, value)


@given(st.text(min_size=1, max_size=9), ANYTHING)
def test_every_setting_that_nobody_knows_is_named_in_a_note(key: str, value: object) -> None:
    key = f"?{key}"
    found = convert({
        **PLAIN, "optimizer": {"name": "adam", key: value}, "loss": {"name": "focal", key: value},
        "early_stopping": {key: value}, "data_augmentation": {key: value},
        "added_layers": [{"type": kind, "count": 0.5, "activation": "relu", key: value}
                         for kind in ("dropout", "batchnorm", "gap")],
    })  # fmt: skip
    places = ["optimizer", "loss", "early_stopping", "data_augmentation"]
    expected = {f"{place}.{key}" for place in (*places, *(f"added_layers.{n}" for n in range(3)))}
    assert expected <= noted(found).keys()


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
    assert "is code, which is not executed" in noted(found)["added_layers.0.count"]
    assert "no number of units" in noted(found)["added_layers.0"]


PYTHON = "params = {'model': 'VGG16', 'img_size': 64, 'pooling': 'avg', 'optimizer': {}}\n"


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ("params['epochs'] = 5 * 10", {"epochs": 50}),
        ("params.update({'epochs': 50}, seed=3)", {"epochs": 50, "seed": 3}),
        ("params |= {'epochs': 50}\ndel params['pooling']", {"epochs": 50, "pooling": None}),
        ("params['optimizer']['lr'] = 1e-4", {"optimizer": {"lr": 1e-4}}),
        ("p = params\np['epochs'] = 50", {"epochs": 50}),
        ("base = params.copy()\nbase['epochs'] = 9\nparams = dict(base, seed=3)",
         {"epochs": 9, "seed": 3}),
        ("params = {**params, 'epochs': 50}\ntrain(params)\nlr = params['lr']", {"epochs": 50}),
        ("def train(params):\n    params['epochs'] = 3\n", {"epochs": None}),
    ],
)  # fmt: skip
def test_plain_changes_of_a_dictionary_are_followed(
    tmp_path: Path, then: str, expected: dict[str, Any]
) -> None:
    (tmp_path / "a.py").write_text(PYTHON + then)
    found = load_parameters(tmp_path / "a.py")
    assert {key: found.get(key) for key in expected} == expected
    assert not any(key.startswith("line") for key in found)


@pytest.mark.parametrize(
    "then",
    [
        "if QUICK:\n    params['epochs'] = 3", "for key in keys:\n    params[key] = 3",
        "params.update(more)", "params.pop('epochs')", "params = build(params)", "del params",
        "def f():\n    global params\n    params = {}", "params['optimizer'].setdefault('lr', 1)",
        "opt = params['optimizer']\nopt['lr'] = 1", "params[KEY] = 3", "params += 3",
        "params = {'model': 'VGG16', 'img_size': 64, 'pooling': 'avg'}",
        "params['epochs'], x = 3, 4", "params['other'][0] = 3",
    ],
)  # fmt: skip
def test_other_changes_of_a_dictionary_are_named_by_their_line(tmp_path: Path, then: str) -> None:
    (tmp_path / "a.py").write_text(PYTHON + then)
    found = noted(convert(load_parameters(tmp_path / "a.py")))
    (line,) = [key for key in found if key.startswith("line")]
    assert line == f"line {3 if then.startswith('opt') else 2}"


def test_spreads_and_what_stands_beside_the_dictionary_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("params = {'model': 'VGG16', **one, **two}")
    assert {"**one", "**two"} <= noted(convert(load_parameters(tmp_path / "a.py"))).keys()
    (tmp_path / "a.json").write_text('{"params": {"model": "VGG16"}, "epochs": 5, "b": {}}')
    said = noted(convert(load_parameters(tmp_path / "a.json")))
    assert {"epochs (beside params)", "b (beside params)"} <= said.keys()
    said = noted(convert(load_parameters(tmp_path / "a.json", pick="params")))
    assert "epochs (beside params)" in said
    assert "b (beside params)" not in said


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", "{", "is no json"),
        ("a.py", "params = {", "is no py"),
        ("a.py", "x = 3", "holds no dictionary"),
        ("a.txt", "{}", r"'.txt' is not read; allowed: .json"),
        ("a.py", "one = {'model': 'a'}\ntwo = {'model': 'b'}", "There are: one, two"),
        ("a.yaml", "- 1", "holds no dictionary"),
        ("a.yaml", "epochs: 1\nepochs: 2", "the key 'epochs' stands twice"),
        ("a.json", '{"epochs": 1, "epochs": 2}', "the key 'epochs' stands twice"),
        ("a.py", "params = {'epochs': 1, 'epochs': 2}", "the key 'epochs' stands twice"),
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
