"""The recipe: one frozen model that says a whole experiment, and the one home of defaults.

A recipe written back after a run, all defaults spelled out, repeats that run. Unknown keys are
refused with the closest known one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pneumoscope.core.errors import RecipeError
from pneumoscope.core.files import write_text

Fraction = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(gt=0, le=1000)]
Count = Annotated[int, Field(ge=1)]
CatalogueColumn = Literal[
    "path", "label", "patient_id", "study_id", "source", "view", "sex", "age", "split",
    "mask_path", "width", "height", "format",
]  # fmt: skip
"""What a manifest can say of an image."""


class Section(BaseModel):
    """Base of all recipe parts: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataRecipe(Section):
    """Where the radiographs are and how the folder says what they show."""

    path: str | None = None
    layout: Literal[
        "auto", "class_folders", "split_folders", "radiography_database", "manifest", "medmnist"
    ] = "auto"
    columns: dict[CatalogueColumn, str] = Field(default_factory=dict)
    """Catalogue column to column of the manifest, where its own name does not say it; an empty
    name leaves the catalogue column unknown."""
    source: str | None = None
    """Where the radiographs come from, for those whose source the layout does not know."""
    limit: Annotated[int, Field(ge=40)] | None = None
    """About this many images, drawn by whole patients from every label; null takes all."""


class SplitRecipe(Section):
    """Fractions of patients per split; what remains is trained on."""

    validation: Fraction = 0.1
    calibration: Fraction = 0.1
    test: Fraction = 0.15
    use_given: bool = True
    """Keep a test part (and a validation part of useful size) that the folder brings."""
    file: str | None = None
    """A frozen split (Parquet: image_id, group, split), as `audit --fix` writes it; images it does
    not name are left out."""

    @model_validator(mode="after")
    def _leaves_a_training_part(self) -> SplitRecipe:
        if self.validation + self.calibration + self.test >= 0.9:
            raise ValueError("validation + calibration + test must leave 0.1 or more for training")
        return self


class PreprocessRecipe(Section):
    """From a radiograph to the network's square canvas; training and serving share it."""

    size: Annotated[int, Field(ge=16, le=1024)] = 224
    fit: Literal["letterbox", "stretch", "center_crop"] = "letterbox"
    pad_value: Annotated[int, Field(ge=0, le=255)] = 0


class AugmentRecipe(Section):
    """How far a training view may differ from its radiograph; 0 switches a part off.

    There is no horizontal flip: the heart is on the left.
    """

    rotation: Annotated[float, Field(ge=0, le=180)] = 8.0
    """Degrees, drawn from [-rotation, rotation]."""
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.12
    """Scale drawn log-uniformly from [1/(1+zoom), 1+zoom]."""
    aspect: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Width against height, drawn log-uniformly from [1/(1+aspect), 1+aspect]."""
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.06
    """Fraction of the canvas, each axis."""
    shear: Annotated[float, Field(ge=0, le=45)] = 0.0
    """Degrees."""
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.15
    """Factor drawn from [1 - brightness, 1 + brightness]: black stays black."""
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Factor drawn log-uniformly from [1/(1+contrast), 1+contrast]."""
    gamma: Annotated[float, Field(ge=0, lt=2)] = 0.3
    """Exponent drawn log-uniformly from [1/(1+gamma), 1+gamma]."""


class Dropout(Section):
    """A head layer that drops a fraction of its inputs while training."""

    dropout: Annotated[float, Field(ge=0, lt=1)]


class Dense(Section):
    """A fully connected head layer."""

    dense: Annotated[int, Field(ge=1, le=65_536)]
    activation: Literal["relu", "linear"] = "relu"


HeadLayer = Dropout | Dense


class ModelRecipe(Section):
    """Backbone, where its weights come from, and the head put on it."""

    backbone: str = "tf_efficientnet_lite0"
    weights: str = "imagenet"
    """`imagenet` or `none`."""
    pooling: Literal["avg"] = "avg"
    head: tuple[HeadLayer, ...] = (Dropout(dropout=0.2),)
    """Layers before the last linear one, which is added for the label set."""


class BalanceRecipe(Section):
    """What is done about labels of unequal frequency."""

    method: Literal["none", "class_weights"] = "class_weights"


class ProbePhase(Section):
    """Train the head on cached embeddings of a frozen backbone."""

    kind: Literal["probe"] = "probe"
    views: Annotated[int, Field(ge=1, le=64)] = 3
    """Views of each training image: the first plain, the others augmented."""
    epochs: Count = 60
    batch_size: Count = 256
    patience: Count = 10
    """Epochs without a better validation loss before stopping."""


