"""Label errors, suspected where an image's nearest neighbours all carry another label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.core.types import FloatArray
from pneumoscope.data.audit.data import AuditData
from pneumoscope.data.audit.issues import Fact, Issue, count, sorted_paths
from pneumoscope.data.audit.statistics import batched

_NEIGHBOURS = 10
_SUSPECT = 0.9
_MOST_REFERENCES = 20_000
_SHOWN = 200


def label_suspects(data: AuditData) -> list[Issue]:
    """Images nearly all of whose nearest neighbours, of other patients, have another label."""
    if not data.embeddings:
        return []
    known = list(data.embeddings)
    images = data.images.filter(pl.col("image_id").is_in(known))
    if images.height < 3 * _NEIGHBOURS or images["label"].n_unique() < 2:
        return []
    vectors = np.stack([data.embeddings[image_id] for image_id in images["image_id"]])
    labels = images["label"].to_list()
    shares = disagreement(vectors, labels, _kin(data, images))
    order = np.argsort(-shares, kind="stable")
    suspects = [int(row) for row in order if shares[row] >= _SUSPECT]
    if not suspects:
        return []
    paths = images["path"].to_list()
    facts: dict[str, Fact] = {"images": len(suspects), "neighbours": _NEIGHBOURS}
    facts |= {paths[row]: float(shares[row]) for row in suspects[:_SHOWN]}
    message = (
        f"{count(len(suspects), 'image')} look like those of another label: at least "
        f"{_SUSPECT:.0%} of their nearest neighbours carry one. Some are label errors, some are "
        "hard: have them read again, the most suspect first."
    )
    title = "Label-error suspects"
    found = sorted_paths(paths[row] for row in suspects)
    return [Issue("label_suspects", "warning", title, message, found, facts)]


def disagreement(
    vectors: FloatArray, labels: Sequence[str], groups: Sequence[str], *, k: int = _NEIGHBOURS
) -> FloatArray:
    """`[image]`: how many of the `k` nearest images carry another label, 0 to 1.

    Images of the same group are not asked; each counts by its cosine similarity.

    Args:
        vectors: `[image, dimension]`.
        labels: one per image.
        groups: images of one group are not neighbours: patients, duplicates.
        k: neighbours; of more than 20,000 images, every n-th is looked at.
    """
    unit = np.asarray(vectors, dtype=np.float32)
    unit = unit / (np.linalg.norm(unit, axis=1, keepdims=True) + np.float32(1e-12))
    codes, kin = (
        np.unique(np.asarray(names), return_inverse=True)[1] for names in (labels, groups)
    )
    chosen = np.arange(0, len(unit), -(-len(unit) // _MOST_REFERENCES))
    shares = [
        _share(unit[part] @ unit[chosen].T, codes[part], codes[chosen], kin[part], kin[chosen], k)
        for part in batched(len(unit), 1024)
    ]
    return np.concatenate(shares)


def _share(
    similarity: FloatArray,
    own: NDArray[np.intp],
    others: NDArray[np.intp],
    kin: NDArray[np.intp],
    kin_of_others: NDArray[np.intp],
    k: int,
) -> FloatArray:
    similarity = np.where(kin[:, None] == kin_of_others, -1.0, similarity)
    nearest = np.argpartition(-similarity, min(k, similarity.shape[1]) - 1, axis=1)[:, :k]
    weight = np.maximum(np.take_along_axis(similarity, nearest, axis=1), 0) + 1e-9
    different = others[nearest] != own[:, None]
    return np.asarray((weight * different).sum(axis=1) / weight.sum(axis=1), dtype=np.float64)


def _kin(data: AuditData, images: pl.DataFrame) -> list[str]:
    """Patient or duplicate group: those who would only vouch for themselves."""
    from pneumoscope.data.audit.links import duplicate_groups, links

    groups = duplicate_groups(data, links(data)).unique("image_id")
    number = dict(groups.select("image_id", "duplicate_group").iter_rows())
    first: dict[object, str] = {}
    for image_id, group in images.select("image_id", "group").iter_rows():
        first.setdefault(number.get(image_id, image_id), group)
    return [
        str(first[number.get(image_id, image_id)]) if image_id in number else str(group)
        for image_id, group in images.select("image_id", "group").iter_rows()
    ]
