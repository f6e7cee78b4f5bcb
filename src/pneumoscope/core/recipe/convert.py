"""Keras-style dictionaries as recipes: what they say, and what could not be carried over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pneumoscope.core.recipe.files import parse_recipe
from pneumoscope.core.recipe.keras_fields import (
    Note,
    Notes,
    augmentation,
    head_layers,
    layers_of,
    named,
    number,
    stages_to_train,
    word,
)
from pneumoscope.core.recipe.keras_files import Code, load_parameters
from pneumoscope.core.recipe.recipe import Recipe

__all__ = ["Converted", "Note", "convert", "load_parameters"]

_SYNONYMS = {
    "backbone": "model", "base_model": "model", "model_name": "model", "width": "alpha",
    "image_size": "img_size", "input_size": "img_size", "input_shape": "img_size",
    "target_size": "img_size", "lr": "learning_rate", "augmentation": "data_augmentation",
    "layers": "added_layers", "class_weight": "equilibrate", "class_weights": "equilibrate",
    "balance": "equilibrate", "frozen_layers": "fixed_layers", "data_dir": "data_path",
}  # fmt: skip
_TOLD_ANYWAY = ("metrics", "verbose", "num_classes", "n_classes", "classes", "class_mode",
                "shuffle", "include_top", "color_mode", "channels")  # fmt: skip
"""What the data says, or what every run does: nothing is lost."""
_OPTIMIZERS = {"adam": 1e-3, "adamw": 1e-3, "sgd": 1e-2, "rmsprop": 1e-3}
"""Known ones, with Keras' own learning rates."""
_KERAS_DECAY = {"adamw": 4e-3}
_LOSSES = {
    "categoricalcrossentropy": "cross_entropy", "sparsecategoricalcrossentropy": "cross_entropy",
    "binarycrossentropy": "cross_entropy", "crossentropy": "cross_entropy",
    "categoricalfocalcrossentropy": "focal", "binaryfocalcrossentropy": "focal", "focal": "focal",
    "focalloss": "focal",
}  # fmt: skip
_ENOUGH = 10
"""Patience of a dictionary that does not speak of stopping early."""


@dataclass(frozen=True)
class Converted:
    """A recipe, and what of the dictionary it does not hold."""

    recipe: Recipe
    notes: tuple[Note, ...]


def convert(parameters: Mapping[str, Any], *, name: str = "converted") -> Converted:
    """The recipe that a Keras-style dictionary means.

    Args:
        parameters: As `load_parameters` gives it.
        name: Of the recipe, where the dictionary has none.

    Raises:
        RecipeError: a value is so far off that no recipe holds it.
    """
    notes = Notes()
    given = _unified(parameters, notes)
    size = _size(given, notes)
    content: dict[str, Any] = {
        "name": _name(given.get("name") or name),
        "preprocess": {"size": size},
        "model": _model(given, notes),
        "augment": augmentation(given.get("data_augmentation"), size, notes),
        "balance": {"method": _balance(given.get("equilibrate"), notes)},
        "loss": _loss(given.get("loss"), notes),
        "optimizer": _optimizer(given, notes),
    }
    content["phases"] = _phases(given, content["model"], notes)
    if isinstance(given.get("data_path"), str):
        content["data"] = {"path": given["data_path"]}
    if (seed := number(given.get("seed"))) is not None:
        content["seed"] = int(seed)
    _split(given, content, notes)
    return Converted(parse_recipe(content, origin="the converted recipe"), tuple(notes.found))


def _unified(parameters: Mapping[str, Any], notes: Notes) -> dict[str, Any]:
    """The dictionary under the names of this module; what is unknown or code is noted."""
    found: dict[str, Any] = {}
    for key, value in parameters.items():
        name = _SYNONYMS.get(str(key).lower(), str(key).lower())
        if isinstance(value, Code):
            notes.add(str(key), value, "is code, which is not executed", "the default is taken")
        elif name in _KNOWN:
            found[name] = value
        elif name not in _TOLD_ANYWAY:
            notes.add(str(key), value, "a recipe has no such field", "it is left out")
    return found


