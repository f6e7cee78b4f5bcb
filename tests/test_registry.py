"""Import from run folders, registered models, promotion: one local store for all."""

from __future__ import annotations

import base64
import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from pneumoscope.bundle.archive import open_bundle
from pneumoscope.cli.main import app
from pneumoscope.core.errors import InputError, StorageError
from pneumoscope.core.progress import Silent
from pneumoscope.core.types import FloatArray
from pneumoscope.evaluation.calibration import softmax
from pneumoscope.evaluation.verdict.judge import ITEMS
from pneumoscope.tracking import Parent, Record, load_record, sync
from pneumoscope.tracking.contents import record_of
from pneumoscope.tracking.models import champion_of, resolve
from pneumoscope.tracking.offline import store_of
from pneumoscope.tracking.promotion import promotions
from pneumoscope.tracking.stores import local_store
from pneumoscope.workflows.bundles import bundle_at
from pneumoscope.workflows.promoting import PromoteResult, promote
from pneumoscope.workflows.results import TrainResult
from pneumoscope.workflows.verdict_gate import verdict_gate

mlflow = pytest.importorskip("mlflow")


def verdict(**colours: str) -> list[dict[str, object]]:
    return [
        {"item": item, "colour": colours.get(item, "green"), "sentence": f"About {item}."}
        for item in ITEMS
    ]


GREEN = verdict(sources="grey")
RED = verdict(shortcuts="red")


@dataclass(frozen=True)
class Shelf:
    """Run folders and the store beside them.

    Attributes:
        folder: Of both.
        first: The run folder imported and promoted first.
        promoted: What promoting it did.
    """

    folder: Path
    first: Path
    promoted: PromoteResult

    @property
    def client(self) -> Any:
        return mlflow.MlflowClient(tracking_uri=local_store(self.folder).uri)


def assessed(folder: Path, verdict: list[dict[str, object]]) -> Path:
    (folder / "assessment.json").write_text(json.dumps({"verdict": verdict}))
    return folder


