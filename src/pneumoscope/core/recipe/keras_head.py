"""The layers that a Keras-style dictionary adds to its backbone, as layers of a recipe's head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pneumoscope.core.recipe.keras_reader import (
    LEFT_OUT,
    Code,
    Notes,
    Reader,
    allowed,
    named,
    number,
    word,
)
from pneumoscope.core.recipe.learning import Dense

Layer = dict[str, Any]

_ACTIVATIONS = {
    "relu": "relu", "leakyrelu": "leaky_relu", "elu": "elu", "gelu": "gelu", "tanh": "tanh",
    "linear": "linear", "none": "linear",
}  # fmt: skip
_NEAR = {"swish": "gelu", "silu": "gelu", "mish": "gelu", "selu": "elu", "softplus": "gelu",
         "relu6": "relu"}  # fmt: skip
_POOLINGS = {
    "flatten": "flatten", "globalaveragepooling2d": "avg", "globalmaxpooling2d": "max",
    "globalaveragepooling": "avg", "globalmaxpooling": "max", "gap": "avg",
}  # fmt: skip
_UNITS = {"units": "count", "size": "count", "neurons": "count"}
_RATE = {"rate": "count", "dropout": "count", "value": "count", "p": "count"}


def head_layers(given: Reader, notes: Notes) -> tuple[list[Layer] | None, str | None]:
    """The head's layers, and the pooling that some are; None where `added_layers` gives none."""
    added = given.raw("added_layers")
    if added is None:
        return None, None
    if not isinstance(added, Sequence) or isinstance(added, str):
        given.note("added_layers", "is no list of layers", "the recipe's own head is taken")
        return None, None
    layers: list[Layer] = []
    pooling = None
    for place, layer in enumerate(added):
        key = f"{given.key('added_layers')}.{place}"
        if isinstance(layer, Code):
            notes.add(key, layer, layer.reason, LEFT_OUT)
            continue
        kind, settings = named(layer)
        reader = notes.reader(
            settings, place=f"{key}.", synonyms=_MAKERS.get(kind, (None, {}))[1],
            unknown="a head layer has no such setting",
        )  # fmt: skip
        if kind in _POOLINGS:
            pooling = _pooled(key, kind, pooling, notes)
        elif kind in _MAKERS and not (place == len(added) - 1 and _is_output(kind, reader)):
            made = _MAKERS[kind][0](key, reader, layers)
            layers += [made] if made else []
        elif kind not in _MAKERS:
            notes.add(key, layer, "no such layer is known", LEFT_OUT)
            reader.dismiss()
    return layers, pooling


def _pooled(key: str, kind: str, before: str | None, notes: Notes) -> str:
    if before is None or (kind == "flatten" and before != "flatten"):
        return before or _POOLINGS[kind]  # to flatten a vector does nothing
    if _POOLINGS[kind] != before:
        notes.add(key, kind, "a head pools once", f"{before}, which comes first, is taken")
    return before


def _is_output(kind: str, reader: Reader) -> bool:
    """Whether this is the last layer, which the recipe adds for the label set."""
    if kind != "dense" or word(reader.peek("activation")) not in ("softmax", "sigmoid"):
        return False
    reader.raw("activation")
    reader.take(
        "count", allowed(Dense, "dense"), reason="is no number of labels",
        taken="the data says which labels there are",
    )  # fmt: skip
    return True


def _dense(key: str, reader: Reader, _: object) -> Layer | None:
    units = allowed(Dense, "dense")(reader.raw("count"))
    if units is None:
        reader.note_whole(key, "says no number of units", LEFT_OUT)
        return None
    return {"dense": units, "activation": _activation_of(reader)}


def _dropout(key: str, reader: Reader, _: object) -> Layer | None:
    rate = number(reader.raw("count"))
    if rate is not None and 1 < rate < 100:
        reader.notes.add(key, rate, "is no fraction", f"{rate / 100:g} is taken")
        rate /= 100
    if rate is None or not 0 <= rate < 1:
        reader.note_whole(key, "says no fraction from 0 to 1", LEFT_OUT)
        return None
    return {"dropout": rate}


def _activation(key: str, reader: Reader, layers: list[Layer]) -> None:
    if layers and layers[-1].get("activation") == "linear":
        layers[-1]["activation"] = _activation_of(reader)
    else:
        reader.note_whole(key, "an activation follows a dense layer only", LEFT_OUT)


def _batch_norm(*_: object) -> Layer:
    return {"batch_norm": True}


def _layer_norm(*_: object) -> Layer:
    return {"layer_norm": True}


_Maker = Callable[[str, Reader, list[Layer]], Layer | None]
_MAKERS: dict[str, tuple[_Maker, dict[str, str]]] = {
    "dense": (_dense, _UNITS), "dropout": (_dropout, _RATE),
    "batchnormalization": (_batch_norm, {}), "batchnorm": (_batch_norm, {}),
    "layernormalization": (_layer_norm, {}), "layernorm": (_layer_norm, {}),
    "activation": (_activation, {"count": "activation"}),
}  # fmt: skip


def _activation_of(reader: Reader) -> str:
    """The activation nearest to what is given; Keras' dense layers have none by themselves."""
    name = word(reader.raw("activation"))
    if name in _ACTIVATIONS:
        return _ACTIVATIONS[name]
    taken = _NEAR.get(name, "relu")
    reader.note("activation", "is not known here", f"{taken} is taken")
    return taken
