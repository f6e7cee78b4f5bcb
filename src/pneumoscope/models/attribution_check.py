"""Do saliency maps depend on what was learned: maps before and after weights are made random."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pneumoscope.core.errors import InputError
from pneumoscope.core.types import FloatArray, IntArray, PixelBatch
from pneumoscope.models.attribution import attribute
from pneumoscope.models.classifier import Classifier, seeded
from pneumoscope.models.stages import stage_parameters, stages

_POINTS = 28


def randomised_similarity(
    classifier: Classifier,
    canvases: PixelBatch,
    label_indices: IntArray | Sequence[int],
    *,
    method: str = "gradcam",
    last: int = 0,
    draws: int = 2,
    seed: int = 0,
) -> NDArray[np.float64]:
    """`[image]`: rank correlation, -1 to 1, of maps before and after randomisation.

    Near 1, the map shows the image and not what was learned; a method or network to be trusted is
    well below (Adebayo et al. 2018: parameters randomised in a cascade from the output). nan where
    a map is the same everywhere, so that it has no ranks. Maps are compared at some 28 x 28 points.

    Args:
        classifier: Trained; left as it is.
        canvases: `[image, 1, size, size]`, uint8 grey levels.
        label_indices: `[image]`, which logit is explained.
        method: As `attribute` takes it.
        last: Stages of the backbone, counted from the output, that lose their weights besides the
            head. Called with 0, 1, 2, ... this is the paper's cascade.
        draws: Over how many randomisations the mean is taken.
        seed: Of the randomisations.

    Raises:
        InputError: an unknown method or label, or more stages than there are.
    """
    points = (slice(None), *(2 * (slice(None, None, max(canvases.shape[-1] // _POINTS, 1)),)))
    before = attribute(classifier, canvases, label_indices, method=method)[points]
    found = np.empty((draws, len(canvases)))
    for draw in range(draws):
        other = randomise(classifier, canvases.shape[-1], last=last, seed=seed, draw=draw)
        after = attribute(other, canvases, label_indices, method=method)[points]
        found[draw] = [rank_correlation(*pair) for pair in zip(before, after, strict=True)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        return np.asarray(np.nanmean(found, axis=0), dtype=np.float64)


def randomise(
    classifier: Classifier, size: int, *, last: int = 0, seed: int = 0, draw: int = 0
) -> Classifier:
    """A copy whose head, and last stages, have the values of each tensor in random order.

    Shuffled weights carry nothing of what was learned and keep their distribution, so that no
    activation fades or explodes. A tensor's order depends on seed, draw and its name alone: with
    more stages, those shuffled before are shuffled alike.

    Args:
        classifier: Left as it is.
        size: Side of the canvas.
        last: Stages of the backbone, counted from the output.
        seed: Of the orders.
        draw: Which of several.

    Raises:
        InputError: more stages than there are.
    """
    other = copy.deepcopy(classifier)
    for name, parameter in _cascade(other, size, last):
        with seeded(seed, "randomised weights", draw, name):
            order = torch.randperm(parameter.numel()).to(parameter.device)
        with torch.no_grad():
            parameter.copy_(parameter.reshape(-1)[order].reshape(parameter.shape))
    return other


def rank_correlation(first: FloatArray, second: FloatArray) -> float:
    """Spearman's rank correlation of two arrays of one shape, ties at their mean rank.

    nan where all values of one are the same.
    """
    from scipy.stats import rankdata

    ranks = [rankdata(values, axis=None) for values in (first, second)]
    one, two = (values - values.mean() for values in ranks)
    spread = float(np.sqrt((one @ one) * (two @ two)))
    return float(one @ two) / spread if spread > 0 else float("nan")


def _cascade(classifier: Classifier, size: int, last: int) -> Iterator[tuple[str, nn.Parameter]]:
    """Names and parameters from the output on: the head's, then those of the last stages."""
    for name, parameter in classifier.head.named_parameters():
        yield f"head.{name}", parameter
    if not last:
        return
    network = classifier.backbone.network
    found = stages(network, size)
    if not 0 <= last <= len(found):
        message = f"last={last}; the backbone has {len(found)} stages. Give 0 to {len(found)}."
        raise InputError(message)
    for stage in found[-last:]:
        for name, parameter in stage_parameters(network, stage):
            yield f"backbone.{name}", parameter