@pytest.fixture(scope="module")
def shelf(trained: TrainResult, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """A store that was lost: only a run folder without its record is left of it."""
    root = tmp_path_factory.mktemp("shelf")
    first = root / "first"
    shutil.copytree(trained.output, first)
    (first / "tracking.json").unlink()
    assessed(first, GREEN)
    informed(first)
    return Shelf(root, first, promote(first, name="chest", who="Ada"))


@pytest.fixture
def challenger(shelf: Shelf, tmp_path: Path) -> Callable[[float], Path]:
    """A run of another model on the same images, its logits those of the first times a factor."""

    def make(factor: float) -> Path:
        folder = tmp_path / "challenger"
        shutil.copytree(shelf.first, folder, ignore=shutil.ignore_patterns("bundle", "tracking*"))
        bundle = open_bundle(shelf.first / "bundle")
        bundle.revised(temperature=2.0 + factor / 100).save(folder / "bundle")
        scaled(folder, factor)
        return folder

    return make


def informed(folder: Path) -> None:
    """Predictions that mostly know the label: the phantoms' own network is too small to."""
    table = pl.read_parquet(folder / "predictions.parquet")
    names = [name for name in table.columns if name.startswith("logit:")]
    noise = np.random.default_rng(0).normal(size=(table.height, len(names)))
    truth = np.stack([(table["label"] == n.removeprefix("logit:")).to_numpy() for n in names])
    replaced(folder, 1.5 * truth.T + 1.2 * noise)


def scaled(folder: Path, factor: float) -> None:
    table = pl.read_parquet(folder / "predictions.parquet")
    names = [name for name in table.columns if name.startswith("logit:")]
    replaced(folder, table.select(names).to_numpy() * factor)


def replaced(folder: Path, logits: FloatArray) -> None:
    table = pl.read_parquet(folder / "predictions.parquet")
    names = [name for name in table.columns if name.startswith("logit:")]
    shares = softmax(logits, temperature=1.0)
    for place, name in enumerate(names):
        share = name.replace("logit:", "probability:")
        table = table.with_columns(
            pl.Series(name, logits[:, place], dtype=table[name].dtype),
            pl.Series(share, shares[:, place], dtype=table[share].dtype),
        )
    table.write_parquet(folder / "predictions.parquet")


def inputs_of(run: Any) -> dict[str, tuple[str, str, str]]:
    return {
        item.tags[0].value: (item.dataset.name, item.dataset.digest, item.dataset.profile)
        for item in run.inputs.dataset_inputs
    }


def test_a_run_known_by_its_files_stays_known(trained: TrainResult, tmp_path: Path) -> None:
    shutil.copytree(trained.output, tmp_path / "small", ignore=shutil.ignore_patterns("tracking*"))
    found = [sync(tmp_path, uri=trained.tracking_uri)[0] for _ in range(2)]
    assert [(one.run_id, one.state) for one in found] == [(trained.run_id, "there")] * 2


def test_a_lost_store_is_made_anew_from_run_folders(shelf: Shelf, trained: TrainResult) -> None:
    before = mlflow.MlflowClient(tracking_uri=trained.tracking_uri).get_run(trained.run_id)
    champion = champion_of("chest", runs=shelf.folder)
    assert champion is not None
    after = shelf.client.get_run(champion.run_id)
    assert after.info.status == "FINISHED"
    ours = {k: v for k, v in before.data.metrics.items() if not k.startswith("system/")}
    assert inputs_of(before) == inputs_of(after)
    assert len(inputs_of(after)) == 5
    named = [name for name in before.data.tags if name.startswith("pneumoscope.precision")]
    assert len(named) == 2
    assert all(after.data.tags[name] == before.data.tags[name] for name in named)
    assert ours.keys() == after.data.metrics.keys()
    assert all(after.data.metrics[name] == pytest.approx(ours[name], abs=1e-6) for name in ours)
    written = {"compute.precision", "compute.engine"}
    assert before.data.params.keys() - written == after.data.params.keys() - written
    losses = shelf.client.get_metric_history(champion.run_id, "probe/train_loss")
    assert len(losses) == pl.read_csv(shelf.first / "history.csv").height
    names = {item.path for item in shelf.client.list_artifacts(champion.run_id)}
    assert {"report.html", "figures", "predictions.parquet", "recipe.yaml"} <= names
    assert [one.state for one in sync(shelf.folder)] == ["there"]
    (shelf.first / "tracking.json").unlink()
    assert [one.state for one in sync(shelf.folder)] == ["there"]


def test_who_when_and_why_are_in_the_registry(shelf: Shelf) -> None:
    assert (shelf.promoted.version, shelf.promoted.changed) == (1, True)
    (entry,) = [one for one in promotions(local_store(shelf.folder), "chest") if one.version == 1]
    assert entry.who == "Ada"
    assert entry.when.startswith("20")
    assert entry.why == "no red among 11 verdicts; not judged: sources; there was no champion"
    again = promote(shelf.first, name="chest")
    assert (again.version, again.changed) == (1, False)


def test_a_champion_is_fetched_by_its_address(shelf: Shelf, fresh_cache: Path) -> None:
    found = resolve("models:/chest@champion", runs=shelf.folder)
    assert open_bundle(found).model_id == open_bundle(shelf.first / "bundle").model_id
    assert resolve("models:/chest/1", runs=shelf.folder) == found
    (found / "model.onnx").write_bytes(b"changed")
    again = resolve("models:/chest@champion", runs=shelf.folder)
    assert open_bundle(again).model_id == open_bundle(shelf.first / "bundle").model_id


@pytest.mark.parametrize("model", ["../../victim", "{tmp}/victim", "..", "m-12", ""])
def test_a_registry_s_tag_chooses_no_folder(
    shelf: Shelf, fresh_cache: Path, tmp_path: Path, model: str
) -> None:
    victim, kept = tmp_path / "victim" / "file", fresh_cache / "kept"
    for file in (victim, kept):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("dear")
    before = shelf.client.get_model_version("chest", "1").tags["pneumoscope.model"]
    named = model.format(tmp=tmp_path)
    shelf.client.set_model_version_tag("chest", "1", "pneumoscope.model", named)
    try:
        for address in ("models:/chest@champion", "models:/chest/1"):
            with pytest.raises(StorageError, match=r"models:/chest/1: .* 32 hexadecimal digits"):
                resolve(address, runs=shelf.folder)
    finally:
        shelf.client.set_model_version_tag("chest", "1", "pneumoscope.model", before)
    assert victim.read_text() == kept.read_text() == "dear"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("models:/chest@absent", r"no such model; chest has @champion \(version 1\), /1\."),
        ("models:/absent@champion", r"has no such model; it has chest"),
        ("models:/chest/99", r"no such model; chest has @champion"),
        ("models:/chest", "is no registered model"),
        ("models:/a'b@c", "model name"),
    ],
)
def test_an_address_that_names_nothing(shelf: Shelf, address: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        resolve(address, runs=shelf.folder)


def test_the_command_line_takes_a_champion_where_it_takes_a_bundle(
    shelf: Shelf, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", local_store(shelf.folder).uri)
    image = min((phantoms / "NORMAL").iterdir())
    rows = []
    for bundle in ("models:/chest@champion", "models:/chest/1", str(shelf.first / "bundle")):
        done = CliRunner().invoke(app, ["predict", bundle, str(image), "--json"])
        assert done.exit_code == 0, done.output
        rows.append({**json.loads(done.stdout), "milliseconds": 0})
    assert rows[0] == rows[1] == rows[2]
    assert bundle_at(tmp_path) == tmp_path
    arguments = ["evaluate", "models:/chest@nobody", str(phantoms), "--output", str(tmp_path / "e")]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 1
    assert "chest has @champion" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    audited = ["audit", str(phantoms), "--bundle", "models:/nobody/1"]
    assert "no such model; it has chest" in CliRunner().invoke(app, audited).stderr
    assert list(tmp_path.iterdir()) == []


def test_asking_a_store_that_is_not_there_does_not_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"there is no store at sqlite:.*MLFLOW_TRACKING_URI"):
        bundle_at("models:/chest@champion")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StorageError, match="tracking store refuses") as caught:
        bundle_at("models:/chest@champion")
    assert "\n" not in str(caught.value)


