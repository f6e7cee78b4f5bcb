"""What goes over the wire, as pydantic models: the contract that /openapi.json shows."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from pneumoscope.bundle.prediction import Decision, StageOutcome

NOTICE: Final = "For research use. Not a medical device; not for diagnosis or treatment."

_RESULT: Final[dict[str, Any]] = {
    "path": "chest.dcm", "label": "PNEUMONIA", "decision": "answer", "reason": None,
    "probabilities": {"NORMAL": 0.04, "PNEUMONIA": 0.96}, "label_set": ["PNEUMONIA"],
    "operating_points": [
        {"name": "youden", "label": "PNEUMONIA", "positive": True, "threshold": 0.41}
    ],
    "gate": {"modality": {"outcome": "passed", "score": 0.999, "reason": None}},
    "familiarity": 0.62, "gate_score": 0.999, "warnings": [], "model_id": "3f0c2a9be1d84f57",
    "milliseconds": 5.2, "timings": {"read": 1.1, "model": 4.1}, "saliency_png": None,
}  # fmt: skip
_UNREADABLE: Final[dict[str, Any]] = {
    **_RESULT, "path": "letter.pdf", "label": None, "decision": "unreadable",
    "reason": "starts with b'%PDF-1.7'; supported: PNG, JPEG, DICOM. Convert it or exclude it.",
    "probabilities": {}, "label_set": None, "operating_points": [], "gate": {},
    "familiarity": None, "gate_score": None, "milliseconds": 0.1, "timings": {"read": 0.1},
}  # fmt: skip


class Wire(BaseModel):
    """Base of everything sent; numbers are finite."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, protected_namespaces=())


class OperatingPoint(Wire):
    """On which side of an operating point an image falls."""

    name: str
    label: str
    positive: bool
    threshold: float | None = Field(description="Probability; null: no image is ever positive.")


class GateStage(Wire):
    """What one stage of the gate found."""

    outcome: StageOutcome
    score: float | None
    reason: str | None


class Result(Wire):
    """What is said about one image."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RESULT, _UNREADABLE]})

    path: str = Field(description="The file's name as it was sent.")
    label: str | None = Field(description="The answer; null when there is none.")
    decision: Decision
    reason: str | None = Field(description="Why there is no answer.")
    probabilities: dict[str, float] = Field(description="Calibrated, by label, in [0, 1].")
    label_set: list[str] | None = Field(description="Labels that cannot be excluded.")
    operating_points: list[OperatingPoint]
    gate: dict[str, GateStage]
    familiarity: float | None = Field(description="Share of calibration images less familiar.")
    gate_score: float | None = Field(description="Probability of being a chest radiograph.")
    warnings: list[str]
    model_id: str
    milliseconds: float
    timings: dict[str, float] = Field(description="Milliseconds by step.")
    saliency_png: str | None = Field(
        default=None,
        description="With saliency=png: the image with the evidence for its most probable label "
        "on it, PNG in base64, in the image's own geometry.",
    )


class Answers(Wire):
    """One result per image, in the order sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{
                "request_id": "0b8f6f0e-7d1b-4c0e-9a39-5f2d9c1f6c11",
                "model_id": "3f0c2a9be1d84f57", "results": [_RESULT, _UNREADABLE], "notice": NOTICE,
            }]
        }
    )  # fmt: skip

    request_id: str
    model_id: str
    results: list[Result]
    notice: str = NOTICE


class Calibration(Wire):
    """How logits become probabilities."""

    method: str
    parameters: dict[str, list[float]]
    note: str = Field(description="Why so.")


class ModelFacts(Wire):
    """What answers, what it was made from, and what it is not."""

    name: str
    model_id: str
    labels: list[str]
    preprocess: dict[str, Any]
    operating_points: list[dict[str, Any]]
    calibration: Calibration
    label_sets: dict[str, Any] | None
    abstention: dict[str, Any] | None
    gate: dict[str, Any] | None
    training_images: dict[str, int]
    training_labels: dict[str, int]
    backbone: str
    runtime: str
    precision: str
    licence: str
    card: str = Field(description="The model card, Markdown.")
    notice: str


class Health(Wire):
    """Whether it runs, or can answer."""

    status: Literal["ok", "draining", "starting"]


class Reloaded(Wire):
    """Which model answers now."""

    model_id: str
    name: str


class ProblemDetails(Wire):
    """RFC 9457."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{
                "type": "https://github.com/pneumoscope/pneumoscope/blob/main/docs/serving.md"
                "#queue-full",
                "title": "The queue is full", "status": 429,
                "detail": "64 images wait; allowed: 64 at a time.",
                "remedy": "Wait as long as Retry-After says.",
                "instance": "urn:uuid:0b8f6f0e-7d1b-4c0e-9a39-5f2d9c1f6c11",
            }]
        }
    )  # fmt: skip

    type: str
    title: str
    status: int
    detail: str
    remedy: str
    instance: str
