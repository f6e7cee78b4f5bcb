from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.core.association import cramers_v
from pneumoscope.core.errors import InputError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import PreprocessRecipe
from pneumoscope.data.audit.data import FILES_SCHEMA, AuditData
from pneumoscope.data.audit.issues import SEVERITIES, Issue
from pneumoscope.data.audit.label_checks import disagreement
from pneumoscope.data.audit.metadata_checks import disagrees
from pneumoscope.data.audit.predictability import macro_auc, predictability
from pneumoscope.data.audit.registry import CHECKS, failed, run_checks
from pneumoscope.data.audit.statistics import SCHEMA as STATISTICS
from pneumoscope.data.audit.statistics import image_statistics
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import SCHEMA, build_catalogue, usable
from pneumoscope.data.layouts import recognise
from pneumoscope.data.phantoms import draw_phantom
from pneumoscope.imaging.preprocess import Preprocess

BY_NAME = {check.name: check for check in CHECKS}


@dataclass(frozen=True)
class Pair:
    first: str
    second: str
    kind: Literal["exact", "near"] = "near"
    similarity: float = 0.99
    mirrored: bool = False


def statistics_of(ids: Sequence[str], thumbnails: NDArray[np.uint8]) -> pl.DataFrame:
    """Alike for all images but for a little noise: nothing in them tells labels."""
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {
        name: rng.normal(0.5, 0.1, len(ids)) for name, kind in STATISTICS.items() if kind.is_float()
    }
    columns |= {"image_id": ids, "minimum": [0] * len(ids), "maximum": [255] * len(ids)}
    columns |= {"standard_deviation": rng.normal(50, 5, len(ids)), "thumbnail": thumbnails}
    columns |= {"corner_text": np.zeros(len(ids))}
    return pl.DataFrame({name: columns[name] for name in STATISTICS}, schema=STATISTICS)


def clean(count: int = 240, **columns: Sequence[object]) -> AuditData:
    """A data set nothing is wrong with; `columns` replace those of the catalogue."""
    ids = [f"{row:016x}" for row in range(count)]
    splits = ("train", "test")
    rows = [
        {
            **dict.fromkeys(SCHEMA), "image_id": ids[row], "label": "AB"[row % 2],
            "path": f"{'AB'[row % 2]}/{row:04d}.png", "patient_id": f"p{row}",
            "width": 224, "height": 224, "bits": 8, "photometric": "L",
            "split": splits[row // 2 % 2],
        }
        for row in range(count)
    ]  # fmt: skip
    catalogue = pl.DataFrame(rows, schema=SCHEMA).with_columns(
        pl.Series(name, values, SCHEMA[name]) for name, values in columns.items()
    )
    files = [(path, 5000 + row % 7, "png", 0.0) for row, path in enumerate(catalogue["path"])]
    chest = draw_phantom(seed=0, label="NORMAL", size=32)
    thumbnails = np.tile(chest.reshape(1, -1), (count, 1))
    return AuditData(
        catalogue,
        pl.DataFrame(files, schema=FILES_SCHEMA, orient="row"),
        statistics_of(ids, thumbnails),
    )


def changed(data: AuditData, table: str, row: int, **values: object) -> AuditData:
    """One row of `catalogue`, `files` or `statistics` changed."""
    frame: pl.DataFrame = getattr(data, table).with_row_index("row")
    frame = frame.with_columns(
        pl.when(pl.col("row") == row).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    ).drop("row")
    changes: dict[str, Any] = {table: frame.cast(dict(getattr(data, table).schema))}
    return replace(data, **changes)


def issues_of(name: str, data: AuditData) -> list[Issue]:
    found = BY_NAME[name].run(data)
    assert {issue.check for issue in found} <= {name}
    return found


def only(name: str, data: AuditData) -> Issue:
    (issue,) = [issue for issue in issues_of(name, data) if issue.severity != "info"]
    return issue


def declared(**values: object) -> pl.DataFrame:
    row = {"path": "A/0000.png", "width": 224, "height": 224, "format": "PNG", "label": "A"}
    return pl.DataFrame([{**row, **values}])


UNREADABLE = "unreadable: the image data are damaged. Export it again."


def test_a_clean_data_set_has_no_issue_beyond_what_is_good_to_know() -> None:
    found = run_checks(replace(clean(), declared=declared()), reporter=Silent())
    assert [issue for issue in found if issue.severity != "info"] == []
    assert {issue.check for issue in found} <= {"counts", "shortcuts", "markers"}


def test_an_empty_data_set_raises_no_error() -> None:
    data = clean(4)
    empty = replace(data, catalogue=data.catalogue.clear(), files=data.files.clear())
    assert {issue.severity for issue in run_checks(empty, reporter=Silent())} == {"info"}


@pytest.mark.parametrize(
    ("name", "table", "values"),
    [
        ("unreadable", "catalogue", {"excluded": UNREADABLE, "image_id": None}),
        ("blank", "statistics", {"maximum": 3}),
        ("blank", "statistics", {"standard_deviation": 0.5}),
        ("tiny", "catalogue", {"width": 63}),
        ("extreme_aspect", "catalogue", {"height": 700}),
        ("wrong_type", "files", {"format": "jpeg"}),
        ("wrong_type", "files", {"format": "dicom"}),
        ("colour", "files", {"colour": 12.0}),
        ("named_label", "catalogue", {"label": "Normal", "path": "Normal/COVID-12.png"}),
    ],
)
def test_single_images_are_found(name: str, table: str, values: dict[str, object]) -> None:
    data = changed(clean(), table, 6, **values)
    path = str(values.get("path", "A/0006.png"))
    if table == "catalogue" and "path" in values:
        data = replace(data, files=changed(data, "files", 6, path=path).files)
    issue = only(name, data)
    assert issue.paths == (path,)
    assert issue.facts["images"] == 1
    assert issue.message.startswith("1 image ")


def test_an_empty_file_is_not_also_called_unreadable() -> None:
    data = changed(clean(), "catalogue", 6, excluded=UNREADABLE, image_id=None)
    data = changed(data, "files", 6, bytes=0)
    assert only("empty", data).paths == ("A/0006.png",)
    assert not issues_of("unreadable", data)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("declared_size", {"width": 299}),
        ("declared_format", {"format": "jpg"}),
        ("declared_label", {"label": "B"}),
    ],
)
def test_metadata_against_reality(name: str, values: dict[str, object]) -> None:
    assert only(name, replace(clean(), declared=declared(**values))).paths == ("A/0000.png",)
    assert not issues_of(name, replace(clean(), declared=declared()))


