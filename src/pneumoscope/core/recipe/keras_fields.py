"""What the words of Keras-style dictionaries mean in a recipe, field by field.

Every function takes what was given and a `Notes` to say what it could not carry over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Note:
    """One thing that was not carried over as it was.

    Attributes:
        key: Where it stood.
        given: What stood there.
        reason: Why it was not carried over.
        taken: What was taken instead.
    """

    key: str
    given: str
    reason: str
    taken: str

    def __str__(self) -> str:
        return f"{self.key}: {self.given}: {self.reason}; {self.taken}."


@dataclass
class Notes:
    """Collects what could not be carried over."""

    found: list[Note] = field(default_factory=list)

    def add(self, key: str, given: object, reason: str, taken: str) -> None:
        """Say one thing more."""
        shown = given if isinstance(given, str) else repr(given)
        self.found.append(Note(key, shown if len(shown) <= 80 else f"{shown[:79]}…", reason, taken))


ACTIVATIONS = {
    "relu": "relu", "leakyrelu": "leaky_relu", "elu": "elu", "gelu": "gelu", "tanh": "tanh",
    "linear": "linear", "none": "linear", "relu6": "relu",
}  # fmt: skip
_SMOOTH = {"swish": "gelu", "silu": "gelu", "mish": "gelu", "selu": "elu", "softplus": "gelu"}

_LAYERS: dict[str, tuple[int, ...]] = {
    "vgg16": (1, 4, 7, 11, 15, 19),
    "vgg19": (1, 4, 7, 12, 17, 22),
    "mobilenetv2": (1, 4, 9, 27, 54, 90, 116, 143, 154),
    "resnet50": (1, 7, 39, 81, 143, 175),
    "densenet121": (1, 7, 53, 141, 313, 427),
    "densenet201": (1, 7, 53, 141, 481, 707),
}
"""Keras' layer numbers (`include_top=False`) at which the stages begin, and how many there are."""
_COUNTS = {
    "resnet50v2": (190, 5), "resnet101v2": (377, 5), "resnet152v2": (564, 5),
    "inceptionv3": (311, 5), "xception": (132, 5), "inceptionresnetv2": (780, 5),
    "efficientnetb0": (238, 8), "efficientnetb4": (475, 8), "mobilenetv3large": (187, 8),
    "mobilenetv3small": (157, 7),
}  # fmt: skip
"""How many layers Keras counts, and how many stages there are."""


def word(value: object) -> str:
    """A name without case, signs and blanks, the last part of a dotted one.

    >>> word("tf.keras.losses.Categorical_Crossentropy")
    'categoricalcrossentropy'
    """
    return re.sub(r"[^a-z0-9]", "", str(value).rpartition(".")[2].lower())


def number(value: object) -> float | None:
    """The number that a value is or spells, None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if abs(found) < float("inf") else None


def named(given: object) -> tuple[str, dict[str, Any]]:
    """Name and settings of what is given as a name or a mapping with one."""
    if not isinstance(given, Mapping):
        return word(given), {}
    settings = {str(k): v for k, v in given.items()}
    name = next((settings.pop(k) for k in ("name", "class_name", "type") if k in settings), "")
    inner = settings.pop("config", None)
    return word(name), {**settings, **(inner if isinstance(inner, Mapping) else {})}


def stages_to_train(model: str, fixed: int) -> tuple[int | None, str]:
    """How many last stages learn where Keras' first `fixed` layers do not, and how that was found.

    None where nothing of the backbone learns.
    """
    key = word(model)
    if key in _LAYERS:
        *starts, total = _LAYERS[key]
        if fixed >= total:
            return None, f"all of its {total} layers"
        ends = [*starts[1:], total]
        learned = [
            end - max(start, fixed) >= (end - start) / 2
            for start, end in zip(starts, ends, strict=True)
        ]
        last = max(1, sum(learned))
        return last, f"the last {last} of {len(starts)} stages, those mostly after layer {fixed}"
    if key in _COUNTS:
        total, count = _COUNTS[key]
        if fixed >= total:
            return None, f"all of its {total} layers"
        last = max(1, round(count * (total - fixed) / total))
        return last, f"the last {last} of {count} stages, by the part of {total} layers"
    return 2, "the last 2 stages, as its layers are not known here"


def layers_of(model: str) -> int | None:
    """How many layers Keras counts in the backbone, None where that is not known here."""
    key = word(model)
    return _LAYERS[key][-1] if key in _LAYERS else _COUNTS.get(key, (None, 0))[0]


def head_layers(given: object, notes: Notes) -> tuple[list[dict[str, Any]] | None, str | None]:
    """The head's layers, and the pooling that some of them are; None where nothing is given."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        notes.add("added_layers", given, "is no list of layers", "the recipe's own head is taken")
        return None, None
    layers: list[dict[str, Any]] = []
    pooling = None
    for place, layer in enumerate(given):
        key = f"added_layers.{place}"
        kind, settings = named(layer)
        if kind in _POOLINGS:
            pooling = _POOLINGS[kind]
        elif place == len(given) - 1 and kind == "dense" and _is_output(settings):
            continue  # the recipe adds the last layer for the label set
        elif kind in _MAKERS:
            made = _MAKERS[kind](key, settings, layers, notes)
            layers += [made] if made else []
        else:
            notes.add(key, layer, "no such layer is known", "it is left out")
    return layers, pooling


