"""Whoever is asked answers the same: runtimes, evaluation, HTTP and MLflow on the same 40 files."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.bundle.archive import ONNX, open_bundle
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.bundle.quantise import quantised
from pneumoscope.core.files import sha256
from pneumoscope.core.recipe import AuditRecipe, EvaluateRecipe
from pneumoscope.data.phantoms import LABELS, draw_phantom
from pneumoscope.workflows.results import TrainResult

COUNT = 40
TOLERANCE = 1e-5
BOUNDS = {"bfloat16": 0.05, "int8": 0.15}
"""Of a probability, against float32 and its calibration, see docs/decisions/0018-precision.md."""

Probabilities = NDArray[np.float64]


def drawn(folder: Path) -> list[Path]:
    """Phantoms of several sizes and shapes, as PNG of 8 and of 16 bits and as JPEG."""
    found = []
    for seed in range(COUNT):
        pixels = draw_phantom(seed=seed, label=LABELS[seed % 2], size=80 + 7 * (seed % 9))
        pixels = pixels[seed % 4 :, : -1 - seed % 5]
        kind = seed % 3
        file = folder / LABELS[seed % 2] / f"{seed:02}{'.jpg' if kind == 2 else '.png'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint16) * 257 if kind == 1 else pixels).save(file)
        found.append(file)
    return sorted(found)


def linked(folder: Path, data: Path) -> list[Path]:
    """As many radiographs, half of each label, where they are."""
    found = []
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for file in sorted((data / "test" / label).iterdir())[: COUNT // 2]:
            (folder / label / file.name).symlink_to(file)
            found.append(folder / label / file.name)
    return found


def stacked(answers: Iterable[dict[str, float]], labels: Sequence[str]) -> Probabilities:
    return np.array([[answer[label] for label in labels] for answer in answers])


def by_runtime(bundle: Path, files: Sequence[Path], runtime: str) -> Probabilities:
    predictor = Predictor.open(bundle, runtime=runtime, threads=1)
    answers = predictor.predict_many(files, batch_size=7)
    return stacked((one.probabilities for one in answers), predictor.labels)


def by_evaluation(bundle: Path, files: Sequence[Path], output: Path) -> Probabilities:
    """From `predictions.parquet`, as `evaluate` writes it."""
    from pneumoscope.workflows.evaluation import evaluate

    plain = EvaluateRecipe(resamples=100, audit=AuditRecipe(enabled=False))
    evaluate(bundle, files[0].parents[1], output=output, settings=plain)
    table = pl.read_parquet(output / "predictions.parquet").rows_by_key("image_id", named=True)
    found = [table[sha256(file.read_bytes())[:16]][0] for file in files]
    labels = open_bundle(bundle).spec.labels
    return np.array([[row[f"probability:{label}"] for label in labels] for row in found])


def by_http(bundle: Path, files: Sequence[Path]) -> Probabilities:
    from pneumoscope.service.serving import Live
    from service_example import running

    with running(Live(bundle, max_batch=3)) as service:
        answers = [
            one
            for start in range(0, len(files), 16)
            for one in service.results(*(file.read_bytes() for file in files[start : start + 16]))
        ]
    return stacked((one["probabilities"] for one in answers), open_bundle(bundle).spec.labels)


def by_mlflow(bundle: Path, files: Sequence[Path]) -> Probabilities:
    """Half of them sent, half of them named."""
    import pandas as pd

    from pneumoscope.tracking.serving import _load_pyfunc

    rows = [
        {"image": base64.b64encode(file.read_bytes()).decode()}
        if number % 2
        else {"path": str(file)}
        for number, file in enumerate(files)
    ]
    table = _load_pyfunc(str(bundle)).predict(pd.DataFrame(rows))
    names = [f"probability:{label}" for label in open_bundle(bundle).spec.labels]
    return np.asarray(table[names], np.float64)


@pytest.fixture(scope="module")
def bundle(trained: TrainResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained bundle at temperature 1: its own makes all probabilities of phantoms alike."""
    place = tmp_path_factory.mktemp("sharp") / "bundle"
    open_bundle(trained.bundle).revised(temperature=1.0).save(place)
    return place


@pytest.mark.parametrize("kind", ["phantoms", pytest.param("radiographs", marks=pytest.mark.data)])
def test_whoever_is_asked_answers_the_same(
    bundle: Path, request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    pytest.importorskip("pandas")
    real = kind == "radiographs"
    data = request.getfixturevalue("data_folder") / "chest_xray" if real else None
    files = linked(tmp_path / kind, data) if data else drawn(tmp_path / kind)
    found = {
        "openvino": by_runtime(bundle, files, "openvino"),
        "onnxruntime": by_runtime(bundle, files, "onnxruntime"),
        "torch": by_runtime(bundle, files, "torch"),
        "evaluate": by_evaluation(bundle, files, tmp_path / "evaluated"),
        "HTTP": by_http(bundle, files),
        "MLflow": by_mlflow(bundle, files),
    }
    expected = found["openvino"]
    assert expected.shape == (COUNT, 2)
    assert np.ptp(expected[:, 0]) > 0.1, "all alike: nothing could disagree"
    for name, probabilities in found.items():
        np.testing.assert_allclose(probabilities, expected, rtol=0, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime", "torch"])
def test_threads_that_share_a_predictor_get_their_own_answers(
    bundle: Path, tmp_path: Path, runtime: str
) -> None:
    predictor = Predictor.open(bundle, runtime=runtime, threads=1)
    readings = [predictor.read(file) for file in drawn(tmp_path)[::10]]
    expected = [predictor.answer([one])[0].probabilities for one in readings]
    assert len({tuple(one.values()) for one in expected}) == len(expected) > 3

    def asked(row: int) -> list[dict[str, float]]:
        return [dict(predictor.answer([readings[row]])[0].probabilities) for _ in range(25)]

    with ThreadPoolExecutor(len(readings)) as pool:
        found = list(pool.map(asked, range(len(readings))))
    for one, answers in zip(expected, found, strict=True):
        assert all(answer == pytest.approx(one, abs=TOLERANCE) for answer in answers)


@pytest.mark.parametrize("precision", BOUNDS)
def test_another_precision_stays_within_its_bound(
    bundle: Path, tmp_path: Path, precision: str
) -> None:
    opened = open_bundle(bundle)
    whole = Predictor(opened, threads=1, gated=False)
    readings = [whole.read(file) for file in drawn(tmp_path)]
    canvases = np.stack([one.seen.canvas for one in readings if one.seen])[:, None]
    small = opened.revised(precision=precision)
    if precision == "int8":
        small = small.with_file(ONNX, quantised(opened.files[ONNX], canvases))
        assert len(small.files[ONNX]) < 0.6 * len(opened.files[ONNX])
    expected = stacked((one.probabilities for one in whole.answer(readings)), whole.labels)
    for runtime in ("openvino", "onnxruntime") if precision == "int8" else ("openvino",):
        answers = Predictor(small, runtime=runtime, threads=1, gated=False).answer(readings)
        found = stacked((one.probabilities for one in answers), whole.labels)
        assert precision != "int8" or np.abs(found - expected).max() > 0, "it is float32 still"
        np.testing.assert_allclose(found, expected, rtol=0, atol=BOUNDS[precision])
