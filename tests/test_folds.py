from __future__ import annotations

from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.errors import LabelError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import SplitRecipe
from pneumoscope.data.catalogue import SCHEMA, usable
from pneumoscope.data.folds import draw_folds
from pneumoscope.data.split import SPLITS, assign_splits

Row = tuple[str | None, str, str | None, str | None]


def table(rows: list[Row]) -> pl.DataFrame:
    """A catalogue of (patient, label, given part, source)."""
    return pl.DataFrame(
        [
            {
                **dict.fromkeys(SCHEMA), "image_id": f"{i:016x}", "path": f"{i}.png",
                "patient_id": patient, "label": label, "split": part, "source": source,
            }
            for i, (patient, label, part, source) in enumerate(rows)
        ],
        schema=SCHEMA,
    )  # fmt: skip


def many(count: int, name: str = "p") -> list[Row]:
    return [(f"{name}{i}", "AB"[i % 2], None, None) for i in range(count)]


def images_of_test(split: pl.DataFrame) -> list[str]:
    return usable(split).filter(pl.col("split") == "test")["image_id"].to_list()


def cross_validate(
    catalogue: pl.DataFrame, folds: int, *, seed: int = 0, reporter: Silent | None = None
) -> list[pl.DataFrame]:
    return [
        assign_splits(
            catalogue,
            SplitRecipe(folds=folds, fold=fold),
            seed=seed,
            reporter=reporter or Silent(),
        )
        for fold in range(folds)
    ]


images = st.lists(
    st.tuples(
        st.none() | st.integers(0, 60).map(lambda number: f"p{number}"),
        st.sampled_from("AB"),
        st.sampled_from([None, "train", "validation", "test"]),
        st.sampled_from([None, "here", "there"]),
    ),
    max_size=150,
)


@settings(max_examples=30, deadline=None)
@given(rows=images, folds=st.integers(2, 6), seed=st.integers(0, 1000))
def test_every_image_is_tested_once_and_no_patient_crosses(
    rows: list[Row], folds: int, seed: int
) -> None:
    catalogue = table([*rows, *many(40, "base")])
    tested: Counter[str] = Counter()
    for split in cross_validate(catalogue, folds, seed=seed):
        assert split["excluded"].null_count() == catalogue.height
        assert set(split["split"]) == set(SPLITS)
        known = split.filter(pl.col("patient_id").is_not_null())
        assert known.group_by("patient_id").agg(pl.col("split").n_unique())["split"].max() == 1
        tested.update(images_of_test(split))
    assert tested == Counter(catalogue["image_id"].to_list())


@pytest.mark.parametrize("folds", [2, 5, 10])
def test_folds_are_of_equal_size_and_share_labels_out(folds: int) -> None:
    catalogue = table([(f"p{i}", "A" if i % 5 else "B", None, None) for i in range(20_000)])
    sizes = Counter(draw_folds(catalogue, folds, seed=3).values())
    assert sorted(sizes) == list(range(folds))
    assert all(abs(size / (20_000 / folds) - 1) < 0.06 for size in sizes.values())
    split = cross_validate(catalogue, folds)[0]
    shares = split.group_by("split").agg((pl.col("label") == "B").mean().alias("share"))
    assert all(abs(share - 0.2) < 0.02 for share in shares["share"])


def test_the_rest_is_shared_out_as_a_given_test_part_leaves_it() -> None:
    split = cross_validate(table(many(8000)), 5)[2]
    share = dict(split["split"].value_counts(normalize=True).iter_rows())
    assert share["test"] == pytest.approx(0.2, abs=0.02)
    assert share["validation"] == pytest.approx(0.8 * 0.1 / 0.85, abs=0.02)
    assert share["calibration"] == pytest.approx(0.8 * 0.1 / 0.85, abs=0.02)


@settings(max_examples=20, deadline=None)
@given(more=images, seed=st.integers(0, 1000))
def test_adding_images_moves_nobody(more: list[Row], seed: int) -> None:
    before = table(many(200))
    after = table([*many(200), *more])
    for old, new in zip(
        cross_validate(before, 4, seed=seed), cross_validate(after, 4, seed=seed), strict=True
    ):
        mapped = dict(new.drop_nulls("patient_id").select("patient_id", "split").iter_rows())
        mine = dict(old.select("patient_id", "split").iter_rows())
        assert all(mapped[patient] == split for patient, split in mine.items())