class LossRecipe(Section):
    """What training minimises."""

    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0


class OptimizerRecipe(Section):
    """How training minimises it."""

    name: Literal["adamw"] = "adamw"
    learning_rate: Rate = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2


class EvaluateRecipe(Section):
    """Intervals of every reported figure."""

    resamples: Annotated[int, Field(ge=100)] = 2000
    confidence_level: Fraction = 0.95


class TrackingRecipe(Section):
    """Where the run is kept beside its folder."""

    enabled: bool = True
    experiment: str = "pneumoscope"


class ComputeRecipe(Section):
    """How the work is done; it may change the last digits, never the meaning."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the frozen backbone. `auto` times a few steps once per machine and remembers."""
    batch_size: Count = 32


class Recipe(Section):
    """A whole experiment."""

    name: str = Field(default="pneumoscope", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    data: DataRecipe = DataRecipe()
    split: SplitRecipe = SplitRecipe()
    preprocess: PreprocessRecipe = PreprocessRecipe()
    augment: AugmentRecipe = AugmentRecipe()
    model: ModelRecipe = ModelRecipe()
    balance: BalanceRecipe = BalanceRecipe()
    phases: Annotated[tuple[ProbePhase, ...], Field(min_length=1, max_length=1)] = (ProbePhase(),)
    loss: LossRecipe = LossRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    evaluate: EvaluateRecipe = EvaluateRecipe()
    tracking: TrackingRecipe = TrackingRecipe()
    compute: ComputeRecipe = ComputeRecipe()


def parse_recipe(content: Mapping[str, Any], *, origin: str = "recipe") -> Recipe:
    """The recipe that `content` says.

    Raises:
        RecipeError: an unknown key (the closest known one is named) or a value out of range.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{origin}: {_first_reason(error)}") from error


def load_recipe(path: Path) -> Recipe:
    """The recipe in a YAML file."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}). Give a YAML file.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RecipeError(f"{path}: is not YAML ({reason}). Correct the line named.") from error
    if not isinstance(content, Mapping):
        raise RecipeError(f"{path}: holds {type(content).__name__}, not sections such as `model:`.")
    return parse_recipe(content, origin=str(path))


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, every default spelled out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write `dump_recipe` to `path`."""
    write_text(path, dump_recipe(recipe))


def override(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with dotted fields replaced, validated again.

    >>> override(Recipe(), {"model.backbone": "resnet18", "seed": 3}).model.backbone
    'resnet18'
    """
    content = recipe.model_dump(mode="json")
    for dotted, value in changes.items():
        *parents, last = dotted.split(".")
        target: Any = content
        for name in parents:
            key: Any = int(name) if isinstance(target, list) and name.isdecimal() else name
            try:
                target = target[key]
            except (KeyError, IndexError, TypeError) as error:
                raise RecipeError(f"{dotted}: {_unknown(name, _keys(target))}") from error
        if isinstance(target, list) and last.isdecimal() and int(last) < len(target):
            target[int(last)] = value
        elif isinstance(target, dict):
            target[last] = value
        else:
            raise RecipeError(f"{dotted}: {_unknown(last, _keys(target))}")
    return parse_recipe(content, origin="recipe after --set")


def _keys(target: Any) -> list[str]:
    if isinstance(target, Mapping):
        return [str(key) for key in target]
    return [str(index) for index in range(len(target))] if isinstance(target, list) else []


def _unknown(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"allowed: {', '.join(names) or 'nothing'}."
    return f"unknown key '{name}'; {hint}"


def _first_reason(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        parent, name = first["loc"][:-1], str(first["loc"][-1])
        reason = _unknown(name, _fields_at(parent))
        return f"{'.'.join(map(str, parent))}: {reason}" if parent else reason
    message = first["msg"].removeprefix("Value error, ")
    given = first["input"]
    shown = "" if isinstance(given, (dict, list, tuple, BaseModel)) else f" (given: {given!r})"
    return f"{where or 'recipe'}: {message}{shown}. See `pneumoscope train --help`."


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    content: Any = Recipe()
    for part in location:
        if isinstance(part, int):
            content = content[min(part, len(content) - 1)] if content else None
        elif isinstance(content, BaseModel) and part in type(content).model_fields:
            content = getattr(content, part)
    return list(type(content).model_fields) if isinstance(content, BaseModel) else []
