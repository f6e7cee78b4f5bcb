from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from pneumoscope.bundle.archive import ONNX, WEIGHTS, open_bundle
from pneumoscope.bundle.export import check_parity, export_onnx, views_of
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.bundle.runtimes import RUNTIMES, open_runtime
from pneumoscope.core.errors import ExportError, RecipeError
from pneumoscope.core.recipe import Dense, ModelRecipe, Recipe, override
from pneumoscope.data.augmentation.geometry import move as moved_by
from pneumoscope.data.phantoms import draw_phantom
from pneumoscope.evaluation.predictions import load_predictions
from pneumoscope.models import checkpoint
from pneumoscope.models.classifier import (
    Classifier,
    build_classifier,
    evaluating,
    rebuild_classifier,
)
from pneumoscope.models.saliency import MOVES, FixedViews, Move, SaliencyClassifier
from pneumoscope.workflows.training import train

LABELS = ("NORMAL", "PNEUMONIA")
SIZE = 48
SMALL = ModelRecipe(backbone="cnn3", weights="none", head=(Dense(dense=6, activation="tanh"),))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return build_classifier(SMALL, LABELS, size=SIZE, seed=0).classifier


def canvases(count: int = 5, size: int = SIZE) -> Tensor:
    drawn = [draw_phantom(seed=at, label=LABELS[at % 2], size=size) for at in range(count)]
    return torch.from_numpy(np.stack(drawn)[:, None])


def made(pixels: Tensor, move: Move, *, fill: int) -> Tensor:
    """The view as training makes its views; its matrix is the inverse of the move, written out."""
    angle = math.radians(move.turn)
    # Down is positive, so counterclockwise has its signs the other way round.
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    there = np.eye(3)
    there[:2, :2] = turn * move.zoom
    there[:2, 2] = 2 * move.right, 2 * move.down
    matrices = np.repeat(np.linalg.inv(there)[None, :2], len(pixels), axis=0)
    return moved_by(pixels.float(), matrices.astype(np.float32), fill=fill)


def averaged(classifier: Classifier, pixels: Tensor, count: int, *, fill: int) -> Tensor:
    """The mean of the logits of explicitly made views."""
    with evaluating(classifier):
        views = [classifier(made(pixels, move, fill=fill)) for move in MOVES[:count]]
    return torch.stack(views).mean(dim=0)


def test_there_are_sixteen_different_small_views_and_the_plain_one_is_first() -> None:
    assert MOVES[0] == Move(1, 0, 0, 0)
    assert len(set(MOVES)) == len(MOVES) == 16
    for zoom, turn, right, down in MOVES:
        assert 0.95 <= zoom <= 1.05
        assert abs(turn) <= 4
        assert max(abs(right), abs(down)) <= 0.03


@pytest.mark.parametrize("count", range(1, 16, 2))
def test_an_odd_number_of_views_leans_nowhere(count: int) -> None:
    offsets = np.array([(zoom - 1, *others) for zoom, *others in MOVES[:count]])
    np.testing.assert_allclose(offsets.sum(axis=0), 0, atol=1e-12)


def test_a_move_does_what_it_says() -> None:
    """A bright spot right of the middle: nearer or farther, up when turned to the left."""
    canvas = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    canvas[..., 30:34, 48:52] = 200
    places = torch.arange(64) + 0.5 - 32
    for (zoom, turn, right, down), view in zip(MOVES, FixedViews(16).of(canvas), strict=True):
        share = view[0] / view[0].sum()
        found = [float((share.sum(dim=axis) * places).sum()) for axis in (0, 1)]
        angle = math.radians(turn)
        expected = [18 * zoom * math.cos(angle), -18 * zoom * math.sin(angle)]
        expected = [expected[0] + 64 * right, expected[1] + 64 * down]
        np.testing.assert_allclose(found, expected, atol=0.1)


def test_the_views_are_resampled_and_filled_as_training_views_are() -> None:
    pixels = canvases()
    views = FixedViews(16, fill=90).of(pixels)
    assert torch.equal(views[0], pixels[:, 0].float()), "the plain view is not resampled"
    for move, view in zip(MOVES, views, strict=True):
        torch.testing.assert_close(view[:, None], made(pixels, move, fill=90), atol=1e-2, rtol=0)
    blank = torch.full((2, 1, SIZE, SIZE), 90, dtype=torch.uint8)
    torch.testing.assert_close(FixedViews(16, fill=90).of(blank), torch.full((16, 2, 48, 48), 90.0))


