"""The predictor: answers from a bundle, and the only inference path; `evaluate` uses it too."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundle import torch_runtime
from pneumoscope.bundle.archive import GATE, ONNX, Bundle, open_bundle
from pneumoscope.bundle.confidence import conformal_at
from pneumoscope.bundle.gate.familiarity import Features
from pneumoscope.bundle.gate.gate import Gate
from pneumoscope.bundle.gate.network import check_network
from pneumoscope.bundle.graph import check_graph
from pneumoscope.bundle.prediction import GateVerdict, PointDecision, Prediction
from pneumoscope.bundle.reading import Reading, Seen, read, since
from pneumoscope.bundle.runtimes import Outputs, Runtime, open_runtime
from pneumoscope.core.files import printable
from pneumoscope.core.types import FloatArray, PixelBatch
from pneumoscope.evaluation.conformal import Conformal
from pneumoscope.evaluation.decisions import Decided, decided
from pneumoscope.evaluation.operating_point import OperatingPoint
from pneumoscope.evaluation.rules import selective_from_json
from pneumoscope.imaging.lungs import require_mask
from pneumoscope.imaging.preprocess import Preprocess

__all__ = ["Prediction", "Predictor"]


class Predictor:
    """Answers from a bundle; threads may share one.

    Args:
        bundle: A verified bundle.
        runtime: `auto`, `fastest`, `openvino`, `onnxruntime` or `torch`, see `bundle.runtimes`.
        threads: For one inference; None leaves it to the runtime.
        gated: Whether images pass the bundle's gate, where it has one.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        runtime: str = "auto",
        threads: int | None = None,
        gated: bool = True,
    ) -> None:
        self.bundle = bundle
        check_graph(
            bundle.files[ONNX],
            size=Preprocess.from_dict(bundle.spec.preprocess).size,
            labels=len(bundle.spec.labels),
        )
        if gated and GATE in bundle.files:
            check_network(bundle.files[GATE])
        self.labels = bundle.spec.labels
        self.preprocess = Preprocess.from_dict(bundle.spec.preprocess)
        self.calibrator = bundle.calibrator
        self.model_id = bundle.model_id
        spec = bundle.spec
        self._conformal = None if spec.conformal is None else Conformal.from_json(spec.conformal)
        self._selective = selective_from_json(spec.selective)
        self._points = [OperatingPoint.from_json(point) for point in spec.operating_points]
        self.precision = spec.precision
        self._runtime = _opened(bundle, runtime, threads)
        self.runtime = self._runtime.name
        beside = "auto" if self.runtime == torch_runtime.NAME else self.runtime
        self.gate = Gate.of(bundle, beside, threads=threads) if gated else None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        runtime: str = "auto",
        threads: int | None = None,
        gated: bool = True,
    ) -> Predictor:
        """The predictor of the bundle at `path`; see the class.

        Raises:
            BundleError: the bundle is incomplete or changed.
        """
        return cls(open_bundle(path), runtime=runtime, threads=threads, gated=gated)

    def at_confidence(self, confidence_level: float) -> Predictor:
        """The same predictor, its label sets at another confidence level, in (0, 1).

        Raises:
            InputError: the bundle cannot tell, see `conformal_at`, or the level is out of range.
        """
        other = copy.copy(self)
        other._conformal = conformal_at(self.bundle, confidence_level)  # noqa: SLF001 - our own
        return other

    def infer(self, pixels: PixelBatch) -> Outputs:
        """Logits, embeddings and saliency maps of canvases `[batch, 1, size, size]`."""
        return self._runtime.run(pixels)

    def probabilities(self, logits: FloatArray) -> NDArray[np.float64]:
        """Calibrated probabilities `[batch, label]` of logits `[batch, label]`."""
        return self.calibrator.apply(logits)

    def predict(self, source: str | Path | bytes, *, saliency: bool = False) -> Prediction:
        """The answer for one file, or the content of one.

        Example:
            answer = ps.load_bundle().predict("chest.png", saliency=True)
            answer.decision, answer.label, answer.probabilities
        """
        return self.answer([self.read(source)], saliency=saliency)[0]

    def predict_many(
        self, paths: Iterable[str | Path], *, batch_size: int = 8, saliency: bool = False
    ) -> Iterator[Prediction]:
        """One answer per path, in order; a file that cannot be read costs one line, never more.

        Args:
            paths: Files; consumed a batch at a time.
            batch_size: How many are answered together.
            saliency: Whether to bring the label's saliency map into the original geometry.

        Raises:
            InputError: the bundle was trained with lung masks, which files alone do not have.
        """
        remaining = iter(paths)
        while batch := list(islice(remaining, batch_size)):
            yield from self.answer([self.read(path) for path in batch], saliency=saliency)

    def read(self, source: str | Path | bytes, *, name: str | None = None) -> Reading:
        """What a file, or its content, holds; see `bundle.reading`."""
        return read(source, self.preprocess, name=name)

    def answer(self, readings: Sequence[Reading], *, saliency: bool = False) -> list[Prediction]:
        """One answer per reading, in order; those that can be answered are answered together.

        Args:
            readings: As `read` gave them, in this process or another.
            saliency: Whether to bring the label's saliency map into the original geometry.

        Raises:
            InputError: the bundle was trained with lung masks, which files alone do not have.
        """
        if self.preprocess.recipe.lungs != "off":
            require_mask(self.preprocess.recipe.lungs, None)
        found = {row: reading.seen for row, reading in enumerate(readings) if reading.seen}
        entered = dict(zip(found, self._entered(list(found.values())), strict=True))
        passed = {row: one for row, one in entered.items() if not one.verdict.refusal}
        answers = dict(zip(passed, self._answers(list(passed.values()), saliency), strict=True))
        return [
            self._given(reading, answers[row])
            if row in answers
            else self._unanswered(reading, entered.get(row))
            for row, reading in enumerate(readings)
        ]

    def _entered(self, seen: Sequence[Seen]) -> list[_Entered]:
        """What the gate says of each before the model is asked; the time is shared evenly."""
        if self.gate is None or not seen:
            return [_Entered(one, GateVerdict(), None, {}) for one in seen]
        start = time.perf_counter()
        canvases = np.stack([one.canvas for one in seen])[:, None]
        looks = self.gate.look(canvases)
        verdicts = self.gate.before(canvases, looks)
        timings = {"gate": since(start) / len(seen)}
        return [
            _Entered(one, verdict, look, timings)
            for one, verdict, look in zip(seen, verdicts, looks.look, strict=True)
        ]

    def _answers(self, entered: Sequence[_Entered], saliency: bool) -> list[_Answer]:
        """What the model says of each; the time is shared evenly."""
        if not entered:
            return []
        start = time.perf_counter()
        outputs = self.infer(np.stack([one.seen.canvas for one in entered])[:, None])
        probabilities = self.probabilities(outputs.logits)
        rules = decided(probabilities, conformal=self._conformal, selective=self._selective)
        share = since(start) / len(entered)
        start = time.perf_counter()
        verdicts = self._verdicts(entered, outputs, probabilities)
        gate = since(start) / len(entered)
        found = []
        for row, one in enumerate(entered):
            start = time.perf_counter()
            chosen = int(probabilities[row].argmax())
            drawn = one.seen.geometry.restore(outputs.saliency[row, chosen]) if saliency else None
            timings = {"model": share} | ({"saliency": since(start)} if saliency else {})
            if self.gate is not None:
                timings |= {"gate": one.timings["gate"] + gate}
            found.append(_Answer(probabilities[row], rules, row, drawn, verdicts[row], timings))
        return found

    def _verdicts(
        self, entered: Sequence[_Entered], outputs: Outputs, probabilities: NDArray[np.float64]
    ) -> list[GateVerdict]:
        """The gate's verdicts, familiarity included, which is of what the model saw and said."""
        looks = [one.look for one in entered if one.look is not None]
        if self.gate is None or len(looks) < len(entered):
            return [one.verdict for one in entered]
        features = Features(outputs.embedding, np.stack(looks))
        stages = self.gate.after(features, probabilities.argmax(axis=1))
        return [
            replace(one.verdict, familiarity=stage)
            for one, stage in zip(entered, stages, strict=True)
        ]

    def _given(self, reading: Reading, answer: _Answer) -> Prediction:
        decisions, row = answer.decided, answer.row
        chosen, decision = int(decisions.answers[row]), decisions.decisions[row]
        values, reason = answer.probabilities.tolist(), decisions.reasons[row]
        sets = decisions.label_sets
        timings = {"read": reading.milliseconds, **answer.timings}
        keeps = answer.saliency is not None and reading.seen is not None
        familiar = answer.verdict.familiarity
        if self.gate and self.gate.abstains and familiar and familiar.outcome == "warned":
            chosen, decision, reason = -1, "abstain", familiar.reason
        return Prediction(
            path=printable(reading.source),
            source=reading.source,
            label=self.labels[chosen] if chosen >= 0 else None,
            decision=decision,
            reason=reason,
            probabilities=dict(zip(self.labels, values, strict=True)),
            milliseconds=sum(timings.values()),
            model_id=self.model_id,
            warnings=answer.verdict.warnings,
            gate=None if self.gate is None else answer.verdict,
            label_set=None if sets is None else self._names(sets[row]),
            points=tuple(self._side(point, values) for point in self._points),
            timings=timings,
            radiograph=reading.seen.radiograph if keeps and reading.seen else None,
            saliency=answer.saliency,
        )

    def _names(self, label_set: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(label for label, held in zip(self.labels, label_set, strict=True) if held)

    def _side(self, point: OperatingPoint, values: Sequence[float]) -> PointDecision:
        positive = values[self.labels.index(point.label)] >= point.threshold
        return PointDecision(point.name, point.label, point.threshold, positive)

    def _unanswered(self, reading: Reading, entered: _Entered | None) -> Prediction:
        """Of what could not be read, or was refused by the gate."""
        timings = {"read": reading.milliseconds, **(entered.timings if entered else {})}
        return Prediction(
            path=printable(reading.source),
            source=reading.source,
            label=None,
            decision="refused" if entered else "unreadable",
            reason=entered.verdict.refusal if entered else reading.reason,
            probabilities={},
            milliseconds=sum(timings.values()),
            model_id=self.model_id,
            warnings=entered.verdict.warnings if entered else (),
            gate=entered.verdict if entered else None,
            timings=timings,
        )


@dataclass(frozen=True, eq=False)
class _Entered:
    """What the gate says of one image before the model is asked."""

    seen: Seen
    verdict: GateVerdict
    look: NDArray[np.float32] | None
    timings: dict[str, float]


@dataclass(frozen=True, eq=False)
class _Answer:
    """What the model says of one image, at `row` of what was decided together."""

    probabilities: NDArray[np.float64]
    decided: Decided
    row: int
    saliency: FloatArray | None
    verdict: GateVerdict
    timings: dict[str, float]


def _opened(bundle: Bundle, runtime: str, threads: int | None) -> Runtime:
    """The bundle's graph in a runtime, or its network in torch."""
    if runtime == torch_runtime.NAME:
        return torch_runtime.Torch.open(bundle)
    precision = bundle.spec.precision
    return open_runtime(bundle.files[ONNX], runtime, threads=threads, precision=precision)