def _is_output(settings: Mapping[str, Any]) -> bool:
    return word(settings.get("activation")) in ("softmax", "sigmoid")


def _amount(settings: Mapping[str, Any], *names: str) -> float | None:
    return next((number(settings[name]) for name in names if name in settings), None)


def _dense(key: str, settings: Mapping[str, Any], _: object, notes: Notes) -> dict[str, Any] | None:
    units = _amount(settings, "count", "units", "size", "neurons")
    if units is None or units < 1 or units % 1:
        notes.add(key, dict(settings), "says no number of units", "it is left out")
        return None
    _rest(key, settings, {"count", "units", "size", "neurons", "activation"}, notes)
    return {"dense": int(units), "activation": activation(key, settings.get("activation"), notes)}


def _dropout(
    key: str, settings: Mapping[str, Any], _: object, notes: Notes
) -> dict[str, Any] | None:
    rate = _amount(settings, "count", "rate", "dropout", "value", "p")
    if rate is not None and 1 < rate < 100:
        notes.add(key, rate, "is no fraction", f"{rate / 100:g} is taken")
        rate /= 100
    if rate is None or not 0 <= rate < 1:
        notes.add(key, dict(settings), "says no fraction from 0 to 1", "it is left out")
        return None
    return {"dropout": rate}


def _activation(
    key: str, settings: Mapping[str, Any], layers: list[dict[str, Any]], notes: Notes
) -> None:
    said = settings.get("activation", settings.get("count"))
    if layers and layers[-1].get("activation") == "linear":
        layers[-1]["activation"] = activation(key, said, notes)
    else:
        notes.add(key, said, "an activation follows a dense layer only", "it is left out")


def _batch_norm(*_: object) -> dict[str, Any]:
    return {"batch_norm": True}


def _layer_norm(*_: object) -> dict[str, Any]:
    return {"layer_norm": True}


_MAKERS: dict[str, Callable[..., dict[str, Any] | None]] = {
    "dense": _dense, "dropout": _dropout, "batchnormalization": _batch_norm,
    "batchnorm": _batch_norm, "layernormalization": _layer_norm, "layernorm": _layer_norm,
    "activation": _activation,
}  # fmt: skip
_POOLINGS = {
    "flatten": "flatten", "globalaveragepooling2d": "avg", "globalmaxpooling2d": "max",
    "globalaveragepooling": "avg", "globalmaxpooling": "max", "gap": "avg",
}  # fmt: skip


def activation(key: str, given: object, notes: Notes) -> str:
    """The activation nearest to what is given; Keras' dense layers have none by themselves."""
    name = word(given)
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
    taken = _SMOOTH.get(name, "relu")
    notes.add(f"{key}.activation", given, "is not known here", f"{taken} is taken")
    return taken


def _rest(key: str, settings: Mapping[str, Any], known: set[str], notes: Notes) -> None:
    for name in settings.keys() - known - {"name"}:
        notes.add(f"{key}.{name}", settings[name], "a head layer has no such setting", "left out")


