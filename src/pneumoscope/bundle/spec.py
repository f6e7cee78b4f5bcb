"""`bundle.json`: what a bundle says of itself, checked before anything else of it is used."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pneumoscope.core.errors import BundleError
from pneumoscope.core.recipe import ModelRecipe
from pneumoscope.evaluation.calibration import TEMPERATURE_RANGE

SCHEMA_VERSION: Final = 1

Name = Annotated[str, Field(min_length=1, max_length=200)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Part(BaseModel):
    """Base of all parts of the specification: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Parity(Part):
    """How far the exported graph is from the trained network on the same pixels, float32."""

    images: int
    """How many were compared."""
    logits: float
    """Largest absolute difference of a logit."""
    probabilities: float
    """Largest absolute difference of a probability, at the bundle's temperature."""


class TrainingData(Part):
    """What the model was trained on, without an image or a path."""

    fingerprint: str
    """Of the catalogue: the same only for the same images under the same labels."""
    images: dict[str, int]
    """Images per split."""
    labels: dict[str, int]
    """Training images per label."""


class BundleSpec(Part):
    """Everything needed to answer, and where it came from."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Of this file."""
    name: Name
    """The recipe's."""
    labels: Annotated[tuple[Name, ...], Field(min_length=2, max_length=1000)]
    """In the order of logits and probabilities."""
    preprocess: dict[str, Any]
    """The way to the canvas: version and fields of the recipe section."""
    model: ModelRecipe
    """What the network is, so that its weights can be loaded."""
    weights: dict[str, str | None]
    """Pretrained weights it started from: source, SHA-256, licence."""
    precision: Literal["float32", "bfloat16", "int8"] = "float32"
    """What the graph is computed in; calibration and rules are fitted for it."""
    temperature: Annotated[float, Field(ge=TEMPERATURE_RANGE[0], le=TEMPERATURE_RANGE[1])]
    """Divides the logits (Guo et al. 2017)."""
    calibrator: dict[str, Any] | None = None
    """In place of the temperature where another calibrator is better."""
    calibration_note: str = "not recorded"
    """Why probabilities are calibrated so."""
    operating_points: tuple[dict[str, Any], ...] = ()
    """Rule, label, threshold (null: never met) and what the calibration split promised."""
    conformal: dict[str, Any] | None = None
    """Quantiles that label sets follow from."""
    selective: dict[str, Any] | None = None
    """The confidence above which answers are wrong seldom enough."""
    gate: dict[str, Any] | None = None
    """What each stage goes by; null where the bundle has none."""
    parity: Parity
    """Measured at export."""
    training: TrainingData
    """What it was trained on."""
    provenance: dict[str, Any]
    """When, by which versions, on what kind of machine."""
    licence: str
    """Of the model."""
    files: dict[str, Sha256]
    """SHA-256 of every other file of the bundle."""

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) != len(labels):
            raise ValueError("labels repeat")
        return labels


def to_json(spec: BundleSpec) -> bytes:
    """The canonical text of a specification: sorted keys, UTF-8, one newline at the end."""
    text = json.dumps(spec.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False)
    return f"{text}\n".encode()


def from_json(content: bytes) -> BundleSpec:
    """The specification in `content`.

    Raises:
        BundleError: not JSON, of another schema version, or a field is missing, unknown or wrong.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"bundle.json: is not JSON ({error}). Export the bundle again."
        ) from error
    version = found.get("schema_version") if isinstance(found, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"bundle.json: schema version {version!r}; this program reads {SCHEMA_VERSION}. "
            "Export the bundle with this version, or install the one that wrote it."
        )
    try:
        return BundleSpec.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleError(
            f"bundle.json: {where}: {first['msg']}. Export the bundle again."
        ) from error
