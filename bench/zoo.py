"""Whether every known backbone answers in ONNX as it does in torch; a table, and JSON.

`python bench/zoo.py` takes random weights, the canvas of the default recipe, and each width there
is; `--only NAME...` takes some, or any of timm's, `--size` another canvas, `--views` exports with
test views. Some random networks magnify float32's rounding beyond what an export may differ by;
what torch itself is off by, against float64, tells them from exports that are wrong.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from pneumoscope.bundle.export import PICTURE_TOLERANCE, check_parity, export_onnx, views_of
from pneumoscope.bundle.runtimes import installed_runtimes, open_runtime
from pneumoscope.core.errors import ExportError, PneumoscopeError
from pneumoscope.core.provenance import provenance
from pneumoscope.core.recipe import ModelRecipe
from pneumoscope.core.types import PixelBatch
from pneumoscope.data.phantoms import draw_phantom
from pneumoscope.models.classifier import Classifier, build_classifier, evaluating
from pneumoscope.models.names import NAMES, WIDTHS
from pneumoscope.models.saliency import FixedViews, SaliencyClassifier
from pneumoscope.models.scratch import SCRATCH
from pneumoscope.models.zoo import require_feature_maps

LABELS = ("NORMAL", "PNEUMONIA")
IMAGES = 4
ROUNDINGS = 10
"""How many times torch's own error a graph may be off where the export's tolerance is passed."""
HEADER = (
    f"{'backbone':22} {'M':>6} {'export s':>9} {'parity s':>9} {'MiB':>7} {'logit':>8} "
    f"{'rounding':>8}  ok"
)


@dataclass(frozen=True)
class Exported:
    """One backbone's way out.

    Attributes:
        parameters: Millions, of backbone and head.
        export_seconds: From network to ONNX; of all processors, as are the next.
        parity_seconds: For torch and both runtimes to open and answer.
        mib: Of the graph.
        logits: Largest difference of a logit, of 3 at most, in a runtime; None where it failed.
        rounding: Where that is too much for `check_parity`: torch's own, in float32 from float64.
        reason: Why it failed; empty where it did not.
    """

    name: str
    parameters: float
    export_seconds: float
    parity_seconds: float
    mib: float
    logits: float | None
    rounding: float | None
    reason: str

    @property
    def ok(self) -> bool:
        """Whether logits, embedding and saliency agree in both runtimes, but for rounding."""
        return not self.reason

    def line(self) -> str:
        """A row of the table."""
        logits, rounding = (
            "-" if value is None else f"{value:.1e}" for value in (self.logits, self.rounding)
        )
        return (
            f"{self.name:22} {self.parameters:6.1f} {self.export_seconds:9.1f} "
            f"{self.parity_seconds:9.1f} {self.mib:7.1f} {logits:>8} {rounding:>8}  "
            f"{self.reason or 'yes'}"
        )


def known() -> list[tuple[str, float | None]]:
    """Every known name, in each width that it comes in; the small networks first."""
    several = [(name, width) for name in NAMES for width in WIDTHS.get(name, (None,))]
    return [*((name, None) for name in SCRATCH), *several]


def chosen(names: Sequence[str]) -> list[tuple[str, float | None]]:
    """These names, in each width that they come in."""
    return [
        entry
        for name in names
        for entry in [row for row in known() if row[0] == name] or [(name, None)]
    ]


def canvases(size: int) -> PixelBatch:
    """Phantoms `[image, 1, size, size]`."""
    drawn = [draw_phantom(seed=at, label=LABELS[at % 2], size=size) for at in range(IMAGES)]
    return np.stack(drawn)[:, None]


def measure(
    names: Sequence[tuple[str, float | None]], *, size: int, views: int = 1
) -> Iterator[Exported]:
    """Each backbone exported and compared, one after the other."""
    pixels = canvases(size)
    for name, width in names:
        spelled = name if width is None else f"{name} {width:g}"
        recipe = ModelRecipe(backbone=name, width=width, weights="none", test_views=views)
        classifier = build_classifier(recipe, LABELS, size=size, seed=0).classifier
        yield export_one(spelled, classifier, pixels, views=views)


def oppose(classifier: Classifier, pixels: PixelBatch) -> None:
    """Make the two labels' logits opposite, and as large as a trained network's: 3 at most.

    Random weights let activations fade, and logits near zero would differ by nearly nothing; where
    both labels had evidence against them, saliency would be empty.
    """
    weight, bias = classifier.head.output.weight, classifier.head.output.bias
    with torch.no_grad():
        weight[1], bias[:] = -weight[0], 0
    with evaluating(classifier):
        largest = float(classifier(torch.from_numpy(pixels)).abs().max())
    with torch.no_grad():
        weight *= 3 / largest


def export_one(name: str, classifier: Classifier, pixels: PixelBatch, *, views: int) -> Exported:
    """One classifier's way out; a failure is a row too."""
    reason, logits, rounding, content = "", None, None, b""
    ticks = []
    try:
        require_feature_maps(classifier.backbone, pixels.shape[-1])
        oppose(classifier, pixels)
        ticks = [time.process_time()]
        content = export_onnx(classifier, size=pixels.shape[-1], views=FixedViews(views))
        ticks.append(time.process_time())
        logits, rounding, reason = compare(classifier, content, pixels)
    except (PneumoscopeError, torch.onnx.OnnxExporterError) as error:
        reason = " ".join(repr(error).split())[:300]
    ticks.append(time.process_time())
    spent = [end - start for start, end in itertools.pairwise(ticks)]
    return Exported(
        name=name,
        parameters=sum(value.numel() for value in classifier.parameters()) / 1e6,
        export_seconds=spent[0] if spent else 0.0,
        parity_seconds=spent[1] if len(spent) > 1 else 0.0,
        mib=len(content) / 2**20,
        logits=logits,
        rounding=rounding,
        reason=reason,
    )


