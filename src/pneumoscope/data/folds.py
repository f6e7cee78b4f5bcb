"""Test splits that the recipe names: a fold of the patients, or a source that is left out.

A group's fold comes from a hash of the seed and its name alone, so every run of a cross-validation
draws the same folds, and adding images moves no group from one fold to another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import polars as pl

from pneumoscope.core.errors import LabelError
from pneumoscope.core.progress import Reporter
from pneumoscope.core.randomness import unit_hash
from pneumoscope.core.recipe import SplitRecipe
from pneumoscope.data.catalogue import usable

GROUP = pl.coalesce("patient_id", "image_id")
"""What is never parted: a patient, or the image itself where the patient is unknown."""


def named_test(
    catalogue: pl.DataFrame, recipe: SplitRecipe, *, seed: int, reporter: Reporter
) -> pl.DataFrame:
    """The catalogue with `split` `test` for the groups that the recipe names, else null.

    Parts that the folder gives are ignored, which is said.

    Raises:
        LabelError: a label has fewer groups than there are folds, or no image has the source.
    """
    _say_ignored(catalogue, recipe, reporter)
    if recipe.leave_out_source is not None:
        chosen = _groups_of_source(catalogue, recipe.leave_out_source, reporter)
    else:
        folds = draw_folds(catalogue, recipe.folds or 1, seed=seed)
        chosen = [group for group, fold in folds.items() if fold == recipe.fold]
    named = GROUP.is_in(chosen) & pl.col("excluded").is_null()
    return catalogue.with_columns(pl.when(named).then(pl.lit("test")).alias("split"))


def draw_folds(catalogue: pl.DataFrame, folds: int, *, seed: int) -> dict[str, int]:
    """The fold, from 0, of every group that has a usable image.

    Each of the folds takes an equal stretch of the line that hashes place groups on, whatever
    their labels: labels are shared out as evenly as chance has it. Only where a fold is left
    without a label is a group moved to it.

    Raises:
        LabelError: a label has fewer groups than there are folds.
    """
    holds = labels_held(usable(catalogue))
    groups = Counter(label for labels in holds.values() for label in labels)
    for label, count in sorted(groups.items()):
        if count < folds:
            raise LabelError(
                f"label '{label}': {count} patients (images, where the patient is unknown); "
                f"split.folds={folds} needs one in every fold. Take fewer folds or add patients."
            )
    places = {group: unit_hash(seed, "fold", group) for group in holds}
    drawn = {group: str(int(place * folds)) for group, place in places.items()}
    names = [str(fold) for fold in range(folds)]
    filled = fill_empty(drawn, sorted(places, key=places.__getitem__), holds, names)
    return {group: int(fold) for group, fold in filled.items()}


def labels_held(live: pl.DataFrame) -> dict[str, set[str]]:
    """The labels of each group's images."""
    grouped = live.group_by(GROUP.alias("group")).agg("label").sort("group")
    return {group: set(labels) for group, labels in grouped.iter_rows()}


def fill_empty(
    drawn: Mapping[str, str],
    order: Sequence[str],
    holds: Mapping[str, set[str]],
    names: Sequence[str],
) -> dict[str, str]:
    """The groups' splits with a group of every label in each: a small set may miss one by chance.

    The group comes from the split that has most groups of the label, `train` before others.

    Args:
        drawn: Group to split.
        order: The groups; the first that fits is moved.
        holds: Group to the labels of its images.
        names: The splits to fill.
    """
    split = dict(drawn)
    for label in sorted(set().union(*holds.values())):
        groups = [group for group in order if label in holds[group]]
        for name in names:
            members = Counter(split[group] for group in groups)
            donor, most = max(members.items(), key=lambda item: (item[1], item[0] == "train"))
            if name not in members and most > 1:
                moved = next(group for group in groups if split[group] == donor)
                split[moved] = name
    return split


def _groups_of_source(catalogue: pl.DataFrame, source: str, reporter: Reporter) -> list[str]:
    live = usable(catalogue)
    inside = live.filter(pl.col("source") == source)
    if inside.is_empty():
        known = live["source"].drop_nulls().unique().sort().to_list()
        listed = ", ".join(known) if known else "none is known"
        raise LabelError(
            f"split.leave_out_source: no usable image is from '{source}'; sources: {listed}. "
            "Name one of them."
        )
    groups: list[str] = inside.select(GROUP.unique().sort()).to_series().to_list()
    crossing = live.filter(GROUP.is_in(groups), pl.col("source").ne_missing(pl.lit(source)))
    if crossing.height:
        reporter.warn(
            f"{crossing.height} images of other sources show patients of {source}: they go to "
            "test with them."
        )
    return groups


def _say_ignored(catalogue: pl.DataFrame, recipe: SplitRecipe, reporter: Reporter) -> None:
    given = sorted(set(usable(catalogue)["split"].drop_nulls()) & {"test", "validation"})
    if given:
        asked = "folds" if recipe.leave_out_source is None else "leave_out_source"
        reporter.warn(
            f"the given parts ({', '.join(given)}) are ignored: split.{asked} draws its own test "
            "split from all images."
        )
