"""From logits to calibrated probabilities, with the numbers a bundle keeps.

`recalibration` fits these and chooses among them; serving needs nothing but this module.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import BundleError, PredictionsError
from pneumoscope.core.types import FloatArray
from pneumoscope.evaluation.calibration import TEMPERATURE_RANGE, softmax

Method: TypeAlias = Literal["temperature", "vector", "isotonic"]
METHODS: tuple[Method, ...] = get_args(Method)
WEIGHT_RANGE = (1 / TEMPERATURE_RANGE[1], 1 / TEMPERATURE_RANGE[0])
BIAS_LIMIT = 20.0
"""Nats; e to the 20th is further than any change of how frequent labels are."""

_PARAMETERS: dict[Method, tuple[str, ...]] = {
    "temperature": ("temperature",),
    "vector": ("weights", "biases"),
    "isotonic": ("log_odds", "probabilities"),
}
_MOST_VALUES = 100_000


@dataclass(frozen=True)
class Calibrator:
    """A way to turn logits into probabilities, valid once built.

    - `temperature`: softmax(logits / temperature) (Guo et al. 2017, section 4.2).
    - `vector`: softmax(weights * centered logits + biases), a weight and a bias per label (same
      place). Logits are centered to mean 0 over labels, so that a constant added to all of them
      still changes nothing; for two labels this is Platt scaling (1999).
    - `isotonic`, two labels only: the second label's probability is a rising function of the
      log-odds, linear between the `log_odds` and constant beyond (Zadrozny and Elkan 2002). It
      makes ties, which the others do not.

    Attributes:
        method: one of `METHODS`.
        parameters: the numbers, by name; `temperature` has 1, `weights` and `biases` one per label,
            `log_odds` (rising, nats) and `probabilities` (not falling) one per knot.

    Raises:
        PredictionsError: parameters are missing, unknown, not finite or out of range.
    """

    method: Method
    parameters: Mapping[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        _check_names(self.method, self.parameters)
        copied = {
            name: tuple(float(value) for value in values)
            for name, values in self.parameters.items()
        }
        object.__setattr__(self, "parameters", copied)
        _check_values(self.method, copied)

    @property
    def n_labels(self) -> int | None:
        """How many labels the logits must have; None for any number."""
        if self.method == "vector":
            return len(self.parameters["weights"])
        return 2 if self.method == "isotonic" else None

    def apply(self, logits: FloatArray) -> NDArray[np.float64]:
        """Probabilities in [0, 1] that sum to 1 over labels, `[..., label]` as the logits.

        Raises:
            PredictionsError: the logits have another number of labels.
        """
        values = np.asarray(logits, dtype=np.float64)
        if self.n_labels not in {None, values.shape[-1] if values.ndim else 0}:
            message = f"logits {list(values.shape)}; allowed: [..., {self.n_labels}]."
            raise PredictionsError(f"{message} Use the label set of the calibrator.")
        if self.method == "temperature":
            return softmax(values, temperature=self.parameters["temperature"][0])
        if self.method == "vector":
            scaled = center(values) * np.array(self.parameters["weights"])
            return softmax(scaled + np.array(self.parameters["biases"]))
        second = np.interp(
            values[..., 1] - values[..., 0],
            self.parameters["log_odds"],
            self.parameters["probabilities"],
        )
        return np.stack([1 - second, second], axis=-1)

    def to_json(self) -> dict[str, object]:
        """Plain Python that `json.dumps` takes and `from_json` reads back without a change."""
        return {
            "method": self.method,
            "parameters": {name: list(values) for name, values in self.parameters.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> Calibrator:
        """The calibrator that `to_json` wrote.

        Raises:
            BundleError: something is missing, unknown or out of range.
        """
        method, parameters = content.get("method"), content.get("parameters")
        if set(content) != {"method", "parameters"} or not isinstance(parameters, Mapping):
            message = f"calibrator with {sorted(map(str, content))}; allowed: method, parameters."
            raise BundleError(f"{message} Export the bundle again.")
        for name, values in parameters.items():
            if not isinstance(values, list) or not all(is_number(value) for value in values):
                message = f"calibrator: {name} is no list of numbers. Export the bundle again."
                raise BundleError(message)
        try:
            return cls(cast("Method", method), parameters)
        except PredictionsError as error:
            raise BundleError(str(error)) from error


def center(logits: FloatArray) -> NDArray[np.float64]:
    """Logits less their mean over the last axis: what softmax sees of them."""
    values = np.asarray(logits, dtype=np.float64)
    centered: NDArray[np.float64] = values - values.mean(axis=-1, keepdims=True)
    return centered


def temperature_calibrator(temperature: float) -> Calibrator:
    """The calibrator that divides logits by `temperature`."""
    return Calibrator("temperature", {"temperature": (temperature,)})


def is_number(value: object) -> bool:
    """Whether a value read from JSON is a number that a float can hold."""
    # JSON's whole numbers have no end, floats do.
    return type(value) is float or (type(value) is int and abs(value) < 2**53)


def _check_names(method: str, parameters: Mapping[str, tuple[float, ...]]) -> None:
    if method not in METHODS:
        message = f"calibrator method {method!r}; allowed: {', '.join(METHODS)}. Choose one."
        raise PredictionsError(message)
    names = _PARAMETERS[method]
    if set(parameters) != set(names):
        message = f"{method} calibrator with {sorted(parameters)}; allowed: {', '.join(names)}."
        raise PredictionsError(f"{message} Fit it again.")
    sizes = {len(parameters[name]) for name in names}
    fewest, most = {"temperature": (1, 1), "vector": (2, _MOST_VALUES)}.get(
        method, (1, _MOST_VALUES)
    )
    if len(sizes) != 1 or not fewest <= min(sizes) <= most:
        message = f"{method} calibrator with {sorted(sizes)} values; allowed: {fewest} to {most},"
        raise PredictionsError(f"{message} as many of each. Fit it again.")


def _check_values(method: Method, parameters: Mapping[str, tuple[float, ...]]) -> None:
    bounds = {
        "temperature": TEMPERATURE_RANGE,
        "weights": WEIGHT_RANGE,
        "biases": (-BIAS_LIMIT, BIAS_LIMIT),
        "log_odds": (-math.inf, math.inf),
        "probabilities": (0.0, 1.0),
    }
    for name, values in parameters.items():
        low, high = bounds[name]
        for value in values:
            if not (math.isfinite(value) and low <= value <= high):
                message = f"{method} calibrator: {name} {value:g}; allowed: {low:g} to {high:g}."
                raise PredictionsError(f"{message} Fit it again.")
    if method != "isotonic":
        return
    falls = (np.diff(parameters["probabilities"]) < 0).any()
    if falls or (np.diff(parameters["log_odds"]) <= 0).any():
        message = "isotonic calibrator: values fall; allowed: rising log_odds, rising or level"
        raise PredictionsError(f"{message} probabilities. Fit it again.")
