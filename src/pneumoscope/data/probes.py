"""Small models that see no anatomy: what size and format, a frame, or the source tell of a label.

They are trained on what they are given and judged on other patients. Rows may come in any order:
they are put in that of the images' ids first. Labels weigh the same, however many images they
have: what a fold or a split has more of is no answer, and folds can be judged together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.core.errors import LabelError
from pneumoscope.core.randomness import derive_seed, generator, unit_hash
from pneumoscope.core.types import FloatArray, IntArray, PixelBatch

METADATA = (
    "width", "height", "aspect", "bits", "photometric", "extension", "source", "view",
)  # fmt: skip
"""What `metadata_features` gives, in this order."""

FRAME = 0.1
"""Of the side: how wide a frame `border_features` looks at."""

FOLDS = 5
"""Of cross-validation; a source needs so many patients, and inside it each label does."""

_TEXTS = ("photometric", "extension", "source", "view")
_BLOCKS = 10
_LEAST = 1e-6
_STRENGTH = 4.0
"""`C` of the logistic regressions times the number of images: columns are standardised, and there
may be a thousand of them for a few hundred images."""

Fit = Callable[[FloatArray, IntArray], Callable[[FloatArray], FloatArray]]
"""Trains on `[image, feature]` and codes 0, 1, ...; gives what tells `[image, code]`."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Images and numbers about each.

    Attributes:
        image_ids: unique.
        patients: None when unknown; the image then stands alone.
        labels: true ones.
        features: `[image, feature]`, such as embeddings; NaN where unknown (trees only).
    """

    image_ids: Sequence[str]
    patients: Sequence[str | None]
    labels: Sequence[str]
    features: FloatArray

    def __post_init__(self) -> None:
        """Refuse parts of different lengths."""
        lengths = [len(part) for part in (self.image_ids, self.patients, self.labels)]
        if {*lengths, len(self.features)} != {len(self.image_ids)}:
            found = f"{lengths} ids, patients and labels for {len(self.features)} rows of features"
            raise LabelError(f"{found}; allowed: one of each per image. Align them.")

    def ordered(self) -> tuple[NDArray[np.intp], NDArray[np.object_], IntArray]:
        """The order of the ids, and in that order labels and numbers of patients, `[image]`."""
        order = np.argsort(np.asarray(self.image_ids, dtype=object), kind="stable")
        ids = [self.image_ids[at] for at in order]
        patients = [self.patients[at] for at in order]
        names = [
            f"image {image}" if patient is None else f"patient {patient}"
            for image, patient in zip(ids, patients, strict=True)
        ]
        numbers = np.unique(np.asarray(names), return_inverse=True)[1]
        return order, np.asarray(self.labels, dtype=object)[order], numbers


def metadata_features(rows: pl.DataFrame) -> FloatArray:
    """`[image, METADATA]`: what a catalogue says of each image that is no content of it.

    A text is a number in [0, 1) that depends on the text alone, so that other rows, such as those
    of another split, have the same. NaN is unknown.

    Args:
        rows: of a catalogue.
    """
    extension = pl.col("path").str.extract(r"(\.[^./#]+)$").str.to_lowercase()
    table = rows.with_columns(aspect=pl.col("width") / pl.col("height"), extension=extension)
    columns = []
    for name in METADATA:
        values = table[name].to_list()
        if name in _TEXTS:
            values = [None if value is None else unit_hash(0, name, value) for value in values]
        columns.append([np.nan if value is None else float(value) for value in values])
    return np.array(columns, dtype=np.float64).T


def border_features(canvases: PixelBatch, *, frame: float = FRAME) -> FloatArray:
    """`[image, 80]`: means and spreads of blocks of the outer frame; nothing of what it holds.

    Ten blocks along each side, in grey levels. A letterbox margin lies in the frame, and so does
    what little anatomy an image has at its border.

    Args:
        canvases: `[batch, 1, size, size]`.
        frame: its width, fraction of the side.
    """
    size = canvases.shape[-1]
    deep = max(1, round(frame * size))
    pictures = canvases[:, 0]
    between = slice(deep, max(deep + 1, size - deep))
    sides = (
        pictures[:, :deep],
        pictures[:, -deep:],
        pictures[:, between, :deep].transpose(0, 2, 1),
        pictures[:, between, -deep:].transpose(0, 2, 1),
    )
    return np.concatenate([_block_moments(side) for side in sides], axis=1)


def cue_predictions(
    measured: Measured,
    *,
    label_set: Sequence[str],
    training: Measured | None = None,
    seed: int = 0,
) -> dict[str, FloatArray]:
    """Log probabilities `[label]` by image id, of gradient-boosted trees on the features.

    They are logits for `predictions_table` with temperature 1. Features that do not vary, or
    training images of one label, give equal probabilities.

    Args:
        measured: images to answer; their labels are used only without `training`.
        label_set: the labels, in the order of the result.
        training: images of other patients to learn from; without it the answers are
            cross-validated by patient.
        seed: of folds and trees.

    Raises:
        LabelError: a label of the images learned from is not in the label set.
    """
    order, _, members = measured.ordered()
    features = np.asarray(measured.features, dtype=np.float64)[order]
    learned = measured if training is None else training
    from_order, labels, _ = learned.ordered()
    codes = _codes(labels, label_set)
    fit = _trees(derive_seed(seed, "cues") % 2**32)
    if training is None:
        scores = _cross_validated(features, codes, members, len(label_set), fit, seed)
    else:
        table = np.asarray(training.features, dtype=np.float64)[from_order]
        scores = _trained(table, codes, features, len(label_set), fit)
    ids = [measured.image_ids[at] for at in order]
    return dict(zip(ids, np.log(np.clip(scores, _LEAST, 1)), strict=True))


def source_probe(
    measured: Measured, sources: Sequence[str | None], *, seed: int = 0
) -> tuple[tuple[str, ...], FloatArray]:
    """How well features tell the source: the sources, and probabilities `[image, source]`.

    Logistic regression on standardised features, cross-validated by patient. Sources of fewer
    than five patients are left out; NaN for their images and those of unknown source.

    Args:
        measured: images and their features, such as embeddings.
        sources: of each image, None when unknown.
        seed: of the folds.
    """
    order, _, members = measured.ordered()
    own = np.asarray(sources, dtype=object)[order]
    names = tuple(_populous(own, members))
    told = np.full((len(order), len(names)), np.nan)
    if len(names) > 1:
        rows = np.isin(own, names)
        table = np.asarray(measured.features, dtype=np.float64)[order][rows]
        codes = _codes(own[rows], names)
        told[rows] = _cross_validated(table, codes, members[rows], len(names), _regression, seed)
    return names, told[np.argsort(order)]


def leave_one_source_out(
    measured: Measured,
    sources: Sequence[str | None],
    *,
    label_set: Sequence[str],
    seed: int = 0,
) -> tuple[FloatArray, FloatArray]:
    """Probabilities `[image, label]` learned from the other sources, and inside the image's own.

    Logistic regression on standardised features; inside a source it is cross-validated by patient.
    Only labels that both a source and the others have take part, so that both answer the same
    question. NaN where it cannot be asked: fewer than two such labels, an image of another
    label, or, inside, a label of fewer than five patients.

    Args:
        measured: images and their features, such as embeddings.
        sources: of each image, None when unknown.
        label_set: the labels, in the order of the results.
        seed: of the folds.

    Raises:
        LabelError: a label is not in the label set.
    """
    order, labels, members = measured.ordered()
    own = np.asarray(sources, dtype=object)[order]
    table, codes = np.asarray(measured.features, dtype=np.float64)[order], _codes(labels, label_set)
    known = np.array([source is not None for source in own], dtype=np.bool_)
    outside, inside = np.full((2, len(order), len(label_set)), np.nan)
    for name in _populous(own, members):
        others = known & (own != name)
        common = np.intersect1d(codes[own == name], codes[others])
        if len(common) < 2:
            continue
        usable, apart = np.isin(codes, common), np.searchsorted(common, codes)
        held, learned = usable & (own == name), usable & others
        outside[held] = _spread(
            _trained(table[learned], apart[learned], table[held], len(common), _regression),
            common, len(label_set),
        )  # fmt: skip
        if min(len(np.unique(members[held & (codes == code)])) for code in common) >= FOLDS:
            scores = _cross_validated(
                table[held], apart[held], members[held], len(common), _regression, seed
            )
            inside[held] = _spread(scores, common, len(label_set))
    back = np.argsort(order)
    return outside[back], inside[back]


def source_table(
    measured: Measured,
    sources: Sequence[str | None],
    *,
    label_set: Sequence[str],
    seed: int = 0,
) -> pl.DataFrame | None:
    """The table that `evaluation.sources` summarises; None where no source is known.

    A row per image whose source is known and has five patients or more: `image_id`, `patient_id`,
    `label`, `source`, `told:<source>`, `outside:<label>` and `inside:<label>`, probabilities
    or null. See `source_probe` and `leave_one_source_out`. Where there are no two such sources,
    the first four columns alone, of every image whose source is known.

    Args:
        measured: images and their embeddings.
        sources: of each image, None when unknown.
        label_set: the labels.
        seed: of the folds.

    Raises:
        LabelError: a label is not in the label set.
    """
    keys = {
        "image_id": measured.image_ids, "patient_id": measured.patients,
        "label": measured.labels, "source": sources,
    }  # fmt: skip
    columns = [pl.Series(key, list(values), dtype=pl.String) for key, values in keys.items()]
    names, told = source_probe(measured, sources, seed=seed)
    if len(names) < 2:
        recorded = pl.DataFrame(columns).filter(pl.col("source").is_not_null()).sort("image_id")
        return None if recorded.is_empty() else recorded
    outside, inside = leave_one_source_out(measured, sources, label_set=label_set, seed=seed)
    parts = (("told", names, told), ("outside", label_set, outside), ("inside", label_set, inside))
    for prefix, headings, values in parts:
        columns += [
            pl.Series(f"{prefix}:{heading}", values[:, at], dtype=pl.Float64).fill_nan(None)
            for at, heading in enumerate(headings)
        ]
    return pl.DataFrame(columns).filter(pl.col("source").is_in(names)).sort("image_id")


def _block_moments(side: NDArray[np.uint8]) -> FloatArray:
    """`[image, 20]`: mean and spread of ten blocks along `[image, deep, length]`."""
    length = side.shape[2]
    starts = np.arange(_BLOCKS) * length // _BLOCKS
    counts = np.maximum(np.diff(starts, append=length), 1) * side.shape[1]
    levels = side.astype(np.float32)
    sums, squares = (
        np.add.reduceat(part.sum(axis=1, dtype=np.float64), starts, axis=1) / counts
        for part in (levels, levels * levels)
    )
    spreads = np.sqrt(np.maximum(squares - sums * sums, 0))
    # Rounded, as sums in another order would differ in the last digits.
    return np.round(np.concatenate([sums, spreads], axis=1), 6)


def _populous(sources: NDArray[np.object_], members: IntArray) -> list[str]:
    """The known sources of enough patients, in ascending order."""
    known = sorted({source for source in sources if source is not None})
    return [name for name in known if len(np.unique(members[sources == name])) >= FOLDS]


def _codes(names: NDArray[np.object_], allowed: Sequence[str]) -> IntArray:
    places = {name: place for place, name in enumerate(allowed)}
    unknown = sorted({str(name) for name in names if name not in places})
    if unknown:
        message = f"label '{unknown[0]}'; allowed: {', '.join(allowed)}."
        raise LabelError(f"{message} Leave its images out or extend the label set.")
    return np.array([places[name] for name in names], dtype=np.int64)


def _spread(scores: FloatArray, columns: IntArray, count: int) -> FloatArray:
    """`[image, count]`: the scores in their columns, 0 in others."""
    wide = np.zeros((len(scores), count))
    wide[:, columns] = scores
    return wide


def _folds(codes: IntArray, members: IntArray, seed: int) -> IntArray:
    """`[image]`: 0 to 4; patients of one label are dealt out in turn, in a drawn order."""
    numbers, first = np.unique(members, return_index=True)
    drawn = generator(seed, "probes", "folds").permutation(len(numbers))
    dealt = np.empty(len(numbers), dtype=np.int64)
    dealt[np.lexsort((drawn, codes[first]))] = np.arange(len(numbers)) % FOLDS
    return np.asarray(dealt[np.searchsorted(numbers, members)])


def _cross_validated(
    table: FloatArray, codes: IntArray, members: IntArray, count: int, fit: Fit, seed: int
) -> FloatArray:
    """`[image, count]`: what is told of each image by a model that has not seen its patient."""
    fold = _folds(codes, members, seed)
    scores = np.full((len(codes), count), 1 / count)
    for number in range(FOLDS):
        train, held = fold != number, fold == number
        if held.any():
            scores[held] = _trained(table[train], codes[train], table[held], count, fit)
    return scores


def _trained(
    table: FloatArray, codes: IntArray, others: FloatArray, count: int, fit: Fit
) -> FloatArray:
    """`[other, count]`: equal where there is nothing to learn from."""
    present, own = np.unique(codes, return_inverse=True)
    known = np.nan_to_num(table, nan=-1e300)
    varying = known.max(axis=0, initial=-1e300) > known.min(axis=0, initial=1e300)
    if len(present) < 2 or not varying.any():
        return np.full((len(others), count), 1 / count)
    tell = fit(table[:, varying], own.astype(np.int64))
    return _spread(tell(others[:, varying]), present, count)


def _trees(seed: int) -> Fit:
    def fit(table: FloatArray, codes: IntArray) -> Callable[[FloatArray], FloatArray]:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        trees = HistGradientBoostingClassifier(
            max_iter=40, max_leaf_nodes=8, learning_rate=0.15, early_stopping=False,
            min_samples_leaf=int(np.clip(len(codes) // 50, 3, 20)), class_weight="balanced",
            random_state=seed,
        )  # fmt: skip
        # Small fits: threads would wait for each other longer than they work.
        with threadpool_limits(limits=1, user_api="openmp"):
            trees.fit(table, codes)
        return lambda others: np.asarray(trees.predict_proba(others))

    return fit


def _regression(table: FloatArray, codes: IntArray) -> Callable[[FloatArray], FloatArray]:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    middle, scale = table.mean(axis=0), table.std(axis=0)
    model = LogisticRegression(
        C=_STRENGTH / len(codes), class_weight="balanced", max_iter=100, tol=1e-3
    )
    with warnings.catch_warnings():
        # What is left after 100 steps moves no ranking that matters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((table - middle) / scale, codes)
    return lambda others: np.asarray(model.predict_proba((others - middle) / scale))
