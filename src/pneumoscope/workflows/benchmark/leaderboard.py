"""The leaderboard: figures of every candidate in order, ties, costs, and what kept others out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import relpath
from typing import Any

import polars as pl

from pneumoscope.core.provenance import provenance
from pneumoscope.evaluation.predictions import Predictions, load_predictions, read_table
from pneumoscope.evaluation.ranking import SeedMean, Standing, enough_resamples, rank, ranking_words
from pneumoscope.evaluation.resampling import finite
from pneumoscope.workflows.benchmark.protocol import Candidate, Protocol, Run
from pneumoscope.workflows.benchmark.record import Record
from pneumoscope.workflows.benchmark.serving import Serving

METRICS = ("auc", "accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")
BY = "auc"
_NESTED = ("metrics", "difference", "seconds", "runs")
_GAP = ("value", "low", "high", "p_value", "adjusted_p_value")


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate.

    Attributes:
        candidate: Which.
        runs: Its trainings.
        records: How those that were tried ended, in the same order.
    """

    candidate: Candidate
    runs: tuple[Run, ...]
    records: tuple[Record, ...]

    @property
    def finished(self) -> list[tuple[Run, Record]]:
        """The trainings that gave a model."""
        pairs = zip(self.runs, self.records, strict=False)
        return [(run, record) for run, record in pairs if record.status == "finished"]

    @property
    def status(self) -> str:
        """`finished` if any training was, else `failed` or `skipped`."""
        if self.finished:
            return "finished"
        return "skipped" if self.candidate.skipped else self.records[0].status

    @property
    def reason(self) -> str | None:
        """Why it, or one of its trainings, did not finish."""
        reasons = [record.reason for record in self.records if record.reason]
        return self.candidate.skipped or (reasons[0] if reasons else None)

    def predictions(self) -> list[Predictions]:
        """Of each finished training, on the test split."""
        files = (run.output / "predictions.parquet" for run, _ in self.finished)
        return [read_table(load_predictions(file)) for file in files]


def make_leaderboard(
    protocol: Protocol, outcomes: Sequence[Outcome], serving: Mapping[str, Serving]
) -> dict[str, Any]:
    """The content of `leaderboard.json`; the same records and run folders give the same."""
    ranked = {one.candidate.name: one for one in outcomes if one.finished}
    others = [one for one in outcomes if not one.finished]
    level = protocol.base.evaluate.confidence_level
    found = {name: one.predictions() for name, one in ranked.items()}
    standings = _standings(protocol, found)
    rows = [
        _row(protocol, ranked[standing.name], standing, serving) | {"rank": place}
        for place, standing in enumerate(standings, start=1)
    ]
    rows += [_row(protocol, one, None, serving) for one in others]
    tested = next(iter(found.values()))[0] if found else None
    machine = {key: value for key, value in provenance().items() if key != "created"}
    return {
        "data": protocol.data,
        "labels": list(protocol.labels),
        "split": "test",
        "n_images": tested.n_images if tested else None,
        "n_patients": tested.n_patients if tested else None,
        "n_unknown_patients": tested.n_unknown_patients if tested else None,
        "metric": BY,
        "seeds": list(protocol.seeds),
        "resamples": _resamples(protocol, len(found)),
        "confidence_level": level,
        "words": _words(standings, ranked, serving),
        "groups": _groups(standings),
        "candidates": rows,
        "provenance": machine,
    }


def leaderboard_table(content: Mapping[str, Any]) -> pl.DataFrame:
    """`leaderboard.csv`: a row per candidate, a column per number."""
    rows = []
    for row in content["candidates"]:
        flat = {name: value for name, value in row.items() if name not in _NESTED}
        gap = row["difference"] or {}
        flat |= {f"difference_{name}": gap.get(name) for name in _GAP}
        for metric in METRICS:
            entry = row["metrics"].get(metric, {})
            flat[metric] = entry.get("value")
            flat |= {f"{metric}_{part}": entry.get(part) for part in ("low", "high", "spread")}
        rows.append(flat)
    return pl.DataFrame(rows, infer_schema_length=None)


