"""How far recipes carry beyond the images they are chosen on: `transfer.py CHEST_XRAY RECIPE...`.

A test split drawn like the training images says nothing of the next hospital. Each recipe is
trained without two kinds of images, and asked about them:

- `quirk`: of each label the patients whose sharpness speaks for the other label (the least sharp
  normal, the sharpest pneumonia radiographs), a sixth of them. Sharpness alone tells the labels of
  this set at AUC 0.76; whoever learned it is wrong here.
- `adults`: the normal radiographs of the neighbouring folder `radiography`, adults of other
  hospitals, against the given test part's pneumonia; its COVID images against the same.

Prints one line of JSON a recipe: AUC, accuracy at 0.5, sensitivity and specificity.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from pneumoscope.core.progress import Silent
from pneumoscope.core.randomness import unit_hash
from pneumoscope.core.recipe import Recipe, load_recipe, override
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.folds import GROUP
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.training.checkpoints import Checkpoints
from pneumoscope.training.distributed import World
from pneumoscope.training.frozen import Frozen
from pneumoscope.training.trainer import train_classifier
from pneumoscope.workflows.prepare import prepare

LABELS = ("NORMAL", "PNEUMONIA")
HELD, VALIDATION = 0.15, 0.08
"""Shares of the patients of each label that are the quirk, and that choose the epoch."""

Floats = np.ndarray[Any, np.dtype[np.float64]]


def sharpness(pixels: PixelCache, ids: list[str]) -> Floats:
    """`[image]`: logarithm of the mean absolute Laplacian over the contrast."""
    found = []
    for start in range(0, len(ids), 64):
        grey = pixels.pixels(ids[start : start + 64])[:, 0].astype(np.float32)
        inner = grey[:, 1:-1, 1:-1]
        around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
        edges = np.abs(4 * inner - around).mean(axis=(1, 2))
        found.append(np.log(edges / grey.std(axis=(1, 2))))
    return np.concatenate(found).astype(np.float64)


def parted(catalogue: pl.DataFrame, pixels: PixelCache) -> pl.DataFrame:
    """The catalogue with splits `train`, `validation`, `given test` and `quirk`, by patient."""
    live = catalogue.filter(pl.col("excluded").is_null()).with_columns(GROUP.alias("group"))
    sharp = sharpness(pixels, live["image_id"].to_list())
    live = live.with_columns(pl.Series("sharpness", sharp))
    parts: dict[str, str] = {}
    for label, sign in ((LABELS[0], 1), (LABELS[1], -1)):
        free = live.filter(pl.col("label") == label, pl.col("split") != "test")
        groups = free.group_by("group").agg(sign * pl.col("sharpness").mean()).sort("sharpness")
        held = groups["group"].to_list()[: int(HELD * groups.height)]
        parts |= dict.fromkeys(held, "quirk")
    for group in live.filter(pl.col("split") != "test")["group"].unique():
        chosen = unit_hash(0, "transfer", group) < VALIDATION
        parts.setdefault(group, "validation" if chosen else "train")
    given = pl.col("split") == "test"
    split = (
        pl.when(given)
        .then(pl.lit("given test"))
        .otherwise(pl.col("group").replace_strict(parts, default=None))
    )
    return live.with_columns(split.alias("split")).select(catalogue.columns)


def probabilities(network: torch.nn.Module, pixels: PixelCache, ids: list[str]) -> Floats:
    """`[image]`: of pneumonia, not calibrated."""
    found = []
    for start in range(0, len(ids), 64):
        logits = network(torch.from_numpy(pixels.pixels(ids[start : start + 64])))
        found.append(torch.softmax(logits.double(), dim=1)[:, 1].numpy())
    return np.concatenate(found)


def told(normal: Floats, pneumonia: Floats) -> dict[str, float]:
    """AUC, accuracy, specificity, sensitivity of pneumonia against normal."""
    from sklearn.metrics import roc_auc_score

    truth = np.r_[np.zeros(len(normal)), np.ones(len(pneumonia))]
    values = {
        "auc": float(roc_auc_score(truth, np.r_[normal, pneumonia])),
        "specificity": float((normal < 0.5).mean()),
        "sensitivity": float((pneumonia >= 0.5).mean()),
    }
    right = (normal < 0.5).sum() + (pneumonia >= 0.5).sum()
    return {**values, "accuracy": float(right / len(truth))}


def measured(recipe: Recipe, data: Path) -> dict[str, dict[str, float]]:
    """The recipe trained without the quirk, and what it says of each kind of image."""
    preprocess = Preprocess(recipe.preprocess)
    read = prepare(data, preprocess, layout="auto", reporter=Silent())
    catalogue = parted(read.catalogue, read.pixels)
    trained = train_classifier(
        recipe, catalogue, LABELS, read.pixels, checkpoints=Checkpoints(), world=World(),
        reporter=Silent(), on_epoch=lambda _: None,
    )  # fmt: skip
    size = recipe.preprocess.size
    network = Frozen("openvino", "float32", Silent()).ready(trained.classifier, size=size)

    def of(table: pl.DataFrame, pixels: PixelCache, **values: str) -> Floats:
        rows = table.filter(*(pl.col(name) == value for name, value in values.items()))
        return probabilities(network, pixels, rows["image_id"].to_list())

    found = {}
    for split in ("given test", "quirk"):
        parts = (of(catalogue, read.pixels, split=split, label=label) for label in LABELS)
        found[split] = told(*parts)
    others = prepare(data.parent / "radiography", preprocess, layout="auto", reporter=Silent())
    adults = others.catalogue.filter(pl.col("excluded").is_null())
    normal = of(adults, others.pixels, label="Normal")
    pneumonia = of(catalogue, read.pixels, split="given test", label=LABELS[1])
    found["adults"] = told(normal, pneumonia)
    found["COVID, adults"] = told(normal, of(adults, others.pixels, label="COVID"))
    return found


def main() -> None:
    """Train, ask and print."""
    data = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("PNEUMOSCOPE_CACHE", folder)
        for path in sys.argv[2:]:
            recipe = override(load_recipe(Path(path)), {"data.path": str(data)})
            print(json.dumps({"recipe": recipe.name, **measured(recipe, data)}), flush=True)


if __name__ == "__main__":
    main()
