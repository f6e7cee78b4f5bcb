"""What a training tells of its data and precision: hashes and counts, never an image or a path."""

from __future__ import annotations

import polars as pl

from pneumoscope.tracking import DataInput
from pneumoscope.tracking.inputs import inputs_of
from pneumoscope.tracking.naming import named_precisions
from pneumoscope.training.trainer import Trained


def data_inputs(name: str, catalogue: pl.DataFrame) -> tuple[DataInput, ...]:
    """The data set, then each split of it, by name and hash.

    Args:
        name: Of the data.
        catalogue: With every usable image in a split.
    """
    return inputs_of(name, catalogue)


def precision_tags(trained: Trained) -> dict[str, str]:
    """In which precision each phase and the frozen backbone computed."""
    frozen = trained.frozen
    return named_precisions(
        trained.phase_precisions.values(), frozen=frozen.precision, engine=frozen.engine
    )