def test_missing_surplus_and_colliding_names() -> None:
    data = replace(clean(), missing=("b.png", "a.png"), surplus=("c.png",))
    assert only("missing_files", data).paths == ("a.png", "b.png")
    assert only("surplus_files", data).paths == ("c.png",)
    assert only("names", changed(clean(), "catalogue", 2, path="a/00 00.PNG")).paths == (
        "A/0000.png",
        "a/00 00.PNG",
    )


@pytest.mark.parametrize(
    ("path", "label", "wrong"),
    [
        ("Normal/COVID-12.jpg", "Normal", True),
        ("NORMAL/person3_virus_4.jpeg", "NORMAL", True),
        ("PNEUMONIA/person3_virus_4.jpeg", "PNEUMONIA", False),
        ("PNEUMONIA/IM-0115-0001.jpeg", "PNEUMONIA", True),
        ("NORMAL/NORMAL2-IM-1018-0001.jpeg", "NORMAL", False),
        ("Viral Pneumonia/Bacterial Pneumonia-3.jpg", "Viral Pneumonia", True),
        ("Viral Pneumonia/Viral Pneumonia-3.jpg", "Viral Pneumonia", False),
        ("Viral Pneumonia/person3_bacteria_4.jpeg", "Viral Pneumonia", True),
        ("COVID/COVID-3.jpg", "COVID", False),
        ("COVID/00000013_005.png", "COVID", False),
        ("PNEUMONIA/COVID-3.jpg", "PNEUMONIA", False),
        ("Abnormal/abnormal-3.jpg", "Abnormal", False),
    ],
)
def test_names_that_speak_of_a_label(path: str, label: str, wrong: bool) -> None:
    labels = ["COVID", "Normal", "Viral Pneumonia", "Bacterial Pneumonia", "PNEUMONIA"]
    assert disagrees(path, label, labels) is wrong


def test_counts_and_imbalance() -> None:
    (counts,) = issues_of("counts", clean())
    assert counts.facts["images"] == counts.facts["patients"] == 240
    assert counts.facts["label:A"] == 120
    uneven = clean(240, label=["A" if row % 5 == 0 else "B" for row in range(240)])
    assert only("imbalance", uneven).facts["ratio"] == 4
    rare = clean(240, label=["A" if row % 20 == 0 else "B" for row in range(240)])
    assert only("imbalance", rare).severity == "error"


