from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.core.errors import LabelError, PredictionsError
from pneumoscope.core.types import FloatArray, PixelBatch
from pneumoscope.data.phantoms import plant_marker, write_phantoms
from pneumoscope.data.probes import (
    FRAME,
    METADATA,
    Measured,
    border_features,
    cue_predictions,
    leave_one_source_out,
    metadata_features,
    source_probe,
    source_table,
)
from pneumoscope.evaluation.conditions import summarise_conditions
from pneumoscope.evaluation.predictions import predictions_table
from pneumoscope.evaluation.sources import summarise_sources

LABELS = ("NORMAL", "PNEUMONIA")


def measured(features: FloatArray, labels: NDArray[np.str_], images: int = 2) -> Measured:
    ids = [f"image{number:04d}" for number in range(len(labels))]
    patients = [f"p{number // images}" for number in range(len(labels))]
    return Measured(ids, patients, labels.tolist(), features)


def shuffled(one: Measured, order: NDArray[np.int64]) -> Measured:
    return Measured(
        [one.image_ids[at] for at in order],
        [one.patients[at] for at in order],
        [one.labels[at] for at in order],
        one.features[order],
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[PixelBatch, list[Path]]:
    """About 210 phantoms of 140 patients, without a marker, and the files they were."""
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    write_phantoms(folder, patients=140, size=48, seed=5)
    files = sorted(folder.rglob("*.png"))
    return np.stack([np.asarray(Image.open(path)) for path in files])[:, None], files


def border_only(canvases: PixelBatch, files: list[Path]) -> dict[str, object]:
    """The entry of a border-only model, cross-validated, beside a model that is always right."""
    ids, truth = [path.name for path in files], [path.parent.name for path in files]
    patients = [path.name.split("_")[0] if path.name[0] == "p" else path.name[:7] for path in files]
    one = Measured(ids, patients, truth, border_features(canvases))
    logits = cue_predictions(one, label_set=LABELS)
    right = {name: np.array([0.0, 4.0 if label == LABELS[1] else -4.0])
             for name, label in zip(ids, truth, strict=True)}  # fmt: skip
    full, only = (
        predictions_table(
            image_ids=ids, patient_ids=patients, truth=truth, logits=given, labels=LABELS
        )
        for given in (right, logits)
    )
    table = only.with_columns(condition=pl.lit("border_only"))
    return summarise_conditions(full, table, resamples=500)[0][0]


def area(entry: dict[str, object]) -> tuple[float, float, float]:
    auc = entry["auc"]
    assert isinstance(auc, dict)
    return auc["value"], auc["low"], auc["high"]


def test_a_planted_marker_is_found(pictures: tuple[PixelBatch, list[Path]]) -> None:
    canvases, files = pictures
    marked = canvases.copy()
    for canvas, path in zip(marked, files, strict=True):
        if path.parent.name == "PNEUMONIA":
            canvas[0] = plant_marker(canvas[0])
    value, low, _ = area(border_only(marked, files))
    assert value > 0.95
    assert low > 0.9


def test_without_a_marker_the_border_tells_nothing(
    pictures: tuple[PixelBatch, list[Path]],
) -> None:
    value, low, high = area(border_only(*pictures))
    assert abs(value - 0.5) < 0.1
    assert low < 0.5 < high


def test_border_features_see_the_frame_alone() -> None:
    random = np.random.default_rng(0)
    canvases = random.integers(0, 256, (3, 1, 100, 100), dtype=np.uint8)
    features = border_features(canvases)
    assert features.shape == (3, 80)
    inner = canvases.copy()
    inner[:, :, 10:-10, 10:-10] = 0
    np.testing.assert_array_equal(border_features(inner), features)
    # Blocks of ten along the upper side: means, then spreads.
    block = canvases[1, 0, :10, 30:40]
    assert features[1, [3, 13]] == pytest.approx([block.mean(), block.std()], abs=1e-5)
    for place in ((0, 0, 5, 50), (0, 0, 95, 50), (0, 0, 50, 5), (0, 0, 50, 95)):
        other = canvases.copy()
        other[place] ^= 255
        changed = np.flatnonzero((border_features(other) != features)[0])
        assert len(changed) == 2, f"one block of {place}"
    assert FRAME == 0.1
    for size in (8, 16, 33):
        small = border_features(np.full((1, 1, size, size), 7, dtype=np.uint8))
        assert set(np.unique(small)) == {0.0, 7.0}


def catalogue(**columns: list[object]) -> pl.DataFrame:
    base: dict[str, list[object]] = {
        "path": ["A/1.PNG", "B/2.jpeg", "C/x.1#3.dcm", "D/none"], "width": [100, 200, None, 50],
        "height": [50, 200, 10, 100], "bits": [8, 8, 12, None],
        "photometric": ["MONOCHROME2", None, "MONOCHROME1", "MONOCHROME2"],
        "source": ["one", "two", None, "one"], "view": ["PA", "AP", "PA", None],
    }  # fmt: skip
    return pl.DataFrame({**base, **columns})


def test_metadata_features_are_what_the_catalogue_says() -> None:
    features = metadata_features(catalogue())
    columns = dict(zip(METADATA, features.T, strict=True))
    np.testing.assert_array_equal(columns["aspect"], [2, 1, np.nan, 0.5])
    np.testing.assert_array_equal(columns["bits"], [8, 8, 12, np.nan])
    assert columns["source"][0] == columns["source"][3] != columns["source"][1]
    assert math.isnan(columns["view"][3])
    assert np.isnan(columns["extension"]).tolist() == [False, False, False, True]
    apart = [metadata_features(catalogue()[at : at + 1])[0] for at in range(4)]
    np.testing.assert_array_equal(apart, features, "a text's number depends on other rows")
    renamed = metadata_features(catalogue(path=["B/7.png", "A/8.jpeg", "C/y.dcm", "D/E"]))
    np.testing.assert_array_equal(renamed, features, "folder and name, but the extension, leak in")


def test_a_cue_in_the_metadata_is_learned_from_training_rows() -> None:
    random = np.random.default_rng(0)
    labels = np.array(LABELS)[random.integers(0, 2, 300)]
    width = np.where(labels == "NORMAL", 100, 200) + random.integers(0, 90, 300)
    features = np.stack([width, np.full(300, np.nan)], axis=1).astype(np.float64)
    one = measured(features, labels)
    train, test = shuffled(one, np.arange(200)), shuffled(one, np.arange(200, 300))
    wrong = replace(test, labels=["NORMAL"] * 100)
    found = cue_predictions(wrong, label_set=LABELS, training=train)
    assert list(found) == list(test.image_ids)
    scores = np.array([found[name] for name in test.image_ids])
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, atol=1e-5)
    answered = np.array(LABELS)[scores.argmax(axis=1)]
    assert (answered == labels[200:]).mean() > 0.95


