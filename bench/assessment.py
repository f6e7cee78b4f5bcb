"""An evaluation with everything on, timed: `python bench/assessment.py DATA`; prints JSON.

What the networks' own passes take (classifier, segmenter, the copies with random weights) is
measured apart: the rest is the price of the assessment.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pneumoscope import evaluate, recompute, train
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.recipe import Recipe, override
from pneumoscope.models.lungs import LungSegmenter


def main() -> None:
    """Measure and print."""
    data = Path(sys.argv[1])
    spent = {"classifier": 0.0, "segmenter": 0.0}

    def clocked(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return act(*given, **named)
            finally:
                spent[name] += time.perf_counter() - start

        return timed

    with tempfile.TemporaryDirectory() as folder:
        os.environ["PNEUMOSCOPE_CACHE"] = f"{folder}/cache"
        changes = {
            "data.path": str(data),
            "phases.0.views": 1,
            "tracking.enabled": False,
            "evaluate.audit.enabled": False,
        }
        run = train(override(Recipe(), changes), output=Path(folder) / "run")
        Predictor.infer = clocked("classifier", Predictor.infer)  # type: ignore[method-assign]
        LungSegmenter.segment = clocked("segmenter", LungSegmenter.segment)  # type: ignore[method-assign]
        start = time.perf_counter()
        found = evaluate(run.bundle, data, split="train", output=Path(folder) / "evaluated")
        whole = time.perf_counter() - start
        start = time.perf_counter()
        differences = len(recompute(found.output).differences)
        again = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        json.dumps({
            "images": found.metrics["n_images"],
            "whole": whole,
            **spent,
            "beyond the networks": whole - sum(spent.values()),
            "recompute": again,
            "differences": differences,
            "peak GiB": peak,
        })
    )  # fmt: skip


if __name__ == "__main__":
    main()
