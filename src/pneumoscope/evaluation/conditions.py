"""What a model is worth on the same images changed on purpose, and on none of their anatomy.

The conditions table holds the columns of a predictions table, `condition` (text) and, where lungs
were exchanged, `surroundings`: `label` is then the label of the lungs, `surroundings` that of the
image around them. Corruptions are conditions named `KIND:SEVERITY`.

Every condition is measured beside the unchanged images that it has, under the same draws of
patients. Where those are all images, the unchanged figures are those of `metrics.json`.

Areas are means over labels and, as `auc:<label>`, of each label against the rest: one label that
is wholly recognisable hides in the mean of four. The ends `joint_low` and `joint_high` of a label
hold for all labels at once (Bonferroni), so that the worst of them may be looked for.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.evaluation.intervals import Interval
from pneumoscope.evaluation.metrics import compute
from pneumoscope.evaluation.no_width import NO_WIDTH, Bounds, bounds_without_width
from pneumoscope.evaluation.predictions import Predictions, read_table
from pneumoscope.evaluation.resampling import percentile_bounds, resampled_metrics
from pneumoscope.evaluation.subgroups import select_images
from pneumoscope.evaluation.summary import MetricEntry, metric_entry

CONDITIONS = (
    "lungs_only", "lungs_removed", "lungs_swapped", "lungs_exchanged", "metadata_only",
    "border_only",
)  # fmt: skip
"""Known conditions, in the order of the report; others follow by name."""

_SEVERITY = re.compile(r"(?P<kind>.+):(?P<severity>\d+)")
_MEANS, _AREA = ("auc", "balanced_accuracy"), "auc:"


class LabelEntry(MetricEntry):
    """A label's metric, and the ends that hold for all labels at once; None where not defined."""

    joint_low: float | None
    joint_high: float | None


@dataclass(frozen=True)
class _Changed:
    """One condition: answers to changed images, and to the label around exchanged lungs."""

    name: str
    answers: Predictions
    surroundings: Predictions | None


@dataclass(frozen=True)
class _Figures:
    """Metrics of one set of answers and their resamples, `[resample]`.

    `unmoved` gives a metric's bounds at a confidence level where no resample moves it.
    """

    values: dict[str, float]
    drawn: dict[str, NDArray[np.float64]]
    unmoved: Callable[[str, float], Bounds]

    def interval(self, name: str, level: float) -> Interval:
        value = self.values[name]
        if math.isnan(value):
            return Interval(math.nan, math.nan, math.nan)
        found = percentile_bounds(self.drawn[name], np.array(value), confidence_level=level)
        low, high = (float(end) for end in found)
        return Interval(
            value, *((low, high) if high - low > NO_WIDTH else self.unmoved(name, level))
        )

    def entry(self, name: str, level: float) -> MetricEntry:
        return metric_entry(self.interval(name, level), _unit(name))

    def less(self, other: _Figures) -> _Figures:
        """The differences of both, draw by draw."""

        def unmoved(name: str, level: float) -> Bounds:
            value = self.values[name] - other.values[name]
            own_draws = self.drawn[name][~np.isnan(self.drawn[name])]
            if own_draws.size and np.ptp(own_draws) > NO_WIDTH:
                # Both move, and together: the same answers, which differ by nothing.
                return value, value
            # Both ends at once, so that each may miss half as often.
            own, its = (one.interval(name, (1 + level) / 2) for one in (self, other))
            return own.low - its.high, own.high - its.low

        return _Figures(
            {name: value - other.values[name] for name, value in self.values.items()},
            {name: drawn - other.drawn[name] for name, drawn in self.drawn.items()},
            unmoved,
        )

    def by_label(self, key: str, level: float) -> dict[str, LabelEntry]:
        """`KEY:LABEL` for each label's area."""
        areas = [name for name in self.values if name.startswith(_AREA)]
        defined = sum(not math.isnan(self.values[name]) for name in areas)
        # Of two labels the areas are one and the same, so there is nothing to choose between.
        joint = 1 - (1 - level) / (max(defined, 1) if len(areas) > 2 else 1)
        found: dict[str, LabelEntry] = {}
        for name in areas:
            both = self.entry(name, joint)
            found[f"{key}:{name.removeprefix(_AREA)}"] = {
                **self.entry(name, level),
                "joint_low": both["low"],
                "joint_high": both["high"],
            }
        return found


