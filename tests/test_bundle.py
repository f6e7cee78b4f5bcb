from __future__ import annotations

import json
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
import torch

from pneumoscope.bundle import export
from pneumoscope.bundle.archive import (
    CARD,
    FILES,
    GATE,
    ONNX,
    OPTIONAL,
    SEAL,
    SPEC,
    WEIGHTS,
    open_bundle,
)
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.bundle.runtimes import open_runtime
from pneumoscope.bundle.spec import from_json, to_json
from pneumoscope.core.errors import BundleError, DependencyError, ExportError
from pneumoscope.core.files import sha256
from pneumoscope.data.cache import PixelCache
from pneumoscope.evaluation.predictions import load_predictions
from pneumoscope.imaging.radiograph import read_radiograph
from pneumoscope.models import checkpoint
from pneumoscope.models.classifier import evaluating, rebuild_classifier
from pneumoscope.workflows.results import TrainResult

ALL = (*FILES, *OPTIONAL)


@pytest.fixture
def folder(trained: TrainResult, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained.bundle, tmp_path / "bundle"))


def zipped(folder: Path, inside: str = "") -> Path:
    file = folder.with_suffix(".zip")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"{inside}{path.name}")
    return file


def test_a_bundle_is_complete_and_verified(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {SPEC, SEAL, *ALL}
    bundle = open_bundle(folder)
    assert bundle.spec.labels == ("NORMAL", "PNEUMONIA")
    assert bundle.spec.parity.logits <= export.LOGIT_TOLERANCE
    assert bundle.spec.parity.probabilities <= export.PROBABILITY_TOLERANCE
    assert from_json(to_json(bundle.spec)) == bundle.spec


def test_the_graph_is_the_contract(folder: Path) -> None:
    graph = onnx.load_model_from_string((folder / ONNX).read_bytes()).graph
    (pixels,) = graph.input
    dims = [dim.dim_value or dim.dim_param for dim in pixels.type.tensor_type.shape.dim]
    assert (pixels.name, pixels.type.tensor_type.elem_type) == ("pixels", onnx.TensorProto.UINT8)
    assert dims == ["batch", 1, 64, 64]
    assert [output.name for output in graph.output] == ["logits", "embedding", "saliency"]
    assert not any(node.metadata_props for node in graph.node), "source lines and folders"


@pytest.mark.parametrize("inside", ["", "bundle/"])
def test_a_zip_answers_as_the_folder(folder: Path, inside: str) -> None:
    file = zipped(folder, inside)
    assert open_bundle(file).spec == open_bundle(folder).spec
    assert Predictor.open(file).model_id == Predictor.open(folder).model_id


def test_saving_brings_back_the_same_bundle(folder: Path, tmp_path: Path) -> None:
    bundle = open_bundle(folder)
    bundle.save(tmp_path / "again")
    again = open_bundle(tmp_path / "again")
    assert again.spec == bundle.spec
    assert again.files == bundle.files
    assert again.model_id == bundle.model_id


def test_the_model_id_is_of_the_answers_not_of_the_card(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert bundle.with_file(CARD, b"other").model_id == bundle.model_id
    assert bundle.revised(temperature=9.0).model_id != bundle.model_id


def test_the_model_id_is_of_the_gate_too(folder: Path) -> None:
    bundle = open_bundle(folder)
    for name in OPTIONAL:
        assert bundle.with_file(name, b"other").model_id != bundle.model_id
    assert bundle.revised(gate=None).model_id != bundle.model_id


def test_a_bundle_from_before_there_was_a_gate_answers_without(
    folder: Path, phantoms: Path
) -> None:
    spec = json.loads((folder / SPEC).read_bytes()) | {"gate": None}
    spec["files"] = {name: sha256((folder / name).read_bytes()) for name in FILES}
    for name in OPTIONAL:
        (folder / name).unlink()
    (folder / SPEC).write_text(json.dumps(spec))
    (folder / SEAL).write_text(f"{sha256((folder / SPEC).read_bytes())}  {SPEC}\n")
    predictor = Predictor.open(folder)
    answer = predictor.predict(next((phantoms / "NORMAL").iterdir()))
    assert predictor.gate is None
    assert answer.gate is None
    assert answer.gate_score is None
    assert answer.familiarity is None
    assert answer.probabilities


def test_a_file_of_the_gate_that_nobody_vouches_for_is_refused(folder: Path) -> None:
    spec = json.loads((folder / SPEC).read_bytes())
    del spec["files"][GATE]
    (folder / SPEC).write_text(json.dumps(spec))
    (folder / SEAL).write_text(f"{sha256((folder / SPEC).read_bytes())}  {SPEC}\n")
    with pytest.raises(BundleError, match=f"{GATE} was changed after export"):
        open_bundle(folder)


def reseal(folder: Path) -> None:
    spec = json.loads((folder / SPEC).read_bytes())
    spec["files"] = {name: sha256((folder / name).read_bytes()) for name in ALL}
    (folder / SPEC).write_text(json.dumps(spec))
    (folder / SEAL).write_text(f"{sha256((folder / SPEC).read_bytes())}  {SPEC}\n")


def newer(folder: Path) -> None:
    spec = json.loads((folder / SPEC).read_bytes()) | {"schema_version": 2}
    (folder / SPEC).write_text(json.dumps(spec))
    reseal(folder)


def odd(folder: Path) -> None:
    spec = json.loads((folder / SPEC).read_bytes()) | {"surprise": 1}
    (folder / SPEC).write_text(json.dumps(spec))
    reseal(folder)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(newer, "schema version 2"), (odd, "surprise")],
)
def test_a_resealed_forgery_is_still_only_data(
    folder: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(folder)
    with pytest.raises(BundleError, match=reason):
        Predictor.open(folder)


def edited(folder: Path, **changes: object) -> None:
    spec = json.loads((folder / SPEC).read_bytes()) | changes
    (folder / SPEC).write_text(json.dumps(spec))
    reseal(folder)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"labels": ["A", "B", "C"]}, "says 3 labels"),
        ({"labels": ["A", "A"]}, "labels repeat"),
        ({"temperature": 1e-300}, "temperature"),
    ],
)
def test_a_specification_that_does_not_fit_the_graph_is_refused(
    folder: Path, changes: dict[str, object], reason: str
) -> None:
    edited(folder, **changes)
    with pytest.raises(BundleError, match=reason):
        Predictor.open(folder)


