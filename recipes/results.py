"""Renders `docs/results.md` from the records in `docs/records`: `make results`.

Nothing is computed or run here. What a plan holds and no record knows is said to be missing.
"""

from __future__ import annotations

import argparse
import json
import operator
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pneumoscope.core.files import write_text
from pneumoscope.reporting.markdown import escape_markdown, markdown_code
from pneumoscope.reporting.words import count, images_of_patients
from records import METRICS, RECORDS
from run_plan import HERE, load_plan

PAGE = RECORDS.parent / "results.md"
_HEAD = """# Results

Made by `make results` from the records in `docs/records`, not by hand. A record is what
`python recipes/records.py FOLDER...` keeps of finished runs: numbers, commands, dates and machines.

- These are development figures: on images that were at hand while the program was made.
- Intervals are 95 %, by resampling patients (images, where nobody knows the patients).
- Seconds are of a machine that others used at the same time.
- Where a target was set, `met` says whether the value keeps to it: **no** marks a miss.
- For research use. Not a medical device.
"""
_REPOSITORY = "https://github.com/pneumoscope/pneumoscope/blob/main"
_NAMES = {"auc": "AUC", "accuracy": "accuracy", "macro_f1": "macro F1"}


def render(records: Path, recipes: Path) -> str:
    """The page, of every set-up in `recipes` and every record in `records`."""
    found = {
        path.stem: json.loads(path.read_text(encoding="utf8"))
        for path in sorted(records.glob("*.json"))
    }
    plans = sorted(path.parent for path in recipes.glob("*/plan.yaml"))
    set_ups = [_set_up(folder, found.get(folder.name)) for folder in plans]
    benches = [_bench(name, one) for name, one in found.items() if one["kind"] == "bench"]
    return "\n".join([_HEAD, *set_ups, *benches])


def _set_up(folder: Path, record: Mapping[str, Any] | None) -> str:
    """A set-up: its commands, and what each gave."""
    steps = record["steps"] if record else {}
    plan = [step.name for step in load_plan(folder)]
    page = f"[its page]({_REPOSITORY}/recipes/{folder.name}/README.md)"
    lines = [
        f"## {_title(folder)}",
        "",
        f"`make recipe NAME={folder.name}` runs it; {page} says what it is.",
        "",
        *_origin(steps.values()),
        *_table(
            ("step", "", "date", "seconds", "command"),
            [_step_row(name, steps.get(name)) for name in plan],
        ),
        *_runs(steps),
    ]
    for name in plan:
        result = steps.get(name, {}).get("result")
        if result and result["kind"] in _SECTIONS:
            lines += _SECTIONS[result["kind"]](name, result)
    return "\n".join(lines)


