"""Which images hang together: byte-identical copies, confirmed duplicates, patients."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from pneumoscope.data.audit.data import AuditData

_SIDE = ("path", "label", "split", "source", "patient_id")
_SCHEMA = {"kind": pl.String, "similarity": pl.Float64, "mirrored": pl.Boolean}


def links(data: AuditData) -> pl.DataFrame:
    """One row per two images that show the same.

    `kind` (copy, exact, near), `similarity`, `mirrored`, and `path`, `label`, `split`, `source`,
    `patient_id` of either image, `..._second` for one of them. Copies are files of the same bytes,
    which share an image id; a pair speaks for the first file of each id.
    """
    by_id = data.readable.group_by("image_id", maintain_order=True).agg(pl.col("path"))
    paths: dict[str, list[str]] = dict(by_id.iter_rows())
    rows = [
        ("copy", 1.0, False, first, second)
        for same in paths.values()
        for first, second in pairwise(same)
    ]
    rows += [
        (pair.kind, pair.similarity, pair.mirrored, paths[pair.first][0], paths[pair.second][0])
        for pair in data.pairs
        if pair.first in paths and pair.second in paths
    ]
    schema = {**_SCHEMA, "path": pl.String, "path_second": pl.String}
    sides = data.readable.select(_SIDE)
    second = sides.rename({name: f"{name}_second" for name in _SIDE})
    table = pl.DataFrame(rows, schema=schema, orient="row")
    return table.join(sides, on="path", how="left", maintain_order="left").join(
        second, on="path_second", how="left", maintain_order="left"
    )


def both_paths(table: pl.DataFrame) -> list[str]:
    """Every path of a table of links."""
    return [*table["path"], *table["path_second"]]


def duplicate_groups(data: AuditData, table: pl.DataFrame) -> pl.DataFrame:
    """The readable rows that have a duplicate, with the number of their `duplicate_group`.

    A group is what is linked, directly or over others.
    """
    paths = pl.DataFrame({"path": both_paths(table)}, schema={"path": pl.String})
    linked = data.readable.join(paths, on="path", how="semi")
    place = {path: row for row, path in enumerate(linked["path"])}
    ends = [[place[path] for path in table[name]] for name in ("path", "path_second")]
    numbers = pl.Series("duplicate_group", _components(len(place), *ends), dtype=pl.Int64)
    return linked.with_columns(numbers)


def _components(count: int, first: Sequence[int], second: Sequence[int]) -> Sequence[int]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not count:
        return []
    ones = np.ones(len(first), dtype=np.int8)
    graph = coo_array((ones, (np.asarray(first), np.asarray(second))), shape=(count, count))
    numbers: list[int] = connected_components(graph, directed=False)[1].tolist()
    return numbers


def contradicts(data: AuditData) -> pl.Expr:
    """Whether the labels of a link contradict each other.

    Two data sets may name one finding differently (PNEUMONIA, Viral Pneumonia): labels contradict
    each other only where one data set tells them apart.
    """
    known = data.readable.select(
        pl.col("source").fill_null(""), pl.col("label").str.to_lowercase()
    ).unique()
    apart = {
        f"{one}\n{other}"
        for (_,), labels in known.group_by("source")
        for one in labels["label"]
        for other in labels["label"]
        if one != other
    }
    first, second = (pl.col(name).str.to_lowercase() for name in ("label", "label_second"))
    told = (first + "\n" + second).is_in(sorted(apart))
    return (told | (pl.col("kind") == "copy")) & (first != second)
