from __future__ import annotations

import html.parser
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from pneumoscope.bundle.predictor import Predictor
from pneumoscope.cli.main import app
from pneumoscope.core.errors import InputError, LabelError
from pneumoscope.core.progress import Reporter, Silent
from pneumoscope.core.recipe import PreprocessRecipe, Recipe, override
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import Facts, scan, usable
from pneumoscope.data.layouts import Listing
from pneumoscope.data.split import apply_split
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.workflows import audit_collect
from pneumoscope.workflows.audit_collect import Reading, collect
from pneumoscope.workflows.auditing import AuditResult, audit
from pneumoscope.workflows.results import TrainResult
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
    phantoms: Path, plainest_recipe: Recipe, tmp_path: Path
) -> None:
    audited = audit([phantoms], output=tmp_path / "audit", fix=True)
    changes = {"split.file": str(audited.split)}
    run = train(override(plainest_recipe, changes), output=tmp_path / "run")
    frozen = pl.read_parquet(tmp_path / "audit" / "split.parquet").select("image_id", "split")
    used = pl.read_parquet(run.output / "split.parquet").select("image_id", "split")
    assert used.equals(frozen)


FLIPPED = 3


@pytest.fixture(scope="module")
def flipped(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """Phantoms without and with a large effusion, three of each under the other label."""
    from PIL import Image

    folder, planted = tmp_path_factory.mktemp("flipped") / "data", set()
    for label, other in (("NORMAL", "PNEUMONIA"), ("PNEUMONIA", "NORMAL")):
        for place, path in enumerate(sorted((phantoms / label).iterdir())):
            written = other if place in range(0, 20 * FLIPPED, 20) else label
            (folder / written).mkdir(parents=True, exist_ok=True)
            with Image.open(path) as image:
                pixels = np.array(image)
            if label == "PNEUMONIA":
                pixels[pixels.shape[0] // 2 :] = 220
            Image.fromarray(pixels).save(folder / written / path.name)
            planted |= {f"{written}/{path.name}"} if written != label else set()
    return folder, planted


def reading(trained: TrainResult, *, pixels: PixelCache | None = None) -> Reading:
    predictor = Predictor.open(trained.bundle)
    default = PixelCache(Preprocess(PreprocessRecipe()))
    return Reading("auto", None, {}, pixels or default, predictor, Silent())


def test_label_errors_are_suspected_first(
    flipped: tuple[Path, set[str]], trained: TrainResult, tmp_path: Path
) -> None:
    folder, planted = flipped
    result = audit([folder], output=tmp_path / "out", bundle=trained.bundle)
    content = json.loads((result.output / "audit.json").read_text())
    assert content["bundle"] == Predictor.open(trained.bundle).model_id
    (issue,) = [issue for issue in content["issues"] if issue["check"] == "label_suspects"]
    assert set(issue["paths"][: 2 * FLIPPED]) == planted
    shares = [issue["facts"][path] for path in issue["paths"]]
    assert [round(share, 2) for share in shares] == sorted(
        (round(share, 2) for share in shares), reverse=True
    )
    page = result.report.read_text()
    shown = page[page.index("Label-error suspects") :]
    assert "the most suspect first" in shown[: shown.index("</figcaption>")]
    assert 'src="data:image/png;base64,' in shown[: shown.index("</article>")]
    listed = shown[shown.index('<ul class="paths">') : shown.index("</ul>")]
    assert listed.index(issue["paths"][0]) < listed.index(issue["paths"][-1])
    with_none = audit([folder], output=tmp_path / "plain")
    assert "label_suspects" not in {issue.check for issue in with_none.issues}
    assert json.loads((with_none.output / "audit.json").read_text())["bundle"] is None


def test_embeddings_are_the_predictors_own_and_canvases_are_made_once(
    flipped: tuple[Path, set[str]], trained: TrainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = []

    def counted(listing: Listing, *, pixels: PixelCache, reporter: Reporter) -> list[Facts]:
        scans.append(pixels)
        return scan(listing, pixels=pixels, reporter=reporter)

    monkeypatch.setattr(audit_collect, "scan", counted)
    other = collect([flipped[0]], reading(trained))
    assert len(scans) == 2, "the bundle's canvases are not those of the audit"
    predictor = Predictor.open(trained.bundle)
    pixels = PixelCache(predictor.preprocess)
    same = collect([flipped[0]], reading(trained, pixels=pixels))
    assert len(scans) == 3
    assert other.embeddings is not None
    assert same.embeddings is not None
    assert set(same.embeddings) == set(usable(same.catalogue)["image_id"])
    for image_id in list(same.embeddings)[::25]:
        own = predictor.infer(pixels.pixels([image_id])).embedding[0]
        assert np.allclose(same.embeddings[image_id], own, atol=1e-4)
        assert np.array_equal(same.embeddings[image_id], other.embeddings[image_id])


def test_a_bundle_that_needs_masks_sees_images_that_have_one(
    phantoms: Path, trained: TrainResult, tmp_path: Path
) -> None:
    from PIL import Image

    how = reading(trained)
    assert how.predictor is not None
    how.predictor.preprocess = Preprocess(PreprocessRecipe(size=64, lungs="keep"))
    with pytest.raises(InputError, match=r"preprocess\.lungs=keep needs lung masks"):
        collect([phantoms], how)
    images = [path for label in ("NORMAL", "PNEUMONIA") for path in (phantoms / label).iterdir()]
    for path in images:
        shutil.copy(path, tmp_path / path.name)
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / "mask.png")
    rows = [f"{path.name},{path.parent.name},mask.png" for path in images[3:]]
    rows += [f"{path.name},{path.parent.name}," for path in images[:3]]
    (tmp_path / "table.csv").write_text("\n".join(["path,label,mask", *rows]))
    found = collect([tmp_path], how)
    assert found.embeddings is not None
    assert len(found.embeddings) == len(images) - 3
    assert isinstance(how.reporter, Silent)
    blind, learnt = how.reporter.warnings[-2:]
    assert blind.startswith("3 images have no canvas")
    assert learnt.startswith("the bundle was trained on these very labels")


def test_a_bundle_that_is_none_is_said_before_the_work(phantoms: Path, tmp_path: Path) -> None:
    given = ["audit", str(phantoms), "--bundle", str(tmp_path), "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 1
    assert "bundle.json is missing" in done.stderr
    assert not (tmp_path / "out").exists()


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