def test_another_canvas_than_the_graphs_is_refused(folder: Path) -> None:
    spec = json.loads((folder / SPEC).read_bytes())
    edited(folder, preprocess=spec["preprocess"] | {"size": 96})
    with pytest.raises(BundleError, match="a canvas of 96"):
        Predictor.open(folder)


def test_an_unknown_runtime_names_those_allowed(folder: Path) -> None:
    with pytest.raises(DependencyError, match="auto, fastest, openvino, onnxruntime"):
        open_runtime((folder / ONNX).read_bytes(), "tensorrt")


def images_of(trained: TrainResult, phantoms: Path) -> tuple[pl.DataFrame, dict[str, Path]]:
    predictions = load_predictions(trained.output / "predictions.parquet")
    catalogue = pl.read_parquet(trained.output / "catalogue.parquet")
    paths = dict(catalogue.select("image_id", "path").iter_rows())
    return predictions, {i: phantoms / paths[i] for i in predictions["image_id"]}


def test_the_predictor_equals_the_evaluation(trained: TrainResult, phantoms: Path) -> None:
    """From the file, alone or in a batch: the evaluation's probabilities.

    Other runtimes and ways of asking: test_agreement.py.
    """
    predictions, files = images_of(trained, phantoms)
    predictor, tolerance = Predictor.open(trained.bundle), 1e-6
    order = sorted(files, key=lambda image_id: image_id[::-1])  # another order than the table's
    answers = dict(zip(order, predictor.predict_many([files[i] for i in order]), strict=True))
    for row in predictions.iter_rows(named=True):
        alone = predictor.predict(files[row["image_id"]])
        for label in predictor.labels:
            expected = row[f"probability:{label}"]
            assert answers[row["image_id"]].probabilities[label] == pytest.approx(
                expected, abs=tolerance
            )
            assert alone.probabilities[label] == pytest.approx(expected, abs=tolerance)


def test_the_graph_equals_the_network_in_the_bundle(trained: TrainResult) -> None:
    bundle = open_bundle(trained.bundle)
    state = checkpoint.from_bytes(bundle.files[WEIGHTS])
    classifier = rebuild_classifier(bundle.spec.model, bundle.spec.labels, state, size=64)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 1, 64, 64), dtype=np.uint8)
    with evaluating(classifier):
        expected = classifier(torch.from_numpy(pixels)).numpy()
    for runtime in ("openvino", "onnxruntime"):
        found = open_runtime(bundle.files[ONNX], runtime).run(pixels)
        np.testing.assert_allclose(found.logits, expected, atol=1e-4)
        assert found.saliency.shape == (5, 2, 2, 2)
        assert found.saliency.min() >= 0


def test_rounded_weights_take_half_the_room_and_lose_nothing() -> None:
    drawn = torch.randn(40, 50, generator=torch.Generator().manual_seed(0))
    state = {"plain": drawn, "rounded": drawn.bfloat16().float(), "steps": torch.tensor(2**40 + 1)}
    content = checkpoint.to_bytes(state)
    assert len(content) < 1.6 * 4 * drawn.numel()
    found = checkpoint.from_bytes(content)
    assert found.keys() == state.keys()
    for name, value in state.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


