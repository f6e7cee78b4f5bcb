"""Keras-style dictionaries as recipes: what they say, and what could not be carried over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pneumoscope.core.recipe.files import parse_recipe
from pneumoscope.core.recipe.keras_augment import augmentation
from pneumoscope.core.recipe.keras_files import load_parameters
from pneumoscope.core.recipe.keras_head import head_layers
from pneumoscope.core.recipe.keras_phases import phases
from pneumoscope.core.recipe.keras_reader import (
    LEFT_OUT,
    Note,
    Notes,
    Reader,
    agreed,
    allowed,
    named,
    number,
    numbers,
    word,
)
from pneumoscope.core.recipe.learning import Dropout, LossRecipe, ModelRecipe, OptimizerRecipe
from pneumoscope.core.recipe.recipe import Recipe
from pneumoscope.core.recipe.sections import PreprocessRecipe, SplitRecipe

__all__ = ["Converted", "Note", "convert", "load_parameters"]

SYNONYMS = {
    "backbone": "model", "base_model": "model", "model_name": "model", "width": "alpha",
    "image_size": "img_size", "input_size": "img_size", "input_shape": "img_size",
    "target_size": "img_size", "lr": "learning_rate", "augmentation": "data_augmentation",
    "layers": "added_layers", "class_weight": "equilibrate", "class_weights": "equilibrate",
    "balance": "equilibrate", "frozen_layers": "fixed_layers", "data_dir": "data_path",
}  # fmt: skip
_LABELS = "the data says which labels there are"
_GREY = "radiographs are grey, and a backbone gets the channels it was trained with"
_TOLD_ANYWAY: dict[str, tuple[tuple[object, ...], str]] = {
    "metrics": ((), "every run computes all of its metrics"),
    "verbose": ((), "progress is always shown"),
    "num_classes": ((), _LABELS), "n_classes": ((), _LABELS), "classes": ((), _LABELS),
    "class_mode": ((), _LABELS),
    "shuffle": ((True,), "training images are always shuffled"),
    "include_top": ((False,), "the head is the recipe's own"),
    "color_mode": ((), _GREY), "channels": ((), _GREY),
}  # fmt: skip
"""What the data says, or what every run does: the values that are done anyway, and the reason."""
_OWN = "the recipe's own is taken"
_OPTIMIZERS = {"adam": 1e-3, "adamw": 1e-3, "sgd": 1e-2, "rmsprop": 1e-3}
"""Known ones, with Keras' own learning rates."""
_KERAS_DECAY = {"adamw": 4e-3}
_LOSSES = {
    "categoricalcrossentropy": "cross_entropy", "sparsecategoricalcrossentropy": "cross_entropy",
    "binarycrossentropy": "cross_entropy", "crossentropy": "cross_entropy",
    "categoricalfocalcrossentropy": "focal", "binaryfocalcrossentropy": "focal", "focal": "focal",
    "focalloss": "focal",
}  # fmt: skip
_BALANCES = {
    "classweights": "class_weights", "classweight": "class_weights", "weights": "class_weights",
    "balanced": "class_weights", "oversample": "oversample", "oversampling": "oversample",
    "undersample": "undersample", "undersampling": "undersample",
}  # fmt: skip


@dataclass(frozen=True)
class Converted:
    """A recipe, and what of the dictionary it does not hold."""

    recipe: Recipe
    notes: tuple[Note, ...]


def convert(parameters: Mapping[str, Any], *, name: str = "converted") -> Converted:
    """The recipe that a Keras-style dictionary means, and a note of each key that it does not hold.

    Args:
        parameters: As `load_parameters` gives it.
        name: Of the recipe, where the dictionary has none.

    Raises:
        RecipeError: a value is so far off that no recipe holds it.
    """
    notes = Notes()
    given = notes.reader(((str(k), v) for k, v in parameters.items()), synonyms=SYNONYMS)
    for key, (harmless, reason) in _TOLD_ANYWAY.items():
        given.only(key, harmless, reason)
    size = _size(given)
    model = _model(given, notes)
    content: dict[str, Any] = {
        "name": _name(given, name),
        "seed": given.field("seed", Recipe) or 0,
        "preprocess": {"size": size},
        "model": model,
        "augment": augmentation(given, size, notes),
        "balance": {"method": _balance(given)},
        "loss": _loss(given, notes),
        "optimizer": _optimizer(given, notes),
        "phases": phases(given, model["backbone"], model["weights"], notes),
        "split": _split(given),
        "data": {"path": given.take("data_path", _text, reason="is no path", taken=LEFT_OUT)},
    }
    return Converted(parse_recipe(content, origin="the converted recipe"), notes.settle())


# Sections


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _name(given: Reader, otherwise: str) -> str:
    said = given.raw("name")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", str(said or otherwise)).strip("-._")[:64]
    name = name or "converted"
    if said is not None and str(said) != name:
        given.note("name", "a name has letters, digits, '.', '_' and '-'", f"{name} is taken")
    return name


def _size(given: Reader) -> int:
    said = given.raw("img_size")
    if said is None:
        given.note("img_size", "no size is given", "224 is taken")
        return 224
    *sides, channels = said if isinstance(said, (list, tuple)) and len(said) == 3 else [said, 3]
    sides = sides if len(sides) == 2 else numbers(said) or []
    found = [side for one in sides if (side := allowed(PreprocessRecipe, "size")(one)) is not None]
    if len(found) != len(sides) or len(found) not in (1, 2) or channels not in (1, 3):
        given.note("img_size", "is no size", f"{max(found, default=224)} is taken")
    elif len(set(found)) > 1:
        given.note("img_size", "canvases are square", f"{max(found)} is taken")
    return max(found, default=224)