AUGMENT_OFF = dict.fromkeys(
    ("rotation", "zoom", "aspect", "shift", "shear", "brightness", "contrast", "gamma"), 0.0
)
"""A Keras generator does nothing but what it is told."""
_SILENT = ("rescale", "dtype", "data_format", "interpolation_order")
_DIFFERENT = {
    "vertical_flip": "a chest upside down is no radiograph that occurs",
    "channel_shift_range": "radiographs have one channel",
    "fill_mode": "what lies beyond the border is the recipe's pad value",
    "cval": "what lies beyond the border is preprocess.pad_value",
    "preprocessing_function": "functions are not read; normalisation is the network's own",
    "featurewise_center": "normalisation is the network's own",
    "samplewise_center": "normalisation is the network's own",
    "featurewise_std_normalization": "normalisation is the network's own",
    "samplewise_std_normalization": "normalisation is the network's own",
    "zca_whitening": "it is not known here",
}


def augmentation(given: object, size: int, notes: Notes) -> dict[str, float]:
    """The `augment` section of a generator's settings."""
    found = dict(AUGMENT_OFF)
    if given is True:
        notes.add("data_augmentation", given, "does not say what", "the recipe's own is taken")
        return {}
    if not isinstance(given, Mapping):
        if given:
            notes.add("data_augmentation", given, "is no mapping", "no augmentation is taken")
        return found
    shifts = [
        _shift(f"data_augmentation.{name}", given[name], size, notes)
        for name in ("width_shift_range", "height_shift_range")
        if name in given
    ]
    for name, value in given.items():
        if str(name) in _AUGMENTS:
            field_name, convert = _AUGMENTS[str(name)]
            made = convert(value)
            found[field_name] = _within(f"data_augmentation.{name}", field_name, made, value, notes)
        elif not str(name).endswith("_shift_range"):
            _note_other(str(name), value, notes)
    if len(set(shifts)) > 1:
        notes.add("data_augmentation", f"shifts {shifts}", "one number serves both axes",
                  f"the larger, {max(shifts):g}, is taken")  # fmt: skip
    return {**found, **({"shift": max(shifts)} if shifts else {})}


def _note_other(name: str, value: object, notes: Notes) -> None:
    """Note a setting that has no place here, unless it does nothing."""
    if name not in _SILENT and value not in (None, False, 0, "nearest"):
        reason = _DIFFERENT.get(name, "is not known here")
        notes.add(f"data_augmentation.{name}", value, reason, "it is left out")


def _shift(key: str, value: object, size: int, notes: Notes) -> float:
    spread = [value] if not isinstance(value, Sequence) or isinstance(value, str) else value
    numbers = [abs(found) for one in spread if (found := number(one)) is not None]
    largest = max(numbers, default=None)
    if largest is not None and largest >= 1:  # pixels, not a fraction
        largest /= size
    return _within(key, "shift", largest, value, notes)


def _spread(value: object) -> float | None:
    """The largest distance from 1 of a factor, given as a pair or as that distance."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        ends = [found for one in value if (found := number(one)) is not None]
        return (
            max((abs(end - 1) for end in ends), default=None) if len(ends) == len(value) else None
        )
    return number(value)


def _flip(value: object) -> float | None:
    return 0.5 if value is True else 0.0 if value is False else number(value)


def _turn(value: object) -> float | None:
    """`RandomRotation` counts in whole turns."""
    part = _spread(value) if number(value) is None else number(value)
    return None if part is None else 360 * part


_AUGMENTS: dict[str, tuple[str, Callable[[Any], float | None]]] = {
    "rotation_range": ("rotation", number),
    "zoom_range": ("zoom", _spread),
    "shear_range": ("shear", number),
    "horizontal_flip": ("horizontal_flip", _flip),
    "brightness_range": ("brightness", _spread),
    "contrast_range": ("contrast", _spread),
    "random_rotation": ("rotation", _turn),
    "random_zoom": ("zoom", _spread),
    "random_contrast": ("contrast", _spread),
    "random_brightness": ("brightness", _spread),
}
_MOST = {"rotation": 180.0, "zoom": 0.99, "shear": 45.0, "brightness": 0.99, "contrast": 0.99,
         "shift": 0.99, "horizontal_flip": 1.0}  # fmt: skip


def _within(key: str, name: str, found: float | None, given: object, notes: Notes) -> float:
    if found is None:
        notes.add(key, given, "is no such range", "0 is taken")
        return 0.0
    near = min(max(found, 0.0), _MOST[name])
    if near != found:
        notes.add(key, given, f"augment.{name} is from 0 to {_MOST[name]:g}", f"{near:g} is taken")
    return round(near, 6)