_KNOWN = frozenset((
    "model", "weights", "alpha", "pooling", "strategy", "fixed_layers", "epochs", "batch_size",
    "img_size", "equilibrate", "optimizer", "loss", "data_augmentation", "added_layers",
    "learning_rate", "weight_decay", "momentum", "patience", "early_stopping", "seed", "name",
    "validation_split", "test_split", "data_path", "dropout", "label_smoothing",
))  # fmt: skip


# Sections


def _name(given: object) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", str(given)).strip("-._")[:64] or "converted"


def _size(given: Mapping[str, Any], notes: Notes) -> int:
    said = given.get("img_size", 224)
    sides = list(said)[:2] if isinstance(said, (list, tuple)) else [said]
    numbers = [int(n) for side in sides if (n := number(side)) is not None]
    if not numbers:
        notes.add("img_size", said, "is no size", "224 is taken")
        return 224
    if len(set(numbers)) > 1:
        notes.add("img_size", said, "canvases are square", f"{max(numbers)} is taken")
    if "img_size" not in given:
        notes.add("img_size", "nothing", "no size is given", "224 is taken")
    return max(numbers)


def _model(given: Mapping[str, Any], notes: Notes) -> dict[str, Any]:
    default = Recipe().model
    backbone = given.get("model")
    if not isinstance(backbone, str) or not backbone.strip():
        notes.add("model", backbone, "names no backbone", f"{default.backbone} is taken")
        backbone = default.backbone
    backbone = backbone.rpartition(".")[2].strip()
    section: dict[str, Any] = {
        "backbone": backbone,
        "weights": _weights(given.get("weights", "imagenet"), notes),
        "head": [],
    }
    alpha = number(given.get("alpha"))
    if alpha is not None and "mobilenet" in word(backbone):
        section["width"] = alpha
    elif alpha not in (None, 1.0):
        notes.add("alpha", alpha, f"{backbone} comes in one width", "it is left out")
    layers, pooled = (None, None)
    if "added_layers" in given:
        layers, pooled = head_layers(given["added_layers"], notes)
    if (rate := number(given.get("dropout"))) is not None:
        layers = [*(layers or []), {"dropout": rate}]
    section["head"] = layers or []
    section["pooling"] = _pooling(given.get("pooling"), pooled, notes)
    return section


def _weights(said: object, notes: Notes) -> str:
    if said is None or word(said) in ("none", "random", "scratch", ""):
        return "none"
    text = str(said)
    if word(said) == "imagenet":
        return "imagenet"
    if text.endswith((".safetensors", ".pth", ".pt")):
        return f"file:{text}"
    notes.add("weights", text, "weights of Keras are not read", "imagenet is taken")
    return "imagenet"


def _pooling(said: object, pooled: str | None, notes: Notes) -> str:
    name = word(said) if said is not None else ""
    if name in ("avg", "max"):
        return name
    if pooled is None:
        notes.add("pooling", said, "the head takes one vector per image", "avg is taken")
    return pooled or "avg"


def _balance(said: object, notes: Notes) -> str:
    ways = {
        "classweights": "class_weights", "classweight": "class_weights", "weights": "class_weights",
        "balanced": "class_weights", "oversample": "oversample", "oversampling": "oversample",
        "undersample": "undersample", "undersampling": "undersample",
    }  # fmt: skip
    if not said or word(said) in ("none", "false", "no"):
        return "none"
    if word(said) in ways:
        return ways[word(said)]
    taken = "class_weights is taken, which keeps every image"
    notes.add("equilibrate", said, "does not say how", taken)
    return "class_weights"


def _loss(said: object, notes: Notes) -> dict[str, Any]:
    if said is None:
        return {}
    name, settings = named(said)
    found: dict[str, Any] = {"name": _LOSSES.get(name, "cross_entropy")}
    if name not in _LOSSES:
        notes.add("loss", said, "is not known here", "cross_entropy is taken")
    elif name.startswith("binary"):
        notes.add("loss", said, "every label has its own output here",
                  "softmax over two labels, the same model, is taken")  # fmt: skip
    for key in ("gamma", "label_smoothing"):
        if (value := number(settings.get(key))) is not None:
            found[key] = value
    if "alpha" in settings:
        notes.add("loss.alpha", settings["alpha"], "labels are weighted by `balance`", "left out")
    return found


