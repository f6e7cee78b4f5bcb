"""The gate's targets: what is refused that should pass, what passes that should not, and its time.

`python bench/gate.py CHEST_XRAY [BACKBONE]` prints one line of JSON. The folder's neighbours
`radiography`, `modality` and `inbox` are read too.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "2")

from pneumoscope import train
from pneumoscope.bundle.gate.network import packaged_gate
from pneumoscope.bundle.prediction import Prediction
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.recipe import Recipe, override
from pneumoscope.data.gate_pictures import gate_pictures
from pneumoscope.evaluation.resampling import proportion
from pneumoscope.workflows.gate_training import measure_gate

_ROUNDS = 200


def predictions(predictor: Predictor, files: list[Path]) -> list[Prediction]:
    return list(predictor.predict_many(files, batch_size=16))


def shares(found: list[Prediction]) -> dict[str, object]:
    """How many are refused, warned of for their quality, and unfamiliar."""
    stages = [one.gate.stages for one in found if one.gate]
    refused = [one.decision == "refused" for one in found]
    quality = [s["quality"].outcome != "passed" for s in stages]
    unfamiliar = [s["familiarity"].outcome == "warned" for s in stages if "familiarity" in s]
    named = {"refused": refused, "quality": quality, "unfamiliar": unfamiliar}
    return {name: proportion(v, range(len(v))).to_json() for name, v in named.items()}  # type: ignore[arg-type]


def milliseconds(predictor: Predictor, file: Path) -> float:
    """Median of a prediction of one file."""
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        predictor.predict(file)
        times.append((time.perf_counter() - start) * 1000)
    return median(times)


def main() -> None:
    data = Path(sys.argv[1])
    backbone = sys.argv[2:3]
    root = data.parent
    changes: dict[str, object] = {
        "data.path": str(data), "tracking.enabled": False, "evaluate.audit.enabled": False,
        **({"model.backbone": backbone[0]} if backbone else {}),
        **({"model.weights": "none"} if backbone and backbone[0].startswith("cnn") else {}),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = train(override(Recipe(), changes), output=Path(folder) / "run")
        predictor = Predictor.open(run.bundle)
        groups = {
            "chest_xray test": sorted((data / "test").rglob("*.jpeg")),
            "radiography COVID": sorted((root / "radiography/COVID/images").iterdir()),
            "radiography Normal": sorted((root / "radiography/Normal/images").iterdir()),
            "inbox": [p for p in sorted((root / "inbox").iterdir()) if p.suffix != ".csv"],
        }
        found = {name: shares(predictions(predictor, files)) for name, files in groups.items()}
        one = groups["chest_xray test"][0]
        without = milliseconds(Predictor.open(run.bundle, gated=False), one)
        times = {"with": milliseconds(predictor, one), "without": without}
    network = measure_gate(packaged_gate(), gate_pictures(root))
    sys.stdout.write(json.dumps({"bundle": found, "network": network, "ms": times}) + "\n")


if __name__ == "__main__":
    main()
