"""Train, validation, calibration, test: disjoint by patient, the same whenever it is drawn again.

A group (patient; the image itself where the patient is unknown) takes its place on a line from a
hash of the seed and its name, so adding images moves no group to another split.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pneumoscope.core.errors import LabelError
from pneumoscope.core.files import replacing
from pneumoscope.core.progress import Reporter
from pneumoscope.core.randomness import unit_hash
from pneumoscope.core.recipe import SplitRecipe
from pneumoscope.data.catalogue import usable

SPLITS = ("train", "validation", "calibration", "test")

_LEAST_PER_LABEL = 20
"""A given validation part with fewer images of any label says nothing about a model."""


def assign_splits(
    catalogue: pl.DataFrame, recipe: SplitRecipe, *, seed: int, reporter: Reporter
) -> pl.DataFrame:
    """The catalogue with every usable image in one of `SPLITS`.

    A given test part is kept, and its patients leave the other parts. A given validation part is
    kept if every label has 20 images in it; otherwise it is said and drawn from train.

    Raises:
        LabelError: a label has too few groups to be in every split.
    """
    given = _kept_parts(catalogue, recipe, reporter)
    catalogue = _seal_test(catalogue.with_columns(given.alias("split")), reporter)
    grouped = catalogue.with_columns(group=pl.coalesce("patient_id", "image_id"))
    drawn = _draw(grouped, recipe, seed)
    _say_unknown_patients(catalogue, reporter)
    joined = grouped.join(drawn, on="group", how="left", maintain_order="left")
    split = pl.when(pl.col("excluded").is_null()).then(pl.coalesce("split", "drawn"))
    result = joined.with_columns(split.alias("split")).select(catalogue.columns)
    _require_every_label(result)
    return result


def save_split(catalogue: pl.DataFrame, path: Path) -> None:
    """Write the split file: `image_id`, `group`, `split` of every usable image."""
    table = usable(catalogue).select(
        "image_id", pl.coalesce("patient_id", "image_id").alias("group"), "split"
    )
    with replacing(path) as temporary:
        table.sort("image_id").write_parquet(temporary)


def limit_images(catalogue: pl.DataFrame, limit: int | None, *, seed: int) -> pl.DataFrame:
    """The catalogue with at most about `limit` usable images, the others excluded as `not drawn`.

    Groups are drawn whole, evenly from every label and given part.
    """
    live = usable(catalogue)
    if limit is None or live.height <= limit:
        return catalogue
    fraction = limit / live.height
    place = pl.coalesce("patient_id", "image_id").map_elements(
        lambda group: unit_hash(seed, "limit", group), return_dtype=pl.Float64
    )
    rank = place.rank("ordinal").over("label", "split")
    share = (pl.len().over("label", "split") * fraction).ceil()
    chosen = live.filter(rank <= pl.max_horizontal(share, 10))["path"]
    left_out = pl.col("excluded").is_null() & ~pl.col("path").is_in(chosen.implode())
    reason = pl.when(left_out).then(pl.lit("not drawn (data.limit)")).otherwise("excluded")
    return catalogue.with_columns(reason.alias("excluded"))


def _kept_parts(catalogue: pl.DataFrame, recipe: SplitRecipe, reporter: Reporter) -> pl.Expr:
    """The given parts that stand: test, and a validation part of useful size."""
    if not recipe.use_given:
        return pl.lit(None, pl.String)
    keep = {"test"}
    live = usable(catalogue)
    labels = live["label"].n_unique()
    counts = live.filter(pl.col("split") == "validation").group_by("label").len()
    if (
        counts.height == labels
        and counts["len"].to_list()
        and min(counts["len"]) >= _LEAST_PER_LABEL
    ):
        keep.add("validation")
    elif counts.height:
        reporter.warn(
            f"the given validation part has {counts['len'].sum()} images, too few to be of use "
            f"(at least {_LEAST_PER_LABEL} per label): validation is drawn from train by patient."
        )
    return pl.when(pl.col("split").is_in(sorted(keep))).then("split")


def _seal_test(catalogue: pl.DataFrame, reporter: Reporter) -> pl.DataFrame:
    """Exclude, outside the given test (then validation) part, the images of its patients."""
    for part in ("test", "validation"):
        inside = pl.col("split").eq_missing(pl.lit(part))
        sealed = catalogue.filter(inside, pl.col("excluded").is_null())["patient_id"].drop_nulls()
        later = ~pl.col("split").is_in(["test"]).fill_null(value=False)
        crossing = ~inside & later & pl.col("patient_id").is_in(sealed.unique().implode())
        crossing = crossing & pl.col("excluded").is_null()
        if count := catalogue.filter(crossing).height:
            reporter.warn(f"{count} images show patients of the given {part} part: excluded.")
        reason = pl.when(crossing).then(pl.lit(f"patient is in the given {part} part"))
        catalogue = catalogue.with_columns(reason.otherwise("excluded").alias("excluded"))
    return catalogue


def _draw(grouped: pl.DataFrame, recipe: SplitRecipe, seed: int) -> pl.DataFrame:
    """`group`, `drawn` for every group that no given part holds."""
    free = usable(grouped).filter(pl.col("split").is_null())
    given = set(usable(grouped)["split"].drop_nulls().unique())
    groups = free.group_by("group").agg(pl.col("label").mode().min()).sort("group")
    places = [unit_hash(seed, "split", group) for group in groups["group"]]
    shares = {
        name: getattr(recipe, name) for name in ("validation", "calibration", "test")
    }  # fmt: skip
    total = 1 - sum(shares[name] for name in given if name in shares)
    wanted = {name: share / total for name, share in shares.items() if name not in given}
    drawn = [_split_at(place, wanted) for place in places]
    table = groups.with_columns(
        place=pl.Series(places, dtype=pl.Float64), drawn=pl.Series(drawn, dtype=pl.String)
    )
    return _fill_empty(table, tuple(wanted)).select("group", "drawn")


def _split_at(place: float, wanted: dict[str, float]) -> str:
    for name, share in wanted.items():
        if place < share:
            return name
        place -= share
    return "train"


def _fill_empty(table: pl.DataFrame, wanted: tuple[str, ...]) -> pl.DataFrame:
    """Give every split a group of every label: a small set may leave one empty by chance."""
    split = dict(table.select("group", "drawn").iter_rows())
    for label in table["label"].unique().sort():
        groups = table.filter(pl.col("label") == label).sort("place")["group"].to_list()
        for name in wanted:
            train = [group for group in groups if split[group] == "train"]
            if len(train) > 1 and name not in {split[group] for group in groups}:
                split[train[0]] = name
    drawn = pl.Series("drawn", [split[group] for group in table["group"]], dtype=pl.String)
    return table.with_columns(drawn)


def _say_unknown_patients(catalogue: pl.DataFrame, reporter: Reporter) -> None:
    unknown = usable(catalogue)["patient_id"].null_count()
    if unknown:
        reporter.warn(
            f"the patient of {unknown} images is unknown: they are split by image, and several "
            "images of one patient may lie on both sides."
        )


def _require_every_label(catalogue: pl.DataFrame) -> None:
    live = usable(catalogue)
    for label in sorted(live["label"].unique()):
        found = set(live.filter(pl.col("label") == label)["split"])
        if missing := [name for name in SPLITS if name not in found]:
            raise LabelError(
                f"label '{label}': no image left for {', '.join(missing)}. Every split needs each "
                "label: add patients, or give no test and validation folders."
            )