def _optimizer(given: Mapping[str, Any], notes: Notes) -> dict[str, Any]:
    name, settings = named(given.get("optimizer", "adam"))
    if name not in _OPTIMIZERS:
        taken = "adam" if name.startswith(("ada", "nad")) else "adamw"
        notes.add("optimizer", given.get("optimizer"), "is not known here", f"{taken} is taken")
        name = taken
    beside = ("learning_rate", "weight_decay", "momentum")
    settings = {**{key: given[key] for key in beside if key in given},
                **{{"lr": "learning_rate", "clipnorm": "clip_norm"}.get(k, k): v
                   for k, v in settings.items()}}  # fmt: skip
    found = {"name": name, "learning_rate": _OPTIMIZERS[name],
             "weight_decay": _KERAS_DECAY.get(name, 0.0), "momentum": 0.0}  # fmt: skip
    for key, value in settings.items():
        if key in ("learning_rate", "weight_decay", "momentum", "clip_norm") and (
            (plain := number(value)) is not None
        ):
            found[key] = plain
        else:
            notes.add(f"optimizer.{key}", value, "has no place in a recipe", "left out")
    return found


def _phases(
    given: Mapping[str, Any], model: Mapping[str, Any], notes: Notes
) -> list[dict[str, Any]]:
    """One phase of the head where the backbone is frozen, else two."""
    last, how = _trained(given, str(model["backbone"]), str(model["weights"]), notes)
    common: dict[str, Any] = {
        "schedule": "constant",
        "learning_rate": None,
        "patience": _patience(given),
    }
    for key in ("epochs", "batch_size"):
        if (value := number(given.get(key))) is not None:
            common[key] = int(value)
    if last is None:
        return [{"kind": "probe", **common}]
    fine = {"kind": "fine_tune", "last": last, "layer_decay": 1.0, "warmup": 0.0, **common}
    if last == "all" and model["weights"] == "none":
        return [fine]
    notes.add("strategy", how, "an untrained head would spoil trained layers",
              "a phase of the head alone comes first")  # fmt: skip
    return [{"kind": "probe"}, fine]


def _trained(
    given: Mapping[str, Any], backbone: str, weights: str, notes: Notes
) -> tuple[int | str | None, str]:
    """Stages that learn (None: the head alone), and what said so."""
    said, fixed = given.get("strategy"), number(given.get("fixed_layers"))
    text = str(said or "").lower()
    if weights == "none" and (said is None or "scratch" in text):
        return "all", "random weights"
    if fixed is None and (numbers := re.findall(r"\d+", text)):
        fixed = _fixed(text, int(numbers[0]), backbone)
    if fixed is not None and not _is_frozen(text):
        if fixed <= 0:
            return "all", "no layer fixed"
        last, how = stages_to_train(backbone, int(fixed))
        taken = f"stages are counted here: {how}, learn" if last else f"{how} are fixed"
        notes.add("fixed_layers", f"{fixed:g}", "layers are Keras' own count", taken)
        return last, f"{fixed:g} layers fixed"
    if any(part in text for part in ("fine", "full", "unfrozen", "unfreeze", "scratch", "all")):
        return "all", text
    if said is not None and not _is_frozen(text):
        notes.add("strategy", said, "is not known here", "the backbone is frozen")
    return None, "frozen"


def _is_frozen(text: str) -> bool:
    words = ("frozen", "freeze", "feature", "transfer", "head")
    return any(part in text for part in words) and not re.search(r"\d|un(frozen|freeze)", text)


def _fixed(text: str, count: int, backbone: str) -> int | None:
    """Keras' layers that stay as they are, where so many are said to be fixed, or to learn."""
    if not re.search(r"last|train|unfreeze|unfrozen|fine", text):
        return count
    total = layers_of(backbone)
    return None if total is None else max(0, total - count)


def _patience(given: Mapping[str, Any]) -> int:
    stop = given.get("early_stopping")
    inner = stop.get("patience") if isinstance(stop, Mapping) else stop
    said = number(given.get("patience", inner))
    return int(said) if said and said >= 1 else _ENOUGH


def _split(given: Mapping[str, Any], content: dict[str, Any], notes: Notes) -> None:
    for key, name in (("validation_split", "validation"), ("test_split", "test")):
        part = number(given.get(key))
        if part is None:
            continue
        if 0 < part < 0.5:
            content.setdefault("split", {})[name] = part
        else:
            notes.add(key, part, "is no part of the patients", "the recipe's own is taken")
