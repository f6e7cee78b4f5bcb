"""Train, validation, calibration, test: disjoint by patient, the same whenever it is drawn again.

A group (patient; the image itself where the patient is unknown) takes its place on a line from a
hash of the seed and its name, so adding images moves no group to another split.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from pneumoscope.core.errors import LabelError
from pneumoscope.core.progress import Reporter
from pneumoscope.core.randomness import unit_hash
from pneumoscope.core.recipe import SplitRecipe
from pneumoscope.core.tables import save_parquet
from pneumoscope.data.catalogue import usable
from pneumoscope.data.folds import GROUP, fill_empty, labels_held, named_test

SPLITS = ("train", "validation", "calibration", "test")

_LEAST_PER_LABEL = 20
"""A given validation part with fewer images of any label says nothing about a model."""


def assign_splits(
    catalogue: pl.DataFrame,
    recipe: SplitRecipe,
    *,
    seed: int,
    reporter: Reporter,
    folders: Sequence[str] = (),
) -> pl.DataFrame:
    """The catalogue with every usable image in one of `SPLITS`.

    A given test part is kept, and its patients leave the other parts. A given validation part is
    kept if every label has 20 images in it; otherwise it is said and drawn from train. Where the
    recipe names the test split, as a fold or a source, given parts are ignored.

    Each of `folders`, which paths begin with, is a whole of its own: it keeps the parts that it
    gives and shares out the rest, so that each is in every split. A group that is in several goes
    where the first of them puts it.

    Raises:
        LabelError: a label has too few groups to be in every split, or a source is unknown.
    """
    labels = usable(catalogue)["label"].unique().sort().to_list()
    wholes = {name: pl.col("path").str.starts_with(f"{name}/") for name in folders}
    if recipe.folds is not None or recipe.leave_out_source is not None:
        wholes = {}
        catalogue = named_test(catalogue, recipe, seed=seed, reporter=reporter)
    else:
        given = _kept_parts(catalogue, recipe, reporter)
        catalogue = _seal_test(catalogue.with_columns(given.alias("split")), reporter)
    grouped = catalogue.with_columns(group=GROUP)
    drawn = _draw(grouped, wholes.values() or [pl.lit(value=True)], recipe, seed)
    _say_unknown_patients(catalogue, reporter)
    joined = grouped.join(drawn, on="group", how="left", maintain_order="left")
    split = pl.when(pl.col("excluded").is_null()).then(pl.coalesce("split", "drawn"))
    result = joined.with_columns(split.alias("split")).select(catalogue.columns)
    _require_every_label(result, labels, recipe)
    for name, inside in wholes.items():
        _say_missing(usable(result.filter(inside)), name, reporter)
    return result


def apply_split(catalogue: pl.DataFrame, path: Path, *, reporter: Reporter) -> pl.DataFrame:
    """The catalogue under the frozen split in `path`; images it does not name are excluded.

    Raises:
        LabelError: not a split file, a group in two splits, or a label missing from a split.
    """
    frozen = _read_split(path)
    labels = usable(catalogue)["label"].unique().sort().to_list()
    joined = catalogue.drop("split").join(
        frozen.select("image_id", "split"), on="image_id", how="left", maintain_order="left"
    )
    unnamed = pl.col("excluded").is_null() & pl.col("split").is_null()
    if count := joined.filter(unnamed).height:
        reporter.warn(f"{count} images are not in {path.name}: excluded. Audit the data again.")
    reason = pl.when(unnamed).then(pl.lit("not in the split file")).otherwise("excluded")
    result = joined.with_columns(reason.alias("excluded")).select(catalogue.columns)
    _require_every_label(result, labels)
    return result


def _read_split(path: Path) -> pl.DataFrame:
    try:
        frozen = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = " ".join(str(error).split())[:200]
        raise LabelError(f"{path}: cannot be read ({reason}). Give a split file.") from error
    if set(frozen.columns) != {"image_id", "group", "split"}:
        raise LabelError(
            f"{path}: has columns {frozen.columns}; image_id, group, split are needed. Give "
            "split.parquet, as train and audit write it."
        )
    if unknown := sorted(set(frozen["split"]) - set(SPLITS)):
        raise LabelError(f"{path}: split '{unknown[0]}'; allowed: {', '.join(SPLITS)}. Rename it.")
    crossing = frozen.group_by("group").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)
    if crossing.height or frozen["image_id"].n_unique() != frozen.height:
        raise LabelError(f"{path}: a group or image is in several splits. Write it again.")
    return frozen


def save_split(catalogue: pl.DataFrame, path: Path) -> None:
    """Write the split file: `image_id`, `group`, `split` of every usable image."""
    table = usable(catalogue).select("image_id", GROUP.alias("group"), "split")
    save_parquet(table.sort("image_id"), path)


def limit_images(
    catalogue: pl.DataFrame, limit: int | None, *, seed: int, folders: Sequence[str] = ()
) -> pl.DataFrame:
    """The catalogue with at most about `limit` usable images, the others excluded as `not drawn`.

    Groups are drawn whole, evenly from every label and given part; of `folders`, which paths begin
    with, about as many from each.
    """
    if limit is not None and folders:
        parts = (catalogue.filter(pl.col("path").str.starts_with(f"{f}/")) for f in folders)
        return pl.concat(limit_images(part, limit // len(folders), seed=seed) for part in parts)
    live = usable(catalogue)
    if limit is None or live.height <= limit:
        return catalogue
    keyed = live.with_columns(GROUP.alias("group"))
    groups = keyed.group_by("group").agg(
        pl.col("label").mode().min(), pl.col("split").first(), pl.len().alias("images")
    )
    places = [unit_hash(seed, "limit", group) for group in groups["group"]]
    groups = groups.with_columns(pl.Series("place", places, pl.Float64)).sort("place")
    before = (pl.col("images").cum_sum() - pl.col("images")).over("label", "split")
    share = pl.col("images").sum().over("label", "split") * (limit / live.height)
    chosen = groups.filter(before < share)["group"]
    left_out = ~GROUP.is_in(chosen.implode())
    reason = pl.when(left_out & pl.col("excluded").is_null()).then(pl.lit("not drawn (data.limit)"))
    return catalogue.with_columns(reason.otherwise("excluded").alias("excluded"))


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


def _draw(
    grouped: pl.DataFrame, wholes: Iterable[pl.Expr], recipe: SplitRecipe, seed: int
) -> pl.DataFrame:
    """`group`, `drawn` for every group that no given part holds; each whole has its shares."""
    drawn: dict[str, str] = {}
    for inside in wholes:
        whole = usable(grouped.filter(inside))
        drawn = _draw_whole(whole, recipe, seed) | drawn
    schema = {"group": pl.String, "drawn": pl.String}
    return pl.DataFrame(list(drawn.items()), schema=schema, orient="row")


def _draw_whole(live: pl.DataFrame, recipe: SplitRecipe, seed: int) -> dict[str, str]:
    free = live.filter(pl.col("split").is_null())
    given = set(live["split"].drop_nulls().unique())
    holds = labels_held(free)
    places = {group: unit_hash(seed, "split", group) for group in holds}
    shares = {
        name: getattr(recipe, name) for name in ("validation", "calibration", "test")
    }  # fmt: skip
    total = 1 - sum(shares[name] for name in given if name in shares)
    wanted = {name: share / total for name, share in shares.items() if name not in given}
    drawn = {group: _split_at(place, wanted) for group, place in places.items()}
    order = sorted(places, key=places.__getitem__)
    return fill_empty(drawn, order, holds, (*wanted, "train"))


def _split_at(place: float, wanted: dict[str, float]) -> str:
    for name, share in wanted.items():
        if place < share:
            return name
        place -= share
    return "train"


def _say_unknown_patients(catalogue: pl.DataFrame, reporter: Reporter) -> None:
    unknown = usable(catalogue)["patient_id"].null_count()
    if unknown:
        reporter.warn(
            f"the patient of {unknown} images is unknown: they are split by image, and several "
            "images of one patient may lie on both sides."
        )


def _say_missing(part: pl.DataFrame, folder: str, reporter: Reporter) -> None:
    for label, found in part.group_by("label").agg("split").sort("label").iter_rows():
        if missing := [name for name in SPLITS if name not in found]:
            reporter.warn(
                f"{folder}: none of its images of '{label}' is in {', '.join(missing)}: figures "
                "there say nothing of them."
            )


def _require_every_label(
    catalogue: pl.DataFrame,
    labels: list[str],
    recipe: SplitRecipe | None = None,
) -> None:
    live = usable(catalogue)
    for label in labels:
        found = set(live.filter(pl.col("label") == label)["split"])
        if missing := [name for name in SPLITS if name not in found]:
            raise LabelError(
                f"label '{label}': no image for {', '.join(missing)}. Every split needs some of "
                f"each label: {_remedy(recipe)}."
            )


def _remedy(recipe: SplitRecipe | None) -> str:
    if recipe is not None and recipe.leave_out_source is not None:
        return f"leave out another source than {recipe.leave_out_source}, or the label's images"
    if recipe is not None and recipe.folds is not None:
        return "add patients, or take another number of split.folds"
    return "add patients, or set split.use_given: false if the folder splits"
