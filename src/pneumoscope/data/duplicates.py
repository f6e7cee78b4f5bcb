"""Images that are there more than once, and the groups that must not be split.

Copies are told by their canvases, not by their files: another file name, format or metadata does
not hide them.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from pneumoscope.core.progress import Reporter
from pneumoscope.data.cache import PixelCache

_BATCH = 256


@dataclass(frozen=True)
class Pair:
    """Two images that show the same exposure; `first` sorts before `second`."""

    first: str
    second: str
    kind: Literal["exact", "near"]
    similarity: float
    """Correlation of the aligned pixels, 1 where they are equal."""
    mirrored: bool


def find_duplicates(
    image_ids: Sequence[str], pixels: PixelCache, *, reporter: Reporter
) -> list[Pair]:
    """Pairs of images whose decoded pixels are equal on the canvas, sorted.

    Raises:
        StorageError: a canvas is not in the cache.
    """
    alike: dict[bytes, list[str]] = defaultdict(list)
    batches = -(-len(image_ids) // _BATCH)
    work = pixels.batches(list(image_ids), _BATCH)
    for ids, canvases in reporter.track(work, "Looking for copies", batches):
        for image_id, canvas in zip(ids, canvases, strict=True):
            alike[hashlib.blake2b(canvas.tobytes(), digest_size=16).digest()].append(image_id)
    return [
        Pair(first, second, "exact", similarity=1.0, mirrored=False)
        for same in sorted(map(sorted, alike.values()))
        for first, second in combinations(same, 2)
    ]


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