def test_an_export_that_answers_otherwise_is_refused(trained: TrainResult) -> None:
    bundle = open_bundle(trained.bundle)
    state = checkpoint.from_bytes(bundle.files[WEIGHTS])
    classifier = rebuild_classifier(bundle.spec.model, bundle.spec.labels, state, size=64)
    with torch.no_grad():
        classifier.head.output.bias.add_(0.01)
    pixels = np.zeros((2, 1, 64, 64), np.uint8)
    with pytest.raises(ExportError, match="differs from the trained network"):
        export.check_parity(classifier, bundle.files[ONNX], pixels)


def test_a_steep_calibrator_does_not_turn_rounding_into_a_refusal(trained: TrainResult) -> None:
    from pneumoscope.evaluation.calibrator import Calibrator

    bundle = open_bundle(trained.bundle)
    state = checkpoint.from_bytes(bundle.files[WEIGHTS])
    classifier = rebuild_classifier(bundle.spec.model, bundle.spec.labels, state, size=64)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 1, 64, 64), dtype=np.uint8)
    with evaluating(classifier):
        logits = classifier(torch.from_numpy(pixels)).numpy()
    places = np.sort(logits[:, 1].astype(np.float64) - logits[:, 0])
    steps = [place + way * 1e-9 for place in places for way in (-1, 1)]
    chances = np.repeat(np.linspace(0.1, 0.9, 5), 2)[1:-1]
    steep = Calibrator("isotonic", {"log_odds": tuple(steps), "probabilities": tuple(chances)})
    parity = export.check_parity(classifier, bundle.files[ONNX], pixels, calibrator=steep)
    assert parity.probabilities > export.PROBABILITY_TOLERANCE
    assert parity.logits <= export.LOGIT_TOLERANCE


def test_a_bad_file_costs_one_line(trained: TrainResult, phantoms: Path, tmp_path: Path) -> None:
    good = sorted((phantoms / "NORMAL").iterdir())[:2]
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    predictor = Predictor.open(trained.bundle)
    answers = list(predictor.predict_many([good[0], bad, good[1]], saliency=True))
    assert [answer.decision == "unreadable" for answer in answers] == [False, True, False]
    assert all(bool(answer.label) == (answer.decision == "answer") for answer in answers)
    assert answers[1].reason
    assert answers[1].label is None
    assert answers[1].row(predictor.labels).keys() == answers[0].row(predictor.labels).keys()
    alone = predictor.predict(good[1], saliency=True)
    assert alone.probabilities == pytest.approx(answers[2].probabilities, abs=1e-6)


def test_saliency_lies_where_the_evidence_is(trained: TrainResult, tmp_path: Path) -> None:
    """A tall picture with all structure in one corner: the map's weight lies in that corner."""
    from PIL import Image

    predictor = Predictor.open(trained.bundle, gated=False)  # it is no chest
    pixels = np.zeros((300, 180), np.uint8)
    pixels[:90, :90] = np.random.default_rng(1).integers(0, 256, (90, 90), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "tall.png")
    answer = predictor.predict(tmp_path / "tall.png", saliency=True)
    assert answer.saliency is not None
    assert answer.saliency.shape == pixels.shape
    canvas, geometry = predictor.preprocess.apply(read_radiograph(tmp_path / "tall.png"))
    outputs = predictor.infer(canvas[None, None])
    chosen = predictor.labels.index(str(answer.most_probable))
    np.testing.assert_allclose(answer.saliency, geometry.restore(outputs.saliency[0, chosen]))
    marked = geometry.restore(np.pad(np.ones((1, 1), np.float32), ((0, 1), (0, 1))))
    assert marked[:90, :60].mean() > 5 * marked[210:, 120:].mean() + 0.1


def test_pixels_travel_with_their_ids(trained: TrainResult, phantoms: Path) -> None:
    """Ids in another order, batches of another size: the same logits under the same id."""
    from pneumoscope.core.progress import Silent
    from pneumoscope.workflows.answering import infer

    predictor = Predictor.open(trained.bundle)
    pixels = PixelCache(predictor.preprocess)
    predictions, _ = images_of(trained, phantoms)
    ids = predictions["image_id"].to_list()
    found, _ = infer(predictor, pixels, ids[::-1], reporter=Silent())
    for row in predictions.iter_rows(named=True):
        expected = [row[f"logit:{label}"] for label in predictor.labels]
        np.testing.assert_allclose(found[row["image_id"]], expected, atol=1e-5)


def test_nothing_warns_on_opening(trained: TrainResult) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Predictor.open(trained.bundle)