def test_labels_of_few_patients_and_unknown_ones() -> None:
    data = clean(patient_id=[f"p{row % 2 and row}" for row in range(240)])
    issue = only("patients", data)
    assert (issue.severity, issue.facts["patients"]) == ("error", 1)
    (issue,) = issues_of("patients", clean(patient_id=[None] * 240))
    assert (issue.severity, issue.facts["images"]) == ("info", 240)


def test_splits_need_every_label() -> None:
    data = clean(split=["train" if row % 2 or row < 120 else "test" for row in range(240)])
    issue = only("split_labels", data)
    assert issue.facts == {"split": "test", "A": 60, "B": 0}
    assert issue.severity == "error"
    small = clean(split=["test" if row < 8 else "train" for row in range(240)])
    assert only("split_labels", small).severity == "warning"


def test_duplicates_are_counted_in_groups() -> None:
    ids = clean().catalogue["image_id"]
    pairs = [Pair(ids[0], ids[4]), Pair(ids[4], ids[8], mirrored=True)]
    issue = only("near_duplicates", replace(clean(), pairs=pairs))
    assert issue.paths == ("A/0000.png", "A/0004.png", "A/0008.png")
    assert (issue.facts["groups"], issue.facts["mirrored_pairs"]) == (1, 1)
    exact = replace(clean(), pairs=[Pair(ids[0], ids[4], "exact", 1.0)])
    assert only("exact_duplicates", exact).facts["images"] == 2
    assert not issues_of("near_duplicates", exact)


def test_copies_share_an_image_id_and_are_exact_duplicates() -> None:
    first = clean().catalogue["image_id"][0]
    data = changed(clean(), "catalogue", 4, image_id=first, excluded="identical copy of A/0000.png")
    assert only("exact_duplicates", data).paths == ("A/0000.png", "A/0004.png")


def test_duplicates_across_labels_splits_and_leakage() -> None:
    ids = clean().catalogue["image_id"]
    across = replace(clean(), pairs=[Pair(ids[0], ids[1])])
    assert only("duplicates_across_labels", across).facts["label:A|B"] == 1
    assert not issues_of("duplicates_across_splits", across)
    leaking = replace(clean(), pairs=[Pair(ids[0], ids[4]), Pair(ids[4], ids[2])])
    assert only("duplicates_across_splits", leaking).facts["pairs"] == 1
    assert only("duplicate_leakage", leaking).facts["images"] == 3
    assert not issues_of("duplicates_across_labels", leaking)


def test_patients_who_cross_splits() -> None:
    data = changed(clean(), "catalogue", 2, patient_id="p0")
    issue = only("patient_leakage", data)
    assert issue.paths == ("A/0000.png", "A/0002.png")
    sources = ["one", "one", "two", *["one"] * 237]
    assert not issues_of("patient_leakage", replace(
        data, catalogue=data.catalogue.with_columns(source=pl.Series(sources))
    ))  # fmt: skip


def two_sources() -> AuditData:
    """Data set `one` has A and B; `two` has C, borrowed from B of `one`, and D of its own."""
    labels = [("AB" if row < 120 else "CD")[row % 2] for row in range(240)]
    data = clean(source=["one"] * 120 + ["two"] * 120, label=labels)
    ids = data.catalogue["image_id"]
    return replace(data, pairs=[Pair(ids[row + 1], ids[120 + row]) for row in range(0, 120, 2)])


def test_labels_borrowed_from_another_data_set() -> None:
    _, issue = issues_of("label_source", two_sources())  # the first: `one` has them of `two`
    assert issue.facts["shared:C"] == 1
    assert issue.facts["shared:D"] == 0
    assert issue.severity == "error"
    assert "almost perfectly predictable" in issue.message
    shared = only("duplicates_across_sources", two_sources())
    assert shared.facts["label:B|C"] == 60
    assert "one" in shared.message
    assert "two" in shared.message


def test_labels_that_only_one_data_set_uses_do_not_contradict_each_other() -> None:
    assert not issues_of("duplicates_across_labels", two_sources())
    ids = two_sources().catalogue["image_id"]
    against = replace(two_sources(), pairs=[Pair(ids[0], ids[1])])
    assert only("duplicates_across_labels", against).facts["label:A|B"] == 1


