"""What many comparisons come to: which model leads under a metric, and which it is tied with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pneumoscope.evaluation.comparison import LOWER_IS_BETTER, Comparison, Verdict
from pneumoscope.reporting.words import name_metric


@dataclass(frozen=True)
class Standing:
    """One model against all that it was compared with under a metric.

    Attributes:
        metric: as `metric_units` names it.
        model: the one with the best value, or the reference.
        is_reference: which of the two.
        better_than: models that it is better than, after Holm's correction.
        tied_with: models in a statistical tie with it.
        worse_than: models better than it.
        undecided: models of which no test tells.
        only: the comparison, where there is but one.
    """

    metric: str
    model: str
    is_reference: bool
    better_than: tuple[str, ...]
    tied_with: tuple[str, ...]
    worse_than: tuple[str, ...]
    undecided: tuple[str, ...]
    only: Comparison | None

    def words(self) -> str:
        """A sentence."""
        if self.only is not None:
            return f"{self.only.words()}."
        parts = [
            f"{verb} {_listed(names)}"
            for verb, names in (
                ("is better than", self.better_than),
                ("is worse than", self.worse_than),
                ("is a statistical tie with", self.tied_with),
                ("cannot be told from", self.undecided),
            )
            if names
        ]
        model = f"the reference {self.model}" if self.is_reference else self.model
        if not self.is_reference and self.better_than:
            parts = ["leads", *parts]
        elif not self.is_reference:
            model = f"{model}, with the best value,"
        return f"{name_metric(self.metric)}: {model} {_listed(parts)}."

    def to_json(self) -> dict[str, object]:
        """Plain values, with the words."""
        return {
            "metric": self.metric,
            "model": self.model,
            "is_reference": self.is_reference,
            "better_than": list(self.better_than),
            "tied_with": list(self.tied_with),
            "worse_than": list(self.worse_than),
            "undecided": list(self.undecided),
            "words": self.words(),
        }


def standings(comparisons: Sequence[Comparison], *, reference: str | None = None) -> list[Standing]:
    """A standing per metric, in the order of the comparisons.

    Args:
        comparisons: of all pairs, or of each model with the reference.
        reference: that model.
    """
    metrics = dict.fromkeys(comparison.metric for comparison in comparisons)
    return [
        _standing([one for one in comparisons if one.metric == metric], reference)
        for metric in metrics
    ]


def _standing(comparisons: Sequence[Comparison], reference: str | None) -> Standing:
    metric = comparisons[0].metric
    model = reference or _best(comparisons)
    own = [one for one in comparisons if model in (one.first, one.second)]
    others = {(one.second if one.first == model else one.first): one for one in own}

    def those(verdict: Verdict) -> tuple[str, ...]:
        return tuple(name for name, one in others.items() if one.verdict == verdict)

    return Standing(
        metric=metric,
        model=model,
        is_reference=reference is not None,
        better_than=tuple(name for name, one in others.items() if one.better == model),
        tied_with=those("tie"),
        worse_than=tuple(name for name, one in others.items() if one.better == name),
        undecided=those("undecided"),
        only=comparisons[0] if len(comparisons) == 1 else None,
    )


def _best(comparisons: Sequence[Comparison]) -> str:
    """The model with the best value, the first of equals; the undefined come last."""
    values: dict[str, float] = {}
    for one in comparisons:
        values |= {one.first: one.first_value, one.second: one.second_value}
    lower = comparisons[0].metric.partition(":")[0] in LOWER_IS_BETTER
    worst = math.inf if lower else -math.inf
    known = {name: worst if math.isnan(value) else value for name, value in values.items()}
    return (min if lower else max)(known, key=known.__getitem__)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
