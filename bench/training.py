"""Training, timed in a process of its own: `python bench/training.py DATA MEASURE`; prints JSON.

Measures: `probe`, `partial`, `full`, `densenet` (as the Keras recipe's, random weights, 224) and
`quality` (EfficientNet-Lite0: probe, fine-tuning from cached activations, and without them).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import Recipe, override
from pneumoscope.data.split import assign_splits, limit_images
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.training.checkpoints import Checkpoints
from pneumoscope.training.distributed import World
from pneumoscope.training.plan import Epoch
from pneumoscope.training.trainer import train_classifier
from pneumoscope.workflows.prepare import prepare

NOTEBOOK = {
    "model.weights": "none",
    "augment.rotation": 10,
    "augment.zoom": 0.1,
    "tracking.enabled": False,
}
PROBE = {"kind": "probe", "views": 3, "epochs": 10, "patience": 10}
PARTIAL = {"kind": "fine_tune", "last": 2, "views": 3, "epochs": 10, "patience": 10}
FULL = {"kind": "fine_tune", "last": "all", "epochs": 2, "patience": 10}


def timed(data: Path, changes: dict[str, Any]) -> dict[str, float]:
    """Seconds of reading, of everything up to the first epoch, and of each epoch; images."""
    recipe = override(Recipe(), {**NOTEBOOK, **changes, "data.path": str(data)})
    begun = time.perf_counter()
    heard = Silent()
    read = prepare(data, Preprocess(recipe.preprocess), layout="auto", reporter=heard)
    limited = limit_images(read.catalogue, recipe.data.limit, seed=0)
    catalogue = assign_splits(limited, recipe.split, seed=0, reporter=heard)
    ready = time.perf_counter()
    ends: list[float] = []

    def on_epoch(_: Epoch) -> None:
        ends.append(time.perf_counter())

    labels = tuple(sorted(catalogue["label"].unique()))
    train_classifier(
        recipe,
        catalogue,
        labels,
        read.pixels,
        checkpoints=Checkpoints(),
        world=World(),
        reporter=heard,
        on_epoch=on_epoch,
    )
    images = catalogue.filter((catalogue["split"] == "train") & catalogue["excluded"].is_null())
    epochs = [later - earlier for earlier, later in pairwise(ends)]
    return {
        "images": float(images.height),
        "reading": ready - begun,
        "preparing": ends[0] - ready - min(epochs),
        "epoch": min(epochs),
        "whole": ends[-1] - begun,
    }


def quality(data: Path, folder: Path) -> dict[str, Any]:
    """Test AUC of three ways to train one network, and their paired differences."""
    import numpy as np

    from pneumoscope import train
    from pneumoscope.evaluation.predictions import load_predictions, read_table

    ways = {
        "probe": [{"kind": "probe"}],
        "cached": [{"kind": "probe"}, {"kind": "fine_tune", "last": 2, "views": 3}],
        "not cached": [{"kind": "probe"}, {"kind": "fine_tune", "last": 2, "views": 0}],
    }
    found: dict[str, Any] = {}
    tables = {}
    for name, phases in ways.items():
        changes = {
            "data.path": str(data),
            "phases": phases,
            "tracking.enabled": False,
            "evaluate.audit.enabled": False,
        }
        run = train(override(Recipe(), changes), output=folder / name.replace(" ", "-"))
        tables[name] = read_table(load_predictions(run.output / "predictions.parquet"))
        found[name] = run.metrics["auc"]
        found[f"{name} seconds"] = run.seconds
    found["differences"] = {
        other: _difference(tables["cached"], tables[other], np.random.default_rng(0))
        for other in ("not cached", "probe")
    }
    return found


def _difference(one: Any, other: Any, random: Any) -> dict[str, float]:
    """Of the AUC, by resampling patients for both at once."""
    import numpy as np

    from pneumoscope.evaluation.metrics import compute

    assert one.image_ids == other.image_ids
    patients = one.clusters.max() + 1
    counts = random.multinomial(patients, np.full(patients, 1 / patients), size=2000)
    weights = np.concatenate([np.ones((1, len(one.image_ids))), counts[:, one.clusters]])
    gaps = compute(one, weights)["auc"] - compute(other, weights)["auc"]
    low, high = np.nanpercentile(gaps[1:], [2.5, 97.5])
    return {"value": float(gaps[0]), "low": float(low), "high": float(high)}


def main() -> None:
    """Measure and print."""
    data, measure = Path(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PNEUMOSCOPE_CACHE"] = f"{folder}/cache"
        large = {"model.backbone": "MobileNetV3Large"}
        given: dict[str, dict[str, Any]] = {
            "probe": {**large, "phases": [PROBE]},
            "partial": {**large, "phases": [PARTIAL]},
            "full": {**large, "phases": [FULL], "data.limit": 640},
            "densenet": {"model.backbone": "DenseNet121", "phases": [FULL], "data.limit": 320},
        }
        found = quality(data, Path(folder)) if measure == "quality" else timed(data, given[measure])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({**found, "peak GiB": peak}))


if __name__ == "__main__":
    main()