def test_more_folds_only_part_what_fewer_hold() -> None:
    catalogue = table(many(400))
    coarse, fine = (draw_folds(catalogue, folds, seed=1) for folds in (2, 4))
    assert all(coarse[group] == fine[group] // 2 for group in coarse)
    assert draw_folds(catalogue, 4, seed=2) != fine


@pytest.mark.parametrize("seed", range(10))
def test_every_fold_has_every_label_where_that_is_possible(seed: int) -> None:
    rows: list[Row] = [*many(100), *((f"c{i}", "C", None, None) for i in range(5))]
    catalogue = table(rows)
    folds = draw_folds(catalogue, 5, seed=seed)
    assert sorted(folds[f"c{i}"] for i in range(5)) == [0, 1, 2, 3, 4]
    tested = [images_of_test(split) for split in cross_validate(catalogue, 5, seed=seed)]
    assert sorted(image for images in tested for image in images) == sorted(catalogue["image_id"])


def test_too_few_patients_for_the_folds_are_said() -> None:
    rows: list[Row] = [*many(100), *(("c", "C", None, None) for _ in range(30))]
    with pytest.raises(LabelError, match=r"label 'C': 1 patients .*split\.folds=4"):
        cross_validate(table(rows), 4)


def test_given_parts_are_ignored_and_that_is_said() -> None:
    rows: list[Row] = [
        (f"p{i}", "AB"[i % 2], "test" if i < 60 else "train", "x") for i in range(200)
    ]
    reporter = Silent()
    split = cross_validate(table(rows), 4, reporter=reporter)[0]
    assert split.equals(cross_validate(table([(p, a, None, s) for p, a, _, s in rows]), 4)[0])
    assert "the given parts (test) are ignored: split.folds" in reporter.warnings[0]
    silent = Silent()
    cross_validate(table([(p, a, "train", s) for p, a, _, s in rows]), 4, reporter=silent)
    assert not silent.warnings, "a folder that only trains gives nothing up"


# Leaving out a source


def leave_out(
    catalogue: pl.DataFrame, source: str, reporter: Silent | None = None, seed: int = 0
) -> pl.DataFrame:
    recipe = SplitRecipe(leave_out_source=source)
    return assign_splits(catalogue, recipe, seed=seed, reporter=reporter or Silent())


@settings(max_examples=30, deadline=None)
@given(rows=images, seed=st.integers(0, 1000))
def test_a_source_left_out_is_the_test_split_with_its_patients(rows: list[Row], seed: int) -> None:
    base: list[Row] = [(f"h{i}", "AB"[i % 2], None, "here") for i in range(4)]
    base += [(f"t{i}", "AB"[i % 2], "test", "there") for i in range(20)]
    catalogue = table([*rows, *base])
    split = leave_out(catalogue, "here", seed=seed)
    assert split["excluded"].null_count() == catalogue.height
    tested = split.filter(pl.col("split") == "test")
    inside = split.filter(pl.col("source") == "here")
    assert set(inside["split"]) == {"test"}
    patients = set(inside["patient_id"].drop_nulls())
    others = tested.filter(pl.col("source").ne_missing(pl.lit("here")))
    assert set(others["patient_id"]) <= patients
    for _, group in split.drop_nulls("patient_id").group_by("patient_id"):
        assert group["split"].n_unique() == 1
    assert set(split["split"]) == set(SPLITS)


def test_patients_of_two_sources_go_to_test_whole_and_are_counted() -> None:
    rows: list[Row] = [(f"p{i}", "AB"[i % 2], None, "old") for i in range(60)]
    rows += [(f"q{i}", "AB"[i % 2], None, "new") for i in range(20)]
    rows += [("q0", "A", None, "old"), ("q1", "B", None, None)]
    reporter = Silent()
    split = leave_out(table(rows), "new", reporter)
    assert len(images_of_test(split)) == 22
    assert any(line.startswith("2 images of other sources") for line in reporter.warnings)


def test_an_unknown_source_lists_those_there_are() -> None:
    rows: list[Row] = [
        (f"p{i}", "AB"[i % 2], None, ["b.org", "a.org", None][i % 3]) for i in range(60)
    ]
    with pytest.raises(LabelError, match=r"from 'c\.org'; sources: a\.org, b\.org\. "):
        leave_out(table(rows), "c.org")
    with pytest.raises(LabelError, match="sources: none is known"):
        leave_out(table(many(20)), "c.org")


def test_a_source_without_every_label_cannot_be_left_out() -> None:
    rows: list[Row] = [(f"p{i}", "AB"[i % 2], None, "old") for i in range(60)]
    rows += [(f"q{i}", "A", None, "new") for i in range(20)]
    with pytest.raises(LabelError, match=r"label 'B': no image for test.*another source than new"):
        leave_out(table(rows), "new")
