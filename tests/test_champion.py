"""The bundle that is called `champion`, and the one that answers where none is named."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import pneumoscope as ps
from pack_champion import pack
from pneumoscope.app import launch
from pneumoscope.app.settings import Settings
from pneumoscope.bundle import champion as module
from pneumoscope.bundle.archive import CARD, open_bundle, seal_of
from pneumoscope.bundle.champion import packaged_champion
from pneumoscope.cli.main import app
from pneumoscope.core.errors import BundleError, InputError, WeightsError
from pneumoscope.core.recipe import Recipe
from pneumoscope.workflows.bundles import bundle_at, split_arguments
from pneumoscope.workflows.results import TrainResult
from records import RECORDS


def ship(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """Put a bundle in the place of the one that ships."""
    monkeypatch.setattr(module, "_places", lambda: (place,))
    monkeypatch.setattr(module, "CHAMPION_SHA256", seal_of(place))


@pytest.fixture
def champion(trained: TrainResult, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trained bundle, shipped."""
    ship(monkeypatch, trained.bundle)
    return trained.bundle


@pytest.fixture
def image(phantoms: Path) -> Path:
    return min((phantoms / "NORMAL").iterdir())


def zipped(bundle: Path, file: Path) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for member in bundle.iterdir():
            archive.write(member, f"{bundle.name}/{member.name}")
    return file


def test_what_ships_is_what_is_pinned_or_its_absence_is_said() -> None:
    if not module.CHAMPION_SHA256:
        with pytest.raises(BundleError, match=r"champion: no bundle ships.*Train one"):
            ps.load_bundle()
        return
    assert ps.load_bundle().predict(b"").decision == "unreadable"


def test_the_card_that_ships_says_the_figures_on_record_and_whom_to_cite() -> None:
    card = open_bundle(packaged_champion()).files[CARD].decode()
    front = yaml.safe_load(card.split("---")[1])
    told = {one["type"]: one["value"] for one in front["model-index"][0]["results"][0]["metrics"]}
    record = json.loads((RECORDS / "champion.json").read_text())
    metrics = record["steps"]["champion"]["result"]["metrics"]
    assert told["roc_auc"] == pytest.approx(metrics["auc"]["value"], abs=1e-4)
    assert told["accuracy"] == pytest.approx(metrics["accuracy"]["value"], abs=1e-4)
    assert "CC BY 4.0" in card
    assert "Kermany et al., Chest X-Ray Images (Pneumonia), Cell 172:1122" in card
    assert "stretched to a square" in card


