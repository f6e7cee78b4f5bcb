"""Runtimes and precisions: torch last, the fastest found by timing, int8 and bfloat16 accepted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pneumoscope.bundle import runtimes
from pneumoscope.bundle.archive import ONNX, Bundle, open_bundle
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.bundle.quantise import quantised
from pneumoscope.bundle.runtimes import fastest_runtime, installed_runtimes, open_runtime
from pneumoscope.core.errors import BundleError, ExportError, InputError
from pneumoscope.core.types import PixelBatch
from pneumoscope.workflows.reexporting import reexport
from pneumoscope.workflows.results import TrainResult


@pytest.fixture(scope="module")
def bundle(trained: TrainResult) -> Bundle:
    return open_bundle(trained.bundle)


def images(phantoms: Path) -> list[Path]:
    return [
        *sorted((phantoms / "NORMAL").iterdir())[:4],
        *sorted((phantoms / "PNEUMONIA").iterdir())[:4],
    ]


def test_torch_gives_the_same_saliency(bundle: Bundle, phantoms: Path) -> None:
    ours, theirs = (
        Predictor(bundle, runtime=name).predict(images(phantoms)[-1], saliency=True)
        for name in ("torch", "openvino")
    )
    assert ours.saliency is not None
    assert theirs.saliency is not None
    np.testing.assert_allclose(ours.saliency, theirs.saliency, atol=1e-3 * theirs.saliency.max())


def test_the_fastest_is_timed_once_and_remembered(
    bundle: Bundle, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {"openvino": 5.0, "onnxruntime": 2.0}
    asked: list[str] = []

    def timed(onnx: bytes, name: str, threads: int | None, precision: str) -> float:
        asked.append(name)
        return times[name]

    monkeypatch.setattr(runtimes, "_milliseconds", timed)
    onnx = bundle.files[ONNX]
    for _ in range(2):
        assert fastest_runtime(onnx, threads=1, precision="float32") == "onnxruntime"
    assert sorted(asked) == sorted(installed_runtimes())
    times["onnxruntime"] = 4.9  # as good as: the preferred one stays
    assert fastest_runtime(onnx, threads=2, precision="float32") == "openvino"


def test_bfloat16_is_openvinos(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="OpenVINO does"):
        open_runtime(bundle.files[ONNX], "onnxruntime", precision="bfloat16")
    with pytest.raises(BundleError, match="torch computes float32 only"):
        Predictor(bundle.revised(precision="bfloat16"), runtime="torch")
    assert fastest_runtime(bundle.files[ONNX], threads=1, precision="bfloat16") == "openvino"


def test_a_graph_that_cannot_be_quantised_says_what_to_do_instead(bundle: Bundle) -> None:
    canvases = np.zeros((1, 1, 32, 32), np.uint8)  # of another side than the graph's
    with pytest.raises(
        ExportError, match=r"be quantised \(.*\)\. Keep float32, or export bfloat16"
    ):
        quantised(bundle.files[ONNX], canvases)


def test_a_graph_that_no_runtime_opens_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleError, match=r"\. Export .* or choose --runtime onnxruntime\.$"):
        open_runtime(b"nothing", "openvino")
    others = {name: made for name, made in runtimes.RUNTIMES.items() if name != "openvino"}
    monkeypatch.setattr(runtimes, "RUNTIMES", others)
    with pytest.raises(
        BundleError, match=r"gate: .*\. Export the bundle again with this version\.$"
    ):
        open_runtime(b"nothing", "onnxruntime", file="gate")


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_a_run_is_exported_again_with_rules_of_its_own(
    trained: TrainResult, bundle: Bundle, tmp_path: Path, precision: str
) -> None:
    result = reexport(trained.output, precision=precision, output=tmp_path / "small", tolerance=0.5)
    other = open_bundle(result.bundle)
    assert other.spec.precision == precision
    assert other.model_id != bundle.model_id
    assert other.spec.parity.probabilities == result.probability
    assert Predictor(other).precision == precision
    if precision == "int8":
        assert result.bytes[1] < 0.6 * result.bytes[0]
        assert other.spec.temperature != bundle.spec.temperature
    with pytest.raises(ExportError, match="allowed: float32"):
        copied = tmp_path / "run"
        copied.mkdir()
        for name in ("recipe.yaml", "split.parquet"):
            (copied / name).write_bytes((trained.output / name).read_bytes())
        other.save(copied / "bundle")
        reexport(copied, precision=precision, output=tmp_path / "again")


def test_a_worse_graph_is_refused_and_nothing_is_written(
    trained: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pneumoscope.workflows import reexporting

    def ruined(onnx: bytes, examples: PixelBatch) -> bytes:
        import onnx as library
        from onnx import numpy_helper

        model = library.load_model_from_string(onnx)
        for initial in model.graph.initializer:
            values = numpy_helper.to_array(initial)
            if values.ndim == 4:
                initial.CopyFrom(numpy_helper.from_array(np.zeros_like(values), initial.name))
        return bytes(model.SerializeToString())

    monkeypatch.setattr(reexporting, "quantised", ruined)
    with pytest.raises(ExportError, match="AUC on the validation split changes by -"):
        reexport(trained.output, precision="int8", output=tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_other_data_are_refused(trained: TrainResult, phantoms: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(phantoms, tmp_path / "data")
    next((tmp_path / "data" / "NORMAL").iterdir()).unlink()
    with pytest.raises(InputError, match="is not what"):
        reexport(
            trained.output, precision="int8", output=tmp_path / "small", data=tmp_path / "data"
        )
