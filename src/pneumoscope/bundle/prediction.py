"""One object for JSON, table row and overlay: what is said about one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pneumoscope.core.types import FloatArray
from pneumoscope.imaging.radiograph import Radiograph

Decision = Literal["answer", "set", "abstain", "refused", "unreadable"]
StageOutcome = Literal["passed", "warned", "refused"]


@dataclass(frozen=True)
class GateStage:
    """What one stage of the gate found.

    Attributes:
        outcome: `refused` keeps the model from answering.
        score: See the stage; None where it has none.
        reason: In words; None where it passed.
    """

    outcome: StageOutcome
    score: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class GateVerdict:
    """What the gate found, stage by stage; a stage the bundle has not is None.

    Attributes:
        modality: Whether it is a chest radiograph at all; score: its probability, in [0, 1].
        quality: Whether it can be read: blank, inverted, cut off, turned, lateral.
        familiarity: Whether it is like the training images; score: the share of calibration
            images that are less familiar, in [0, 1].
    """

    modality: GateStage | None = None
    quality: GateStage | None = None
    familiarity: GateStage | None = None

    @property
    def stages(self) -> dict[str, GateStage]:
        """The stages that looked, by name, in their order."""
        named = {name: getattr(self, name) for name in ("modality", "quality", "familiarity")}
        return {name: stage for name, stage in named.items() if stage is not None}

    @property
    def refusal(self) -> str | None:
        """Why the image is refused; None where it is not."""
        refused = [stage.reason for stage in self.stages.values() if stage.outcome == "refused"]
        return refused[0] if refused else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the stages warn of."""
        warned = [stage.reason for stage in self.stages.values() if stage.outcome == "warned"]
        return tuple(reason for reason in warned if reason)


@dataclass(frozen=True)
class PointDecision:
    """On which side of an operating point the image falls.

    Attributes:
        name: Of the point.
        label: Of interest.
        threshold: Probability from which an image is positive; infinity for never.
        positive: Whether it is.
    """

    name: str
    label: str
    threshold: float
    positive: bool


@dataclass(frozen=True)
class Prediction:
    """The answer for one input.

    Attributes:
        path: As given, spelled so that it can be shown.
        source: The file, or the name of an upload.
        label: The answer; None when there is none.
        decision: `answer`; `set` of several labels; `abstain`; `refused` by the gate; `unreadable`.
        reason: Why there is no answer.
        probabilities: Calibrated, by label, in [0, 1]; empty where the model was not asked.
        milliseconds: From file to answer; inside a batch, its share of it.
        model_id: Which model answered.
        warnings: To be shown with the answer.
        label_set: What cannot be excluded; None where no label sets are made.
        points: On which side of each operating point it falls.
        gate: What the gate found; None where nothing was looked at.
        timings: Milliseconds of each step, by name.
        radiograph: What was read, to draw on; only where saliency was asked for.
        saliency: `[height, width]` in the original geometry, >= 0, of the most probable label.
    """

    path: str
    source: Path
    label: str | None
    decision: Decision
    reason: str | None
    probabilities: dict[str, float]
    milliseconds: float
    model_id: str
    warnings: tuple[str, ...] = ()
    label_set: tuple[str, ...] | None = None
    points: tuple[PointDecision, ...] = ()
    gate: GateVerdict | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    radiograph: Radiograph | None = None
    saliency: FloatArray | None = None

    @property
    def familiarity(self) -> float | None:
        """Share of calibration images that are less familiar, in [0, 1]."""
        return _score(self.gate.familiarity if self.gate else None)

    @property
    def gate_score(self) -> float | None:
        """Probability of being a chest radiograph, in [0, 1]."""
        return _score(self.gate.modality if self.gate else None)

    @property
    def most_probable(self) -> str | None:
        """The label of the highest probability, answered or not."""
        return max(self.probabilities, key=self.probabilities.__getitem__, default=None)

    def row(self, labels: Sequence[str]) -> dict[str, object]:
        """The columns of the contract, the same for every decision."""
        probabilities = {f"probability:{label}": self.probabilities.get(label) for label in labels}
        return {
            "path": self.path, "label": self.label, "decision": self.decision,
            "reason": self.reason, **probabilities,
            "label_set": None if self.label_set is None else ", ".join(self.label_set),
            "familiarity": self.familiarity, "warnings": "; ".join(self.warnings) or None,
            "gate_score": self.gate_score, "milliseconds": round(self.milliseconds, 2),
        }  # fmt: skip

    def to_json(self) -> dict[str, object]:
        """Everything but the pictures, as plain Python that `json.dumps` takes."""
        return {
            "path": self.path, "label": self.label, "decision": self.decision,
            "reason": self.reason, "probabilities": self.probabilities,
            "label_set": None if self.label_set is None else list(self.label_set),
            "operating_points": [_point(point) for point in self.points],
            "gate": {
                name: {"outcome": stage.outcome, "score": stage.score, "reason": stage.reason}
                for name, stage in (self.gate.stages if self.gate else {}).items()
            },
            "familiarity": self.familiarity, "gate_score": self.gate_score,
            "warnings": list(self.warnings), "model_id": self.model_id,
            "milliseconds": round(self.milliseconds, 2),
            "timings": {name: round(value, 2) for name, value in self.timings.items()},
        }  # fmt: skip


def _score(stage: GateStage | None) -> float | None:
    return None if stage is None else stage.score


def _point(point: PointDecision) -> dict[str, object]:
    never = point.threshold == float("inf")
    return {
        "name": point.name, "label": point.label, "positive": point.positive,
        "threshold": None if never else point.threshold,
    }  # fmt: skip