def test_a_bundle_is_packed_to_the_same_bytes_and_a_large_one_is_refused(
    plainest_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ps.train(plainest_recipe, output=tmp_path / "run")
    places = tmp_path / "one.zip", tmp_path / "two.zip"
    for place in places:
        pack(run.bundle, place)
    assert places[0].read_bytes() == places[1].read_bytes()
    assert seal_of(places[0]) == seal_of(run.bundle)
    assert open_bundle(places[0]).model_id == open_bundle(run.bundle).model_id
    monkeypatch.setattr("pack_champion.LIMIT", 1000)
    with pytest.raises(InputError, match=r"at most 1000\. Train a smaller backbone"):
        pack(run.bundle, places[0])
    assert places[0].read_bytes() == places[1].read_bytes(), "what was there stays"


def test_it_is_meant_by_its_name_alone(
    champion: Path, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ps.load_bundle(champion).model_id
    assert ps.load_bundle().model_id == ps.load_bundle("champion").model_id == own
    answer = ps.load_bundle().predict(str(image))
    assert answer.probabilities == ps.load_bundle().predict(image).probabilities != {}
    (tmp_path / "champion").mkdir()
    monkeypatch.chdir(tmp_path)
    assert bundle_at("champion") == champion, "whatever a folder is called"
    assert bundle_at("./champion") == bundle_at(Path("champion")) == Path("champion")
    ship(monkeypatch, zipped(champion, tmp_path / "champion.zip"))
    assert ps.load_bundle().model_id == own


def test_a_changed_one_does_not_answer(
    champion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path(shutil.copytree(champion, tmp_path / "champion"))
    monkeypatch.setattr(module, "_places", lambda: (tmp_path / "absent", other))
    assert packaged_champion() == other
    content = (other / "bundle.json").read_text()
    (other / "bundle.json").write_text(content.replace("NORMAL", "ABNORMAL"))
    with pytest.raises(WeightsError, match="the champion was changed"):
        packaged_champion()
    (other / "bundle.json").write_text(content)
    (other / "model_card.md").write_text("Perfect.")
    with pytest.raises(BundleError, match=r"model_card\.md was changed"):
        ps.load_bundle()


def test_the_first_argument_is_the_bundle_if_it_is_one(
    champion: Path, trained: TrainResult, phantoms: Path, image: Path, tmp_path: Path
) -> None:
    pack = zipped(champion, tmp_path / "model")
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"")
    for bundle in ("champion", "models:/chest@champion", champion, trained.output, pack, broken):
        assert split_arguments([str(bundle), str(image)]) == (str(bundle), [image]), bundle
    polyglot = tmp_path / "image.png"
    polyglot.write_bytes(image.read_bytes() + pack.read_bytes())
    for first in (image, phantoms, phantoms / "NORMAL", polyglot):
        assert split_arguments([str(first), str(image)]) == (None, [first, image])
    with pytest.raises(InputError, match=r"dmeo: does not exist\. Give a bundle .*or image files"):
        split_arguments(["dmeo", str(image)])
    with pytest.raises(InputError, match=r"is a bundle\. Name it before the images"):
        split_arguments([str(image), str(champion)])


def test_predict_asks_it_where_no_bundle_is_named(
    champion: Path, trained: TrainResult, image: Path, tmp_path: Path
) -> None:
    def answers(*arguments: object) -> tuple[list[dict[str, object]], str]:
        done = CliRunner().invoke(app, ["predict", *map(str, arguments), "--json"])
        assert done.exit_code == 0, done.output
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return [{**row, "milliseconds": 0} for row in rows], done.stderr

    named, said = answers(champion, image)
    assert "champion" not in said
    assert answers("champion", image) == (named, said)
    note = "No bundle named: champion, which ships, answers.\n"
    assert answers(image) == (named, note + said)
    (tmp_path / "few").mkdir()
    shutil.copy(image, tmp_path / "few")
    rows, said = answers(tmp_path / "few", image)
    assert [row["label"] for row in rows] == [named[0]["label"]] * 2
    assert said.startswith(note)
    assert answers(image, "--parts", tmp_path / "parts")[1].startswith(note)

    refused = CliRunner().invoke(app, ["predict", str(trained.output), str(image)])
    assert refused.exit_code == 1
    assert f"this is no bundle. Give {trained.bundle}." in refused.stderr
    alone = CliRunner().invoke(app, ["predict", "champion"])
    assert alone.exit_code == 2
    assert "no image follows" in alone.stderr


def test_serve_app_evaluate_and_audit_know_it(
    champion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pneumoscope.service import server

    asked: list[object] = []
    monkeypatch.setattr(server, "serve", lambda find, *_, **__: asked.append(find()))
    monkeypatch.setattr(launch, "launch", lambda settings, **_: asked.append(settings))
    note = "No bundle named: champion, which ships, answers."
    for arguments, said in (
        (["serve"], True), (["serve", "champion"], False),
        (["app"], True), (["app", "--bundle", "champion"], False),
    ):  # fmt: skip
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        assert (note in done.stderr) == said
    assert asked == [champion] * 2 + [Settings(bundle=champion)] * 2
    for arguments in (["evaluate", "champion"], ["audit", "--bundle", "champion"]):
        done = CliRunner().invoke(app, [*arguments, str(tmp_path)])
        assert done.exit_code == 1
        assert f"{tmp_path}: " in done.stderr, "the bundle was found, the data are none"

    monkeypatch.setattr(module, "_places", lambda: (tmp_path / "absent",))
    done = CliRunner().invoke(app, ["app"])
    assert done.exit_code == 0
    assert asked[-1] == Settings(), "runs and audits can be looked at all the same"
    assert "nothing can be tried. champion: no bundle ships" in " ".join(done.stderr.split())
    for arguments in (["serve"], ["app", "--bundle", "champion"], ["predict", str(tmp_path)]):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 1
        last = done.stderr.splitlines()[-1]
        assert last.startswith("pneumoscope: champion: no bundle ships with this version. Train")
