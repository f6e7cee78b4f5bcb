"""The bundle that answers, and its replacement while it does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np

from pneumoscope.bundle.archive import CARD
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.errors import BundleError, InputError, PneumoscopeError
from pneumoscope.service.problems import Problem
from pneumoscope.service.schemas import NOTICE, Calibration, ModelFacts

_MAX_LEVELS = 32


class Served:
    """A bundle that answers; a request keeps the one it started with.

    Args:
        predictor: Its predictor.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.header: dict[str, object] = {"preprocess": predictor.preprocess.to_dict()}
        self._levels: dict[float, Predictor] = {}
        self._lock = threading.Lock()

    def at(self, confidence: float | None) -> Predictor:
        """The predictor whose label sets are at this confidence level; None: the bundle's own.

        Raises:
            Problem: `no-label-sets`.
        """
        if confidence is None:
            return self.predictor
        with self._lock:
            if confidence not in self._levels:
                try:
                    found = self.predictor.at_confidence(confidence)
                except InputError as error:
                    raise Problem("no-label-sets", str(error)) from error
                while len(self._levels) >= _MAX_LEVELS:
                    self._levels.pop(next(iter(self._levels)))
                self._levels[confidence] = found
            return self._levels[confidence]

    def warm_up(self, most: int) -> None:
        """Answer nothing a few times: the first of each batch size takes longer."""
        size = self.predictor.preprocess.size
        for images in range(1, most + 1):
            self.predictor.infer(np.zeros((images, 1, size, size), np.uint8))

    @cached_property
    def facts(self) -> ModelFacts:
        """What the bundle says of itself."""
        spec, predictor = self.predictor.bundle.spec, self.predictor
        return ModelFacts(
            name=spec.name,
            model_id=predictor.model_id,
            labels=list(spec.labels),
            preprocess=spec.preprocess,
            operating_points=[dict(point) for point in spec.operating_points],
            calibration=Calibration(
                method=predictor.calibrator.method,
                parameters={
                    name: list(values) for name, values in predictor.calibrator.parameters.items()
                },
                note=spec.calibration_note,
            ),
            label_sets=spec.conformal,
            abstention=spec.selective,
            gate=spec.gate,
            training_images=spec.training.images,
            training_labels=spec.training.labels,
            backbone=spec.model.backbone,
            runtime=predictor.runtime,
            precision=predictor.precision,
            licence=spec.licence,
            card=predictor.bundle.files[CARD].decode("utf8", "replace"),
            notice=NOTICE,
        )


class Live:
    """Holds the bundle that answers now.

    Args:
        place: Path of the bundle, or what tells it; asked and looked at again on every reload.
        runtime: See `Predictor`.
        threads: See `Predictor`.
        max_batch: Largest batch to be ready for.

    Raises:
        BundleError: the bundle cannot be used.
    """

    def __init__(
        self,
        place: Path | Callable[[], Path],
        *,
        runtime: str = "auto",
        threads: int | None = None,
        max_batch: int = 1,
    ) -> None:
        self._place = place
        self._runtime, self._threads = runtime, threads
        self._max_batch = max_batch
        self._reloading = threading.Lock()
        self._on_change: Callable[[str], None] = lambda _: None
        self.current = self._opened(self._path())

    def tell(self, on_change: Callable[[str], None]) -> None:
        """Tell this one, now and after every change, which model answers."""
        self._on_change = on_change
        on_change(self.current.predictor.model_id)

    def reload(self) -> Served:
        """Answer from what is at the place now; takes seconds, requests go on meanwhile.

        Raises:
            Problem: `bundle-refused`; the present bundle goes on.
        """
        if not self._reloading.acquire(blocking=False):
            raise Problem("bundle-refused", "another one is being loaded.")
        try:
            opened = self._reopened()
            self.current = opened
        finally:
            self._reloading.release()
        self._on_change(opened.predictor.model_id)
        return opened

    def _reopened(self) -> Served:
        try:
            path = self._path()
        except Exception as error:  # its message may name a store: not for everybody
            raise _refused("its address leads nowhere now", error) from error
        try:
            return self._opened(path)
        except PneumoscopeError as error:
            raise Problem("bundle-refused", str(error).replace(str(path), "the bundle")) from error
        except Exception as error:
            raise _refused("it cannot be opened", error) from error

    def _path(self) -> Path:
        return self._place if isinstance(self._place, Path) else self._place()

    def _opened(self, path: Path) -> Served:
        predictor = Predictor.open(path, runtime=self._runtime, threads=self._threads)
        if predictor.preprocess.recipe.lungs != "off":
            raise BundleError(
                f"{path}: trained with lung masks, which uploads have not. Serve a bundle "
                "trained with preprocess.lungs=off."
            )
        served = Served(predictor)
        served.warm_up(self._max_batch)
        return served


def _refused(what: str, error: Exception) -> Problem:
    return Problem("bundle-refused", f"{what} ({type(error).__name__}).")
