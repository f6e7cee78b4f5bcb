"""How far recipes carry beyond the images they are chosen on: `transfer.py CHEST_XRAY [NAME...]`.

A test split drawn like the training images says nothing of the next hospital. Each candidate of
`transfer.yaml` is trained without two kinds of images, with each seed, and asked about them:

- `quirk`: of each label the patients whose sharpness speaks for the other label (the least sharp
  normal, the sharpest pneumonia radiographs), a sixth of them. Sharpness alone tells the labels of
  this set at AUC 0.76; whoever learned it is wrong here.
- `adults`: the normal radiographs of the neighbouring folder `radiography`, adults of other
  hospitals, against the given test part's pneumonia; its COVID images against the same normals.

What each answered is kept in `bench/output/transfer`, so that a run that was stopped goes on. The
last line printed is JSON: by question and candidate the AUC, a mean over seeds, with its interval.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
import yaml

from pneumoscope.core.files import replacing, sha256
from pneumoscope.core.progress import Silent
from pneumoscope.core.randomness import unit_hash
from pneumoscope.core.recipe import Recipe, load_recipe, override
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.folds import GROUP
from pneumoscope.evaluation.delong import delong
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.training.checkpoints import Checkpoints
from pneumoscope.training.distributed import World
from pneumoscope.training.frozen import Frozen
from pneumoscope.training.trainer import train_classifier
from pneumoscope.workflows.prepare import Prepared, prepare
from pneumoscope.workflows.segmenting import segment

HERE = Path(__file__).parent
KEPT = HERE / "output" / "transfer"
LABELS = ("NORMAL", "PNEUMONIA")
HELD, VALIDATION = 0.15, 0.08
"""Shares of the patients of each label that are the quirk, and that choose the epoch."""
QUESTIONS = {
    "given test": ("given test NORMAL", "given test PNEUMONIA"),
    "quirk": ("quirk NORMAL", "quirk PNEUMONIA"),
    "adults": ("adults Normal", "given test PNEUMONIA"),
    "COVID, adults": ("adults Normal", "adults COVID"),
}
"""By name, which images are told apart: those that are nothing, those that are something."""

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Candidate:
    """What is trained, once a seed."""

    name: str
    recipe: Recipe
    seeds: tuple[int, ...]

    @classmethod
    def listed(cls) -> Iterator[Candidate]:
        """Those of `transfer.yaml`, in order."""
        for name, one in yaml.safe_load((HERE / "transfer.yaml").read_text("utf8")).items():
            recipe = load_recipe(HERE.parent / "recipes" / one["recipe"])
            changed = override(recipe, one.get("changes", {}))
            yield cls(name, changed, tuple(one.get("seeds", (0, 1))))

    def answers(self, seed: int) -> Path:
        """Where its answers are kept: another recipe, another file."""
        content = self.recipe.model_dump_json() + (HERE / "transfer.py").read_text("utf8")
        return KEPT / f"{sha256(content.encode())[:12]}-{seed}.parquet"


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
        groups = free.group_by("group").agg(pl.col("sharpness").mean() * sign).sort("sharpness")
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


def logits(network: torch.nn.Module, pixels: PixelCache, ids: list[str]) -> Floats:
    """`[image]`: of pneumonia less those of normal, not calibrated."""
    found = []
    for start in range(0, len(ids), 64):
        told = network(torch.from_numpy(pixels.pixels(ids[start : start + 64]))).double()
        found.append((told[:, 1] - told[:, 0]).numpy())
    return np.concatenate(found)


def read(data: Path, recipe: Recipe) -> Prepared:
    """The folder's images as the recipe wants them, with lung masks where it makes use of lungs."""
    masks = None
    if recipe.preprocess.lungs != "off":
        masks = KEPT / f"{data.name}-masks"
        if not masks.is_dir():
            segment(data, masks, reporter=Silent())
    return prepare(
        data, Preprocess(recipe.preprocess), layout="auto",
        masks=None if masks is None else str(masks), reporter=Silent(),
    )  # fmt: skip


def answered(recipe: Recipe, data: Path) -> pl.DataFrame:
    """The recipe trained without the quirk: `part`, `group`, `logit` of every image asked about."""
    own = read(data, recipe)
    catalogue = parted(own.catalogue, own.pixels)
    trained = train_classifier(
        recipe, catalogue, LABELS, own.pixels, checkpoints=Checkpoints(), world=World(),
        reporter=Silent(), on_epoch=lambda _: None,
    )  # fmt: skip
    size = recipe.preprocess.size
    network = Frozen("openvino", "float32", Silent()).ready(trained.classifier, size=size)
    others = read(data.parent / "radiography", recipe)
    adults = others.catalogue.filter(pl.col("label").is_in(["Normal", "COVID"]))
    asked = (
        (own.pixels, catalogue.filter(pl.col("split").is_in(["given test", "quirk"]))),
        (others.pixels, adults.with_columns(split=pl.lit("adults"))),
    )
    tables = []
    for pixels, table in asked:
        rows = table.filter(pl.col("excluded").is_null()).select(
            "image_id", GROUP.alias("group"), part=pl.col("split") + " " + pl.col("label")
        )
        told = logits(network, pixels, rows["image_id"].to_list())
        tables.append(rows.with_columns(logit=pl.Series(told)))
    return pl.concat(tables)


def ask(candidate: Candidate, seed: int, data: Path) -> pl.DataFrame:
    """What it answered: read, where that is kept."""
    path = candidate.answers(seed)
    if not path.exists():
        recipe = override(candidate.recipe, {"data.path": str(data), "seed": seed})
        KEPT.mkdir(parents=True, exist_ok=True)
        with replacing(path) as staged:
            answered(recipe, data).write_parquet(staged)
    return pl.read_parquet(path)


def told(tables: list[pl.DataFrame], parts: tuple[str, str]) -> dict[str, float]:
    """Means over the tables, one a seed: AUC with DeLong's interval over patients, and the rates.

    Another seed is another network: their spread, `apart`, is told beside the interval, which is of
    the patients alone.
    """
    chosen = [table.filter(pl.col("part").is_in(parts)).sort("image_id") for table in tables]
    truth = (chosen[0]["part"] == parts[1]).to_numpy()
    groups = np.unique(chosen[0]["group"].to_numpy(), return_inverse=True)[1]
    scores = np.stack([table["logit"].to_numpy() for table in chosen])
    areas = delong(scores, truth, groups)
    value, error = float(areas.values.mean()), float(np.sqrt(areas.covariance.mean()))
    return {
        "auc": value, "low": value - 1.96 * error, "high": min(1.0, value + 1.96 * error),
        "apart": float(np.ptp(areas.values)),
        "auc of the mean": float(delong(scores.mean(axis=0)[None], truth, groups).values[0]),
        "specificity": float((scores[:, ~truth] < 0).mean()),
        "sensitivity": float((scores[:, truth] >= 0).mean()),
    }  # fmt: skip


def main() -> None:
    """Train, ask and print."""
    data, names = Path(sys.argv[1]), sys.argv[2:]
    found: dict[str, dict[str, dict[str, float]]] = {question: {} for question in QUESTIONS}
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("PNEUMOSCOPE_CACHE", folder)
        for candidate in Candidate.listed():
            if names and candidate.name not in names:
                continue
            tables = [ask(candidate, seed, data) for seed in candidate.seeds]
            for question, parts in QUESTIONS.items():
                found[question][candidate.name] = told(tables, parts)
                print(candidate.name, question, found[question][candidate.name], file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