def test_label_and_source_that_are_tied() -> None:
    tied = [issue for issue in issues_of("sources", two_sources()) if "cramers_v" in issue.facts]
    assert tied[0].facts["cramers_v"] == pytest.approx(1, abs=0.01)
    free = clean(source=["one" if row % 4 < 2 else "two" for row in range(240)])
    assert {issue.severity for issue in issues_of("sources", free)} == {"info"}


@pytest.mark.parametrize(
    ("cue", "table", "column"),
    [
        ("size", "catalogue", "width"),
        ("file size", "files", "bytes"),
        ("mean grey", "statistics", "mean"),
        ("border content", "statistics", "border_mean"),
        ("sharpness", "statistics", "sharpness"),
        ("corner text", "statistics", "corner_text"),
    ],
)
def test_each_shortcut_is_found(cue: str, table: str, column: str) -> None:
    data = clean()
    frame = getattr(data, table)
    hint = pl.when(pl.int_range(pl.len()) % 2 == 1).then(pl.col(column) + 40)
    changes: dict[str, Any] = {table: frame.with_columns(hint.otherwise(column).alias(column))}
    found = [i for i in issues_of("shortcuts", replace(data, **changes)) if i.severity == "error"]
    assert cue in [issue.facts["cue"] for issue in found]
    assert all(float(issue.facts["low"] or 0) > 0.8 for issue in found)


def test_format_as_a_shortcut_and_labels_told_apart_by_acquisition() -> None:
    formats = pl.Series("format", ["png", "jpeg"] * 120)
    data = replace(clean(), files=clean().files.with_columns(formats))
    cues = {issue.facts["cue"] for issue in issues_of("shortcuts", data) if "cue" in issue.facts}
    assert {"format", "all of them"} <= cues
    issue = only("label_source", data)
    assert issue.facts["A|B"] == pytest.approx(1)
    assert "predictable from the source" in issue.message


def test_markers_of_one_label() -> None:
    data = clean()
    marked = pl.when(pl.int_range(pl.len()) % 2 == 1).then(0.05).otherwise(0.0)
    statistics = data.statistics.with_columns(corner_text=marked)
    assert only("markers", replace(data, statistics=statistics)).facts["gap"] == 1


def test_label_suspects_are_ranked_and_kin_do_not_vouch() -> None:
    rng = np.random.default_rng(0)
    data = clean()
    ids = data.catalogue["image_id"].to_list()
    vectors = rng.normal(0, 0.1, (240, 8))
    vectors[:, 0] += np.where(np.arange(240) % 2, 2, -2)
    vectors[6, 0] = 2
    embeddings = dict(zip(ids, vectors, strict=True))
    issue = only("label_suspects", replace(data, embeddings=embeddings))
    assert issue.paths == ("A/0006.png",)
    assert float(issue.facts["A/0006.png"] or 0) >= 0.9
    labels, groups = ["A", "A", "B", "B", "B"], ["p", "p", "q", "r", "s"]
    alike = np.array([[1, 0], [1, 0], [1, 0.1], [1, 0.1], [0, 1]])
    assert disagreement(alike, labels, groups, k=2)[0] == pytest.approx(1)


def sided(count: int = 240) -> dict[str, NDArray[np.float64]]:
    """Embeddings that tell the labels of `clean` apart."""
    vectors = np.random.default_rng(0).normal(0, 0.1, (count, 8))
    vectors[:, 0] += np.where(np.arange(count) % 2, 2, -2)
    return {f"{row:016x}": vector for row, vector in enumerate(vectors)}


def test_of_label_suspects_the_clearest_comes_first() -> None:
    data = clean()
    degrees = np.random.default_rng(0).normal(0, 15, 240) + np.where(np.arange(240) % 2, 0, 180)
    degrees[[0, 2]] = 55, 0  # labelled A, among B: one at their edge, one in their middle
    angle = np.radians(degrees)
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    embeddings = dict(zip(data.catalogue["image_id"], vectors, strict=True))
    issue = only("label_suspects", replace(data, embeddings=embeddings))
    assert issue.paths == ("A/0002.png", "A/0000.png")
    assert list(issue.facts)[2:] == list(issue.paths)


