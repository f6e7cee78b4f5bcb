"""Which candidates are best, which are tied: means over seeds, under the same drawn patients.

A candidate was trained several times, by seeds, and answers the same images each time. Its figure
is the mean over seeds; resampling patients shows how far that mean depends on who was in the test
split. What depends on the seed is the spread, told beside it: intervals and tests are about these
trainings, on other patients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.evaluation.comparison import LOWER_IS_BETTER
from pneumoscope.evaluation.intervals import Interval, bootstrap_intervals
from pneumoscope.evaluation.metrics import compute, metric_units
from pneumoscope.evaluation.no_width import NO_WIDTH
from pneumoscope.evaluation.paired import (
    Difference,
    check_same_images,
    difference_of_draws,
    holm,
)
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.resampling import percentile_bounds, resampled_metrics


@dataclass(frozen=True)
class SeedMean:
    """A metric over the seeds of a candidate.

    Attributes:
        interval: The mean over seeds, and its interval over patients.
        values: Of each seed.
        spread: Standard deviation over seeds; nan where there is one.
    """

    interval: Interval
    values: tuple[float, ...]
    spread: float


@dataclass(frozen=True)
class Standing:
    """Where a candidate stands.

    Attributes:
        name: Of the candidate.
        means: By metric.
        difference: From the best, this one minus the best; None for the best itself.
        adjusted_p_value: Of no difference, after Holm's correction over the candidates; nan for the
            best itself and where no test applies.
        group: 1 for the best and those tied with it, and so on.
    """

    name: str
    means: Mapping[str, SeedMean]
    difference: Difference | None
    adjusted_p_value: float
    group: int


@dataclass(frozen=True)
class _Means:
    """One metric of a candidate: its mean over seeds, `[resample]` of it, and of each seed."""

    value: float
    draws: NDArray[np.float64]
    values: tuple[float, ...]


def rank(
    candidates: Mapping[str, Sequence[Predictions]],
    *,
    metrics: Sequence[str],
    by: str = "auc",
    resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> list[Standing]:
    """The candidates, best first; all are resampled alike.

    Groups: the best and all that no paired test tells from it after Holm's correction; then the
    same among those that remain, and so on. Each comparison is of means over seeds.

    Args:
        candidates: By name, the predictions of each seed, all for the same images and patients.
        metrics: Names as `metric_units` gives them, to be told.
        by: The one to rank by, among `metrics`.
        resamples: Of patients.
        confidence_level: Of the intervals; one minus it is the level of the tests.
        seed: Of the bootstrap, whose draws are those of `bootstrap_intervals`.

    Raises:
        PredictionsError: no candidate, an unknown metric, other images, an option out of range.
    """
    _check(candidates, metrics, by)
    found = _means(candidates, metrics, resamples=resamples, seed=seed)
    order = sorted(candidates, key=lambda name: _merit(by, found[name][by].value), reverse=True)
    groups = _groups(order, found, by, confidence_level)
    best = order[0]
    gaps = {name: _gap(found[name][by], found[best][by], confidence_level) for name in order[1:]}
    adjusted = dict(zip(gaps, holm([gap.p_value for gap in gaps.values()]), strict=True))

    def alone(name: str, metric: str) -> list[Interval]:
        return [
            bootstrap_intervals(
                one, metrics=[metric], resamples=resamples, confidence_level=confidence_level,
                seed=seed,
            )[metric]
            for one in candidates[name]
        ]  # fmt: skip

    return [
        Standing(
            name,
            {
                metric: _seed_mean(
                    found[name][metric],
                    confidence_level,
                    partial(alone, name, metric),
                    drawn=metric != "ece",
                )
                for metric in metrics
            },
            gaps.get(name),
            adjusted.get(name, math.nan),
            groups[name],
        )
        for name in order
    ]


def enough_resamples(candidates: int, *, confidence_level: float) -> int:
    """How many resamples let a difference pass the level of the tests after Holm's correction.

    A bootstrapped p-value is never below 2 / (resamples + 1), and the least is multiplied by the
    number of comparisons: with these it can still come to 0.4 times the level.
    """
    return math.ceil(round(5 * (candidates - 1) / (1 - confidence_level), 6))


def ranking_words(standings: Sequence[Standing], *, by: str, metric_name: str) -> list[str]:
    """Sentences about groups: who is best, who is tied, who comes next.

    Args:
        standings: As `rank` gives them, their names fit to be read.
        by: The metric they are ranked by.
        metric_name: What to call it.
    """
    groups: dict[int, list[Standing]] = {}
    for standing in standings:
        groups.setdefault(standing.group, []).append(standing)
    return [
        _group_words(members, by, metric_name, alone=len(standings) == 1)
        for _, members in sorted(groups.items())
    ]


def _group_words(members: Sequence[Standing], by: str, metric: str, *, alone: bool) -> str:
    lead, names = members[0], [member.name for member in members]
    value = f"{lead.means[by].interval.value:.3f}"
    if alone:
        return f"{lead.name} is alone, with {metric} {value}."
    if lead.group > 1:
        tied = f", tied with {_listed(names[1:])}" if len(names) > 1 else ""
        return f"{lead.name} comes next ({value}){tied}."
    if len(names) == 1:
        return f"{lead.name} is better than every other: {metric} {value}."
    end = "lowest" if by in LOWER_IS_BETTER else "highest"
    opening = f"{_listed(names)} are a statistical tie for the best {metric}"
    return f"{opening}; {lead.name} has the {end} figure, {value}."


def _check(
    candidates: Mapping[str, Sequence[Predictions]], metrics: Sequence[str], by: str
) -> None:
    if not candidates or not all(candidates.values()):
        raise PredictionsError("no candidate to rank. Give the predictions of one or more seeds.")
    every = {
        f"{name} ({n})": one for name, runs in candidates.items() for n, one in enumerate(runs)
    }
    check_same_images(every)
    known = metric_units(next(iter(every.values())).labels)
    for metric in (*metrics, by):
        if metric not in known or by not in metrics:
            message = f"metric '{metric}', ranked by '{by}'; allowed: {', '.join(known)}, and to "
            raise PredictionsError(f"{message}rank by one of those told. Name some of these.")


def _means(
    candidates: Mapping[str, Sequence[Predictions]],
    metrics: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> dict[str, dict[str, _Means]]:
    runs = [(name, one) for name, several in candidates.items() for one in several]
    drawn = resampled_metrics([one for _, one in runs], metrics, resamples=resamples, seed=seed)
    points = [compute(one, np.ones((1, one.n_images))) for _, one in runs]
    found: dict[str, dict[str, _Means]] = {}
    for name in candidates:
        mine = [at for at, (owner, _) in enumerate(runs) if owner == name]
        found[name] = {
            metric: _Means(
                float(np.mean([points[at][metric][0] for at in mine])),
                np.mean([drawn[at][metric] for at in mine], axis=0),
                tuple(float(points[at][metric][0]) for at in mine),
            )
            for metric in metrics
        }
    return found


def _seed_mean(
    means: _Means, level: float, alone: Callable[[], list[Interval]], *, drawn: bool
) -> SeedMean:
    """The mean over seeds; its interval is of the draws, where these say how sure it is.

    Of a calibration error and of what no draw moves they do not: the ends are then the means of
    those that the seeds have alone. An error common to all seeds is no smaller in their mean.
    """
    low, high = (
        float(end)
        for end in percentile_bounds(means.draws, np.array(means.value), confidence_level=level)
    )
    if not drawn or high - low < NO_WIDTH or math.isnan(low):
        own = alone()
        low, high = (
            float(np.mean([one.low for one in own])),
            float(np.mean([one.high for one in own])),
        )
    spread = float(np.std(means.values, ddof=1)) if len(means.values) > 1 else math.nan
    return SeedMean(Interval(means.value, low, high), means.values, spread)


def _gap(one: _Means, other: _Means, level: float) -> Difference:
    return difference_of_draws(
        one.value - other.value, one.draws - other.draws, confidence_level=level
    )


def _groups(
    order: Sequence[str], found: Mapping[str, Mapping[str, _Means]], by: str, level: float
) -> dict[str, int]:
    groups: dict[str, int] = {}
    remaining, number = list(order), 0
    while remaining:
        number += 1
        lead, others = remaining[0], remaining[1:]
        p_values = [_gap(found[name][by], found[lead][by], level).p_value for name in others]
        apart = [p < round(1 - level, 12) for p in holm(p_values)]
        tied = [name for name, differs in zip(others, apart, strict=True) if not differs]
        groups |= dict.fromkeys([lead, *tied], number)
        remaining = [name for name in others if name not in groups]
    return groups


def _merit(metric: str, value: float) -> float:
    if math.isnan(value):
        return -math.inf
    return -value if metric.partition(":")[0] in LOWER_IS_BETTER else value


def _listed(names: Sequence[str]) -> str:
    """Names in a row.

    >>> _listed(["A", "B", "C"])
    'A, B and C'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
