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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope import train
from pneumoscope.bundle.archive import open_bundle
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.bundle.runtimes import installed_runtimes
from pneumoscope.core.errors import InputError
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


def canvas(predictor: Predictor, image: Path) -> NDArray[np.uint8]:
    """`[size, size]`: what the network is shown of a file; an empty one would take less time."""
    seen = predictor.read(image).seen
    if seen is None:
        raise InputError(f"{image} cannot be read. Name a folder of radiographs.")
    return seen.canvas


def rounded(bundle: Path, place: Path) -> Path:
    """The bundle as one that is computed in bfloat16; its rules are not fitted again."""
    place.mkdir()
    open_bundle(bundle).revised(precision="bfloat16").save(place)
    return place


def one_by_one(bundle: Path, images: list[Path], runtimes: Sequence[str]) -> dict[str, float]:
    """Milliseconds per answer, files one after another, in each of these runtimes."""
    found = {}
    for runtime in runtimes:
        predictor = Predictor.open(bundle, runtime=runtime)
        files = itertools.cycle(images)
        pixels = canvas(predictor, images[0])[None, None]
        found[f"{runtime}, p50"] = median(lambda: predictor.predict(next(files), saliency=True))  # noqa: B023
        found[f"{runtime}, graph alone"] = median(lambda: predictor.infer(pixels))  # noqa: B023
    return found


def copies(images: list[Path], folder: Path) -> Path:
    """A folder of many files."""
    folder.mkdir()
    for number, image in zip(range(BULK), itertools.cycle(images), strict=False):
        shutil.copy(image, folder / f"{number:05}.jpg")
    return folder


def in_bulk(bundle: Path, many: Path, parts: Path) -> dict[str, float]:
    """Images per second of a folder's files, and of the graph alone in the same batches."""
    predictor = Predictor.open(bundle)
    canvases = [canvas(predictor, path) for path in sorted(many.iterdir())[:32]]
    pixels = np.stack(canvases)[:, None]
    limit = 32_000 / median(lambda: predictor.infer(pixels), rounds=20)
    result = predict_in_parts(predictor, [many], parts)
    return {"graph limit": limit, "bulk": result.images / result.seconds}


def first_answer(bundle: Path, image: Path) -> float:
    """Seconds from the start of a process to its first answer, the best of three."""
    command = [sys.executable, "-c", _FIRST_ANSWER, str(bundle), str(image)]
    found = [subprocess.run(command, check=True, capture_output=True) for _ in range(3)]
    return min(float(one.stdout.split()[-1]) for one in found)


def main() -> None:
    """Measure and print."""
    images = sorted(Path(sys.argv[1]).rglob("*.jp*g"))[:400]
    found: dict[str, Any] = {"one": {}, "bulk": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for backbone in BACKBONES:
            bundle = bundle_of(backbone, folder)
            fast = rounded(bundle, folder / f"{backbone}-bfloat16")
            found["one"][backbone] = one_by_one(bundle, images, installed_runtimes())
            found["one"][f"{backbone}, bfloat16"] = one_by_one(fast, images, ("openvino",))
        many = copies(images, folder / "many")
        plain, fast = folder / BACKBONES[0] / "bundle", folder / f"{BACKBONES[0]}-bfloat16"
        for precision, bundle in (("float32", plain), ("bfloat16", fast)):
            found["bulk"][precision] = in_bulk(bundle, many, folder / f"parts-{precision}")
        found["first answer"] = first_answer(plain, images[0])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
