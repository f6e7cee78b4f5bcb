"""The gate's stages with the packaged network, and what the predictor makes of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.bundle.archive import GATE, ONNX, Bundle, open_bundle
from pneumoscope.bundle.gate import network
from pneumoscope.bundle.gate.gate import Gate
from pneumoscope.bundle.gate.modality import chest_probability, modality_stage
from pneumoscope.bundle.gate.network import Looker, packaged_gate, seen_part
from pneumoscope.bundle.gate.quality import Fault, faults, quality_stage
from pneumoscope.bundle.gate.settings import GateSettings, ModalitySettings, QualitySettings
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.errors import BundleError, WeightsError
from pneumoscope.core.types import Canvas
from pneumoscope.data.decoys import DECOYS, draw_decoy
from pneumoscope.data.phantoms import LABELS, draw_phantom
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.imaging.radiograph import read_radiograph
from pneumoscope.imaging.thumbnail import SQUARE, is_blank, square
from pneumoscope.workflows.results import TrainResult

FRESH = 10**7
"""Seeds from here on drew nothing that the network learnt from."""


@pytest.fixture(scope="module")
def looker() -> Looker:
    return Looker.open(packaged_gate(), "onnxruntime", threads=1)


def chests(count: int, *, size: int = 224) -> list[Canvas]:
    return [draw_phantom(seed=FRESH + n, label=LABELS[n % 2], size=size) for n in range(count)]


def looks_of(looker: Looker, canvases: list[Canvas]) -> list[tuple[Canvas, NDArray[np.float32]]]:
    found = [looker.look(canvas[None, None]) for canvas in canvases]
    return [(one.squares[0], one.answers[0]) for one in found]


def outcomes(looker: Looker, canvases: list[Canvas]) -> list[str]:
    limits = ModalitySettings()
    return [modality_stage(row, limits).outcome for _, row in looks_of(looker, canvases)]


@pytest.mark.parametrize("size", [64, 224])
def test_phantoms_of_the_chest_pass(looker: Looker, size: int) -> None:
    found = outcomes(looker, chests(30, size=size))
    assert "refused" not in found
    assert found.count("passed") >= 27


@pytest.mark.parametrize("kind", DECOYS)
def test_drawn_pictures_of_other_things_are_refused(looker: Looker, kind: str) -> None:
    drawn = [draw_decoy(kind, seed=FRESH + n, side=224) for n in range(6)]
    assert outcomes(looker, drawn).count("refused") >= 5


def test_letterbox_bars_and_exposure_change_little(looker: Looker) -> None:
    canvas = chests(1)[0]
    barred = np.pad(canvas, ((0, 0), (60, 60)))
    plain, other = looker.look(canvas[None, None]), looker.look(barred[None, None])
    np.testing.assert_array_equal(plain.answers, other.answers)
    darker = (canvas * 0.6 + 20).astype(np.uint8)
    assert chest_probability(looker.look(darker[None, None]).answers[0]) > 0.9


def test_a_batch_answers_as_its_images_alone(looker: Looker) -> None:
    canvases = np.stack(chests(3))[:, None]
    together = looker.look(canvases)
    alone = [looker.look(canvas[None]) for canvas in canvases]
    np.testing.assert_allclose(together.answers, [a.answers[0] for a in alone], atol=1e-4)
    np.testing.assert_allclose(together.look, [a.look[0] for a in alone], atol=1e-4)


def test_the_runtimes_agree(looker: Looker) -> None:
    canvases = np.stack(chests(2))[:, None]
    other = Looker.open(packaged_gate(), "openvino", threads=1).look(canvases)
    np.testing.assert_allclose(looker.look(canvases).answers, other.answers, atol=1e-3)
    np.testing.assert_allclose(looker.look(canvases).look, other.look, atol=1e-3)


def found_faults(looker: Looker, canvases: list[Canvas]) -> list[set[str]]:
    settings = QualitySettings()
    return [
        {fault.kind for fault in faults(canvas, *look, settings)}
        for canvas, look in zip(canvases, looks_of(looker, canvases), strict=True)
    ]


def test_upright_chests_have_no_fault(looker: Looker) -> None:
    found = found_faults(looker, chests(30))
    assert sum(bool(kinds) for kinds in found) <= 1


def test_what_was_done_to_a_chest_is_named(looker: Looker) -> None:
    plain = chests(20)
    for quarter in (1, 2, 3):
        turned = [np.ascontiguousarray(np.rot90(canvas, quarter)) for canvas in plain]
        assert sum("turned" in kinds for kinds in found_faults(looker, turned)) >= 18
    inverted = [255 - canvas for canvas in plain]
    assert sum("inverted" in kinds for kinds in found_faults(looker, inverted)) >= 18
    halves = [np.ascontiguousarray(canvas[:, :112]) for canvas in plain]
    assert sum("cut_off" in kinds for kinds in found_faults(looker, halves)) >= 10


def test_a_turn_is_named_with_its_direction(looker: Looker) -> None:
    canvas = chests(1)[0]
    for quarter, words in ((1, "to the left"), (2, "180 degrees"), (3, "to the right")):
        turned = np.ascontiguousarray(np.rot90(canvas, quarter))
        (look,) = looks_of(looker, [turned])
        reason = quality_stage(turned, *look, QualitySettings()).reason
        assert reason
        assert words in reason


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_is_refused(looker: Looker, level: int) -> None:
    canvas = np.full((224, 224), level, np.uint8)
    assert is_blank(canvas)
    (look,) = looks_of(looker, [canvas])
    stage = quality_stage(canvas, *look, QualitySettings())
    assert (stage.outcome, stage.reason) == ("refused", "is blank")
    canvas[:, :40] = canvas[:, -40:] = 7  # within letterbox bars
    assert is_blank(canvas)
    assert not is_blank(chests(1)[0])


def test_only_what_is_certain_is_refused() -> None:
    canvas = chests(1)[0]
    row = np.array([5, 1, -9, 9, -9, -9, -9], np.float32)  # perhaps inverted
    assert quality_stage(canvas, square(canvas), row, QualitySettings()).outcome == "warned"
    row[1] = 9
    assert quality_stage(canvas, square(canvas), row, QualitySettings()).outcome == "refused"
    row[2] = 9
    found = list(faults(canvas, square(canvas), row, QualitySettings()))
    assert [fault.kind for fault in found] == ["inverted", "cut_off"]
    assert found[1] == Fault("cut_off", found[1].reason, certain=False)


def test_modality_refuses_below_and_warns_beside_its_threshold() -> None:
    settings = ModalitySettings(refuse=0.25, warn=0.75)

    def outcome(probability: float) -> str:
        row = np.zeros(7, np.float32)
        row[0] = np.log(probability / (1 - probability))
        stage = modality_stage(row, settings)
        assert stage.score == pytest.approx(probability, abs=1e-6)
        return stage.outcome

    assert [outcome(p) for p in (0.2, 0.3, 0.7, 0.8)] == ["refused", "warned", "warned", "passed"]


def test_the_square_spreads_levels_and_not_those_of_a_flat_picture() -> None:
    ramp = np.tile(np.linspace(60, 120, 300).astype(np.uint8), (200, 1))
    assert square(ramp).shape == (SQUARE, SQUARE)
    assert (square(ramp).min(), square(ramp).max()) == (0, 255)
    flat = np.full((50, 70), 100, np.uint8)
    flat[20:, :] = 102
    assert int(square(flat).max()) - int(square(flat).min()) <= 26


def test_only_uniform_sides_are_left_out() -> None:
    canvas = np.zeros((100, 100), np.uint8)
    canvas[30:80, 10:95] = np.random.default_rng(0).integers(0, 256, (50, 85))
    assert seen_part(canvas).shape == (50, 85)
    lonely = np.zeros((100, 100), np.uint8)
    lonely[50, 50] = 255
    assert seen_part(lonely).shape == (100, 100)


def test_a_changed_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "GATE_SHA256", "1" * 64)
    with pytest.raises(WeightsError, match="was changed"):
        packaged_gate()


def test_another_graph_is_no_gate(trained: TrainResult) -> None:
    bundle = open_bundle(trained.bundle)
    with pytest.raises(BundleError, match="this is no gate"):
        Looker.open(bundle.files[ONNX])
    with pytest.raises(BundleError, match=r"gate\.onnx: cannot open it"):
        Looker.open(b"nothing")


def test_settings_that_are_none_are_refused() -> None:
    settings = GateSettings()
    assert GateSettings.from_json(settings.model_dump(mode="json")) == settings
    with pytest.raises(BundleError, match=r"gate\.modality\.refuse"):
        GateSettings.from_json({"modality": {"refuse": 2}})
    with pytest.raises(BundleError, match=r"gate\.surprise"):
        GateSettings.from_json({"surprise": 1})


def write(folder: Path, name: str, canvas: Canvas) -> Path:
    path = folder / name
    Image.fromarray(canvas).save(path)
    return path


def test_a_refused_picture_is_not_answered(trained: TrainResult, tmp_path: Path) -> None:
    predictor = Predictor.open(trained.bundle)
    page = write(tmp_path, "page.png", draw_decoy("page", seed=FRESH))
    chest = write(tmp_path, "chest.png", chests(1, size=64)[0])
    answers = list(predictor.predict_many([page, chest], saliency=True))
    refused, answered = answers
    assert (refused.decision, refused.label, refused.probabilities) == ("refused", None, {})
    assert refused.reason is not None
    assert "no chest radiograph" in refused.reason
    assert refused.saliency is None
    assert refused.gate is not None
    assert refused.gate.familiarity is None  # nobody asked the model
    assert refused.row(predictor.labels)["gate_score"] == refused.gate_score
    assert json.loads(json.dumps(refused.to_json()))["gate"]["modality"]["outcome"] == "refused"
    assert answered.decision != "refused"
    assert answered.familiarity is not None
    assert 0 < answered.familiarity <= 1
    assert answered.timings["gate"] > 0
    assert answered.row(predictor.labels).keys() == refused.row(predictor.labels).keys()
    alone = predictor.predict(chest)
    assert alone.probabilities == pytest.approx(answered.probabilities, abs=1e-6)
    assert alone.familiarity == answered.familiarity


def test_without_its_gate_the_predictor_answers_anything(
    trained: TrainResult, tmp_path: Path
) -> None:
    page = write(tmp_path, "page.png", draw_decoy("page", seed=FRESH))
    answer = Predictor.open(trained.bundle, gated=False).predict(page)
    assert answer.gate is None
    assert answer.probabilities


def with_setting(bundle: Bundle, **familiarity: object) -> Bundle:
    gate = dict(bundle.spec.gate or {})
    gate["familiarity"] = {**gate["familiarity"], **familiarity}
    return bundle.revised(gate=gate)


def test_the_unfamiliar_are_marked_or_not_answered(trained: TrainResult, tmp_path: Path) -> None:
    """With a level of 1 everything is unfamiliar."""
    bundle = open_bundle(trained.bundle)
    chest = write(tmp_path, "chest.png", chests(1, size=64)[0])
    marked = Predictor(with_setting(bundle, level=1.0)).predict(chest)
    assert any("is unfamiliar" in warning for warning in marked.warnings)
    assert marked.probabilities
    kept = Predictor(with_setting(bundle, level=1.0, unfamiliar="abstain")).predict(chest)
    assert (kept.decision, kept.label) == ("abstain", None)
    assert kept.reason
    assert "is unfamiliar" in kept.reason
    assert kept.probabilities == marked.probabilities


def test_a_stage_that_is_switched_off_does_not_look(trained: TrainResult) -> None:
    bundle = open_bundle(trained.bundle)
    gate = {**(bundle.spec.gate or {}), "modality": None, "familiarity": None}
    found = Gate.of(bundle.revised(gate=gate))
    assert found is not None
    canvases = np.zeros((1, 1, 64, 64), np.uint8)
    (verdict,) = found.before(canvases, found.look(canvases))
    assert list(verdict.stages) == ["quality"]
    only = replace(bundle, files={k: v for k, v in bundle.files.items() if k != GATE})
    assert Gate.of(only) is None


@pytest.mark.data
def test_no_radiograph_of_other_publishers_is_refused(looker: Looker, data_folder: Path) -> None:
    preprocess = Preprocess()
    files = [path for path in sorted((data_folder / "inbox").iterdir()) if path.suffix != ".csv"]
    canvases = [preprocess.apply(read_radiograph(path))[0] for path in files]
    assert len(canvases) == 40
    assert "refused" not in outcomes(looker, canvases)
    found = [
        quality_stage(canvas, *look, QualitySettings()).outcome
        for canvas, look in zip(canvases, looks_of(looker, canvases), strict=True)
    ]
    assert "refused" not in found