def summarise_conditions(
    predictions: pl.DataFrame,
    conditions: pl.DataFrame,
    *,
    resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The entries "conditions" and "corruptions" of an assessment; the order of rows is free.

    Patients are those of the predictions. `drop` is the AUC of the unchanged images less that of
    the changed ones, with the interval of the paired bootstrap of patients. `auc`, `full_auc`,
    `drop` and, where lungs were exchanged, `surroundings_auc` are there for each label too.

    Args:
        predictions: of the unchanged images.
        conditions: see above; any images of `predictions`.
        resamples: of patients.
        confidence_level: in (0, 1).
        seed: of the draws, which are those of `bootstrap_intervals`.

    Raises:
        PredictionsError: a table breaks its contract, a condition has an image that was not
            predicted, or another label where nothing was exchanged, or an option is out of range.
    """
    full = read_table(predictions)
    by_images: defaultdict[tuple[str, ...], list[_Changed]] = defaultdict(list)
    for changed in _read(conditions, full):
        by_images[changed.answers.image_ids].append(changed)
    found: dict[str, dict[str, object]] = {}
    for group in by_images.values():
        found |= _entries(full, group, resamples, confidence_level, seed)
    plain = {name: entry for name, entry in found.items() if not _SEVERITY.fullmatch(name)}
    worse = [
        {"kind": parts["kind"], "severity": int(parts["severity"]), **_corruption(entry)}
        for name, entry in found.items()
        if (parts := _SEVERITY.fullmatch(name))
    ]
    worse.sort(key=lambda entry: (str(entry["kind"]), int(str(entry["severity"]))))
    return [{"condition": name, **plain[name]} for name in sorted(plain, key=_place)], worse


def _place(name: str) -> tuple[int, str]:
    return (CONDITIONS.index(name) if name in CONDITIONS else len(CONDITIONS), name)


def _corruption(entry: dict[str, object]) -> dict[str, object]:
    return {name: entry[name] for name in ("n_images", "auc", "balanced_accuracy", "drop")}


def _read(conditions: pl.DataFrame, full: Predictions) -> list[_Changed]:
    if "condition" not in conditions.columns or conditions["condition"].null_count():
        message = "a row of the conditions table has no 'condition'; allowed: text."
        raise PredictionsError(f"{message} Evaluate again.")
    parts = conditions.partition_by("condition", as_dict=True)
    return [_changed(str(name), part, full) for (name,), part in parts.items()]


def _changed(name: str, part: pl.DataFrame, full: Predictions) -> _Changed:
    try:
        answers = read_table(part)
    except PredictionsError as error:
        raise PredictionsError(f"condition '{name}': {error}") from error
    if answers.labels != full.labels:
        labels = f"{', '.join(answers.labels)}; allowed: {', '.join(full.labels)}"
        message = f"condition '{name}' has the labels {labels}, in this order."
        raise PredictionsError(f"{message} Answer it with the same model.")
    rows = _rows(name, answers, full)
    answers = replace(answers, clusters=_numbered(full.clusters[rows]))
    around = None
    if "surroundings" in part.columns and part["surroundings"].null_count() < len(part):
        around = _around(name, part, answers)
    own = answers if around is None else around
    differing = np.flatnonzero(own.truth != full.truth[rows])
    if len(differing):
        place = int(differing[0])
        known, other = full.labels[full.truth[rows][place]], full.labels[own.truth[place]]
        message = f"condition '{name}': image {own.image_ids[place]} is {other}, not {known}"
        raise PredictionsError(f"{message} as in the predictions. Evaluate both on one catalogue.")
    return _Changed(name, answers, around)


def _rows(name: str, answers: Predictions, full: Predictions) -> NDArray[np.int64]:
    places = {image_id: place for place, image_id in enumerate(full.image_ids)}
    for image_id in answers.image_ids:
        if image_id not in places:
            message = f"condition '{name}': image {image_id} was not predicted unchanged"
            raise PredictionsError(f"{message}; allowed: images of the predictions. Predict it.")
    return np.array([places[image_id] for image_id in answers.image_ids], dtype=np.int64)


def _around(name: str, part: pl.DataFrame, answers: Predictions) -> Predictions:
    """The answers, judged by the label around the lungs."""
    labels = part.sort("image_id")["surroundings"].to_list()
    unknown = [label for label in labels if label not in answers.labels]
    if unknown:
        message = f"condition '{name}': surroundings {unknown[0]!r}; allowed: "
        raise PredictionsError(f"{message}{', '.join(answers.labels)}. Evaluate again.")
    truth = np.array([answers.labels.index(label) for label in labels], dtype=np.int64)
    return replace(answers, truth=truth)


def _entries(
    full: Predictions, group: list[_Changed], resamples: int, level: float, seed: int
) -> dict[str, dict[str, object]]:
    """By condition the entry of each; all of them have the same images."""
    chosen = np.isin(np.asarray(full.image_ids), np.asarray(group[0].answers.image_ids))
    whole = select_images(full, chosen)
    around = [changed.surroundings for changed in group if changed.surroundings is not None]
    models = [whole, *(changed.answers for changed in group), *around]
    names = [*_MEANS, *(f"{_AREA}{label}" for label in full.labels)]
    drawn = resampled_metrics(models, names, resamples=resamples, seed=seed)
    figures = [_figures(*pair) for pair in zip(models, drawn, strict=True)]
    unchanged, others = figures[0], iter(figures[len(group) + 1 :])
    found: dict[str, dict[str, object]] = {}
    for changed, figure in zip(group, figures[1:], strict=False):
        areas = {"auc": figure, "full_auc": unchanged, "drop": unchanged.less(figure)}
        if changed.surroundings is not None:
            areas["surroundings_auc"] = next(others)
        found[changed.name] = {
            "n_images": whole.n_images,
            "n_patients": whole.n_patients,
            "n_unknown_patients": whole.n_unknown_patients,
            "balanced_accuracy": figure.entry("balanced_accuracy", level),
            "surroundings_auc": None,
            **{key: one.entry("auc", level) for key, one in areas.items()},
            **dict(pair for key, one in areas.items() for pair in one.by_label(key, level).items()),
        }
    return found


def _figures(model: Predictions, drawn: dict[str, NDArray[np.float64]]) -> _Figures:
    points = compute(model, np.ones((1, model.n_images)))
    values = {name: float(points[name][0]) for name in drawn}
    alone = model.n_patients < 2

    def unmoved(name: str, level: float) -> Bounds:
        if alone:
            return math.nan, math.nan
        return bounds_without_width(name, values, model, confidence_level=level)

    return _Figures(
        values=values,
        drawn={name: np.full_like(own, np.nan) if alone else own for name, own in drawn.items()},
        unmoved=unmoved,
    )


def _unit(name: str) -> str:
    return "fraction" if name == "balanced_accuracy" else "area"


def _numbered(clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(clusters, return_inverse=True)[1].astype(np.int64)
