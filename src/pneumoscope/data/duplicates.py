"""Pairs of radiographs that show one picture, and the groups that may not be torn apart.

Exact duplicates have identical canvases. Near-duplicates are one picture rescaled, recompressed,
padded, cropped a little, made brighter or darker, or mirrored. Another radiograph of the same
patient is not a duplicate, minutes later or not: patient identities are for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations, product
from typing import Literal, Protocol

import numpy as np

from pneumoscope.core.progress import Reporter
from pneumoscope.core.types import PixelBatch
from pneumoscope.data.alignment import Textures, aligned_correlation, textures
from pneumoscope.data.signatures import SHAPE, Candidates, Signatures, candidates, signatures
from pneumoscope.data.thumbnails import SIDE, thumbnails

NEAR = 0.89
"""Aligned correlation from which two radiographs are near-duplicates."""

_BATCH = 256
_WORKERS = 2
_MANY = 16
"""Identical images beyond which not every two of them make a pair."""
_CHUNK = 64
"""Pairs aligned at once: their arrays stay in the processor's cache."""
_COARSE = 0.7
"""Least correlation at half the resolution; copies have 0.85 or more."""


@dataclass(frozen=True)
class Pair:
    """Two images that show the same exposure; `first` sorts before `second`."""

    first: str
    second: str
    kind: Literal["exact", "near"]
    similarity: float
    """Aligned correlation of local contrast, [-1, 1]; 1 where exact."""
    mirrored: bool
    """Left and right are exchanged between the two."""


class Canvases(Protocol):
    """Where the pixels come from; `PixelCache` is one."""

    def batches(
        self, image_ids: Sequence[str], batch_size: int
    ) -> Iterable[tuple[Sequence[str], PixelBatch]]:
        """Consecutive batches, each with the ids its pixels belong to."""
        ...


def find_duplicates(
    image_ids: Sequence[str], pixels: Canvases, *, threshold: float = NEAR, reporter: Reporter
) -> list[Pair]:
    """Pairs of images that show the same exposure, sorted by their ids.

    The same whatever the order of the ids. Needs about 5 KB of memory per image, whatever its
    size. Of more than a few identical images, each is paired with the first one alone, and that
    one alone with their near-duplicates; `connected_groups` brings all of them together.

    Args:
        image_ids: Distinct images.
        pixels: Their canvases.
        threshold: Least aligned correlation of a near-duplicate, [-1, 1].
        reporter: Shown the progress.

    Raises:
        StorageError: a canvas is not in the cache.
    """
    seen = _look(sorted(image_ids), pixels, reporter)
    found = candidates(seen.signatures, reporter=reporter)
    exact = (pair for same in seen.same.values() for pair in _among(same))
    near = (
        Pair(min(ids), max(ids), "near", similarity, mirrored)
        for (first, second), (similarity, mirrored) in _confirmed(seen, found, threshold, reporter)
        for ids in _across(seen.same[first], seen.same[second])
    )
    return sorted([*exact, *near], key=lambda pair: (pair.first, pair.second))


def connected_groups(
    pairs: Iterable[Pair], links: Iterable[tuple[str, str]] = ()
) -> Mapping[str, str]:
    """The group of every image named: connected components of duplicate pairs and links.

    Args:
        pairs: Duplicates.
        links: Image id and patient id.

    Returns:
        Image id to group; a group is named after the first of its patients, or of its images
        where no patient is known, so that it is the same whatever the order.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def join(one: tuple[str, str], other: tuple[str, str]) -> None:
        low, high = sorted((root(one), root(other)))
        parent[high] = low  # ("0patient", ...) sorts before ("1image", ...)

    for pair in pairs:
        join(("1image", pair.first), ("1image", pair.second))
    for image_id, patient_id in links:
        join(("1image", image_id), ("0patient", patient_id))
    images = [node for node in parent if node[0] == "1image"]
    return {image_id: root((kind, image_id))[1] for kind, image_id in images}


@dataclass(frozen=True)
class _Seen:
    """What one pass over the canvases leaves of them."""

    same: Mapping[str, Sequence[str]]
    """The first of each set of identical images, and the set."""
    owners: Sequence[str]
    """The image of each row of what follows."""
    textures: Textures
    signatures: Signatures


def _look(ordered: Sequence[str], pixels: Canvases, reporter: Reporter) -> _Seen:
    room = 2 * len(ordered)  # an image has two rows at most; memory never written to is not used
    stack = np.empty((room, SIDE, SIDE), np.int8)
    raw = np.empty((room, *SHAPE), np.float32)
    firsts: dict[bytes, str] = {}
    same: dict[str, list[str]] = {}
    owners: list[str] = []
    work = pixels.batches(ordered, _BATCH)
    for ids, canvases in reporter.track(work, "Looking for copies", -(-len(ordered) // _BATCH)):
        for image, canvas in zip(ids, canvases, strict=True):
            digest = blake2b(canvas.tobytes(), digest_size=16).digest()
            same.setdefault(firsts.setdefault(digest, image), []).append(image)
        new = [at for at, image in enumerate(ids) if image in same]
        small, images = thumbnails(canvases[new])
        rows = slice(len(owners), len(owners) + len(small))
        stack[rows] = textures(small)
        raw[rows] = signatures(stack[rows])
        owners += [ids[new[image]] for image in images]
    return _Seen(same, owners, stack[: len(owners)], raw[: len(owners)])


def _among(same: Sequence[str]) -> Iterator[Pair]:
    """Every two of a few identical images; the first with every other one of many."""
    pairs = combinations(same, 2) if len(same) <= _MANY else product(same[:1], same[1:])
    return (Pair(first, second, "exact", 1.0, mirrored=False) for first, second in pairs)


def _across(some: Sequence[str], others: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Every two of two small sets; the first ones of sets that are not."""
    few = max(len(some), len(others)) <= _MANY
    return product(some, others) if few else [(some[0], others[0])]


def _confirmed(
    seen: _Seen, found: Candidates, threshold: float, reporter: Reporter
) -> Iterable[tuple[tuple[str, str], tuple[float, bool]]]:
    """Two images each whose pixels are alike, with how much and whether mirrored."""
    best: dict[tuple[str, str], tuple[float, bool]] = {}
    for at, similarity in _aligned(seen, found, reporter):
        pair = seen.owners[found.first[at]], seen.owners[found.second[at]]
        if similarity >= threshold and pair[0] != pair[1]:
            met = min(similarity, 1.0), bool(found.mirrored[at])
            best[pair] = max(best.get(pair, met), met)
    return best.items()


def _aligned(seen: _Seen, found: Candidates, reporter: Reporter) -> Iterator[tuple[int, float]]:
    """Each candidate with its aligned correlation."""

    def compare(start: int) -> list[tuple[int, float]]:
        some = slice(start, start + _CHUNK)
        second = seen.textures[found.second[some]]
        mirrored = found.mirrored[some]
        second[mirrored] = second[mirrored][:, :, ::-1]
        similarity = aligned_correlation(
            seen.textures[found.first[some]], second, worthwhile=_COARSE
        )
        return list(enumerate(similarity.tolist(), start))

    starts = range(0, len(found.first), _CHUNK)
    with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
        work = pool.map(compare, starts)
        for some in reporter.track(work, "Confirming duplicates", len(starts)):
            yield from some
