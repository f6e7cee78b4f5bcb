"""Label patches: written version by version, read back, applied, refused where they are wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from pneumoscope.core.errors import LabelError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import Recipe, override
from pneumoscope.data.catalogue import CONTRADICTING
from pneumoscope.data.label_patch import (
    EXCLUDED,
    Decision,
    Verdict,
    apply_patch,
    patches,
    read_patch,
    save_patch,
)
from pneumoscope.data.phantoms import write_phantoms
from pneumoscope.workflows.prepare import prepare_recipe

CATALOGUE = pl.DataFrame(
    {
        "image_id": ["a", "b", "c", None],
        "label": ["N", "P", "N", "P"],
        "excluded": [None, None, None, "unreadable"],
    }
)
ONE = {"image_id": "a", "path": "p", "label": "N"}
FACTS = {"data": "x", "fingerprint": "f", "created": "2026-01-01T00:00:00+00:00"}


def save(folder: Path, *decisions: Decision) -> Path:
    return save_patch(decisions, folder, **FACTS)


def test_each_saving_is_a_new_version(tmp_path: Path) -> None:
    first = save(tmp_path, Decision("a", "a.png", "N", "keep"))
    second = save(tmp_path, Decision("a", "a.png", "N", "relabel", "P"))
    assert patches(tmp_path) == [first, second]
    assert [read_patch(path).version for path in (first, second)] == [1, 2]
    assert read_patch(second).decisions == (Decision("a", "a.png", "N", "relabel", "P"),)


def test_a_patch_relabels_excludes_and_keeps(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        Decision("a", "a.png", "N", "relabel", "P"),
        Decision("b", "b.png", "P", "exclude"),
        Decision("c", "c.png", "N", "keep"),
        Decision("gone", "z.png", "N", "exclude"),
    )
    reporter = Silent()
    found = apply_patch(CATALOGUE, read_patch(path), reporter=reporter)
    assert found["label"].to_list() == ["P", "P", "N", "P"]
    assert found["excluded"].to_list() == [None, EXCLUDED, None, "unreadable"]
    assert "1 images" in reporter.warnings[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 2}, "schema version"),
        ({"more": 1}, "fields"),
        ({"version": "1"}, "version is '1'; allowed: a whole number"),
        ({"version": True}, "version is 'True'; allowed: a whole number"),
        ({"version": 0}, "allowed: 1 or more"),
        ({"data": None}, "data is 'None'; allowed: text"),
        ({"fingerprint": 3}, "fingerprint is '3'; allowed: text"),
        ({"created": 5}, "created is '5'; allowed: text"),
        ({"created": "yesterday"}, "'yesterday'"),
        ({"decisions": {}}, "allowed: a list"),
        ({"decisions": ["a"]}, "allowed: an object"),
        ({"decisions": [ONE | {"verdict": "keep", "image_id": 1}]}, "image_id of a decision"),
        ({"decisions": [ONE | {"verdict": "keep", "more": "x"}]}, "more"),
        ({"decisions": [ONE | {"verdict": "burn"}]}, r"'burn'; allowed: .*\. Decide on it"),
        ({"decisions": [ONE | {"verdict": "relabel"}]}, "new"),
        ({"decisions": [ONE | {"verdict": "keep"}] * 2}, "twice"),
    ],
)  # fmt: skip
def test_a_wrong_patch_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = save(tmp_path, Decision("a", "a.png", "N", "keep"))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(LabelError, match=words) as caught:
        read_patch(path)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_label_that_the_data_have_not_is_refused(tmp_path: Path) -> None:
    patch = read_patch(save(tmp_path, Decision("a", "a.png", "N", "relabel", "X")))
    with pytest.raises(LabelError, match=r"'X'; allowed: N, P"):
        apply_patch(CATALOGUE, patch, reporter=Silent())


@pytest.mark.parametrize(
    ("decision", "settled"),
    [
        (("keep", None), "NORMAL"),
        (("relabel", "PNEUMONIA"), "PNEUMONIA"),
        (("exclude", None), None),
    ],
)
def test_copies_of_contradicting_labels_come_back_as_one_where_it_is_settled(
    decision: tuple[Verdict, str | None], settled: str | None, fresh_cache: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    write_phantoms(data, patients=6, size=48, seed=2)
    first = min((data / "NORMAL").iterdir())
    shutil.copy(first, data / "PNEUMONIA" / "other-name.png")
    recipe = override(Recipe(), {"data.path": str(data), "preprocess.size": 32})
    reporter = Silent()
    plain = prepare_recipe(recipe, reporter=reporter).catalogue
    both = plain.filter(pl.col("excluded") == CONTRADICTING)
    assert both.height == 2
    one = both.sort("path").row(0, named=True)
    verdict, new = decision
    path = save(tmp_path, Decision(one["image_id"], one["path"], "NORMAL", verdict, new))
    patched = prepare_recipe(override(recipe, {"data.patch": str(path)}), reporter=reporter)
    same = patched.catalogue.filter(pl.col("image_id") == one["image_id"])
    live = same.filter(pl.col("excluded").is_null())
    assert live["label"].to_list() == ([settled] if settled else [])
    if settled:
        assert same["label"].to_list() == [settled] * 2
        assert one["image_id"] in patched.pixels
    rest = pl.col("image_id") != one["image_id"]
    assert patched.catalogue.filter(rest).equals(plain.filter(rest))


def test_training_reads_its_data_through_the_patch(small_recipe: Recipe, tmp_path: Path) -> None:
    plain = prepare_recipe(small_recipe, reporter=Silent()).catalogue
    first, second = plain.sort("path").head(2).iter_rows(named=True)
    path = save(
        tmp_path,
        Decision(first["image_id"], first["path"], first["label"], "relabel", "PNEUMONIA"),
        Decision(second["image_id"], second["path"], second["label"], "exclude"),
    )
    recipe = override(small_recipe, {"data.patch": str(path)})
    patched = prepare_recipe(recipe, reporter=Silent()).catalogue.sort("path")
    assert patched["label"][0] == "PNEUMONIA"
    assert patched["excluded"][1] == EXCLUDED
    assert patched[2:].equals(plain.sort("path")[2:])
