"""What was fixed before the test split was opened: how logits become answers, and how sure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pneumoscope.core.errors import BundleError
from pneumoscope.core.recipe import EvaluateRecipe
from pneumoscope.evaluation.calibrator import Calibrator, temperature_calibrator
from pneumoscope.evaluation.conformal import Conformal
from pneumoscope.evaluation.operating_point import OperatingPoint
from pneumoscope.evaluation.resampling import finite, number
from pneumoscope.evaluation.selective_threshold import SelectiveThreshold


@dataclass(frozen=True, kw_only=True)
class Rules:
    """All that an assessment needs besides its tables.

    Attributes:
        calibrator: turns logits into probabilities.
        calibrator_reason: why this one, in words.
        operating_points: as chosen on the calibration split.
        conformal: makes label sets; None leaves them out.
        selective: the abstention threshold; None leaves it out.
        label_of_interest: None: every label that has an operating point.
        prevalence: of the label of interest, or of each label of an operating point by itself,
            where the model will be used; None: not given.
        groups: columns of the predictions table whose values are measured apart.
        age_edges: first year of every age band but the lowest.
        resamples: of patients, for intervals.
        confidence_level: of the intervals.
        permutations: of the test for a shift.
        seed: of everything drawn.
    """

    calibrator: Calibrator = field(default_factory=lambda: temperature_calibrator(1.0))
    calibrator_reason: str = "not recorded"
    operating_points: tuple[OperatingPoint, ...] = ()
    conformal: Conformal | None = None
    selective: SelectiveThreshold | None = None
    label_of_interest: str | None = None
    prevalence: float | None = None
    groups: tuple[str, ...] = ()
    age_edges: tuple[int, ...] = (18, 40, 65, 80)
    resamples: int = 2000
    confidence_level: float = 0.95
    permutations: int = 999
    seed: int = 0

    def prevalence_of(self, label: str) -> float | None:
        """The prevalence that was given for the label; None where none was, or for another one."""
        return self.prevalence if self.label_of_interest in {None, label} else None

    def to_json(self) -> dict[str, object]:
        """Plain Python that `json.dumps` takes and `from_json` reads back without a change."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            **plain,
            "calibrator": self.calibrator.to_json(),
            "operating_points": [point.to_json() for point in self.operating_points],
            "conformal": self.conformal.to_json() if self.conformal else None,
            "selective": selective_json(self.selective),
            "groups": list(self.groups),
            "age_edges": list(self.age_edges),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Rules:
        """The rules that `to_json` wrote.

        Raises:
            BundleError: something is missing, unknown or out of range.
        """
        names = {one.name for one in fields(cls)}
        if set(content) != names:
            raise BundleError(
                f"rules with {sorted(map(str, content))}; allowed: {', '.join(sorted(names))}. "
                "Evaluate again."
            )
        conformal = content["conformal"]
        points = [OperatingPoint.from_json(point) for point in content["operating_points"]]
        return cls(**{
            **content,
            "calibrator": Calibrator.from_json(content["calibrator"]),
            "operating_points": tuple(points),
            "conformal": None if conformal is None else Conformal.from_json(conformal),
            "selective": selective_from_json(content["selective"]),
            "groups": tuple(content["groups"]),
            "age_edges": tuple(content["age_edges"]),
        })  # fmt: skip


def asked(recipe: EvaluateRecipe, *, seed: int) -> dict[str, Any]:
    """The fields of `Rules` that a recipe says outright, whatever the calibration split holds."""
    names = (
        "label_of_interest", "prevalence", "groups", "age_edges", "resamples", "confidence_level",
        "permutations",
    )  # fmt: skip
    return {name: getattr(recipe, name) for name in names} | {"seed": seed}


def selective_json(threshold: SelectiveThreshold | None) -> dict[str, object] | None:
    """The threshold as plain Python, None where a number is not finite."""
    if threshold is None:
        return None
    return {
        name: finite(value) if isinstance(value, float) else value
        for name, value in asdict(threshold).items()
    }


def selective_from_json(content: Mapping[str, Any] | None) -> SelectiveThreshold | None:
    """The threshold that `selective_json` wrote.

    Raises:
        BundleError: something is missing or unknown.
    """
    if content is None:
        return None
    names = [one.name for one in fields(SelectiveThreshold)]
    if set(content) != set(names):
        raise BundleError(
            f"abstention threshold with {sorted(map(str, content))}; allowed: {', '.join(names)}. "
            "Export the bundle again."
        )
    try:
        numbers = {name: number(content[name]) for name in names}
        return SelectiveThreshold(**{**numbers, "n_images": int(numbers["n_images"])})  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise BundleError(
            f"abstention threshold: {error}; allowed: numbers. Export the bundle again."
        ) from error
