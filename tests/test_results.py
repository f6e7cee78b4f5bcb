"""What runs left behind becomes small records, and records become `docs/results.md`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pneumoscope.core.errors import InputError
from pneumoscope.core.provenance import provenance
from pneumoscope.workflows.results import TrainResult
from records import RECORDS, collect
from results import PAGE, met, render
from run_plan import HERE


def put(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def step(output: str | None, status: str = "finished", reason: str | None = None) -> dict[str, Any]:
    told = {"command": "pneumoscope x", "status": status, "reason": reason, "seconds": 61.2}
    return {**told, "attempts": 1, "output": output, **provenance()}


@pytest.fixture
def runs(trained: TrainResult, tmp_path: Path) -> Path:
    """The outputs of a plan whose steps are of every kind."""
    folder = tmp_path / "runs"
    metrics = json.loads((trained.output / "metrics.json").read_text())
    put(folder / "board" / "runs" / "a" / "metrics.json", metrics)
    (folder / "one").symlink_to(trained.output)
    rate = {"value": 0.91234567, "low": 0.9, "high": 0.92, "spread": 0.01}
    row = {
        "candidate": "a_b", "status": "finished", "reason": None, "random_weights": False,
        "group": 1, "train_seconds": 12.0, "parameters": 2_000_000, "runs": ["runs/a"],
        "metrics": dict.fromkeys(("auc", "accuracy", "macro_f1"), rate),
    }  # fmt: skip
    skipped = row | {"candidate": "VGG16", "status": "skipped", "metrics": {}, "runs": []}
    reason = "no weights are at hand (no hub). Put them at /root/.cache/x/y, or none."
    skipped["reason"] = reason
    facts = {"data": "phantoms@1", "split": "test", "n_images": 9, "n_patients": None}
    board = {**facts, "seeds": [0, 1], "words": ["a leads."], "candidates": [row, skipped]}
    put(folder / "board" / "leaderboard.json", board)
    study = {"metric": "validation_auc", "trials": {"complete": 2}, "sampler": "tpe", "seconds": 3}
    best = {"number": 1, "value": 0.97, "params": {"seed": 1}}
    put(folder / "study" / "study.json", {**study, "best": best, "final": None})
    put(folder / "compared" / "comparison.json", {"comparisons": [{"words": "a and b are a tie"}]})
    issue = {"check": "c", "severity": "error", "title": "Copies", "paths": ["person7_1.jpeg"]}
    audit = {"data": ["phantoms"], "images": 9, "usable": 8, "duplicate_pairs": 2}
    put(folder / "audit" / "audit.json", {**audit, "severities": {}, "issues": [issue, issue]})
    names = {"train": "one", "fifteen": "board", "tune": "study", "pair": "compared"}
    steps = {name: step(output) for name, output in {**names, "audit": "audit"}.items()}
    steps["other"] = step(None, "skipped", reason)
    put(folder / "plan.json", {"set_up": "drawn", "quick": False, "steps": steps})
    return folder


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """A recipes folder with the plan of those runs, and one step more."""
    folder = tmp_path / "recipes" / "drawn"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("# Drawn chests\n")
    names = ("audit", "train", "fifteen", "tune", "pair", "other", "never")
    (folder / "plan.yaml").write_text("".join(f"{name}: {{run: train x}}\n" for name in names))
    return folder.parent


def test_records_become_the_page(runs: Path, recipes: Path, tmp_path: Path) -> None:
    file = collect(runs, tmp_path / "records")
    assert file.name == "drawn.json"
    for secret in ("person7", "/root", str(tmp_path)):
        assert secret not in file.read_text()
    page = render(tmp_path / "records", recipes)
    result = json.loads((runs / "one" / "metrics.json").read_text())["auc"]
    shown = f"{result['value']:.3f} ({result['low']:.3f} to {result['high']:.3f})"
    assert f"| train | tf_efficientnet_lite0 | imagenet | off | 0 | {shown} |" in page
    assert "whose patients are not known" not in page
    content = json.loads(file.read_text())
    tested = content["steps"]["train"]["result"]
    assert tested["n_unknown_patients"] == 0
    tested["n_unknown_patients"] = tested["n_images"]
    put(tmp_path / "nobody" / file.name, content)
    assert "images whose patients are not known." in render(tmp_path / "nobody", recipes)
    assert "| a_b | 1 | 0.912 (0.900 to 0.920) |" in page
    assert "- VGG16 was skipped: no weights are at hand (no hub)." in page
    assert "best validation_auc 0.97 with `seed = 1`" in page
    assert "- a and b are a tie." in page
    assert "| error | Copies | 2 |" in page
    assert "| never | **not run in full** |" in page
    assert "| 61 | `pneumoscope x` |" in page
    assert "## Drawn chests" in page


def test_measurements_are_kept_too(recipes: Path, tmp_path: Path) -> None:
    figure = {"measure": "train", "value": 12.3456, "unit": "s", "target": "< 20"}
    missed = {"measure": "own: peak GiB", "value": 3, "unit": "", "target": "<= 2.5"}
    put(tmp_path / "bench.json", {"figures": [figure, missed], **provenance()})
    put(tmp_path / "bench-start_up.json", {"figures": [figure], **provenance()})
    for name in ("bench", "bench-start_up"):
        collect(tmp_path / f"{name}.json", tmp_path / "records")
    page = render(tmp_path / "records", recipes)
    assert "| train | 12.35 | s | &lt; 20 | yes |" in page
    assert "| own: peak GiB | 3 | GiB | &lt;= 2.5 | **no** |" in page
    assert page.count("`make bench`, ") == page.count("`python bench/run.py --only start_up`") == 1
    assert [met(0.5, target) for target in ("> -0.003", "0", "~ 4,000", "")] == [
        "yes",
        "**no**",
        "",
        "",
    ]


def test_what_must_not_be_told_is_refused(runs: Path, tmp_path: Path) -> None:
    plan = json.loads((runs / "plan.json").read_text())
    put(runs / "plan.json", plan | {"quick": True})
    with pytest.raises(InputError, match="run with --quick"):
        collect(runs, tmp_path / "records")
    plan["steps"]["other"]["command"] = "pneumoscope train /home/me/data"
    put(runs / "plan.json", plan)
    with pytest.raises(InputError, match="would tell where files lie"):
        collect(runs, tmp_path / "records")
    with pytest.raises(InputError, match=r"holds no plan\.json"):
        collect(tmp_path, tmp_path / "records")
    put(tmp_path / "other.json", {"content": 1})
    with pytest.raises(InputError, match="holds no figures"):
        collect(tmp_path / "other.json", tmp_path / "records")
    assert not (tmp_path / "records").exists()


def test_the_committed_page_is_what_the_records_say() -> None:
    assert PAGE.read_text() == render(RECORDS, HERE), "run `make results`"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("weights are published at https://github.com/someone/some-models/releases, no hub", True),
        ("see /home/someone/runs/x", False),
        ("http://127.0.0.1/home/runs", False),
        ("file:///home/x/y", False),
    ],
)
def test_the_address_of_a_page_is_no_folder_of_this_machine(
    reason: str, told: bool, runs: Path, tmp_path: Path
) -> None:
    plan = json.loads((runs / "plan.json").read_text())
    plan["steps"]["other"]["command"] = f"pneumoscope train DATA # {reason}"
    put(runs / "plan.json", plan)
    if told:
        assert "some-models" in collect(runs, tmp_path / "records").read_text()
        return
    with pytest.raises(InputError, match="would tell where files lie"):
        collect(runs, tmp_path / "records")
