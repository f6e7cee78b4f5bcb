from __future__ import annotations

import html.parser
import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from pneumoscope.core.errors import InputError, LabelError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import Recipe, override
from pneumoscope.data.split import apply_split
from pneumoscope.workflows.auditing import AuditResult, audit
from pneumoscope.workflows.training import train


@pytest.fixture(scope="module")
def copied(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some phantoms in another folder, under other names, labels and colour modes."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("second") / "other"
    for label in ("NORMAL", "PNEUMONIA"):
        (folder / label.title()).mkdir(parents=True)
        for path in sorted((phantoms / label).iterdir())[:20]:
            target = folder / label.title() / f"copy-{path.stem}.png"
            with Image.open(path) as image:
                image.convert("RGB").save(target)
    (folder / "Normal" / "broken.png").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def audited(phantoms: Path, copied: Path, tmp_path_factory: pytest.TempPathFactory) -> AuditResult:
    output = tmp_path_factory.mktemp("audit") / "out"
    return audit([phantoms, copied], output=output, fix=True)


def test_an_audit_is_the_contract(audited: AuditResult) -> None:
    names = {path.name for path in audited.output.iterdir()}
    assert names == {"catalogue.parquet", "audit.json", "audit.html", "split.parquet"}
    content = json.loads((audited.output / "audit.json").read_text())
    assert content["data"] == ["phantoms", "other"]
    assert sum(content["severities"].values()) == len(content["issues"]) == len(audited.issues)
    assert {"check", "severity", "title", "message", "paths", "facts"} <= content["issues"][
        0
    ].keys()
    assert {issue["check"] for issue in content["issues"]} >= {"unreadable", "counts"}


def test_copies_across_data_sets_are_found_and_kept_together(audited: AuditResult) -> None:
    found = {issue.check for issue in audited.issues}
    assert "duplicates_across_sources" in found
    split = pl.read_parquet(audited.output / "split.parquet")
    assert split.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    catalogue = pl.read_parquet(audited.output / "catalogue.parquet")
    assert set(catalogue["label"]) == {"NORMAL", "PNEUMONIA"}, "one spelling of a label"
    named = split.join(catalogue, on="image_id")
    names = named.with_columns(
        pl.col("path").str.extract(r"(?:copy-)?((?:IM|person)[^./]*)\.").alias("original")
    )
    both = names.group_by("original").agg(
        pl.col("split_right"), pl.col("split").n_unique(), pl.len()
    )
    pairs = both.filter(pl.col("len") == 2)
    assert pairs.height >= 30
    assert pairs.filter(pl.col("split") > 1).height <= 0.02 * pairs.height


def test_the_page_is_self_contained_and_says_every_issue(audited: AuditResult) -> None:
    page = audited.report.read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "<script" not in page

    class Text(html.parser.HTMLParser):
        words = ""

        def handle_data(self, data: str) -> None:
            self.words += data

    parser = Text()
    parser.feed(page)
    for issue in audited.issues:
        assert issue.title in parser.words
        assert issue.message in parser.words
    assert page.count('alt="') >= 3


def test_a_gate_stops_and_a_wrong_gate_is_refused(
    audited: AuditResult, copied: Path, tmp_path: Path
) -> None:
    result = audit([copied], output=tmp_path / "out", fail_on=["unreadable"])
    assert {issue.check for issue in result.failed} == {"unreadable"}
    assert audited.failed == ()
    with pytest.raises(InputError, match="--fail-on nonsense"):
        audit([copied], output=tmp_path / "x", fail_on=["nonsense"])
    assert not (tmp_path / "x").exists()


def test_train_respects_the_frozen_split(
    phantoms: Path, small_recipe: Recipe, tmp_path: Path
) -> None:
    audited = audit([phantoms], output=tmp_path / "audit", fix=True)
    changes = {"split.file": str(audited.split), "tracking.enabled": False}
    run = train(override(small_recipe, changes), output=tmp_path / "run")
    frozen = pl.read_parquet(tmp_path / "audit" / "split.parquet").select("image_id", "split")
    used = pl.read_parquet(run.output / "split.parquet").select("image_id", "split")
    assert used.equals(frozen)


@pytest.mark.parametrize("fault", ["no file", "columns", "split", "crossing"])
def test_a_wrong_split_file_is_refused(fault: str, phantoms: Path, tmp_path: Path) -> None:
    file = tmp_path / "split.parquet"
    rows = {"image_id": ["a", "b"], "group": ["g", "h"], "split": ["train", "test"]}
    if fault == "columns":
        rows.pop("group")
    if fault == "split":
        rows["split"] = ["train", "dev"]
    if fault == "crossing":
        rows["group"] = ["g", "g"]
    if fault != "no file":
        pl.DataFrame(rows).write_parquet(file)
    result = audit([phantoms], output=tmp_path / "out")
    catalogue = pl.read_parquet(result.output / "catalogue.parquet")
    with pytest.raises(LabelError) as caught:
        apply_split(catalogue, file, reporter=Silent())
    assert str(file) in str(caught.value)
    shutil.rmtree(result.output)
