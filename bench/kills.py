"""Twenty SIGKILLs at random moments: `python bench/kills.py FOLDER`; prints JSON.

A training on phantoms is killed again and again and goes on with --resume; its weights have to be
those of a training that was left alone, to the last bit.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

from pneumoscope.core.files import sha256_file
from pneumoscope.core.recipe import Recipe, dump_recipe, override
from pneumoscope.data.phantoms import write_phantoms

KILLS = 20
CHANGES = {
    "preprocess.size": 64,
    "model.backbone": "resnet10t",
    "model.weights": "none",
    "compute.precision": "float32",
    "phases": [
        {"kind": "probe", "views": 2, "epochs": 20},
        {"kind": "fine_tune", "last": 2, "views": 2, "epochs": 6, "precision": "float32"},
        {"kind": "fine_tune", "last": "all", "epochs": 6, "precision": "float32", "patience": 9},
    ],
    "evaluate.resamples": 100,
    "evaluate.audit.enabled": False,
    "tracking.enabled": False,
}


def command(folder: Path, name: str) -> list[str]:
    """The training, as a user would type it."""
    recipe, output = str(folder / "recipe.yaml"), str(folder / name)
    program = [sys.executable, "-m", "pneumoscope", "train"]
    return [*program, recipe, "--output", output, "--resume", "--json"]


def contents(run: Path) -> list[str]:
    """Hashes of what has to be the same."""
    return [sha256_file(run / name) for name in ("bundle/model.safetensors", "metrics.json")]


def main() -> None:
    """Train once, then kill and go on, and compare."""
    folder = Path(sys.argv[1])
    write_phantoms(folder / "data", patients=200, size=64, seed=0)
    recipe = override(Recipe(), {**CHANGES, "data.path": str(folder / "data")})
    (folder / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf8")
    start = time.perf_counter()
    subprocess.run(command(folder, "whole"), check=True, capture_output=True)
    seconds = time.perf_counter() - start
    moments = random.Random(0)
    killed = runs = 0
    same = True
    while killed < KILLS or not (folder / f"killed{runs}").exists():
        limit = moments.uniform(0.2, 0.9) * seconds if killed < KILLS else None
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command(folder, f"killed{runs}"), stdout=quiet, stderr=quiet) as job:
            try:
                job.wait(limit)
            except subprocess.TimeoutExpired:
                job.kill()
                killed += 1
                continue
        same = same and contents(folder / f"killed{runs}") == contents(folder / "whole")
        runs += 1 if killed < KILLS else 0
    found = {"kills": killed, "runs": runs + 1, "same bits": float(same)}
    print(json.dumps({**found, "seconds of one": seconds}))


if __name__ == "__main__":
    main()
