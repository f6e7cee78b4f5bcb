"""What the settings of a Keras image generator, or of its augmenting layers, mean in a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pneumoscope.core.recipe.keras_reader import LEFT_OUT, Notes, Reader, number, numbers

_OFF = dict.fromkeys(
    ("rotation", "zoom", "aspect", "shift", "shear", "brightness", "contrast", "gamma"), 0.0
)
"""A Keras generator does nothing but what it is told."""
_OWN = "normalisation is the network's own"
_PAD = "what lies beyond the border is preprocess.pad_value"
_DIFFERENT: dict[str, tuple[tuple[object, ...], str]] = {
    "vertical_flip": ((False, 0), "a chest upside down is no radiograph that occurs"),
    "channel_shift_range": ((False, 0), "radiographs have one channel"),
    "fill_mode": ((), _PAD),
    "cval": ((0,), _PAD),
    "preprocessing_function": ((), "functions are not read; normalisation is the network's own"),
    "featurewise_center": ((False,), _OWN),
    "samplewise_center": ((False,), _OWN),
    "featurewise_std_normalization": ((False,), _OWN),
    "samplewise_std_normalization": ((False,), _OWN),
    "zca_whitening": ((False,), "it is not known here"),
    "rescale": ((0, 1, 1 / 255, 1 / 127.5), _OWN),
    "dtype": (("float32",), "pixels are float32 here"),
    "data_format": (("channels_last", "channels_first"), "no such order of axes is known"),
    "interpolation_order": ((1,), "views are interpolated linearly"),
}
"""What has no place here: the values that change nothing, and the reason to give for others."""


def augmentation(given: Reader, size: int, notes: Notes) -> dict[str, float]:
    """The `augment` section of a dictionary's `data_augmentation`; {} is the recipe's own.

    Args:
        given: The dictionary.
        size: Side of the canvas, which turns shifts in pixels into fractions.
        notes: Takes what could not be carried over.
    """
    settings = given.raw("data_augmentation")
    if settings is True:
        given.note("data_augmentation", "does not say what", "the recipe's own is taken")
        return {}
    if not isinstance(settings, Mapping):
        if settings:
            given.note("data_augmentation", "is no mapping", "no augmentation is taken")
        return dict(_OFF)
    reader = notes.reader(
        [(str(key), value) for key, value in settings.items()],
        place=f"{given.key('data_augmentation')}.",
        unknown="is not known here",
    )
    for name, (harmless, reason) in _DIFFERENT.items():
        reader.only(name, harmless, reason)
    shifts = _shifts(reader, size)
    if len(set(shifts)) > 1:
        notes.add(
            given.key("data_augmentation"), f"shifts {shifts}", "one number serves both axes",
            f"the larger, {max(shifts):g}, is taken",
        )  # fmt: skip
    return {**_OFF, **_amounts(reader), **({"shift": max(shifts)} if shifts else {})}


def _amounts(reader: Reader) -> dict[str, float]:
    """One number for each field; of two settings that mean one field the first is kept."""
    found: dict[str, float] = {}
    said: dict[str, str] = {}
    for name, (field, parse) in _AUGMENTS.items():
        if not reader.has(name):
            continue
        amount = _within(reader, name, field, parse)
        _note_uneven(reader, name, amount, field)
        if field in found and amount != found[field]:
            reader.note(name, f"{said[field]} says otherwise", LEFT_OUT)
        found.setdefault(field, amount)
        said.setdefault(field, reader.key(name))
    return found


def _shifts(reader: Reader, size: int) -> list[float]:
    """The shift of each axis that one is given for, as a fraction of the canvas."""

    def fraction(value: object) -> float | None:
        ends = numbers(value)
        largest = None if ends is None else max(map(abs, ends))
        # From 1 on Keras counts pixels.
        return largest / size if largest is not None and largest >= 1 else largest

    axes = ("width_shift_range", "height_shift_range")
    return [_within(reader, name, "shift", fraction) for name in axes if reader.has(name)]


def _within(reader: Reader, name: str, field: str, parse: Callable[[Any], float | None]) -> float:
    found = reader.take(name, parse, reason="is no such range", taken="0 is taken") or 0.0
    near = min(max(found, 0.0), _MOST[field])
    if near != found:
        reason = f"augment.{field} is from 0 to {_MOST[field]:g}"
        reader.note(name, reason, f"{near:g} is taken")
    return round(near, 6)


def _note_uneven(reader: Reader, name: str, taken: float, field: str) -> None:
    """Note a pair that reaches further to one side: a recipe has one number for both."""
    value = reader.raw(name)
    ends = numbers(value) if isinstance(value, Sequence) else None
    middle = 0 if field == "rotation" or (ends and min(ends) < 0) else 1
    distances = {round(abs(end - middle), 6) for end in ends or ()}
    if len(distances) > 1:
        reader.note(name, "one number serves both sides", f"the larger, {taken:g}, is taken")


def _spread(value: object) -> float | None:
    """The largest distance of a factor from 1, given as a pair or as that distance.

    A pair with a negative end is one of distances, as Keras' augmenting layers have them.
    """
    ends = numbers(value)
    if ends is None or not isinstance(value, Sequence) or isinstance(value, str):
        return number(value)
    middle = 0 if min(ends) < 0 else 1
    return max(abs(end - middle) for end in ends)


def _flip(value: object) -> float | None:
    return 0.5 if value is True else 0.0 if value is False else number(value)


def _turn(value: object) -> float | None:
    """`RandomRotation` counts in whole turns, to both sides of none."""
    ends = numbers(value)
    return None if ends is None else 360 * max(map(abs, ends))


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
