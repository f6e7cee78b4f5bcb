"""What has shifted between two labelled splits: how frequent the labels are, or how images look.

Where labels alone come in other shares (label shift), images of one label still answer as they did
on the calibration split. What is promised for each label then holds: sensitivity, a threshold's
specificity in two labels, label sets made for each label (Podkopaev and Ramdas 2021). What is
promised over all images, and predictive values, do not. Where the scores of one label differ,
nothing is promised any more. Splits whose scores differ can be either, and only true labels tell.

Scores within each label, labels' shares and the scores of all images are each tested by shuffling
patients (see `shift`), and the p-values are corrected together (Holm 1979): whatever is true, no
more than `level` of evaluations say of anything that it differs where it does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.randomness import derive_seed
from pneumoscope.evaluation.paired import holm
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.shift import ShiftTest, exchangeability_test
from pneumoscope.evaluation.verdict.thresholds import SHIFT_P

Kind: TypeAlias = Literal["none", "label_shift", "within_label", "unexplained", "untold"]
"""What differs: nothing that was found; the labels' shares alone; scores within a label; scores,
but neither of these surely; or scores, and no label has images in both splits to tell by."""


@dataclass(frozen=True)
class Part:
    """One test, its p-value before and after Holm's correction over all tests of `ShiftTests`.

    Attributes:
        test: as it came out.
        adjusted: p-value after correction.
    """

    test: ShiftTest
    adjusted: float

    def to_json(self) -> dict[str, float]:
        """The p-values and the difference."""
        return {
            "p_value": self.test.p_value, "adjusted": self.adjusted,
            "statistic": self.test.statistic,
        }  # fmt: skip


@dataclass(frozen=True)
class ShiftTests:
    """What was tested of two labelled splits.

    Attributes:
        overall: scores of all images.
        mix: shares of the labels; its statistic is the largest difference of a share.
        within: scores of the images of each label that both splits have.
        level: of all tests together.
    """

    overall: Part
    mix: Part
    within: dict[str, Part]
    level: float = SHIFT_P

    @property
    def kind(self) -> Kind:
        """What differs; a difference within a label says more than one of the shares."""
        if any(part.adjusted < self.level for part in self.within.values()):
            return "within_label"
        found = self.mix.adjusted < self.level
        if found and self.within:
            return "label_shift"
        if not found and self.overall.adjusted >= self.level:
            return "none"
        return "unexplained" if self.within else "untold"


def shift_tests(
    calibration: Predictions, predictions: Predictions, *, permutations: int = 999, seed: int = 0
) -> ShiftTests:
    """Tests of what differs between two splits of the same label set.

    Args:
        calibration: of the calibration split.
        predictions: of other images, of other patients.
        permutations: of patients, for each test.
        seed: of the drawing.

    Raises:
        PredictionsError: a split has no images, or a score is not finite.
    """
    one, other = (
        _Split(part.truth, part.logits, part.clusters) for part in (calibration, predictions)
    )
    shares = np.eye(len(calibration.labels))
    counted = [replace(part, scores=shares[part.truth]) for part in (one, other)]
    within = {
        label: (one.of(index), other.of(index))
        for index, label in enumerate(calibration.labels)
        if (one.truth == index).any() and (other.truth == index).any()
    }
    # Whether all images differ is drawn with the seed itself, as before labels were asked.
    seeds = [
        seed,
        derive_seed(seed, "mix"),
        *(derive_seed(seed, "within", name) for name in within),
    ]
    tests = [
        exchangeability_test(
            first.scores, second.scores, calibration_clusters=first.clusters,
            test_clusters=second.clusters, permutations=permutations, seed=own,
        )
        for (first, second), own in zip(
            [(one, other), counted, *within.values()], seeds, strict=True)
    ]  # fmt: skip
    corrected = holm([test.p_value for test in tests])
    overall, mix, *parts = map(Part, tests, corrected)
    return ShiftTests(overall, mix, dict(zip(within, parts, strict=True)))


@dataclass(frozen=True)
class _Split:
    """True labels, `[image, column]` to compare, and patients."""

    truth: NDArray[np.int64]
    scores: NDArray[np.float64]
    clusters: NDArray[np.int64]

    def of(self, index: int) -> _Split:
        """The images of one label."""
        own = self.truth == index
        return _Split(self.truth[own], self.scores[own], self.clusters[own])


def case_mix_section(tests: ShiftTests, *, labels: tuple[str, ...]) -> dict[str, object]:
    """What the tests say, for the section `shift` of an assessment; labels in their order."""
    return {
        "kind": tests.kind,
        "level": tests.level,
        "adjusted": tests.overall.adjusted,
        "least": min(part.adjusted for part in (tests.overall, tests.mix, *tests.within.values())),
        "mix": {
            **tests.mix.to_json(),
            "by_label": dict(zip(labels, tests.mix.test.by_column, strict=True)),
        },
        "within": [{"label": label, **part.to_json()} for label, part in tests.within.items()],
        "untested": [label for label in labels if label not in tests.within],
    }
