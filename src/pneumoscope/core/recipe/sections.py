"""Sections about the data: where it is, how it is split, made into canvases and varied."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

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
    """Folder of radiographs, manifest, or MedMNIST archive; `train DATA` sets it."""
    layout: Literal[
        "auto", "class_folders", "split_folders", "radiography_database", "manifest", "dicom_tree",
        "medmnist",
    ] = "auto"  # fmt: skip
    """How the folder says what its images are; `auto` takes the one that fits."""
    folders: tuple[str, ...] = ()
    """Folders inside `path` to train on together: each is read by its own layout and shared out by
    itself, so that each is in every split. Empty: `path` itself is read."""
    labels: dict[str, str | None] = Field(default_factory=dict)
    """From a label as it is found to the label trained on; null leaves its images out."""
    columns: dict[CatalogueColumn, str] = Field(default_factory=dict)
    """Catalogue column to column of the manifest, where its own name does not say it; an empty
    name leaves the catalogue column unknown."""
    source: str | None = None
    """Where the radiographs come from, for those whose source the layout does not know."""
    licence: str | None = None
    """Of the images, for the model card, such as CC BY 4.0."""
    citation: str | None = None
    """Whom the model card names for the images, as their licence may ask."""
    masks: str | None = None
    """A folder of lung masks under the images' own relative paths, ending in `.png`, as `segment`
    writes it; used instead of those that the layout names."""
    patch: str | None = None
    """A label patch (JSON), as the app's page Review writes it: images relabelled or left out."""
    limit: Annotated[int, Field(ge=40)] | None = None
    """About this many images, drawn by whole patients from every label; null takes all."""

    @field_validator("folders", mode="before")
    @classmethod
    def _is_a_list(cls, folders: object) -> object:
        if isinstance(folders, str):
            raise ValueError("a list is needed, as [site-1, site-2]")
        return folders

    @field_validator("labels")
    @classmethod
    def _says_one_thing(cls, labels: dict[str, str | None]) -> dict[str, str | None]:
        for label, name in labels.items():
            if name is not None and not name.strip():
                raise ValueError(f"'{label}' becomes a label without a name; null leaves it out")
        if len({label.casefold() for label in labels}) < len(labels):
            raise ValueError("a label is named twice, in other cases of letters")
        return labels


class SplitRecipe(Section):
    """Fractions of patients per split; what remains is trained on."""

    validation: Fraction = 0.1
    """Tells the best epoch."""
    calibration: Fraction = 0.1
    """Fixes temperature, thresholds and label sets."""
    test: Fraction = 0.15
    """Stays sealed until the evaluation."""
    use_given: bool = True
    """Keep a test part (and a validation part of useful size) that the folder brings."""
    file: str | None = None
    """A frozen split (Parquet: image_id, group, split), as `audit --fix` writes it; images it does
    not name are left out."""
    folds: Annotated[int, Field(ge=2, le=100)] | None = None
    """Cross-validation: patients fall into this many folds of about equal size."""
    fold: Annotated[int, Field(ge=0)] = 0
    """Which fold is the test split, counted from 0."""
    leave_out_source: str | None = None
    """This source is the test split, all others train: how far a model carries."""

    @model_validator(mode="after")
    def _leaves_a_training_part(self) -> SplitRecipe:
        if self.validation + self.calibration + self.test >= 0.9:
            raise ValueError("validation + calibration + test must leave 0.1 or more for training")
        ways = [self.file, self.folds, self.leave_out_source]
        if sum(way is not None for way in ways) > 1:
            raise ValueError("give one of file, folds, leave_out_source")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold must be below folds ({self.folds})")
        return self


class PreprocessRecipe(Section):
    """From a radiograph to the network's square canvas; training and serving share it."""

    size: Annotated[int, Field(ge=16, le=1024)] = 224
    """Side of the canvas, pixels."""
    fit: Literal["letterbox", "stretch", "center_crop"] = "letterbox"
    """How a radiograph becomes square: with bars, out of proportion, or cut to its middle."""
    pad_value: Annotated[int, Field(ge=0, le=255)] = 0
    """Grey level of the bars."""
    crop_borders: bool = False
    """Leave out uniform borders (black frames, paddings) before fitting."""
    levels: Literal["range", "full", "percentile"] = "range"
    """Deeper than 8 bits to 0-255: from the image's own least to greatest level, from 0 to the
    greatest its bits can hold, or from its 0.5th to its 99.5th percentile (8-bit images too)."""
    clahe: Annotated[float, Field(ge=0, le=40)] = 0.0
    """Clip limit of contrast-limited adaptive histogram equalisation on the canvas, 8 x 8 tiles; 0
    leaves it out."""
    lungs: Literal["off", "keep", "remove", "crop"] = "off"
    """What a lung mask is used for: black outside, black inside, or cropping to its box."""


class AugmentRecipe(Section):
    """How far a training view may differ from its radiograph; 0 switches a part off.

    The horizontal flip is off by default: the heart is on the left.
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
    horizontal_flip: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Probability. Off: the heart is on the left, and a mirrored chest has another diagnosis."""
    noise: Annotated[float, Field(ge=0, le=64)] = 0.0
    """Largest standard deviation of Gaussian noise, grey levels; drawn from [0, noise]."""
    blur: Annotated[float, Field(ge=0, le=8)] = 0.0
    """Largest standard deviation of a Gaussian blur, pixels; drawn from [0, blur]."""
    degrade: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Strongest loss of fine detail as by JPEG: 8x8 cosine coefficients rounded in steps drawn up
    to those of quality 100 - 90 * degrade."""
    erase: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest part of the canvas that a rectangle of uniform grey covers; drawn from [0, erase]."""
    histogram: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How far, at most, grey levels move towards the histogram of another training image."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    """Of what is drawn for each view; null takes the recipe's. Runs that share it, and differ in
    `seed`, see the same views, and share what was computed of them."""