def compare(
    classifier: Classifier, content: bytes, pixels: PixelBatch
) -> tuple[float, float | None, str]:
    """The largest difference of a logit, perhaps torch's own rounding, and what is wrong."""
    try:
        return check_parity(classifier, content, pixels).logits, None, ""
    except ExportError as error:
        reason = str(error)
    views, images = views_of(content), torch.from_numpy(pixels)
    double = copy.deepcopy(classifier.backbone).double()
    with evaluating(classifier), evaluating(double):
        exact = classifier.head(classifier.embed_maps(double(images)))
        rounding = float((classifier(images) - exact).abs().max())
        logits, *pictures = SaliencyClassifier(classifier, views)(images)
    largest = 0.0
    for name in installed_runtimes():
        found = open_runtime(content, name).run(pixels)
        largest = max(largest, float(np.abs(found.logits - logits.numpy()).max()))
        for one, other in zip((found.embedding, found.saliency), pictures, strict=True):
            if np.abs(one - other.numpy()).max() > PICTURE_TOLERANCE * float(other.abs().max()):
                return largest, rounding, reason
    return largest, rounding, "" if largest <= ROUNDINGS * rounding else reason


def main() -> None:
    """Measure, print and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="in each width there is")
    given = parser.parse_args()
    names = known() if given.only is None else chosen(given.only)
    rows = []
    print(HEADER)
    for row in measure(names, size=given.size, views=given.views):
        print(row.line(), flush=True)
        rows.append(row)
    table = [{**asdict(row), "ok": row.ok} for row in rows]
    content = {"size": given.size, "views": given.views, "backbones": table, **provenance()}
    output = Path(__file__).parent / "output" / "zoo.json"
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps(content, indent=2), encoding="utf8")
    print(f"{sum(row.ok for row in rows)} of {len(rows)} ok; written to bench/output/zoo.json")


if __name__ == "__main__":
    main()