@pytest.mark.parametrize("count", [2, 5, 16])
def test_the_answer_is_the_mean_over_the_views(classifier: Classifier, count: int) -> None:
    pixels = canvases()
    with evaluating(classifier):
        logits, embedding, saliency = SaliencyClassifier(classifier, FixedViews(count, 20))(pixels)
        _, _, plain = SaliencyClassifier(classifier)(pixels)
        parts = [classifier.embed(made(pixels, move, fill=20)) for move in MOVES[:count]]
    expected = averaged(classifier, pixels, count, fill=20)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(embedding, torch.stack(parts).mean(dim=0), atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(saliency, plain)
    assert (logits - classifier(pixels)).abs().max() > 1e-4, "the views are seen"


@pytest.mark.parametrize("count", [16])
def test_the_graph_averages_in_every_runtime(classifier: Classifier, count: int) -> None:
    pixels = canvases()
    content = export_onnx(classifier, size=SIZE, views=FixedViews(count, fill=20))
    assert views_of(content) == FixedViews(count, fill=20)
    assert check_parity(classifier, content, pixels.numpy()).logits < 1e-4
    expected = averaged(classifier, pixels, count, fill=20).numpy()
    for runtime in RUNTIMES:
        opened = open_runtime(content, runtime)
        for batch in (1, 5, 2):
            found = opened.run(pixels[:batch].numpy())
            np.testing.assert_allclose(found.logits, expected[:batch], atol=1e-4)
            assert len(found.saliency) == len(found.embedding) == batch
    graph = onnx.load_model_from_string(content)
    assert [output.type.tensor_type.shape.dim[0].dim_param for output in graph.graph.output] == [
        "batch"
    ] * 3
    assert [(used.domain, used.version) for used in graph.opset_import] == [("", 20)]
    del graph.metadata_props[:]
    with pytest.raises(ExportError, match="differs"):
        check_parity(classifier, graph.SerializeToString(), pixels.numpy())


def test_one_view_is_the_graph_without_views(classifier: Classifier) -> None:
    pixels = canvases()
    content = export_onnx(classifier, size=SIZE, views=FixedViews(1, fill=20))
    assert content == export_onnx(classifier, size=SIZE)
    graph = onnx.load_model_from_string(content)
    assert not graph.metadata_props
    assert not {"GridSample", "Slice"} & {node.op_type for node in graph.graph.node}
    with evaluating(classifier):
        expected, embedding = classifier(pixels).numpy(), classifier.embed(pixels).numpy()
    for runtime in RUNTIMES:
        found = open_runtime(content, runtime).run(pixels.numpy())
        np.testing.assert_allclose(found.logits, expected, atol=1e-5)
        np.testing.assert_allclose(found.embedding, embedding, atol=1e-4)


@pytest.mark.parametrize("count", [0, 17])
def test_other_numbers_of_views_are_refused(count: int) -> None:
    with pytest.raises(RecipeError, match=rf"model\.test_views: .*\(given: {count}\)"):
        override(Recipe(), {"model.test_views": count})
    with pytest.raises(ValueError, match=f"{count} views; there are 1 to 16"):
        FixedViews(count)


def test_a_training_writes_a_bundle_that_averages(
    small_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """From recipe to predictions: what calibrates and evaluates is the averaging graph."""
    changes: dict[str, object] = {
        "model": SMALL.model_copy(update={"test_views": 3}).model_dump(mode="json"),
        "preprocess.pad_value": 40,
        "phases.0.epochs": 2,
        "phases.0.views": 1,
        "tracking.enabled": False,
    }
    run = train(override(small_recipe, changes), output=tmp_path_factory.mktemp("run") / "views")
    bundle = open_bundle(run.bundle)
    assert bundle.spec.model.test_views == 3
    assert views_of(bundle.files[ONNX]) == FixedViews(3, fill=40)
    state = checkpoint.from_bytes(bundle.files[WEIGHTS])
    classifier = rebuild_classifier(bundle.spec.model, LABELS, state, size=64)
    pixels = canvases(4, size=64)
    expected = averaged(classifier, pixels, 3, fill=40).numpy()
    for runtime in RUNTIMES:
        found = Predictor.open(run.bundle, runtime=runtime).infer(pixels.numpy())
        np.testing.assert_allclose(found.logits, expected, atol=1e-4)
    table = load_predictions(run.output / "predictions.parquet")
    assert table.height == run.metrics["n_images"]
