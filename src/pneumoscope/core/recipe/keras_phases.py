"""What a Keras-style dictionary trains, for how long: strategy and fixed layers as phases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pneumoscope.core.recipe.keras_reader import (
    LEFT_OUT,
    Notes,
    Reader,
    agreed,
    allowed,
    number,
    word,
)
from pneumoscope.core.recipe.learning import PHASES, ProbePhase

_ENOUGH = 10
"""Patience of a dictionary that does not speak of stopping early."""
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
_MONITORS = {"valloss": "validation_loss", "validationloss": "validation_loss",
             "valauc": "validation_auc", "validationauc": "validation_auc"}  # fmt: skip


def phases(given: Reader, backbone: str, weights: str, notes: Notes) -> list[dict[str, Any]]:
    """One phase of the head where the backbone is frozen, one of all where it is random, else both.

    A pair of numbers for `epochs` or `batch_size` is one for each of two phases.
    """
    last, how = _trained(given, backbone, weights)
    if last is None:
        kinds = ["probe"]
    else:
        kinds = ["fine_tune"] if last == "all" and weights == "none" else ["probe", "fine_tune"]
    epochs = _counts(given, "epochs", kinds)
    sizes = _counts(given, "batch_size", kinds)
    stopping = _stopping(given, notes)
    found: list[dict[str, Any]] = []
    for kind, length, size in zip(kinds, epochs, sizes, strict=True):
        phase: dict[str, Any] = {"kind": kind}
        if kind == kinds[-1] or length is not None:
            # What is said of stopping is said of phases that are spoken of.
            phase |= {"schedule": "constant", "learning_rate": None, **stopping}
            most = length or PHASES[kind].model_fields["epochs"].default
            phase |= {"epochs": most, "patience": stopping["patience"] or most}
        if size is not None:
            phase["batch_size"] = size
        if kind == "fine_tune":
            phase |= {"last": last, "layer_decay": 1.0, "warmup": 0.0}
        found.append(phase)
    if len(kinds) > 1 and epochs[0] is None:
        notes.add("strategy", how, "an untrained head would spoil trained layers",
                  "a phase of the head alone comes first")  # fmt: skip
    return found


def _counts(given: Reader, name: str, kinds: list[str]) -> list[int | None]:
    """The number of each phase, None where nothing is said of it."""
    default = PHASES[kinds[-1]].model_fields[name].default
    several = given.take(
        name,
        _one_or_two,
        reason=f"is no value that {name} has in a recipe",
        taken=f"{default} is taken",
    )
    if several is None:
        return [None for _ in kinds]
    if len(several) == 1:
        return [*(None for _ in kinds[1:]), several[0]]
    if len(kinds) > 1:
        return list(several)
    taken = several[0] if kinds == ["probe"] else several[-1]
    given.note(name, "one phase is trained here", f"{taken} is taken")
    return [taken]


def _one_or_two(value: object) -> tuple[int, ...] | None:
    parts = value if isinstance(value, (list, tuple)) else [value]
    found = [allowed(ProbePhase, "epochs")(part) for part in parts]
    return tuple(found) if len(found) in (1, 2) and None not in found else None


def _stopping(given: Reader, notes: Notes) -> dict[str, Any]:
    """Patience, null where nothing stops early, and what is monitored."""
    stop = given.raw("early_stopping")
    if stop is False:
        if given.has("patience"):
            given.raw("patience")
            given.note("patience", f"{given.key('early_stopping')} is off", LEFT_OUT)
        return {"patience": None}
    found: dict[str, Any] = {}
    places = [(given, "patience")]
    if isinstance(stop, Mapping):
        reader = notes.reader(
            [(str(key), value) for key, value in stop.items()],
            place=f"{given.key('early_stopping')}.",
        )
        reader.only("restore_best_weights", (True,), "the best epoch's weights are always kept")
        reader.only("min_delta", (0,), "any better value counts")
        monitor = reader.take(
            "monitor", lambda value: _MONITORS.get(word(value)), reason="is not monitored here",
            taken="validation_loss is taken",
        )  # fmt: skip
        found = {} if monitor is None else {"monitor": monitor}
        places.append((reader, "patience"))
    elif stop is not True:
        places.append((given, "early_stopping"))
    if stop is not None and not any(reader.has(name) for reader, name in places):
        given.note("early_stopping", "does not say after how many epochs", f"{_ENOUGH} is taken")
    patience = agreed(places, ProbePhase, "patience", taken=f"{_ENOUGH} is taken")
    return {**found, "patience": patience or _ENOUGH}


# Which layers learn


def _trained(given: Reader, backbone: str, weights: str) -> tuple[int | str | None, str]:
    """Stages that learn (None: the head alone), and what said so."""
    text = given.take("strategy", _lower, reason="is not known here", taken=LEFT_OUT)
    fixed = given.take(
        "fixed_layers", _whole, reason="is no number of layers", taken="the strategy is followed"
    )
    trained: tuple[str | None, str]
    if weights == "none" and (text is None or "scratch" in text):
        trained, reason = ("all", "random weights"), "random weights are not worth fixing"
    elif _is_frozen(text or ""):
        trained, reason = (None, "frozen"), "the strategy says that all layers are fixed"
    elif fixed is not None:
        _note_other_strategy(given, text or "")
        return _from_fixed(given, "fixed_layers", backbone, fixed)
    else:
        return _from_words(given, text or "", backbone)
    if fixed is not None and (fixed != 0 or trained[0] is None):
        given.note("fixed_layers", reason, LEFT_OUT)
    return trained


def _lower(value: object) -> str | None:
    return value.lower() if isinstance(value, str) and value.strip() else None


def _whole(value: object) -> int | None:
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def _is_frozen(text: str) -> bool:
    words = ("frozen", "freeze", "feature", "transfer", "head")
    return any(part in text for part in words) and not re.search(r"\d|un(frozen|freeze)", text)


def _note_other_strategy(given: Reader, text: str) -> None:
    """Note a strategy that says another thing than to fix some layers, or a thing unknown."""
    meant = re.search("fix|fine|partial|last|train|tune", text)
    if text and (not meant or re.search(r"\d|full|all|scratch", text)):
        given.note("strategy", f"{given.key('fixed_layers')} says how much learns", LEFT_OUT)


def _from_words(given: Reader, text: str, backbone: str) -> tuple[int | str | None, str]:
    """What learns where the strategy alone says it, maybe with a number of layers."""
    counts = [int(digits) for digits in re.findall(r"\d+", text)]
    if len(counts) == 1 and not re.search("last|train|unfreeze|unfrozen|fine", text):
        return _from_fixed(given, "strategy", backbone, counts[0])
    if len(counts) == 1:
        learn = counts[0]
        return _from_fixed(given, "strategy", backbone, -learn) if learn else (None, "frozen")
    if not counts and re.search("fine|full|unfrozen|unfreeze|scratch|all", text):
        return "all", text
    if text:
        given.note("strategy", "is not known here", "the backbone is frozen")
    return None, "frozen"


def _from_fixed(
    given: Reader, name: str, backbone: str, fixed: int
) -> tuple[int | str | None, str]:
    """What learns where Keras' first `fixed` layers do not; below 0, that many at the end do."""
    total = layers_of(backbone)
    if fixed < 0 and total is not None:
        fixed = max(0, total + fixed)
    if fixed == 0:
        return "all", "no layer fixed"
    last, how = stages_to_train(backbone, fixed)
    taken = f"stages are counted here: {how}, learn" if last else f"{how} are fixed"
    given.note(name, "layers are Keras' own count", taken)
    return last, f"{fixed} layers fixed" if fixed > 0 else f"the last {-fixed} layers learn"


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