def test_mlflow_itself_answers_with_the_champion(
    shelf: Shelf, phantoms: Path, tmp_path: Path
) -> None:
    picture = min((phantoms / "NORMAL").iterdir())
    content = base64.b64encode(picture.read_bytes()).decode()
    rows = {
        "columns": ["image", "path"],
        "data": [[content, None], [None, str(picture)], ["?", None]],
    }
    (tmp_path / "in.json").write_text(json.dumps({"dataframe_split": rows}))
    subprocess.run(
        [
            sys.executable, "-m", "mlflow", "models", "predict", "--env-manager", "local",
            "-m", "models:/chest@champion", "-i", str(tmp_path / "in.json"),
            "-o", str(tmp_path / "out.json"),
        ],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": local_store(shelf.folder).uri,
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        check=True, capture_output=True,
    )  # fmt: skip
    first, second, third = json.loads((tmp_path / "out.json").read_text())["predictions"]
    assert third["decision"] == "unreadable"
    assert str(tmp_path) not in third["reason"]
    assert first == second
    assert first["decision"] in ("answer", "set", "abstain")
    assert 0 <= first["probability:NORMAL"] <= 1


def test_a_run_without_assessment_needs_a_reason(
    shelf: Shelf, challenger: Callable[[float], Path]
) -> None:
    folder = challenger(1.0)
    (folder / "assessment.json").unlink()
    with pytest.raises(InputError, match=r"assessment\.json is missing.*--override"):
        promote(folder, name="alone", uri=local_store(shelf.folder).uri)


def test_what_nobody_asked_about_is_not_passed(
    shelf: Shelf, challenger: Callable[[float], Path]
) -> None:
    folder, uri = challenger(1.0), local_store(shelf.folder).uri
    asked = yaml.safe_load((folder / "recipe.yaml").read_text())

    def refused(found: list[dict[str, object]], reason: str, **audit: object) -> None:
        recipe = copy.deepcopy(asked)
        recipe["evaluate"]["audit"] |= audit
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        assert verdict_gate(assessed(folder, found)).passed is not bool(reason)
        if reason:
            with pytest.raises(InputError, match=reason) as caught:
                promote(folder, name="asked", uri=uri)
            assert "\n" not in str(caught.value)

    unasked = verdict(shortcuts="grey", robustness="grey", saliency="grey", shift="grey")
    remedy = r"train \S*recipe\.yaml --set evaluate\.audit\.enabled=true; or .*--override"
    reason = r"nobody asked about shortcuts, robustness and saliency \(.*enabled: false\)"
    refused(unasked, rf"{reason}.*{remedy}", enabled=False)
    refused(unasked, r"about robustness \(.*corruptions: 0\).*corruptions=200", corruptions=0)
    refused(unasked, "")
    refused([], r"assessment\.json has no verdict on discrimination, .* Train again")
    refused(verdict()[:5], "has no verdict on shortcuts, sources, robustness")
    refused(verdict(), "", enabled=False)