def _standings(protocol: Protocol, found: Mapping[str, Sequence[Predictions]]) -> list[Standing]:
    if not found:
        return []
    evaluate = protocol.base.evaluate
    return rank(
        found,
        metrics=METRICS,
        by=BY,
        resamples=_resamples(protocol, len(found)),
        confidence_level=evaluate.confidence_level,
        seed=protocol.base.seed,
    )


def _resamples(protocol: Protocol, candidates: int) -> int:
    """Those of the recipe, or more where many comparisons need them."""
    evaluate = protocol.base.evaluate
    level = evaluate.confidence_level
    return max(evaluate.resamples, enough_resamples(candidates, confidence_level=level))


def _row(
    protocol: Protocol,
    outcome: Outcome,
    standing: Standing | None,
    serving: Mapping[str, Serving],
) -> dict[str, Any]:
    candidate, cost = outcome.candidate, serving.get(outcome.candidate.name)
    seconds = [record.seconds for _, record in outcome.finished]
    known = [value for value in seconds if value is not None]
    return {
        "rank": None,
        "candidate": candidate.name,
        "backbone": candidate.backbone,
        "status": outcome.status,
        "reason": outcome.reason,
        "weights": candidate.weights,
        "random_weights": candidate.random,
        "seeds_finished": len(outcome.finished),
        "group": standing.group if standing else None,
        "metrics": {name: _entry(mean) for name, mean in standing.means.items()}
        if standing
        else {},
        "difference": _difference(standing),
        "parameters": cost.parameters if cost else None,
        "bundle_bytes": cost.bundle_bytes if cost else None,
        "p50_ms": cost.p50_ms if cost else None,
        "images_per_second": cost.images_per_second if cost else None,
        "runtime": cost.runtime if cost else None,
        # The longest: what it computed of the frozen backbone, the other seeds found in the cache.
        "train_seconds": max(known, default=None),
        "seconds": seconds,
        "runs": [relpath(run.output, protocol.output) for run, _ in outcome.finished],
    }


def _entry(mean: SeedMean) -> dict[str, Any]:
    interval = mean.interval
    return {
        "value": finite(interval.value),
        "low": finite(interval.low),
        "high": finite(interval.high),
        "spread": finite(mean.spread),
        "values": [finite(value) for value in mean.values],
    }


def _difference(standing: Standing | None) -> dict[str, float | None] | None:
    if standing is None or standing.difference is None:
        return None
    gap = standing.difference
    return {
        "value": finite(gap.interval.value),
        "low": finite(gap.interval.low),
        "high": finite(gap.interval.high),
        "p_value": finite(gap.p_value),
        "adjusted_p_value": finite(standing.adjusted_p_value),
    }


def _groups(standings: Sequence[Standing]) -> list[list[str]]:
    numbers = sorted({standing.group for standing in standings})
    return [[one.name for one in standings if one.group == number] for number in numbers]


def _words(
    standings: Sequence[Standing], ranked: Mapping[str, Outcome], serving: Mapping[str, Serving]
) -> list[str]:
    """Who is best and tied, and who of the best costs least."""
    lines = ranking_words(standings, by=BY, metric_name="AUC")
    best = [one.name for one in standings if one.group == 1 and one.name in serving]
    if len(best) > 1:
        quick = min(best, key=lambda name: serving[name].p50_ms)
        small = min(best, key=lambda name: serving[name].parameters)
        lines.insert(
            1,
            f"Of those tied for the best, {quick} answers quickest "
            f"({serving[quick].p50_ms:.1f} ms an image), and {small} is the smallest "
            f"({serving[small].parameters / 1e6:.2f} million parameters).",
        )
    for name in (one.name for one in standings):
        outcome = ranked[name]
        if len(outcome.finished) < len(outcome.runs):
            lines.append(
                f"{name} finished {len(outcome.finished)} of {len(outcome.runs)} seeds: "
                f"{outcome.reason}"
            )
    return lines
