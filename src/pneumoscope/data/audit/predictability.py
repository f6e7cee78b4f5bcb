"""How well a few numbers tell labels apart: cross-validated by patient, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.randomness import derive_seed, generator
from pneumoscope.core.types import FloatArray, IntArray

_FOLDS = 5
_MOST_IMAGES = 12_000
_Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""


@dataclass(frozen=True)
class Predictability:
    """Out-of-fold probabilities and the area under the curve they reach."""

    auc: float
    """Macro average of one label against the rest; 0.5 is chance."""
    low: float
    high: float
    """95 % interval."""
    labels: tuple[str, ...]
    probabilities: FloatArray
    """`[image, label]` of the images that were judged."""
    codes: IntArray
    """`[image]`: the index of each one's label."""

    def separable_pairs(self) -> dict[tuple[str, str], float]:
        """AUC of telling two labels apart, images of others left out; best first."""
        found = {}
        for one, other in combinations(range(len(self.labels)), 2):
            rows = np.isin(self.codes, (one, other))
            score = self.probabilities[rows, other] - self.probabilities[rows, one]
            name = (self.labels[one], self.labels[other])
            found[name] = float(placements(score, self.codes[rows] == other)[0])
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def predictability(
    features: FloatArray, labels: Sequence[str], groups: Sequence[str]
) -> Predictability | None:
    """How well gradient-boosted trees predict the label of images whose group they have not seen.

    Features without any variation are chance exactly. Of more than 12,000 images, whole groups
    are drawn. The interval is of the clustered AUC (Obuchowski 1997), averaged over labels.

    Args:
        features: `[image, feature]`, NaN where unknown.
        labels: one per image.
        groups: patients; their images stay in one fold.

    Returns:
        None where fewer than two labels have images of five groups each.
    """
    rows = _drawn(groups)
    table, names = features[rows], np.asarray(labels)[rows]
    members = np.unique(np.asarray(groups)[rows], return_inverse=True)[1]
    keep = [name for name in np.unique(names) if len(np.unique(members[names == name])) >= _FOLDS]
    if len(keep) < 2:
        return None
    chosen = np.isin(names, keep)
    codes = np.searchsorted(keep, names[chosen])
    table, members = _varying(table[chosen]), members[chosen]
    scores = _out_of_fold(table, codes, members, len(keep))
    auc, error = macro_auc(scores, codes, members)
    low, high = max(0.0, auc - _Z * error), min(1.0, auc + _Z * error)
    return Predictability(auc, low, high, tuple(map(str, keep)), scores, codes)


def macro_auc(scores: FloatArray, codes: IntArray, groups: IntArray) -> tuple[float, float]:
    """Mean one-against-the-rest AUC and its standard error with images clustered in groups.

    Each image's placement among those of the other kind is its influence (DeLong 1988); summed
    over a group, their squares give the variance (Obuchowski, Biometrics 1997), and summed over
    labels that of the average.
    """
    aucs, influence = [], np.zeros(len(codes))
    for code in range(scores.shape[1]):
        positive = codes == code
        auc, placed = placements(scores[:, code], positive)
        aucs.append(auc)
        weight = np.where(positive, 1 / positive.sum(), 1 / (~positive).sum())
        influence += (placed - auc) * weight / scores.shape[1]
    summed = np.bincount(groups, weights=influence)
    count = max(2, len(np.unique(groups)))
    return float(np.mean(aucs)), float(np.sqrt((summed**2).sum() * count / (count - 1)))


def placements(score: FloatArray, positive: NDArray[np.bool_]) -> tuple[float, FloatArray]:
    """The AUC, and for each image the share of the other kind on its right side, ties half."""
    from scipy.stats import rankdata

    ranks = rankdata(score)
    own = np.empty(len(score))
    own[positive], own[~positive] = rankdata(score[positive]), rankdata(score[~positive])
    below = ranks - own
    placed = np.where(
        positive, below / max(1, (~positive).sum()), 1 - below / max(1, positive.sum())
    )
    return float(placed[positive].mean()), placed


def _drawn(groups: Sequence[str]) -> NDArray[np.intp]:
    """All rows, or those of groups drawn until there are 12,000 images."""
    if len(groups) <= _MOST_IMAGES:
        return np.arange(len(groups))
    members = np.unique(np.asarray(groups), return_inverse=True)[1]
    order = generator(0, "audit", "groups").permutation(members.max() + 1)
    room = np.cumsum(np.bincount(members)[order]) <= _MOST_IMAGES
    return np.flatnonzero(np.isin(members, order[room]))


def _varying(table: FloatArray) -> FloatArray:
    filled = np.nan_to_num(table, nan=-1.0)
    return np.asarray(table[:, filled.max(axis=0) > filled.min(axis=0)])


def _folds(codes: IntArray, groups: IntArray) -> IntArray:
    """`[image]`: 0 to 4; groups of one label are dealt out in turn, in a drawn order."""
    number, first = np.unique(groups, return_index=True)
    order = np.lexsort((generator(0, "audit", "folds").permutation(len(number)), codes[first]))
    dealt = np.empty(len(number), dtype=np.int64)
    dealt[order] = np.arange(len(number)) % _FOLDS
    return np.asarray(dealt[np.searchsorted(number, groups)])


def _out_of_fold(table: FloatArray, codes: IntArray, groups: IntArray, labels: int) -> FloatArray:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    scores = np.full((len(codes), labels), 1 / labels)
    if not table.shape[1]:
        return scores
    seed = derive_seed(0, "audit", "folds") % 2**32
    fold = _folds(codes, groups)
    least = int(np.clip(len(codes) // 50, 3, 20))
    for number in range(_FOLDS):
        train, held_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        trees = HistGradientBoostingClassifier(
            max_iter=40, max_leaf_nodes=8, learning_rate=0.15, min_samples_leaf=least,
            early_stopping=False, random_state=seed,
        )  # fmt: skip
        # Small fits: threads would wait for each other longer than they work.
        with threadpool_limits(limits=1, user_api="openmp"):
            trees.fit(table[train], codes[train])
            judged = trees.predict_proba(table[held_out])
        scores[held_out] = 0.0
        scores[np.ix_(held_out, trees.classes_)] = judged
    return scores