def test_a_benchmark_s_training_is_promoted_in_its_benchmark_s_store(
    shelf: Shelf, challenger: Callable[[float], Path], tmp_path: Path
) -> None:
    uri, bench = local_store(shelf.folder).uri, tmp_path / "bench"
    child = bench / "runs" / "small-seed0"
    shutil.copytree(challenger(1.0), child)
    record = record_of(child)
    above = Record("bench", record.experiment, kind="benchmark", uri=uri)
    above.save(bench)
    record.parent = Parent(above.key, None, "bench", record.experiment, uri)
    record.uri = uri
    record.save(child)
    with pytest.raises(InputError, match=r"champion .version 1. are a statistical tie"):
        promote(child, name="chest")
    assert promote(child, name="benched").uri == uri
    kept = load_record(child)
    assert kept is not None
    assert kept.uri == uri
    assert not list(tmp_path.rglob("mlflow.db"))
    (child / "tracking.json").unlink()
    assert store_of(child) == local_store(tmp_path)


def test_red_a_tie_and_worse_are_refused(shelf: Shelf, challenger: Callable[[float], Path]) -> None:
    uri = local_store(shelf.folder).uri
    folder = challenger(1.0)
    with pytest.raises(InputError, match=r"statistical tie.*and not smaller"):
        promote(folder, name="chest", uri=uri)
    assessed(folder, RED)
    with pytest.raises(InputError, match=r"1 red: About shortcuts; .*tie"):
        promote(folder, name="chest", uri=uri)
    assessed(folder, GREEN)
    scaled(folder, -1.0)
    with pytest.raises(InputError, match=r"champion .version 1. is better than challenger in AUC"):
        promote(folder, name="chest", uri=uri)
    table = pl.read_parquet(folder / "predictions.parquet")
    table.head(20).write_parquet(folder / "predictions.parquet")
    with pytest.raises(InputError, match="cannot be compared with the champion"):
        promote(folder, name="chest", uri=uri)
    with pytest.raises(InputError, match="is no reason"):
        promote(folder, name="chest", uri=uri, override=" ")
    champion = champion_of("chest", uri=uri)
    assert champion is not None
    assert champion.number == 1


def test_a_tie_that_is_smaller_and_an_override_are_promoted(
    shelf: Shelf, challenger: Callable[[float], Path]
) -> None:
    store = local_store(shelf.folder)
    weak = shelf.folder / "weak"
    shutil.move(challenger(-1.0), weak)
    done = promote(weak, name="other", uri=store.uri)
    assert (done.version, done.override) == (1, None)
    assessed(shelf.first, RED)
    reporter = Silent()
    try:
        better = promote(
            shelf.first, name="other", uri=store.uri, override="trial only", reporter=reporter
        )
    finally:
        assessed(shelf.first, GREEN)
    assert (better.version, better.replaced, better.override) == (2, 1, "trial only")
    assert any("About shortcuts" in line for line in reporter.warnings)
    entries = promotions(store, "other")
    assert {entry.version: entry.replaced is None for entry in entries} == {1: False, 2: True}
    assert any("override: trial only" in entry.why for entry in entries)
    shelf.client.set_model_version_tag("other", "2", "pneumoscope.bundle_bytes", str(10**9))
    tie = shelf.folder / "tie"
    shutil.copytree(weak, tie, ignore=shutil.ignore_patterns("tracking.json"))
    scaled(tie, -1.0)
    last = promote(tie, name="other", uri=store.uri)
    assert "and smaller" in last.gates[1].sentence


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is missing, so this is no training"):
        promote(tmp_path, name="chest")
    with pytest.raises(InputError, match="holds no run"):
        sync(tmp_path)
    (tmp_path / "tracking.json").write_text("{}")
    with pytest.raises(InputError, match="is no record of a run"):
        sync(tmp_path)


def test_a_store_that_is_not_there(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StorageError, match="tracking store refuses"):
        sync(shelf.first, uri="http://127.0.0.1:9")