@pytest.mark.parametrize("copied", [False, True])
def test_patients_of_one_copy_do_not_vouch_for_each_other(copied: bool) -> None:
    """Image 6 looks like those of patient p7 alone, and a copy of it may be of that patient."""
    count = 240
    patients = [f"p{7 if row % 2 and row < 40 else row}" for row in range(count)]
    embeddings = sided(count)
    embeddings[f"{6:016x}"][0] = 2
    for row in range(1, 40, 2):
        embeddings[f"{row:016x}"] = embeddings[f"{6:016x}"] + 1e-4 * row
    pairs = [Pair(f"{6:016x}", f"{7:016x}")] if copied else []
    labels = ["B" if row % 2 and row < 40 else "A" for row in range(count)]
    data = clean(count, patient_id=patients, label=labels)
    issues = issues_of("label_suspects", replace(data, embeddings=embeddings, pairs=pairs))
    suspected = [path for issue in issues for path in issue.paths]
    assert ("A/0006.png" in suspected) is not copied


def test_auc_and_its_error_against_other_ways() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 400)
    scores = rng.normal(size=(400, 3)) + np.eye(3)[codes]
    auc, error = macro_auc(scores, codes, np.arange(400))
    reference = np.mean([roc_auc_score(codes == code, scores[:, code]) for code in range(3)])
    assert auc == pytest.approx(reference)
    draws = [rng.integers(0, 400, 400) for _ in range(300)]
    again = [macro_auc(scores[rows], codes[rows], np.arange(400))[0] for rows in draws]
    assert error == pytest.approx(np.std(again), rel=0.2)
    twice = macro_auc(np.repeat(scores, 2, 0), np.repeat(codes, 2), np.repeat(np.arange(400), 2))
    assert twice == pytest.approx((auc, error), rel=1e-3)


