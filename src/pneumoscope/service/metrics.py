"""What the service counts, for Prometheus; a registry of its own, nothing global."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pneumoscope.bundle.prediction import Prediction

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS: Final = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"})


class Metrics:
    """Counters of one service."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "pneumoscope_requests", "Requests by route and status.",
            ("route", "method", "status"), registry=registry,
        )  # fmt: skip
        self._latency = Histogram(
            "pneumoscope_request_seconds", "From a request's headers to the end of its answer.",
            ("route",), buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._decoding = Histogram(
            "pneumoscope_decode_seconds", "Reading one image.", buckets=_SECONDS, registry=registry
        )
        self._batches = Histogram(
            "pneumoscope_batch_images", "Images answered together.",
            buckets=(1, 2, 4, 8, 16, 32, 64), registry=registry,
        )  # fmt: skip
        self._answers = Counter(
            "pneumoscope_answers", "Images answered with one label.", ("label",), registry=registry
        )
        self._decisions = Counter(
            "pneumoscope_decisions", "Images by decision: answer, set, abstain, refused, ...",
            ("decision",), registry=registry,
        )  # fmt: skip
        self._gate = Counter(
            "pneumoscope_gate", "What each stage of the gate found.", ("stage", "outcome"),
            registry=registry,
        )  # fmt: skip
        self._losses = Counter(
            "pneumoscope_decoders_lost", "Decoders that died or were too slow.", ("reason",),
            registry=registry,
        )  # fmt: skip
        self._reloads = Counter(
            "pneumoscope_reloads", "Attempts to load another bundle.", ("outcome",),
            registry=registry,
        )  # fmt: skip
        self._model = Gauge(
            "pneumoscope_model", "1 for the model that answers.", ("model_id",), registry=registry
        )

    def watch(self, name: str, what: str, value: Callable[[], float]) -> None:
        """Also show a value that is asked for when it is shown."""
        Gauge(f"pneumoscope_{name}", what, registry=self.registry).set_function(value)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request; `route` is one of few."""
        known = method if method in _METHODS else "other"
        self._requests.labels(route, known, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def decoded(self, milliseconds: float) -> None:
        """Count an image read."""
        self._decoding.observe(milliseconds / 1000)

    def answered(self, answers: Sequence[Prediction]) -> None:
        """Count images answered together."""
        self._batches.observe(len(answers))
        for answer in answers:
            self._decisions.labels(answer.decision).inc()
            if answer.label is not None:
                self._answers.labels(answer.label).inc()
            for name, stage in (answer.gate.stages if answer.gate else {}).items():
                self._gate.labels(name, stage.outcome).inc()

    def decoder_lost(self, reason: str) -> None:
        """Count a decoder given up: `died` or `slow`."""
        self._losses.labels(reason).inc()

    def reloaded(self, outcome: str) -> None:
        """Count an attempt to load another bundle: `done` or `refused`."""
        self._reloads.labels(outcome).inc()

    def model(self, model_id: str) -> None:
        """Say which model answers from now on."""
        self._model.clear()
        self._model.labels(model_id).set(1)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)