def _model(given: Reader, notes: Notes) -> dict[str, Any]:
    default = Recipe().model
    said = given.raw("model")
    backbone = said.rpartition(".")[2].strip() if isinstance(said, str) else ""
    if not backbone:
        given.note("model", "names no backbone", f"{default.backbone} is taken")
        backbone = default.backbone
    layers, pooled = head_layers(given, notes)
    if (rate := given.field("dropout", Dropout)) is not None:
        layers = [*(layers or []), {"dropout": rate}]
    section: dict[str, Any] = {
        "backbone": backbone,
        "weights": _weights(given),
        "head": layers or [],
        "pooling": _pooling(given, pooled),
    }
    alpha = given.field("alpha", ModelRecipe, of="width")
    if alpha is not None and "mobilenet" in word(backbone):
        section["width"] = alpha
    elif alpha not in (None, 1.0):
        given.note("alpha", f"{backbone} comes in one width", LEFT_OUT)
    return section


def _weights(given: Reader) -> str:
    said = given.raw("weights") if given.named("weights") else "imagenet"
    text = str(said)
    if word(said) in ("none", "random", "scratch"):
        return "none"
    if word(said) == "imagenet":
        return "imagenet"
    if text.endswith((".safetensors", ".pth", ".pt")):
        return text if text.startswith("file:") else f"file:{text}"
    if text.startswith("xrv:"):
        return text
    given.note("weights", "weights of Keras are not read", "imagenet is taken")
    return "imagenet"


def _pooling(given: Reader, pooled: str | None) -> str:
    said = given.raw("pooling")
    name = "" if said is None else word(said)
    if name in ("avg", "max"):
        if pooled not in (None, "flatten", name):
            given.note("added_layers", f"pooling says {name}", f"{name} is taken")
        return name
    if pooled is None or said is not None:
        given.note("pooling", "the head takes one vector per image", f"{pooled or 'avg'} is taken")
    return pooled or "avg"


def _balance(given: Reader) -> str:
    said = given.raw("equilibrate")
    if not said or word(said) in ("none", "false", "no"):
        return "none"
    if word(said) not in _BALANCES:
        taken = "class_weights is taken, which keeps every image"
        given.note("equilibrate", "does not say how", taken)
    return _BALANCES.get(word(said), "class_weights")


def _loss(given: Reader, notes: Notes) -> dict[str, Any]:
    said = given.raw("loss")
    name, pairs = named("categorical_crossentropy" if said is None else said)
    settings = notes.reader(
        pairs, place=f"{given.key('loss')}.", unknown="has no place in a recipe"
    )
    found: dict[str, Any] = {"name": _LOSSES.get(name, "cross_entropy")}
    if name not in _LOSSES:
        given.note("loss", "is not known here", "cross_entropy is taken")
    elif name.startswith("binary"):
        given.note("loss", "every label has its own output here",
                   "softmax over two labels, the same model, is taken")  # fmt: skip
    settings.only("alpha", (), "labels are weighted by `balance`")
    smoothing = agreed([(settings, "label_smoothing"), (given, "label_smoothing")],
                       LossRecipe, "label_smoothing")  # fmt: skip
    gamma = settings.field("gamma", LossRecipe)
    if gamma is not None and found["name"] != "focal":
        settings.note("gamma", "only the focal loss has it", LEFT_OUT)
        gamma = None
    found |= {} if smoothing is None else {"label_smoothing": smoothing}
    return found | ({} if gamma is None else {"gamma": gamma})


def _optimizer(given: Reader, notes: Notes) -> dict[str, Any]:
    said = given.raw("optimizer") if given.named("optimizer") else "adam"
    name, pairs = named(said)
    settings = notes.reader(
        pairs, place=f"{given.key('optimizer')}.", unknown="has no place in a recipe",
        synonyms={"lr": "learning_rate", "clipnorm": "clip_norm"},
    )  # fmt: skip
    if name not in _OPTIMIZERS:
        name = "adam" if name.startswith(("ada", "nad")) else "adamw"
        given.note("optimizer", "is not known here", f"{name} is taken")
    found = {"name": name, "learning_rate": _OPTIMIZERS[name],
             "weight_decay": _KERAS_DECAY.get(name, 0.0), "momentum": 0.0}  # fmt: skip
    for field in ("learning_rate", "weight_decay", "momentum", "clip_norm"):
        places = [(settings, field), *([(given, field)] if field != "clip_norm" else [])]
        value = agreed(places, OptimizerRecipe, field, taken=f"{found.get(field, 0.0)} is taken")
        if value and field == "momentum" and name.startswith("adam"):
            where = next(reader for reader, key in places if reader.has(key))
            where.note(field, f"{name} has none of its own", LEFT_OUT)
        elif value is not None:
            found[field] = value
    return found


def _split(given: Reader) -> dict[str, float]:
    def part(value: object) -> float | None:
        found = number(value)
        return found if found is not None and 0 < found < 0.5 else None

    found: dict[str, float] = {}
    for key, field in (("validation_split", "validation"), ("test_split", "test")):
        value = given.take(key, part, reason="is no part of the patients", taken=_OWN)
        if value is None:
            continue
        try:
            SplitRecipe.model_validate({**found, field: value})
        except ValidationError:
            given.note(key, "leaves too little to train on", _OWN)
        else:
            found[field] = value
    return found
