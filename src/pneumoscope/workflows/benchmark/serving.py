"""What it costs to be answered by each candidate: size, time for one image, images per second.

All are measured after each other in one process and in two rounds, so that a machine that is busy
for a while is so for all.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pneumoscope.bundle.archive import open_bundle
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.files import write_text
from pneumoscope.core.progress import Reporter
from pneumoscope.core.types import PixelBatch
from pneumoscope.imaging.radiograph import read_radiograph

_ROUNDS, _IMAGES, _WARM, _BATCH, _BATCHES = 2, 20, 3, 16, 3
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Serving:
    """What a bundle costs.

    Attributes:
        model_id: Of the bundle.
        parameters: Weights and biases of backbone and head.
        bundle_bytes: Of all its files.
        p50_ms: Median milliseconds from a file to its answer, one at a time, warm.
        images_per_second: Answered in batches of canvases.
        runtime: What ran it.
    """

    model_id: str
    parameters: int
    bundle_bytes: int
    p50_ms: float
    images_per_second: float
    runtime: str


def serving_of(
    bundles: Mapping[str, Path], images: Sequence[Path], *, memory: Path, reporter: Reporter
) -> dict[str, Serving]:
    """What each bundle costs: as measured for these bundles before, or measured now.

    Args:
        bundles: By candidate.
        images: Files to answer; the first twenty are taken.
        memory: The file that keeps what was measured; it counts only where all were measured
            together.
        reporter: Shown how far it is.
    """
    known = _load(memory)
    wanted = {name: open_bundle(path).model_id for name, path in bundles.items()}
    if {name: found.model_id for name, found in known.items()} == wanted:
        return known
    times: dict[str, list[float]] = {name: [] for name in bundles}
    rates: dict[str, list[float]] = {name: [] for name in bundles}
    measured: dict[str, Serving] = {}
    work = [name for _ in range(_ROUNDS) for name in bundles]
    for name in reporter.track(work, "Measuring answers", len(work)):
        predictor = Predictor.open(bundles[name])
        times[name] += _milliseconds(predictor, images[:_IMAGES])
        rates[name].append(_images_per_second(predictor, images[:_BATCH]))
        measured[name] = Serving(
            predictor.model_id,
            _parameters(bundles[name]),
            sum(file.stat().st_size for file in bundles[name].rglob("*") if file.is_file()),
            round(statistics.median(times[name]), 3),
            round(max(rates[name]), 2),
            predictor.runtime,
        )
    content = {name: asdict(found) for name, found in measured.items()}
    write_text(memory, json.dumps(content, indent=2) + "\n")
    return measured


def _milliseconds(predictor: Predictor, images: Sequence[Path]) -> list[float]:
    for path in images[:_WARM]:
        predictor.predict(path)
    taken = []
    for path in images:
        start = time.perf_counter()
        predictor.predict(path)
        taken.append((time.perf_counter() - start) * 1000)
    return taken


def _images_per_second(predictor: Predictor, images: Sequence[Path]) -> float:
    canvases = [predictor.preprocess.apply(read_radiograph(path))[0] for path in images]
    batch: PixelBatch = np.stack(canvases)[:, None]
    predictor.infer(batch)
    taken = []
    for _ in range(_BATCHES):
        start = time.perf_counter()
        predictor.infer(batch)
        taken.append(time.perf_counter() - start)
    return len(batch) / min(taken)


def _parameters(bundle: Path) -> int:
    """Numbers in the weight file that were, or could have been, learned."""
    from safetensors import safe_open

    with safe_open(bundle / "model.safetensors", framework="numpy") as file:
        return sum(
            int(np.prod(file.get_slice(name).get_shape()))
            for name in file.keys()  # noqa: SIM118 - it is no mapping
            if not name.endswith(_STATISTICS)
        )


def _load(memory: Path) -> dict[str, Serving]:
    try:
        content = json.loads(memory.read_text(encoding="utf8"))
        return {name: Serving(**found) for name, found in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
