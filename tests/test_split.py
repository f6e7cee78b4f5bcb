from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.errors import LabelError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import SplitRecipe
from pneumoscope.data.catalogue import SCHEMA, usable
from pneumoscope.data.split import SPLITS, assign_splits, limit_images


def table(rows: list[tuple[str | None, str, str | None]]) -> pl.DataFrame:
    """A catalogue of (patient, label, given part)."""
    return pl.DataFrame(
        [
            {
                **dict.fromkeys(SCHEMA), "image_id": f"{i:016x}", "path": f"{i}.png",
                "patient_id": patient, "label": label, "split": part,
            }
            for i, (patient, label, part) in enumerate(rows)
        ],
        schema=SCHEMA,
    )  # fmt: skip


def assign(catalogue: pl.DataFrame, seed: int = 0, **recipe: float) -> pl.DataFrame:
    return assign_splits(catalogue, SplitRecipe(**recipe), seed=seed, reporter=Silent())


patients = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from("AB")), min_size=120, max_size=300
)


@settings(max_examples=40, deadline=None)
@given(rows=patients, seed=st.integers(0, 1000))
def test_patients_never_cross_splits(rows: list[tuple[int, str]], seed: int) -> None:
    named = [(f"{label}{patient}", label, None) for patient, label in rows]
    base = [(f"{label}x{i}", label, None) for i in range(8) for label in "AB"]
    split = assign(table([*named, *base]), seed)
    assert split.group_by("patient_id").agg(pl.col("split").n_unique())["split"].max() == 1
    assert set(split["split"]) == set(SPLITS)


def test_the_same_seed_gives_the_same_split_and_another_another() -> None:
    catalogue = table([(f"p{i}", "AB"[i % 2], None) for i in range(200)])
    assert assign(catalogue, 1).equals(assign(catalogue, 1))
    assert not assign(catalogue, 1).equals(assign(catalogue, 2))


def test_adding_images_moves_nobody() -> None:
    rows: list[tuple[str | None, str, str | None]]
    rows = [(f"p{i}", "AB"[i % 2], None) for i in range(200)]
    more: list[tuple[str | None, str, str | None]]
    more = [(f"q{i}", "AB"[i % 2], None) for i in range(100)]
    before, after = assign(table(rows)), assign(table([*rows, *more]))
    assert before["split"].to_list() == after["split"].to_list()[:200]


def test_fractions_are_of_the_whole() -> None:
    split = assign(table([(f"p{i}", "AB"[i % 2], None) for i in range(4000)]))
    share = dict(split["split"].value_counts(normalize=True).iter_rows())
    assert share["test"] == pytest.approx(0.15, abs=0.02)
    assert share["validation"] == pytest.approx(0.1, abs=0.02)
    assert share["calibration"] == pytest.approx(0.1, abs=0.02)


def test_a_given_test_part_stays_and_its_patients_leave_train() -> None:
    rows: list[tuple[str | None, str, str | None]]
    rows = [(f"p{i}", "AB"[i % 2], "train") for i in range(100)]
    rows += [(f"t{i}", "AB"[i % 2], "test") for i in range(30)] + [("t0", "A", "train")]
    split = assign(table(rows))
    assert split["split"].to_list()[100:130] == ["test"] * 30
    assert split["excluded"].to_list()[130] == "patient is in the given test part"
    assert usable(split).filter(pl.col("split") == "test").height == 30


@pytest.mark.parametrize(("images", "kept"), [(16, False), (80, True)])
def test_a_tiny_given_validation_part_is_said_and_replaced(images: int, kept: bool) -> None:
    rows: list[tuple[str | None, str, str | None]]
    rows = [(f"p{i}", "AB"[i % 2], "train") for i in range(300)]
    rows += [(f"v{i}", "AB"[i % 2], "validation") for i in range(images)]
    rows += [(f"t{i}", "AB"[i % 2], "test") for i in range(50)]
    reporter = Silent()
    split = assign_splits(table(rows), SplitRecipe(), seed=0, reporter=reporter)
    validation = split.filter(pl.col("split") == "validation")["patient_id"].to_list()
    said = [line for line in reporter.warnings if "too few to be of use" in line]
    if kept:
        assert sorted(validation) == sorted(f"v{i}" for i in range(images))
        assert not said
    else:
        assert sum(name.startswith("p") for name in validation) > 10
        assert said == [line for line in said if "16 images" in line]
        assert len(said) == 1


def test_unknown_patients_are_said() -> None:
    reporter = Silent()
    catalogue = table([(None, "AB"[i % 2], None) for i in range(100)])
    assign_splits(catalogue, SplitRecipe(), seed=0, reporter=reporter)
    assert any("patient of 100 images is unknown" in line for line in reporter.warnings)


def test_a_label_of_one_patient_cannot_be_split() -> None:
    rows: list[tuple[str | None, str, str | None]]
    rows = [*((f"p{i}", "A", None) for i in range(50)), *[("q", "B", None)] * 20]
    with pytest.raises(LabelError, match="label 'B': no image for"):
        assign(table(rows))


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_limit_draws_whole_patients_of_every_label(size: int) -> None:
    rows: list[tuple[str | None, str, str | None]]
    rows = [(f"p{i // size}", "AB"[i // size % 2], None) for i in range(1001)]
    catalogue = table(rows)
    drawn = limit_images(catalogue, 100, seed=0)
    kept = usable(drawn)["patient_id"].value_counts()
    whole = dict(catalogue["patient_id"].value_counts().iter_rows())
    assert all(count == whole[patient] for patient, count in kept.iter_rows())
    assert 100 <= usable(drawn).height <= 100 + 2 * size
    assert set(usable(drawn)["label"]) == {"A", "B"}
    assert drawn.height == catalogue.height


@pytest.mark.parametrize("seed", range(40))
def test_four_patients_of_a_label_are_enough(seed: int) -> None:
    rows: list[tuple[str | None, str, str | None]]
    rows = [(f"{label}{i}", label, None) for label in "AB" for i in range(4) for _ in range(3)]
    split = assign(table(rows), seed)
    for label in "AB":
        assert set(split.filter(pl.col("label") == label)["split"]) == set(SPLITS)


def test_a_label_lost_by_sealing_is_noticed() -> None:
    rows: list[tuple[str | None, str, str | None]]
    rows = [(f"p{i}", "AB"[i % 2], "train") for i in range(100)]
    rows += [(f"t{i}", "A", "test") for i in range(12)] + [("u", "B", "test")]
    rows += [(f"t{i}", "C", "train") for i in range(12)]
    with pytest.raises(LabelError, match="label 'C': no image for"):
        assign(table(rows))


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 40), st.sampled_from("AB"), st.sampled_from(["train", "test", None])
        ),
        min_size=100,
        max_size=200,
    )
)
def test_patients_of_mixed_labels_and_parts_never_cross(
    rows: list[tuple[int, str, str | None]],
) -> None:
    named: list[tuple[str | None, str, str | None]]
    named = [(f"p{patient}", label, part) for patient, label, part in rows]
    named += [(f"{label}x{i}", label, "train") for i in range(8) for label in "AB"]
    named += [(f"{label}y{i}", label, "test") for i in range(2) for label in "AB"]
    live = usable(assign(table(named)))
    assert live.group_by("patient_id").agg(pl.col("split").n_unique())["split"].max() == 1