def test_noise_predicts_nothing_and_groups_are_not_learnt_by_heart() -> None:
    rng = np.random.default_rng(0)
    groups = [f"g{row // 10}" for row in range(400)]
    labels = ["AB"[row // 10 % 2] for row in range(400)]
    own = np.repeat(rng.normal(size=40), 10)[:, None] + rng.normal(0, 1e-3, (400, 1))
    result = predictability(own, labels, groups)
    assert result is not None
    assert result.low < 0.5 < result.high
    constant = predictability(np.ones((400, 2)), labels, groups)
    assert constant is not None
    assert (constant.auc, constant.low, constant.high) == (0.5, 0.5, 0.5)
    assert predictability(own, ["A"] * 400, groups) is None


def test_cramers_v() -> None:
    assert cramers_v(["a", "b"] * 50, ["x", "y"] * 50) == pytest.approx(1, abs=0.01)
    assert cramers_v(["a", "a", "b", "b"] * 25, ["x", "y"] * 50) == 0
    assert cramers_v(["a"] * 10, ["x", "y"] * 5) == 0


def test_the_registry_names_each_check_once() -> None:
    assert len(BY_NAME) == len(CHECKS)
    assert not set(BY_NAME) & set(SEVERITIES)
    assert all(check.title for check in CHECKS)


def test_gates() -> None:
    info, warning, error = (
        Issue(name, severity, "t", "m")
        for name, severity in zip(("counts", "tiny", "blank"), SEVERITIES, strict=True)
    )
    found = [info, warning, error]
    assert failed(found, ["error"]) == [error]
    assert failed(found, ["warning"]) == [warning, error]
    assert failed(found, ["tiny", "counts"]) == [warning]
    assert failed(found, []) == []
    with pytest.raises(InputError, match=r"tinny.*allowed: info, warning, error, counts"):
        failed(found, ["tinny"])


def test_issues_are_ordered_and_written_as_json() -> None:
    data = changed(clean(), "statistics", 6, maximum=3)
    found = run_checks(data, reporter=Silent())
    assert found[0].check == "blank"
    assert json.loads(json.dumps(found[0].to_json()))["paths"] == ["A/0006.png"]


def save(path: Path, pixels: NDArray[np.uint8], kind: str = "PNG") -> None:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format=kind)
    path.write_bytes(content.getvalue())


def planted_defects(root: Path, files: list[Path]) -> dict[str, set[str]]:  # noqa: C901
    """Spoil some files, and tell what each check should find."""
    paths = iter(files)
    expected: dict[str, set[str]] = {}

    def take(name: str, count: int = 1) -> list[tuple[Path, NDArray[np.uint8]]]:
        chosen = [next(paths) for _ in range(count)]
        expected.setdefault(name, set()).update(str(file.relative_to(root)) for file in chosen)
        return [(file, np.asarray(Image.open(file).convert("L"))) for file in chosen]

    for file, _ in take("unreadable", 3):
        file.write_bytes(file.read_bytes()[:900])
    for file, _ in take("empty", 2):
        file.write_bytes(b"")
    for row, (file, pixels) in enumerate(take("blank", 2)):
        save(file, np.full_like(pixels, 90 + row), "JPEG")
    for file, pixels in take("tiny", 2):
        save(file, pixels[::5, ::5], "JPEG")
    for file, pixels in take("extreme_aspect", 2):
        save(file, pixels[:60], "JPEG")
    for file, pixels in take("wrong_type", 2):
        save(file, pixels)
    for file, pixels in take("colour", 2):
        save(file, np.stack([pixels, pixels // 2, pixels], axis=2), "JPEG")
    for file, pixels in take("inverted", 8):
        save(file, 255 - pixels, "JPEG")
    for row, (file, pixels) in enumerate(take("rotated", 12)):
        save(file, np.rot90(pixels, 1 + row % 3), "JPEG")
    for file, pixels in take("mirrored", 12):
        save(file, pixels[:, ::-1], "JPEG")
    ((file, _),) = take("named_label")
    file = file.rename(file.parent.with_name("NORMAL") / "person9999_virus_1.jpeg")
    expected["named_label"] = {str(file.relative_to(root))}
    ((file, _),) = take("exact_duplicates")
    copy = shutil.copy(file, file.with_name("person9998_virus_2.jpeg"))
    expected["exact_duplicates"].add(str(Path(copy).relative_to(root)))
    ((file, _),) = take("patient_leakage")
    twin = root / "test" / "PNEUMONIA" / f"{file.stem.rpartition('_')[0]}_9999.jpeg"
    save(twin, np.asarray(Image.open(next(paths)).convert("L")), "JPEG")
    expected["patient_leakage"].add(str(twin.relative_to(root)))
    return expected


def file_facts(root: Path, paths: Sequence[str]) -> pl.DataFrame:
    rows = []
    for path in paths:
        content = (root / path).read_bytes()
        kind = {b"\x89P": "png", b"\xff\xd8": "jpeg"}.get(content[:2])
        colour = 0.0
        if kind and b"\x11\x00\x02\x11" not in content and len(content) > 900:
            with Image.open(io.BytesIO(content)) as image:
                if image.mode == "RGB":
                    channels = np.asarray(image, dtype=np.float64)
                    colour = float(np.abs(np.diff(channels, axis=2)).mean())
        rows.append((path, len(content), kind, colour))
    return pl.DataFrame(rows, schema=FILES_SCHEMA, orient="row")


@pytest.mark.data
def test_twelve_kinds_of_defects_among_a_thousand_real_images(
    data_folder: Path, tmp_path: Path, fresh_cache: Path
) -> None:
    root = tmp_path / "planted"
    chosen = sorted((data_folder / "chest_xray").glob("t*/*/*.jpeg"))
    chosen = [chosen[row] for row in np.linspace(0, len(chosen) - 1, 1000).astype(int)]
    for file in chosen:
        target = root / file.relative_to(data_folder / "chest_xray")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    sick = sorted((root / "train" / "PNEUMONIA").iterdir())
    order = np.random.default_rng(0).permutation(len(sick))
    expected = planted_defects(root, [sick[row] for row in order])
    pixels = PixelCache(Preprocess(PreprocessRecipe(size=128)))
    listing = recognise(root)
    catalogue = build_catalogue(listing, pixels=pixels, reporter=Silent())
    files = file_facts(root, catalogue["path"].to_list())
    sizes = {row[0]: row[1:] for row in usable(catalogue)["image_id", "width", "height"].rows()}
    data = AuditData(
        catalogue, files, image_statistics(list(sizes), pixels, reporter=Silent(), sizes=sizes)
    )
    found: dict[str, set[str]] = {}
    for issue in run_checks(data, reporter=Silent()):
        found.setdefault(issue.check, set()).update(issue.paths)
    assert len(expected) >= 12
    for name, paths in expected.items():
        spoilt = set().union(*(other for key, other in expected.items() if key != name))
        found_here = found.get(name, set())
        least = 0.7 if name == "mirrored" else 1.0  # a weak sign, and it says so
        assert len(found_here & paths) >= least * len(paths), (name, paths - found_here)
        false = found_here - paths - spoilt
        assert len(false) <= 0.01 * 1000, (name, false)
