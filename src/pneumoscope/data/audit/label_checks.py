"""Label errors, suspected where an image's nearest neighbours all carry another label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.core.types import FloatArray
from pneumoscope.data.audit.data import AuditData
from pneumoscope.data.audit.issues import Fact, Issue, count, said
from pneumoscope.data.audit.statistics import batched
from pneumoscope.data.duplicates import Pair, connected_groups

_NEIGHBOURS = 10
_SUSPECT = 0.9
_MOST_REFERENCES = 20_000
_SHOWN = 200


def label_suspects(data: AuditData) -> list[Issue]:
    """Images nearly all of whose nearest neighbours, of other patients, have another label."""
    if not data.embeddings:
        return []
    images = data.images.filter(pl.col("image_id").is_in(list(data.embeddings)))
    if images.height < 3 * _NEIGHBOURS or images["label"].n_unique() < 2:
        return []
    vectors = np.stack([data.embeddings[image_id] for image_id in images["image_id"]])
    kin = _kin(data)
    groups = [kin[image_id] for image_id in images["image_id"]]
    shares = suspects(vectors, images["label"].to_list(), groups)
    if not shares:
        return []
    paths = images["path"].to_list()
    facts: dict[str, Fact] = {"images": len(shares), "neighbours": _NEIGHBOURS}
    facts |= {paths[row]: share for row, share in list(shares.items())[:_SHOWN]}
    message = (
        f"{count(len(shares), 'image')} look like those of another label: at least "
        f"{_SUSPECT:.0%} of their nearest neighbours carry one. Some are label errors, some are "
        "hard: have them read again, the most suspect first."
    )
    title, ranked = "Label-error suspects", tuple(paths[row] for row in shares)
    told = (said("label_suspects", images=len(shares), share=_SUSPECT),)
    return [Issue("label_suspects", "warning", title, message, ranked, facts, told)]


def suspects(
    vectors: FloatArray, labels: Sequence[str], groups: Sequence[str], *, k: int = _NEIGHBOURS
) -> Mapping[int, float]:
    """Row and `disagreement` of the images that reach 0.9, the most suspect first.

    Among equals it is the one whose nearest images of other labels are alike it and whose nearest
    ones of its own label are not.
    """
    space = _Space.of(vectors, labels, groups)
    shares = space.disagreement(k)
    rows = np.flatnonzero(shares >= _SUSPECT)
    order = np.lexsort((-space.lead(rows, k), -shares[rows].round(2)))
    return {int(row): float(shares[row]) for row in rows[order]}


def disagreement(
    vectors: FloatArray, labels: Sequence[str], groups: Sequence[str], *, k: int = _NEIGHBOURS
) -> FloatArray:
    """`[image]`: how many of the `k` nearest images carry another label, 0 to 1.

    Images of the same group are not asked; each counts by its cosine similarity.

    Args:
        vectors: `[image, dimension]`; every dimension is standardised.
        labels: one per image.
        groups: images of one group are not neighbours: patients, duplicates.
        k: neighbours; of more than 20,000 images, every n-th is looked at.
    """
    return _Space.of(vectors, labels, groups).disagreement(k)


@dataclass(frozen=True)
class _Space:
    """Images as directions `[image, dimension]`, with codes of their labels and groups."""

    unit: NDArray[np.float32]
    labels: NDArray[np.intp]
    groups: NDArray[np.intp]
    asked: NDArray[np.intp]
    """Rows that may be neighbours."""

    @classmethod
    def of(cls, vectors: FloatArray, labels: Sequence[str], groups: Sequence[str]) -> _Space:
        plain = np.asarray(vectors, dtype=np.float32)
        spread = plain.std(axis=0)
        # Otherwise a few loud dimensions decide who is near.
        scaled = (plain - plain.mean(axis=0)) / np.where(spread > 0, spread, np.float32(1))
        unit = scaled / (np.linalg.norm(scaled, axis=1, keepdims=True) + np.float32(1e-12))
        codes, kin = (
            np.unique(np.asarray(names), return_inverse=True)[1] for names in (labels, groups)
        )
        return cls(unit, codes, kin, np.arange(0, len(unit), -(-len(unit) // _MOST_REFERENCES)))

    def disagreement(self, k: int) -> FloatArray:
        """`[image]`: the share of the `k` nearest, by similarity, that carry another label."""
        every = np.arange(len(self.unit))
        parts = [self._disagreement(every[part], k) for part in batched(len(every), 1024)]
        return np.concatenate(parts)

    def lead(self, rows: NDArray[np.intp], k: int) -> FloatArray:
        """`[row]`: how much more alike the `k` nearest of other labels are than of its own."""
        parts = [self._lead(rows[part], k) for part in batched(len(rows), 1024)]
        return np.concatenate([np.empty(0), *parts])

    def _similarity(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """`[row, asked]`: cosine; least where both are of one group."""
        similarity = self.unit[rows] @ self.unit[self.asked].T
        similarity[self.groups[rows, None] == self.groups[self.asked]] = -1
        return similarity

    def _differs(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        return np.asarray(self.labels[rows, None] != self.labels[self.asked])

    def _disagreement(self, rows: NDArray[np.intp], k: int) -> FloatArray:
        similarity = self._similarity(rows)
        nearest = np.argpartition(-similarity, min(k, similarity.shape[1]) - 1, axis=1)[:, :k]
        weight = np.maximum(np.take_along_axis(similarity, nearest, axis=1), 0) + 1e-9
        different = np.take_along_axis(self._differs(rows), nearest, axis=1)
        return np.asarray((weight * different).sum(axis=1) / weight.sum(axis=1), dtype=np.float64)

    def _lead(self, rows: NDArray[np.intp], k: int) -> FloatArray:
        similarity, differs = self._similarity(rows), self._differs(rows)
        last = min(k, similarity.shape[1]) - 1
        others, own = (
            -np.partition(np.where(some, -similarity, 1), last, axis=1)[:, :k].mean(axis=1)
            for some in (differs, ~differs)
        )
        return np.asarray(others - own, dtype=np.float64)


def _kin(data: AuditData) -> Mapping[str, str]:
    """The group of every image: patients and duplicates, those who would only vouch for themselves.

    A copy left out still tells that its two patients are one.
    """
    owner = pl.coalesce("patient_id", "image_id")
    rows = data.readable.select("image_id", owner.alias("group")).iter_rows()
    return connected_groups(cast("Sequence[Pair]", data.pairs), rows)