def test_a_patient_is_not_told_by_its_other_images() -> None:
    random = np.random.default_rng(1)
    labels = np.repeat(np.array(LABELS)[random.integers(0, 2, 60)], 4)
    # A number of its own for each patient tells the label of nobody else.
    features = np.repeat(random.random(60), 4)[:, None]
    one = measured(features, labels, images=4)
    scores = np.array(list(cue_predictions(one, label_set=LABELS).values()))
    assert (np.array(LABELS)[scores.argmax(axis=1)] == labels).mean() < 0.75


def test_answers_do_not_depend_on_the_order_of_rows() -> None:
    random = np.random.default_rng(2)
    labels = np.array(["A", "B", "C"])[random.integers(0, 3, 90)]
    sources = np.array(["s", "t"])[random.integers(0, 2, 90)]
    one, order = measured(random.random((90, 5)), labels), random.permutation(90)
    other = shuffled(one, order)
    first, second = (cue_predictions(each, label_set=["A", "B", "C"]) for each in (one, other))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    told = source_probe(one, sources.tolist())[1]
    np.testing.assert_array_equal(source_probe(other, sources[order].tolist())[1], told[order])
    tables = [
        source_table(each, names.tolist(), label_set=["A", "B", "C"])
        for each, names in ((one, sources), (other, sources[order]))
    ]
    assert tables[0] is not None
    assert tables[1] is not None
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize("features", [np.full((40, 3), np.nan), np.ones((40, 2)), np.ones((40, 0))])
def test_nothing_to_learn_from_is_chance_exactly(features: FloatArray) -> None:
    labels = np.array(LABELS)[np.arange(40) // 4 % 2]
    found = cue_predictions(measured(features, labels), label_set=LABELS)
    np.testing.assert_allclose(np.array(list(found.values())), math.log(0.5))
    one = np.full(40, "NORMAL")
    train = measured(np.random.default_rng(0).random((40, 2)), one)
    alone = cue_predictions(train, label_set=LABELS, training=train)
    np.testing.assert_allclose(np.array(list(alone.values())), math.log(0.5))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(LabelError, match=r"\[2, 1, 2\] ids, patients and labels for 2 rows"):
        Measured(["a", "b"], [None], ["A", "B"], np.ones((2, 1)))
    one = Measured(["a", "b"], [None, None], ["A", "X"], np.ones((2, 1)))
    with pytest.raises(LabelError, match=r"label 'X'; allowed: A, B\. Leave its images out"):
        cue_predictions(one, label_set=["A", "B"])


def sites(tied: bool) -> tuple[Measured, list[str | None]]:
    """Embeddings of three sources that tell the source and the label in columns of their own."""
    random = np.random.default_rng(3)
    source = np.repeat([0, 1, 2], 100)
    sick = random.random(300) < (np.array([0.05, 0.95, 0.5])[source] if tied else 0.5)
    embeddings = random.standard_normal((300, 10))
    embeddings[np.arange(300), 4 + source] += 4
    embeddings[:, 1] += 1.5 * sick
    embeddings[:, 2] += 2.5 * sick * (source == 2)  # known at one site only
    names: list[str | None] = [f"site{number}" for number in source]
    return measured(embeddings, np.array(LABELS)[sick.astype(int)]), names


def test_sources_are_told_and_their_tie_to_labels_is_seen() -> None:
    found = {}
    for tied in (False, True):
        one, names = sites(tied)
        table = source_table(one, names, label_set=LABELS)
        assert table is not None
        found[tied] = summarise_sources(table)
    for tied, summary in found.items():
        told, oracle = summary["told"], summary["oracle"]
        assert isinstance(told, dict)
        assert isinstance(oracle, dict)
        assert told["low"] > 0.9
        gain = oracle["accuracy"]["value"] - oracle["share_of_most_frequent_label"]
        assert (gain > 0.25) is tied
        assert (float(str(summary["tie"])) > 0.5) is tied
    left = found[False]["left_out"]
    assert isinstance(left, list)
    assert [entry["reason"] for entry in left] == [None] * 3
    third = left[2]
    assert third["n_images"] == 100
    assert third["inside_auc"]["value"] > third["auc"]["value"] > 0.7


def test_noise_tells_no_source() -> None:
    one, names = sites(tied=False)
    noise = replace(one, features=np.random.default_rng(4).standard_normal((300, 20)))
    table = source_table(noise, names, label_set=LABELS)
    assert table is not None
    told = summarise_sources(table)["told"]
    assert isinstance(told, dict)
    assert told["low"] < 0.5 < told["high"]


def test_a_source_left_out_is_not_learned_from() -> None:
    one, names = sites(tied=False)
    noise = replace(one, features=np.random.default_rng(7).standard_normal((300, 400)))
    table = source_table(noise, names, label_set=LABELS)
    assert table is not None
    left = summarise_sources(table)["left_out"]
    assert isinstance(left, list)
    for entry in left:
        assert abs(entry["auc"]["value"] - 0.5) < 0.2
        assert abs(entry["inside_auc"]["value"] - 0.5) < 0.2


def test_sources_that_cannot_be_judged_say_why() -> None:
    one, names = sites(tied=False)
    labels = list(one.labels)
    labels[:100] = ["NORMAL"] * 100
    labels[100:200] = ["PNEUMONIA"] * 2 + ["NORMAL"] * 98
    sources: list[str | None] = [*names[:200], *["small"] * 4, *[None] * 4, *names[208:]]
    table = source_table(replace(one, labels=labels), sources, label_set=LABELS)
    assert table is not None
    assert table.height == 292
    assert set(table["source"].unique()) == {"site0", "site1", "site2"}
    left = summarise_sources(table)["left_out"]
    assert isinstance(left, list)
    assert [entry["auc"]["value"] is None for entry in left] == [True, False, False]
    assert [entry["inside_auc"]["value"] is None for entry in left] == [True, True, False]
    assert left[0]["reason"] == "All its 100 images are NORMAL: there is nothing to tell apart."
    assert left[1]["reason"].startswith("Too few patients of a label to cross-validate inside")
    assert source_table(one, [None] * 300, label_set=LABELS) is None


def test_sources_that_cannot_be_compared_are_named() -> None:
    one, _ = sites(tied=False)
    sparse: list[str | None] = [*["site0"] * 292, *["small"] * 4, *[None] * 4]
    for sources, names, images in (
        (["site0"] * 300, ["site0"], 300), (sparse, ["site0", "small"], 296),
    ):  # fmt: skip
        table = source_table(one, sources, label_set=LABELS)
        assert table is not None
        assert table.columns == ["image_id", "patient_id", "label", "source"]
        assert summarise_sources(table) == {"sources": names, "n_images": images}
        with pytest.raises(PredictionsError, match="lacks rows, or the source of one"):
            summarise_sources(table.clear())


def test_another_source_is_judged_on_labels_that_both_have() -> None:
    random = np.random.default_rng(5)
    labels = np.array(["A", "B", "C"] * 40 + ["A", "B"] * 60 + ["D", "D"] * 20)
    sources: list[str | None] = [*["one"] * 120, *["two"] * 120, *["three"] * 40]
    one = measured(random.random((280, 4)), labels, images=1)
    outside, inside = leave_one_source_out(one, sources, label_set=["A", "B", "C", "D"])
    first, known = np.arange(280) < 120, np.isin(labels, ["A", "B"])
    assert not np.isnan(outside[:240][known[:240]]).any()
    assert np.isnan(outside[first & ~known]).all()
    assert np.isnan(outside[240:]).all()
    assert not outside[:240][known[:240]][:, 2:].any()
    np.testing.assert_allclose(inside[:240][known[:240]].sum(axis=1), 1)