def _title(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf8").splitlines()[0].removeprefix("# ")


def _origin(steps: Iterable[Mapping[str, Any]]) -> list[str]:
    """Where it was run, one line for each machine and version."""
    told: dict[str, None] = {}
    for step in steps:
        machine, versions = step["machine"], step["versions"]
        told[
            f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; "
            f"pneumoscope {versions['pneumoscope']}, torch {versions['torch']}, "
            f"Python {versions['python']}"
        ] = None
    return [*(f"- {escape_markdown(line)}" for line in told), ""] if told else []


def _step_row(name: str, step: Mapping[str, Any] | None) -> list[str]:
    if step is None:
        return [name, "**not run in full**", "", "", ""]
    reason = f": {escape_markdown(step['reason'])}" if step["reason"] else ""
    seconds = "" if step["status"] == "skipped" else f"{step['seconds']:.0f}"
    command = markdown_code(step["command"])
    return [name, f"{step['status']}{reason}", step["created"][:10], seconds, command]


def _runs(steps: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """All trainings of a set-up in one table."""
    found = {
        name: step["result"]
        for name, step in steps.items()
        if step["result"] and step["result"]["kind"] == "run"
    }
    if not found:
        return []
    facts = {
        name: [run["backbone"], run["weights"], run["lungs"], str(run["seed"])]
        for name, run in found.items()
    }
    heading = ("run", "network", "weights", "lungs", "seed", *_NAMES.values())
    rows = [[name, *facts[name], *_metrics(run)] for name, run in found.items()]
    first = next(iter(found.values()))
    return ["### Trainings", "", _tested(first), "", *_table(heading, rows), *_errors(found)]


def _benchmark(name: str, result: Mapping[str, Any]) -> list[str]:
    """A leaderboard; who took no part, and why."""
    ranked = [one for one in result["candidates"] if "metrics" in one]
    others = [one for one in result["candidates"] if "metrics" not in one]
    heading = ("candidate", "group", *_NAMES.values(), "million weights", "training, s")
    rows = [
        [
            escape_markdown(one["candidate"]),
            str(one["group"]),
            *_metrics(one),
            f"{one['parameters'] / 1e6:.2f}" if one["parameters"] else "",
            f"{one['train_seconds']:.0f}" if one["train_seconds"] else "",
        ]
        for one in ranked
    ]
    seeds = ", ".join(map(str, result["seeds"]))
    words = [f"- {escape_markdown(line)}" for line in result["words"]]
    out = [
        f"- {escape_markdown(one['candidate'])} was {one['status']}: "
        f"{escape_markdown(one['reason'])}"
        for one in others
    ]
    told = f"{_tested(result)} Means over seeds {seeds}; those of one group are not told apart."
    errors = _errors({one["candidate"]: one for one in ranked}, f", seed {result['seeds'][0]}")
    return [f"### {name}", "", told, "", *_table(heading, rows), *words, *out, "", *errors]


def _study(name: str, result: Mapping[str, Any]) -> list[str]:
    trials = ", ".join(f"{count} {state}" for state, count in result["trials"].items())
    best = result["best"]
    params = ", ".join(f"{field} = {value}" for field, value in best["params"].items())
    heading = ("final training", "seed", "validation", "test AUC", "test accuracy")
    rows = [
        [run["who"], str(run["seed"]), *map(_short, (run["validation"], *_test_of(run)))]
        for run in result["runs"]
    ]
    reached = f"best {result['metric']} {_short(best['value'])} with {markdown_code(params)}"
    return [
        f"### {name}", "",
        f"Trials: {trials}; {reached}.", "",
        *_table(heading, rows),
        *([escape_markdown(result["words"]), ""] if result["words"] else []),
    ]  # fmt: skip


def _comparison(name: str, result: Mapping[str, Any]) -> list[str]:
    return [f"### {name}", "", *(f"- {escape_markdown(line)}." for line in result["words"]), ""]


def _audit(name: str, result: Mapping[str, Any]) -> list[str]:
    """What the audit found, without what it merely counted."""
    found = Counter((one["severity"], one["title"]) for one in result["issues"])
    rows = [
        [severity, escape_markdown(title), str(times)]
        for (severity, title), times in found.items()
        if severity != "info"
    ]
    data = ", ".join(result["data"])
    told = (
        f"Of {data}: {result['images']:,} images, {result['usable']:,} usable, "
        f"{result['duplicate_pairs']:,} pairs of copies."
    )
    return [f"### {name}", "", told, "", *_table(("severity", "finding", "times"), rows)]


_SECTIONS = {
    "benchmark": _benchmark, "study": _study, "comparison": _comparison, "audit": _audit,
}  # fmt: skip


def _bench(name: str, record: Mapping[str, Any]) -> str:
    machine = record["machine"]
    rows = [
        [
            escape_markdown(one["measure"]),
            _short(one["value"]),
            escape_markdown(one["unit"] or _unit(one["measure"])),
            escape_markdown(one["target"]),
            met(one["value"], one["target"]),
        ]
        for one in record["figures"]
    ]
    place = f"{machine['processor']}, {machine['cores']} cores"
    only = name.removeprefix("bench").removeprefix("-")
    command = f"python bench/run.py --only {only}" if only else "make bench"
    lines = [
        f"## Measurements: {only or 'all'}", "",
        f"`{command}`, {record['created'][:10]}, {place}.", "",
        *_table(("measure", "value", "unit", "wanted", "met"), rows),
    ]  # fmt: skip
    return "\n".join(lines)


_UNITS = {
    r"peak GiB$": "GiB",
    r"^Keras: .* predict one$": "ms",
    r"^Keras: (generator|.* (none|last 30|all|predict rate))$": "images/s",
}
"""Of measures that are recorded without one."""


def _unit(measure: str) -> str:
    return next((unit for pattern, unit in _UNITS.items() if re.search(pattern, measure)), "")


_COMPARED = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "": operator.eq,
}  # fmt: skip
_TARGET = re.compile(r"(?P<sign>[<>]=?|) ?(?P<bound>-?[\d,]+(\.\d+)?)")


def met(value: float, target: str) -> str:
    """`yes` or `**no**`; nothing where no bound is wanted (none, or `~`: about)."""
    found = _TARGET.fullmatch(target)
    if not found:
        return ""
    reached = _COMPARED[found["sign"]](value, float(found["bound"].replace(",", "")))
    return "yes" if reached else "**no**"


def _test_of(run: Mapping[str, Any]) -> tuple[float | None, float | None]:
    return run["test"]["auc"], run["test"]["accuracy"]


def _tested(result: Mapping[str, Any]) -> str:
    images, patients, unknown = (
        result.get(name) for name in ("n_images", "n_patients", "n_unknown_patients")
    )
    told = images_of_patients(images, patients, unknown) if patients else count(images, "image")
    return f"{result['data'].partition('@')[0]}, {result['split']} split: {told}."


def _metrics(one: Mapping[str, Any]) -> list[str]:
    return [_interval(one["metrics"][name]) for name in METRICS]


def _errors(found: Mapping[str, Mapping[str, Any]], which: str = "") -> list[str]:
    """Error per label: the share of its images that another label was given."""
    labels = list(next(iter(found.values()))["sensitivity"]) if found else []
    if len(labels) < 3:
        return []
    rows = [
        [escape_markdown(name), *(_interval(_rest(one["sensitivity"][label])) for label in labels)]
        for name, one in found.items()
    ]
    return [f"Error per label{which}:", "", *_table(("", *map(escape_markdown, labels)), rows)]


def _rest(entry: Mapping[str, float | None]) -> dict[str, float | None]:
    """One minus a rate and its interval."""
    value, low, high = (
        None if entry[name] is None else 1 - (entry[name] or 0.0)
        for name in ("value", "high", "low")
    )
    return {"value": value, "low": low, "high": high}


def _interval(entry: Mapping[str, float | None]) -> str:
    value, low, high = (entry[name] for name in ("value", "low", "high"))
    if value is None:
        return "not defined"
    return (
        f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"
    )


def _short(value: float | None) -> str:
    if value is None:
        return "not defined"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table and an empty line; nothing without rows."""
    if rows:
        yield f"| {' | '.join(heading)} |"
        yield "|" + "---|" * len(heading)
        yield from (f"| {' | '.join(row)} |" for row in rows)
        yield ""


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    write_text(given.page, render(given.records, HERE))
    print(given.page)


if __name__ == "__main__":
    main()
