"""Where models agree: the images they share, and those that one has right and another wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.subgroups import select_images


@dataclass(frozen=True)
class Counts:
    """Images by which of two models has them right."""

    both_right: int
    only_first: int
    only_second: int
    both_wrong: int

    @property
    def images(self) -> int:
        """All of them."""
        return self.both_right + self.only_first + self.only_second + self.both_wrong


@dataclass(frozen=True)
class Agreement:
    """Two models on the same images.

    Attributes:
        first: name of a model.
        second: name of the other.
        counts: of all images.
        by_label: of the images of each label.
    """

    first: str
    second: str
    counts: Counts
    by_label: dict[str, Counts]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "first": self.first,
            "second": self.second,
            **asdict(self.counts),
            "by_label": {label: asdict(counts) for label, counts in self.by_label.items()},
        }


def shared_images(predictions: Mapping[str, Predictions]) -> dict[str, Predictions]:
    """The models' predictions for the images that all of them answered.

    Raises:
        PredictionsError: no image is common to all.
    """
    common = set.intersection(*(set(model.image_ids) for model in predictions.values()))
    if not common:
        counts = ", ".join(f"{name} {model.n_images}" for name, model in predictions.items())
        message = f"no image in common (images: {counts}); allowed: some that all answered."
        raise PredictionsError(f"{message} Evaluate all on one split of one data set.")
    return {
        name: model
        if model.n_images == len(common)
        else select_images(model, np.array([image in common for image in model.image_ids]))
        for name, model in predictions.items()
    }


def agreements(
    predictions: Mapping[str, Predictions], pairs: Sequence[tuple[str, str]]
) -> list[Agreement]:
    """How often both, one or none of each pair is right.

    Args:
        predictions: by name of the model, all for the same images (see `shared_images`).
        pairs: names of models.
    """
    right = {name: model.predicted == model.truth for name, model in predictions.items()}
    some = next(iter(predictions.values()))
    own = {label: some.truth == place for place, label in enumerate(some.labels)}
    everything = np.ones(some.n_images, dtype=bool)
    return [
        Agreement(
            first,
            second,
            _counts(right[first], right[second], everything),
            {label: _counts(right[first], right[second], images) for label, images in own.items()},
        )
        for first, second in pairs
    ]


def disputed_images(predictions: Mapping[str, Predictions]) -> pl.DataFrame:
    """A row per image that some models have right and others wrong, the widest apart first.

    Columns: image_id, label (the true one), spread (largest less smallest probability given to
    the true label), right (number of models), then `answer:<model>` and `probability:<model>`
    (of the true label) for each model.

    Args:
        predictions: by name of the model, all for the same images (see `shared_images`).
    """
    models = list(predictions.values())
    some, images = models[0], np.arange(models[0].n_images)
    right = np.stack([model.predicted == model.truth for model in models])
    given = np.stack([model.probabilities[images, model.truth] for model in models])
    labels = np.array(some.labels, dtype=object)
    columns: dict[str, object] = {
        "image_id": list(some.image_ids),
        "label": labels[some.truth].tolist(),
        "spread": np.ptp(given, axis=0),
        "right": right.sum(axis=0),
    }
    for name, model, probability in zip(predictions, models, given, strict=True):
        columns |= {f"answer:{name}": labels[model.predicted].tolist()}
        columns |= {f"probability:{name}": probability}
    disputed = pl.lit(pl.Series(right.any(axis=0) & ~right.all(axis=0)))
    table = pl.DataFrame(columns).filter(disputed)
    return table.sort("spread", "image_id", descending=[True, False])


def _counts(
    first: NDArray[np.bool_], second: NDArray[np.bool_], chosen: NDArray[np.bool_]
) -> Counts:
    return Counts(
        both_right=int((first & second & chosen).sum()),
        only_first=int((first & ~second & chosen).sum()),
        only_second=int((~first & second & chosen).sum()),
        both_wrong=int((~first & ~second & chosen).sum()),
    )
