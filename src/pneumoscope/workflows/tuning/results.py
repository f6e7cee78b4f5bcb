"""What a study leaves: `study.json`, `trials.csv`, and the report."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from pneumoscope.core.files import write_text
from pneumoscope.core.provenance import provenance
from pneumoscope.core.recipe import Recipe, dump_recipe
from pneumoscope.core.recipe.space import Range, Space
from pneumoscope.core.tables import save_csv
from pneumoscope.evaluation.resampling import finite
from pneumoscope.reporting.tuning_figures import Axis, Point
from pneumoscope.reporting.tuning_report import FinalRow, TuningPage, write_tuning_page
from pneumoscope.workflows.tuning.accounts import TrialRecord, records
from pneumoscope.workflows.tuning.final import START, WINNER, Final
from pneumoscope.workflows.tuning.storage import shown
from pneumoscope.workflows.tuning.study import OpenStudy, quiet

_SCHEMA = 1


def best_record(opened: OpenStudy) -> TrialRecord | None:
    """The best finished trial; of equals the first, and None where none is finished."""
    done = [r for r in records(opened.trials()) if r.state == "complete" and r.value is not None]
    sign = 1 if opened.plan.direction == "maximize" else -1
    return max(done, key=lambda r: (sign * (r.value or 0.0), -r.number), default=None)


def importances(opened: OpenStudy) -> dict[str, float]:
    """How much of the good trials each field explains, summing to 1; empty where nothing is known.

    PED-ANOVA (Watanabe et al. 2023) on finished trials: with a dozen of them, a hint only.
    """
    from optuna.importance import get_param_importances

    values = {r.value for r in records(opened.trials()) if r.state == "complete"}
    if len(values) < 3:
        return {}
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = get_param_importances(opened.study)
        except (ValueError, RuntimeError, ZeroDivisionError):
            return {}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def write_results(
    opened: OpenStudy,
    folder: Path,
    final: Final | None,
    *,
    data: str,
    seconds: float,
    notices: Sequence[str],
) -> dict[str, Any]:
    """Write `trials.csv`, `tune.html` and `study.json`; the last one's content."""
    found, best = records(opened.trials()), best_record(opened)
    weights = importances(opened)
    save_csv(trials_table(found, list(opened.plan.space.fields)), folder / "trials.csv")
    content = _content(opened, found, best, weights, final, data=data, seconds=seconds)
    page = _page(opened, found, best, weights, final, notices, content["provenance"])
    write_tuning_page(page, folder / "tune.html")
    write_text(folder / "study.json", json.dumps(content, indent=2, allow_nan=False) + "\n")
    return content


def trials_table(found: Sequence[TrialRecord], fields: Sequence[str]) -> pl.DataFrame:
    """A row per trial; points as text, the way a recipe would spell them."""
    rows = [
        {
            "number": r.number, "state": r.state, "value": r.value, "epochs": r.epochs,
            "seconds": r.seconds, "attempts": r.attempts, "reason": r.reason,
            **{name: None if name not in r.params else str(r.params[name]) for name in fields},
        }
        for r in found
    ]  # fmt: skip
    plain = {
        "number": pl.Int64, "state": pl.String, "value": pl.Float64, "epochs": pl.Int64,
        "seconds": pl.Float64, "attempts": pl.Int64, "reason": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema={**plain, **dict.fromkeys(fields, pl.String)})


def _content(
    opened: OpenStudy,
    found: Sequence[TrialRecord],
    best: TrialRecord | None,
    weights: Mapping[str, float],
    final: Final | None,
    *,
    data: str,
    seconds: float,
) -> dict[str, Any]:
    plan = opened.plan
    states = [record.state for record in found]
    return {
        "schema": _SCHEMA,
        "study": plan.study,
        "storage": shown(plan.storage) if "://" in plan.storage else Path(plan.storage).name,
        "metric": plan.metric,
        "direction": plan.direction,
        "sampler": plan.sampler,
        "pruner": plan.pruner,
        "trials": {state: states.count(state) for state in dict.fromkeys(states)},
        "space": plan.space.to_dict(),
        "fingerprints": {"space": plan.space.fingerprint, "data": data},
        "best": best
        and {
            "number": best.number,
            "value": finite(best.value or 0.0),
            "params": dict(best.params),
        },
        "importances": dict(weights),
        "final": final and final.to_json(),
        "seconds": round(seconds, 1),
        "provenance": provenance(),
    }


def _page(
    opened: OpenStudy,
    found: Sequence[TrialRecord],
    best: TrialRecord | None,
    weights: Mapping[str, float],
    final: Final | None,
    notices: Sequence[str],
    origin: Mapping[str, object],
) -> TuningPage:
    plan = opened.plan
    winner = plan.space.apply(plan.recipe, best.params) if best else plan.recipe
    return TuningPage(
        title=plan.study,
        metric=plan.metric,
        higher_is_better=plan.direction == "maximize",
        sampler=plan.sampler,
        pruner=plan.pruner,
        points=[Point(r.number, r.state, r.value, r.params, r.epochs, r.seconds, r.reason)
                for r in found],
        axes=_axes(plan.space),
        best=best.number if best else None,
        importances=weights,
        changes=_changes(plan.space, plan.recipe, winner),
        rows=_rows(final),
        words=final.words if final else "",
        optimism=final.optimism if final else {},
        comparisons=[found.words() for found in final.comparisons] if final else [],
        notices=notices,
        recipe=dump_recipe(winner),
        provenance=origin,
    )  # fmt: skip


def _axes(space: Space) -> list[Axis]:
    return [
        Axis(name, log=field.log, values=None)
        if isinstance(field, Range)
        else Axis(name, log=False, values=tuple(map(str, field.values)))
        for name, field in space.fields.items()
    ]


def _changes(space: Space, start: Recipe, winner: Recipe) -> list[tuple[str, str, str]]:
    """Field, value in the starting recipe, value in the winner."""
    before, after = start.model_dump(mode="json"), winner.model_dump(mode="json")
    return [(name, _spelled(before, name), _spelled(after, name)) for name in space.fields]


def _spelled(content: Any, dotted: str) -> str:
    for name in dotted.split("."):
        content = content[int(name)] if isinstance(content, list) else content[name]
    if isinstance(content, float):
        return f"{content:.4g}"
    return (
        yaml.safe_dump(content, default_flow_style=True, width=1000).removesuffix("...\n").strip()
    )


def _rows(final: Final | None) -> list[FinalRow]:
    if final is None:
        return []
    return [
        FinalRow(who, run.seed, run.validation, run.test)
        for who in ((WINNER,) if final.same else (WINNER, START))
        for run in final.of(who)
    ]
