"""From a file to its label and saliency, one at a time and in bulk: `answers.py FOLDER` of JPEGs.

Bundles are made of random weights: time does not depend on them. Prints JSON.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pneumoscope import train
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.bundle.runtimes import installed_runtimes
from pneumoscope.core.recipe import Recipe, override
from pneumoscope.data.phantoms import write_phantoms
from pneumoscope.workflows.bulk.run import predict_in_parts

BACKBONES = ("MobileNetV3Large", "DenseNet121")
BULK = 2000

_FIRST_ANSWER = """
import sys, time
start = time.perf_counter()
from pathlib import Path
from pneumoscope.bundle.predictor import Predictor
Predictor.open(Path(sys.argv[1])).predict(Path(sys.argv[2]), saliency=True)
print(time.perf_counter() - start)
"""


def bundle_of(backbone: str, folder: Path) -> Path:
    """A bundle of this backbone, trained on phantoms for an epoch."""
    data = folder / "phantoms"
    if not data.exists():
        write_phantoms(data, patients=60, seed=0)
    changes = {
        "data.path": str(data), "tracking.enabled": False, "model.backbone": backbone,
        "model.weights": "none", "phases.0.views": 1, "phases.0.epochs": 1,
        "evaluate.audit.enabled": False, "evaluate.resamples": 100,
    }  # fmt: skip
    return train(override(Recipe(), changes), output=folder / backbone).bundle


def median(work: Callable[[], object], rounds: int = 200) -> float:
    """Milliseconds, the median of many rounds after a few to warm up."""
    times = []
    for _ in range(rounds + 10):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times[10:])) * 1000


def one_by_one(bundle: Path, images: list[Path]) -> dict[str, float]:
    """Milliseconds per answer, files one after another, in each runtime."""
    found = {}
    for runtime in installed_runtimes():
        predictor = Predictor.open(bundle, runtime=runtime)
        files = itertools.cycle(images)
        pixels = np.zeros((1, 1, predictor.preprocess.size, predictor.preprocess.size), np.uint8)
        found[f"{runtime}, p50"] = median(lambda: predictor.predict(next(files), saliency=True))  # noqa: B023
        found[f"{runtime}, graph alone"] = median(lambda: predictor.infer(pixels))  # noqa: B023
    return found


def in_bulk(bundle: Path, images: list[Path], folder: Path) -> dict[str, float]:
    """Images per second of files in bulk, and of the graph alone in the same batches."""
    predictor = Predictor.open(bundle)
    many = folder / "many"
    many.mkdir()
    for number, image in zip(range(BULK), itertools.cycle(images), strict=False):
        shutil.copy(image, many / f"{number:05}.jpg")
    pixels = np.zeros((32, 1, predictor.preprocess.size, predictor.preprocess.size), np.uint8)
    limit = 32_000 / median(lambda: predictor.infer(pixels), rounds=20)
    result = predict_in_parts(predictor, [many], folder / "parts")
    return {"graph limit": limit, "bulk": result.images / result.seconds}


def first_answer(bundle: Path, image: Path) -> float:
    """Seconds from the start of a process to its first answer, the best of three."""
    command = [sys.executable, "-c", _FIRST_ANSWER, str(bundle), str(image)]
    found = [subprocess.run(command, check=True, capture_output=True) for _ in range(3)]
    return min(float(one.stdout.split()[-1]) for one in found)


def main() -> None:
    """Measure and print."""
    images = sorted(Path(sys.argv[1]).rglob("*.jp*g"))[:400]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for backbone in BACKBONES:
            bundle = bundle_of(backbone, folder)
            found[backbone] = one_by_one(bundle, images)
        bundle = folder / BACKBONES[0] / "bundle"
        found["bulk"] = in_bulk(bundle, images, folder)
        found["first answer"] = first_answer(bundle, images[0])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
