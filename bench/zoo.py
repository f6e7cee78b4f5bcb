"""Whether every known backbone answers in ONNX as it does in torch; a table, and JSON.

`python bench/zoo.py` takes random weights, statistics and logits as of a trained network, the canvas
of the default recipe, and each width there is; `--only NAME...` takes some, `--size` another canvas,
`--views` exports with test views.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pneumoscope.bundle.export import check_parity, export_onnx
from pneumoscope.core.errors import ExportError, PneumoscopeError
from pneumoscope.core.provenance import provenance
from pneumoscope.core.recipe import ModelRecipe
from pneumoscope.core.types import PixelBatch
from pneumoscope.data.phantoms import draw_phantom
from pneumoscope.models.classifier import Classifier, build_classifier
from pneumoscope.models.names import NAMES, WIDTHS
from pneumoscope.models.saliency import FixedViews
from pneumoscope.models.scratch import SCRATCH
from pneumoscope.models.zoo import require_feature_maps

LABELS = ("NORMAL", "PNEUMONIA")
IMAGES = 4
HEADER = f"{'backbone':22} {'M':>6} {'export s':>9} {'parity s':>9} {'MiB':>7} {'logit':>8}  ok"


@dataclass(frozen=True)
class Exported:
    """One backbone's way out.

    Attributes:
        parameters: Millions, of backbone and head.
        export_seconds: From network to ONNX.
        parity_seconds: For torch and both runtimes to open and answer.
        mib: Of the graph.
        logits: Largest difference of a logit in a runtime; None where it failed.
        reason: Why it failed; empty where it did not.
    """

    name: str
    parameters: float
    export_seconds: float
    parity_seconds: float
    mib: float
    logits: float | None
    reason: str

    @property
    def ok(self) -> bool:
        """Whether logits, embedding and saliency agree in both runtimes."""
        return not self.reason

    def line(self) -> str:
        """A row of the table."""
        logits = "-" if self.logits is None else f"{self.logits:.1e}"
        return (
            f"{self.name:22} {self.parameters:6.1f} {self.export_seconds:9.1f} "
            f"{self.parity_seconds:9.1f} {self.mib:7.1f} {logits:>8}  {self.reason or 'yes'}"
        )


def known() -> list[tuple[str, float | None]]:
    """Every known name, in each width that it comes in; the small networks first."""
    several = [(name, width) for name in NAMES for width in WIDTHS.get(name, (None,))]
    return [*((name, None) for name in SCRATCH), *several]


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


def settle(classifier: Classifier, pixels: PixelBatch) -> None:
    """Give batch normalisation the statistics of these images, and logits a spread of about 3.

    Random weights alone let activations die away, and nothing would be left to differ.
    """
    norms = [part for part in classifier.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = 1.0
    images = torch.from_numpy(pixels)
    with torch.no_grad():
        classifier.embed(images)
        classifier.eval()
        logits = classifier(images) - classifier.head.output.bias
        classifier.head.output.weight *= 3 / logits.std()


def export_one(name: str, classifier: Classifier, pixels: PixelBatch, *, views: int) -> Exported:
    """One classifier's way out; a failure is a row too."""
    size, reason, logits, content = pixels.shape[-1], "", None, b""
    start = time.perf_counter()
    try:
        require_feature_maps(classifier.backbone, size)
        settle(classifier, pixels)
        start = time.perf_counter()
        content = export_onnx(classifier, size=size, views=FixedViews(views))
        middle = time.perf_counter()
        logits = check_parity(classifier, content, pixels).logits
    except (PneumoscopeError, torch.onnx.OnnxExporterError) as error:
        reason = str(error) if isinstance(error, ExportError) else " ".join(repr(error).split())
    end = time.perf_counter()
    middle = middle if content else end
    return Exported(
        name=name,
        parameters=sum(value.numel() for value in classifier.parameters()) / 1e6,
        export_seconds=middle - start,
        parity_seconds=end - middle,
        mib=len(content) / 2**20,
        logits=logits,
        reason=reason[:300],
    )


def main() -> None:
    """Measure, print and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="with all its widths")
    given = parser.parse_args()
    names = [entry for entry in known() if given.only is None or entry[0] in given.only]
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
