"""The predictor: answers from a bundle, and the only inference path; `evaluate` uses it too."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundle.archive import ONNX, Bundle, open_bundle
from pneumoscope.bundle.graph import check_graph
from pneumoscope.bundle.runtimes import Outputs, open_runtime
from pneumoscope.core.errors import RadiographError
from pneumoscope.core.files import printable
from pneumoscope.core.types import Canvas, FloatArray, PixelBatch
from pneumoscope.imaging.lungs import require_mask
from pneumoscope.imaging.preprocess import Geometry, Preprocess
from pneumoscope.imaging.radiograph import Radiograph, read_radiograph

Decision = Literal["answer", "set", "abstain", "refused", "unreadable"]


@dataclass(frozen=True)
class Prediction:
    """The answer for one input; one object for JSON, table row and overlay.

    Attributes:
        path: As given, spelled so that it can be shown.
        source: The file.
        label: The answer; None when there is none.
        decision: `answer` or `unreadable`; the gate and abstention add the others.
        reason: Why there is no answer.
        probabilities: Calibrated, by label, in [0, 1]; empty when there is no answer.
        milliseconds: From file to answer; inside a batch, its share of it.
        model_id: Which model answered.
        radiograph: What was read, to draw on.
        saliency: `[height, width]` in the original geometry, >= 0, for the answered label.
    """

    path: str
    source: Path
    label: str | None
    decision: Decision
    reason: str | None
    probabilities: dict[str, float]
    milliseconds: float
    model_id: str
    warnings: tuple[str, ...] = ()
    label_set: tuple[str, ...] | None = None
    familiarity: float | None = None
    gate_score: float | None = None
    radiograph: Radiograph | None = None
    saliency: FloatArray | None = None

    def row(self, labels: Sequence[str]) -> dict[str, object]:
        """The columns of the contract, the same for every decision."""
        probabilities = {f"probability:{label}": self.probabilities.get(label) for label in labels}
        return {
            "path": self.path, "label": self.label, "decision": self.decision,
            "reason": self.reason, **probabilities,
            "label_set": None if self.label_set is None else ", ".join(self.label_set),
            "familiarity": self.familiarity, "warnings": "; ".join(self.warnings) or None,
            "gate_score": self.gate_score, "milliseconds": round(self.milliseconds, 2),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Read:
    source: Path
    radiograph: Radiograph | None
    canvas: Canvas | None
    geometry: Geometry | None
    reason: str | None
    milliseconds: float


class Predictor:
    """Answers from a bundle.

    Args:
        bundle: A verified bundle.
        runtime: `auto`, `openvino` or `onnxruntime`.
        threads: For one inference; None leaves it to the runtime.
    """

    def __init__(
        self, bundle: Bundle, *, runtime: str = "auto", threads: int | None = None
    ) -> None:
        self.bundle = bundle
        check_graph(
            bundle.files[ONNX],
            size=Preprocess.from_dict(bundle.spec.preprocess).size,
            labels=len(bundle.spec.labels),
        )
        self.labels = bundle.spec.labels
        self.preprocess = Preprocess.from_dict(bundle.spec.preprocess)
        self.calibrator = bundle.calibrator
        self.model_id = bundle.model_id
        self._runtime = open_runtime(bundle.files[ONNX], runtime, threads=threads)
        self.runtime = self._runtime.name

    @classmethod
    def open(cls, path: Path, *, runtime: str = "auto", threads: int | None = None) -> Predictor:
        """The predictor of the bundle at `path`.

        Raises:
            BundleError: the bundle is incomplete or changed.
        """
        return cls(open_bundle(path), runtime=runtime, threads=threads)

    def infer(self, pixels: PixelBatch) -> Outputs:
        """Logits, embeddings and saliency maps of canvases `[batch, 1, size, size]`."""
        return self._runtime.run(pixels)

    def probabilities(self, logits: FloatArray) -> NDArray[np.float64]:
        """Calibrated probabilities `[batch, label]` of logits `[batch, label]`."""
        return self.calibrator.apply(logits)

    def predict(self, path: Path, *, saliency: bool = False) -> Prediction:
        """The answer for one file."""
        return next(self.predict_many([path], saliency=saliency))

    def predict_many(
        self, paths: Iterable[Path], *, batch_size: int = 8, saliency: bool = False
    ) -> Iterator[Prediction]:
        """One answer per path, in order; a file that cannot be read costs one line, never more.

        Args:
            paths: Files; consumed a batch at a time.
            batch_size: How many are answered together.
            saliency: Whether to bring the label's saliency map into the original geometry.

        Raises:
            InputError: the bundle was trained with lung masks, which files alone do not have.
        """
        if self.preprocess.recipe.lungs != "off":
            require_mask(self.preprocess.recipe.lungs, None)
        remaining = iter(paths)
        while batch := list(islice(remaining, batch_size)):
            yield from self._answer([self._read(path) for path in batch], saliency=saliency)

    def _read(self, path: Path) -> _Read:
        start = time.perf_counter()
        try:
            radiograph = read_radiograph(path)
            canvas, geometry = self.preprocess.apply(radiograph)
        except RadiographError as error:
            reason = str(error).removeprefix(f"{path}: ")
            return _Read(path, None, None, None, printable(reason), _since(start))
        return _Read(path, radiograph, canvas, geometry, None, _since(start))

    def _answer(self, batch: list[_Read], *, saliency: bool) -> Iterator[Prediction]:
        canvases = [read.canvas for read in batch if read.canvas is not None]
        if canvases:
            start = time.perf_counter()
            outputs = self.infer(np.stack(canvases)[:, None])
            probabilities = self.probabilities(outputs.logits)
            share = _since(start) / len(canvases)
        row = 0
        for read in batch:
            if read.geometry is None:
                yield self._unreadable(read)
                continue
            chosen = int(probabilities[row].argmax())
            start = time.perf_counter()
            drawn = read.geometry.restore(outputs.saliency[row, chosen]) if saliency else None
            yield Prediction(
                path=printable(read.source),
                source=read.source,
                label=self.labels[chosen],
                decision="answer",
                reason=None,
                probabilities=dict(zip(self.labels, probabilities[row].tolist(), strict=True)),
                milliseconds=read.milliseconds + share + _since(start),
                model_id=self.model_id,
                radiograph=read.radiograph if saliency else None,
                saliency=drawn,
            )
            row += 1

    def _unreadable(self, read: _Read) -> Prediction:
        return Prediction(
            path=printable(read.source),
            source=read.source,
            label=None,
            decision="unreadable",
            reason=read.reason,
            probabilities={},
            milliseconds=read.milliseconds,
            model_id=self.model_id,
        )


def load_bundle(path: str | Path, *, runtime: str = "auto") -> Predictor:
    """The predictor of the bundle folder or zip at `path`; `load_bundle(...).predict(image)`."""
    return Predictor.open(Path(path), runtime=runtime)


def _since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
