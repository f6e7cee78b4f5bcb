"""How familiar a batch of images is to the model: whether its stated performance can be expected.

One unfamiliar image says little: one in a hundred of the same population is called so. A batch of
which many are shows that it comes from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.types import IntArray
from pneumoscope.evaluation.resampling import Rate, proportion

FEWEST = 10
"""Images of which something is said together."""

NOTABLE = 3.0
"""How many times as many unfamiliar images as expected are more than chance and taste."""

GATE_COLUMNS = ("image_id", "patient_id", "familiarity", "unfamiliar", "level", "refused")
"""Of the table that `summarise_gate` takes: scores in [0, 1], whether they are unfamiliar, the
share that is expected to be, and whether modality or quality would have kept the image out."""


@dataclass(frozen=True)
class Shift:
    """What a batch's familiarity says.

    Attributes:
        unfamiliar: Share of the images that are, with its interval.
        level: Share that is expected of the same population.
        shifted: Whether clearly more are.
        labelled: Whether true labels are known; without, images that look otherwise and labels in
            other shares cannot be told apart.
    """

    unfamiliar: Rate
    level: float
    shifted: bool
    labelled: bool = False

    @property
    def statement(self) -> str:
        """It in a sentence."""
        share, rest = _percent(self.unfamiliar.value), _percent(1 - self.level)
        said = f"{share} of these images are less familiar than {rest} of the training population"
        if self.shifted:
            told = f"{said}: expect the stated performance not to hold."
            return told if self.labelled else f"{told} {_UNTOLD}"
        return f"{said}, about as many as are expected of that population."

    def to_json(self) -> dict[str, object]:
        """Plain Python that `json.dumps` takes."""
        return {
            "unfamiliar": self.unfamiliar.to_json(), "level": self.level, "shifted": self.shifted,
            "statement": self.statement,
        }  # fmt: skip


def batch_shift(
    unfamiliar: Sequence[bool] | NDArray[np.bool_],
    clusters: Sequence[int] | IntArray,
    *,
    level: float,
    confidence_level: float = 0.95,
    labelled: bool = False,
) -> Shift | None:
    """What these images together say; None for fewer than `FEWEST`.

    Args:
        unfamiliar: `[image]`.
        clusters: `[image]`, patient of each; where none is known, each its own.
        level: Share that is expected of the same population.
        confidence_level: Of the interval; the shift is clear where its lower end is beyond
            `NOTABLE` times the level.
        labelled: Whether true labels are known.
    """
    hits = np.asarray(unfamiliar, dtype=np.bool_)
    if len(hits) < FEWEST:
        return None
    rate = proportion(hits, np.asarray(clusters), confidence_level=confidence_level)
    return Shift(rate, level, bool(rate.low > NOTABLE * level), labelled)


def summarise_gate(table: pl.DataFrame, *, confidence_level: float) -> dict[str, object]:
    """The section `gate` of an assessment, from a table with `GATE_COLUMNS`.

    Raises:
        PredictionsError: a column is missing.
    """
    missing = [name for name in GATE_COLUMNS if name not in table.columns]
    if missing:
        raise PredictionsError(f"gate table: no column {', '.join(missing)}. Evaluate again.")
    ordered = table.sort("image_id")
    scored = ordered.filter(pl.col("familiarity").is_not_null())
    patients = scored["patient_id"].fill_null(scored["image_id"]).to_numpy()
    clusters = np.unique(patients, return_inverse=True)[1]
    shift = None
    if scored.height:
        level = float(np.max(scored["level"].to_numpy()))
        flags = scored["unfamiliar"].to_numpy()
        shift = batch_shift(
            flags, clusters, level=level, confidence_level=confidence_level, labelled=True
        )
    return {
        "n_images": ordered.height,
        "refused": int(ordered["refused"].sum()),
        "median_familiarity": float(np.median(scored["familiarity"].to_numpy()))
        if scored.height
        else None,
        **(dict.fromkeys(_SAID) if shift is None else shift.to_json()),
    }


_UNTOLD = (
    "Without true labels, other images and labels in other shares cannot be told apart, so neither "
    "what is promised for each label nor predictive values are to be relied upon."
)
_SAID = ("unfamiliar", "level", "shifted", "statement")


def _percent(share: float) -> str:
    """Whole percent, or tenths where they matter."""
    value = 100 * share
    return f"{value:.0f} %" if 5 <= value <= 95 else f"{round(value, 1):g} %"
