"""Gathers what runs left behind into small records that `docs/results.md` is made from.

`python recipes/records.py runs/recipes/* bench/output/bench.json` writes JSON to `docs/records/`:
numbers, commands, dates and machines; no picture, no image or patient, no folder of this machine.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pneumoscope.core.errors import InputError, PneumoscopeError
from pneumoscope.core.files import write_text

RECORDS = Path(__file__).parents[1] / "docs" / "records"
METRICS = ("auc", "accuracy", "macro_f1")
_PLACE = re.compile(r"(?<![\w$.)])(/|~/|[A-Za-z]:\\)\w[\w.-]*[/\\]")
"""The start of an absolute path."""
_ADDRESS = re.compile(r"https?://[\w-]+(\.[\w-]+)*\.[a-z]{2,}(/[\w./%-]*)?")
"""Of a page of the web; it is nobody's folder."""


def collect(source: Path, records: Path) -> Path:
    """Write the record of a set-up's output folder, or of a file of measurements; its file.

    Raises:
        InputError: it is neither, it was a quick run, or the record would tell a folder's place.
    """
    if source.is_file():
        name, content = source.stem, _measurements(source)
    elif (source / "plan.json").is_file():
        content = _set_up(source)
        name = content["set_up"]
    else:
        raise InputError(f"{source}: holds no plan.json. Give an output of `make recipe`.")
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    told = _ADDRESS.sub("", text)
    if found := _PLACE.search(told):
        around = told[max(0, found.start() - 60) : found.end() + 20]
        raise InputError(f"{source}: the record would tell where files lie ({around!r}).")
    write_text(records / f"{name}.json", text + "\n")
    return records / f"{name}.json"


def _measurements(file: Path) -> dict[str, Any]:
    content = _read(file)
    if not isinstance(content.get("figures"), list):
        raise InputError(f"{file}: holds no figures. Give what `make bench` wrote.")
    kept = ("figures", "created", "machine", "versions")
    return {"kind": "bench", **{name: content.get(name) for name in kept}}


def _set_up(folder: Path) -> dict[str, Any]:
    plan = _read(folder / "plan.json")
    if plan["quick"]:
        raise InputError(f"{folder}: was run with --quick, which shows no more than that it runs.")
    steps = {}
    for name, step in plan["steps"].items():
        told = {key: value for key, value in step.items() if not key.startswith("output")}
        done = step["status"] == "finished" and step["output"]
        result = _result(folder / step["output"]) if done else None
        reason = _sentence(step["reason"])
        steps[name] = {**told, "reason": reason, "result": result}
    return {"kind": "set_up", "set_up": plan["set_up"], "steps": steps}


def _result(folder: Path) -> dict[str, Any] | None:
    """What a command's folder says, by the file that only this command writes."""
    for file, read in READERS.items():
        if (folder / file).is_file():
            return read(folder)
    return None


def _run(folder: Path) -> dict[str, Any]:
    metrics, recipe = _read(folder / "metrics.json"), _recipe(folder)
    return {
        "kind": "run",
        "backbone": recipe["model"]["backbone"],
        "weights": recipe["model"]["weights"].partition(":")[0],
        "lungs": recipe["preprocess"]["lungs"],
        "seed": recipe["seed"],
        **_measured(metrics),
    }


def _measured(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Of `metrics.json`: how many images, the main metrics, each label's error."""
    facts = ("data", "split", "n_images", "n_patients")
    return {
        **{name: metrics[name] for name in facts},
        **_unknown(metrics),
        "metrics": {name: _interval(metrics[name]) for name in METRICS},
        "sensitivity": {
            label: _interval(metrics[f"sensitivity:{label}"]) for label in metrics["labels"]
        },
    }


def _unknown(content: Mapping[str, Any]) -> dict[str, Any]:
    """How many images nobody knows the patient of; None in folders that did not count them."""
    return {"n_unknown_patients": content.get("n_unknown_patients")}


def _interval(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _rounded(entry[name]) for name in ("value", "low", "high")}


def _benchmark(folder: Path) -> dict[str, Any]:
    board = _read(folder / "leaderboard.json")
    facts = ("data", "split", "n_images", "n_patients", "seeds", "words")
    rows = [_candidate(folder, row) for row in board["candidates"]]
    return {
        "kind": "benchmark",
        **{name: board[name] for name in facts},
        **_unknown(board),
        "candidates": rows,
    }


def _candidate(folder: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("candidate", "status", "random_weights", "group", "train_seconds", "parameters")
    found = {name: row[name] for name in kept} | {"reason": _sentence(row["reason"])}
    if not row["metrics"]:
        return found
    first = _read(folder / row["runs"][0] / "metrics.json")
    return found | {
        "metrics": {name: _interval(row["metrics"][name]) for name in METRICS},
        "sensitivity": _measured(first)["sensitivity"],
    }


def _study(folder: Path) -> dict[str, Any]:
    content = _read(folder / "study.json")
    final = content["final"] or {}
    return {
        "kind": "study",
        **{name: content[name] for name in ("metric", "trials", "best", "sampler", "seconds")},
        "words": final.get("words"),
        "optimism": final.get("optimism"),
        "runs": [
            {name: run[name] for name in ("who", "seed", "validation", "test")}
            for run in final.get("runs", [])
        ],
    }


def _comparison(folder: Path) -> dict[str, Any]:
    comparisons = _read(folder / "comparison.json")["comparisons"]
    return {"kind": "comparison", "words": [one["words"] for one in comparisons]}


def _audit(folder: Path) -> dict[str, Any]:
    content = _read(folder / "audit.json")
    facts = ("data", "images", "usable", "duplicate_pairs", "severities")
    issues = [
        {name: issue[name] for name in ("check", "severity", "title")}
        for issue in content["issues"]
    ]
    return {"kind": "audit", **{name: content[name] for name in facts}, "issues": issues}


READERS = {
    "audit.json": _audit,
    "leaderboard.json": _benchmark,
    "study.json": _study,
    "comparison.json": _comparison,
    "metrics.json": _run,
}


def _sentence(reason: str | None) -> str | None:
    """The first sentence: the remedies that follow name places."""
    return reason and re.split(r"(?<=[.)]) +(?=[A-Z])", reason, maxsplit=1)[0]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf8"))
    return content


def _recipe(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf8"))
    return content


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect what is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path, nargs="+", metavar="FOLDER|FILE")
    parser.add_argument("--records", type=Path, default=RECORDS)
    given = parser.parse_args(arguments)
    try:
        for source in given.sources:
            print(collect(source, given.records))
    except PneumoscopeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
