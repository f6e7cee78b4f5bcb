"""Saliency methods: against references, the exported graph and a planted detector."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pneumoscope.bundle.export import export_bundle, export_onnx
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.bundle.runtimes import open_runtime
from pneumoscope.core.errors import InputError, LabelError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import Dense, ModelRecipe, PreprocessRecipe
from pneumoscope.core.types import PixelBatch
from pneumoscope.data.cache import PixelCache, SegmentWriter
from pneumoscope.evaluation.saliency_removal import removal_curves
from pneumoscope.evaluation.saliency_scores import SCHEMA, energy_inside
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.models.attribution import METHODS, attribute
from pneumoscope.models.attribution_cam import enlarge
from pneumoscope.models.attribution_check import (
    randomise,
    randomised_similarity,
    rank_correlation,
)
from pneumoscope.models.attribution_pixels import integrated_gradients, occlusion
from pneumoscope.models.classifier import Classifier, build_classifier, evaluating
from pneumoscope.models.head import Head
from pneumoscope.models.pooling import AveragePooling
from pneumoscope.models.zoo import InputScale, to_backbone
from pneumoscope.workflows.saliency_check import (
    bundle_classifier,
    choose_images,
    score_saliency,
)

LABELS = ("A", "B", "C")
SIZE = 32
HEADS: dict[str, tuple[str, tuple[Dense, ...]]] = {
    "plain": ("avg", ()),
    "deep": ("gem", (Dense(dense=8, activation="tanh"),)),
    "positions": ("flatten", (Dense(dense=8, activation="gelu"),)),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def canvases(count: int = 3, size: int = SIZE) -> PixelBatch:
    """Noise on 4 x 4 squares of different grey levels."""
    random = np.random.default_rng(5)
    at = np.arange(size) * 4 // size
    squares = random.integers(0, 216, (count, 1, 4, 4), dtype=np.uint8)[:, :, at][:, :, :, at]
    return squares + random.integers(0, 40, squares.shape, dtype=np.uint8)


def classifier_of(head: str = "plain", backbone: str = "cnn3") -> Classifier:
    pooling, layers = HEADS[head]
    recipe = ModelRecipe.model_validate(
        {"backbone": backbone, "weights": "none", "pooling": pooling, "head": layers}
    )
    classifier = build_classifier(recipe, LABELS, size=SIZE, seed=1).classifier
    with torch.no_grad():
        # Initial weights answer nearly the same to everything; these differ.
        classifier.head.output.weight.mul_(20)
    return classifier


class _Square(nn.Module):
    """One feature map: where 8 x 8 pixels are all bright. The other: where they are all dark."""

    num_features = 2
    pretrained_cfg = {  # noqa: RUF012 - as timm has it
        "mean": (0.5,), "std": (0.5,), "first_conv": "detect", "input_size": (1, SIZE, SIZE),
    }  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.detect = nn.Conv2d(1, 2, 8, stride=4)
        with torch.no_grad():
            self.detect.weight[0], self.detect.weight[1] = 1 / 64, -1 / 64
            self.detect.bias.fill_(-0.5)  # type: ignore[union-attr]

    def forward_features(self, images: Tensor) -> Tensor:
        return torch.relu(self.detect(images))


def detector() -> Classifier:
    """Says B of bright squares and C of dark ones; built by hand, so that the truth is known."""
    backbone = to_backbone(_Square(), "cnn3", InputScale((0.5,), (0.5,)))
    head = Head(2, 3)
    with torch.no_grad():
        head.output.weight.copy_(torch.tensor([[0.0, 0.0], [50.0, -50.0], [-50.0, 50.0]]))
    return Classifier(backbone, AveragePooling(), head).eval()


def planted(top: int, left: int) -> PixelBatch:
    """Noise around mid grey with one bright square of 12 x 12."""
    random = np.random.default_rng(0)
    canvas = random.integers(110, 140, (1, 1, SIZE, SIZE), dtype=np.uint8)
    canvas[0, 0, top : top + 12, left : left + 12] = 250
    return canvas


def scaled(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each map from 0 to 1, as the reference gives it."""
    lowest, highest = (part(maps, axis=(1, 2), keepdims=True) for part in (np.min, np.max))
    result: NDArray[np.float32] = (maps - lowest) / np.maximum(highest - lowest, 1e-7)
    return result


def reference_cam(name: str, classifier: Classifier, pixels: PixelBatch) -> NDArray[np.float32]:
    """What the package grad-cam gives for labels 0, 1 and 2."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        import pytorch_grad_cam as reference  # type: ignore[import-untyped]
        from pytorch_grad_cam.utils.model_targets import (  # type: ignore[import-untyped]
            ClassifierOutputTarget,
        )
    kinds = {
        "gradcam": reference.GradCAM,
        "gradcam++": reference.GradCAMPlusPlus,
        "hirescam": reference.HiResCAM,
    }
    targets = [ClassifierOutputTarget(index) for index in range(3)]
    with kinds[name](classifier, [classifier.backbone]) as method:
        maps = method.forward(torch.from_numpy(pixels).float(), targets)
    return np.asarray(maps, dtype=np.float32)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_the_contract(method: str, head: str) -> None:
    classifier = classifier_of(head)
    classifier.head.train()
    maps = attribute(classifier, canvases(), [0, 1, 2], method=method)
    assert maps.shape == (3, SIZE, SIZE)
    assert maps.dtype == np.float32
    assert np.isfinite(maps).all()
    assert (maps >= 0).all()
    assert maps.any()
    assert classifier.head.training
    assert not classifier.backbone.training
    assert all(parameter.grad is None for parameter in classifier.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_an_image_gets_the_same_map_in_any_company(method: str) -> None:
    classifier, pixels = classifier_of("deep", "lenet5"), canvases(9)
    labels = np.arange(9) % 3
    together = attribute(classifier, pixels, labels, method=method)
    alone = attribute(classifier, pixels[8:], labels[8:], method=method)
    np.testing.assert_allclose(together[8:], alone, rtol=0, atol=1e-4 * alone.max())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("top", "left"), [(4, 16), (18, 2)])
def test_a_planted_detector_is_found(method: str, top: int, left: int) -> None:
    found = attribute(detector(), planted(top, left), [1], method=method)[0]
    y, x = np.unravel_index(found.argmax(), found.shape)
    assert top <= y < top + 12
    assert left <= x < left + 12
    around = found[max(top - 4, 0) : top + 16, max(left - 4, 0) : left + 16]
    assert around.sum() > 0.9 * found.sum()


@pytest.mark.parametrize("method", [name for name in METHODS if name != "eigencam"])
def test_evidence_against_a_label_is_none_for_it(method: str) -> None:
    assert not attribute(detector(), planted(4, 16), [2], method=method)[0, 8:12, 20:24].any()


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "hirescam"])
@pytest.mark.parametrize("head", ["deep", "positions"])
def test_cams_equal_the_reference(method: str, head: str) -> None:
    pytest.importorskip("pytorch_grad_cam")
    classifier, pixels = classifier_of(head), canvases()
    with torch.no_grad():
        classifier.head.output.weight.mul_(1000)  # its constant 1e-6 weighs nothing then
    ours = scaled(attribute(classifier, pixels, [0, 1, 2], method=method))
    theirs = reference_cam(method, classifier, pixels)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-3)


def test_eigencam_is_the_first_component_of_the_maps() -> None:
    classifier, pixels = classifier_of(), canvases()
    found = attribute(classifier, pixels, [0, 1, 2], method="eigencam")
    with evaluating(classifier):
        maps = classifier.backbone(torch.from_numpy(pixels)).numpy()
    for ours, one in zip(found, maps, strict=True):
        rows = one.reshape(len(one), -1).astype(np.float64)
        values, vectors = np.linalg.eigh(rows @ rows.T)
        component = vectors[:, values.argmax()] @ rows
        component *= np.sign(component.sum())
        expected = enlarge(np.maximum(component, 0).reshape(1, *one.shape[1:]), SIZE)[0]
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4 * expected.max())


@pytest.mark.parametrize("head", ["deep", "positions"])
def test_gradcam_is_what_the_exported_graph_gives(head: str) -> None:
    classifier, pixels = classifier_of(head), canvases()
    outputs = open_runtime(export_onnx(classifier, size=SIZE), "onnxruntime").run(pixels)
    positions = outputs.saliency.shape[2] * outputs.saliency.shape[3]
    ours = attribute(classifier, pixels, [2, 0, 1])
    served = enlarge(outputs.saliency[np.arange(3), [2, 0, 1]], SIZE)
    np.testing.assert_allclose(positions * ours, served, rtol=0, atol=1e-3 * served.max())


def test_integrated_gradients_equal_captum() -> None:
    captum = pytest.importorskip("captum.attr")
    classifier = classifier_of("deep")
    pixels, labels = torch.from_numpy(canvases(2)).float(), torch.tensor([0, 2])
    ours = integrated_gradients(classifier, pixels, labels)
    reference = captum.IntegratedGradients(classifier)
    theirs = sum(
        reference.attribute(pixels, baselines=level, target=labels, n_steps=16)
        for level in (0.0, 255.0)
    )
    expected = theirs[:, 0] / 2
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_integrated_gradients_sum_to_the_difference_of_logits() -> None:
    classifier = classifier_of()
    pixels, labels = torch.from_numpy(canvases(2)).float(), torch.tensor([0, 2])
    given = integrated_gradients(classifier, pixels, labels, steps=128).sum(dim=(1, 2))
    with torch.no_grad():
        here, black, white = (
            classifier(part).gather(1, labels[:, None])[:, 0]
            for part in (pixels, pixels * 0, pixels * 0 + 255)
        )
    expected = here - (black + white) / 2
    torch.testing.assert_close(given.detach(), expected, rtol=0.02, atol=1e-3)


def test_occlusion_equals_captum() -> None:
    captum = pytest.importorskip("captum.attr")
    classifier = classifier_of("deep")
    pixels, labels = torch.from_numpy(canvases(2)).float(), torch.tensor([0, 2])
    fill = pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels)
    theirs = captum.Occlusion(classifier).attribute(
        pixels, (1, 4, 4), strides=(1, 2, 2), baselines=fill, target=labels
    )
    ours = occlusion(classifier, pixels, labels)
    torch.testing.assert_close(ours, theirs[:, 0].to(ours), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", [9, 31, 50])
def test_occlusion_reaches_every_pixel_of_any_canvas(size: int) -> None:
    pixels = torch.from_numpy(canvases(1, size=size)).float()
    assert torch.isfinite(occlusion(detector(), pixels, torch.tensor([0]))).all()


@pytest.mark.parametrize(
    ("labels", "method", "message"),
    [
        ([0, 1, 2], "lime", "saliency method 'lime'; allowed: gradcam, "),
        ([0, 1], "gradcam", "3 canvases and labels .2.; allowed: one"),
        ([0, 1, 3], "gradcam", "label indices 0 to 3; allowed: 0 to 2"),
    ],
)
def test_what_cannot_be_explained_is_refused(labels: list[int], method: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        attribute(classifier_of(), canvases(), labels, method=method)


def test_random_weights_change_gradcam_and_not_a_method_without_labels() -> None:
    classifier, pixels = classifier_of(), canvases(4)
    labels = [0, 1, 2, 0]
    before = {name: part.clone() for name, part in classifier.state_dict().items()}
    changed = randomised_similarity(classifier, pixels, labels)
    same = randomised_similarity(classifier, pixels, labels, method="eigencam")
    assert changed.shape == (4,)
    assert np.nanmean(changed) < 0.8
    np.testing.assert_allclose(same, 1)
    later = randomised_similarity(classifier, pixels, labels, method="eigencam", last=1)
    assert (later < 0.99).all()
    again = randomised_similarity(classifier, pixels, labels)
    np.testing.assert_array_equal(changed, again)
    after = classifier.state_dict()
    assert all(torch.equal(after[name], part) for name, part in before.items())


def test_randomisation_cascades_from_the_output() -> None:
    classifier = classifier_of("deep")
    weights = {name: part for name, part in classifier.named_parameters() if part.numel() > 1}
    cascade = [dict(randomise(classifier, SIZE, last=last).named_parameters()) for last in range(4)]
    changed = [
        {name for name in weights if not torch.equal(weights[name], one[name])} for one in cascade
    ]
    assert changed[0] == {name for name in weights if name.startswith("head.")}
    for fewer, more in pairwise(changed):
        assert fewer < more
    assert all(name.startswith(("head.", "backbone.network.stages.2.")) for name in changed[1])
    assert changed[3] == set(weights)
    for name, part in weights.items():
        torch.testing.assert_close(cascade[3][name].flatten().sort()[0], part.flatten().sort()[0])
        if name in changed[0]:
            assert torch.equal(cascade[0][name], cascade[3][name])
    other = dict(randomise(classifier, SIZE, draw=1).named_parameters())
    assert not torch.equal(other["head.output.weight"], cascade[0]["head.output.weight"])
    with pytest.raises(InputError, match="last=4; the backbone has 3 stages"):
        randomise(classifier, SIZE, last=4)


def test_rank_correlation_equals_scipy() -> None:
    from scipy.stats import spearmanr

    random = np.random.default_rng(3)
    one, two = random.integers(0, 5, (2, 6, 7)).astype(float)
    two += one
    assert rank_correlation(one, two) == pytest.approx(spearmanr(one.ravel(), two.ravel())[0])
    assert rank_correlation(one, -one) == pytest.approx(-1)
    assert np.isnan(rank_correlation(one, np.zeros((6, 7))))


PREPROCESS = Preprocess(PreprocessRecipe(size=SIZE))


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    classifier = classifier_of("deep")
    facts = {
        "name": "small", "labels": LABELS, "preprocess": PREPROCESS.to_dict(),
        "model": {"backbone": "cnn3", "weights": "none", "pooling": "gem",
                  "head": [{"dense": 8, "activation": "tanh"}]},
        "weights": {}, "temperature": 2.0, "provenance": {}, "licence": "none",
        "training": {"fingerprint": "", "images": {}, "labels": {}},
    }  # fmt: skip
    bundle = export_bundle(classifier, facts=facts, size=SIZE, examples=canvases())
    return Predictor(bundle, runtime="onnxruntime")


@pytest.fixture
def images(tmp_path: Path) -> tuple[pl.DataFrame, PixelCache]:
    """30 catalogue rows, as many as 20 of one label, and their canvases."""
    cache = PixelCache(PREPROCESS, tmp_path)
    ids = [f"image-{at:02}" for at in range(30)]
    with SegmentWriter.for_cache(cache) as writer:
        for name, canvas in zip(ids, canvases(30), strict=True):
            writer.add(name, canvas[0])
    labels = ["A"] * 20 + ["B"] * 6 + ["C"] * 4
    patients = [None if at % 7 == 0 else f"patient-{at // 2}" for at in range(30)]
    return pl.DataFrame({"image_id": ids, "patient_id": patients, "label": labels}), cache


def test_images_are_chosen_evenly_and_the_choice_is_stable(
    images: tuple[pl.DataFrame, PixelCache],
) -> None:
    rows, _ = images
    chosen = choose_images(rows, most=15)
    counts = dict(chosen["label"].value_counts().iter_rows())
    assert counts in ({"A": 6, "B": 5, "C": 4}, {"A": 5, "B": 6, "C": 4})
    assert chosen["image_id"].is_sorted()
    assert chosen.columns == rows.columns
    assert choose_images(rows.sample(fraction=1, shuffle=True, seed=1), most=15).equals(chosen)
    assert set(choose_images(rows, most=9)["image_id"]) < set(chosen["image_id"])
    assert not choose_images(rows, most=15, seed=1).equals(chosen)
    assert choose_images(rows, most=100).equals(rows)


def test_what_is_scored_is_what_is_served(
    predictor: Predictor, images: tuple[pl.DataFrame, PixelCache]
) -> None:
    rows, cache = images
    masks = {name: np.zeros((SIZE, SIZE), bool) for name in rows["image_id"][:29]}
    for mask in masks.values():
        mask[4:20, 6:26] = True
    classifier = bundle_classifier(predictor.bundle)
    table = score_saliency(predictor, classifier, cache, rows, masks, reporter=Silent())
    assert dict(table.schema) == {name: kind() for name, kind in SCHEMA.items()}
    assert table.select(rows.columns).equals(rows)
    assert set(table["method"]) == {"gradcam"}
    assert table["lung_area"].is_null().to_list() == [False] * 29 + [True]
    assert 1 <= table["randomised_similarity"].count() <= 20
    assert table["randomised_similarity"].max() < 1  # type: ignore[operator]
    pixels = cache.pixels(["image-21"])
    outputs = predictor.infer(pixels)
    served = enlarge(outputs.saliency[:, 1], SIZE)
    row = table.row(21, named=True)
    assert row["energy_in_lungs"] == pytest.approx(
        energy_inside(served, masks["image-21"][None])[0], rel=1e-5
    )
    curves = removal_curves(
        pixels, served, [1],
        lambda given: predictor.probabilities(predictor.infer(given).logits),
        image_ids=["image-21"],
    )  # fmt: skip
    assert row["deletion"] == pytest.approx(curves.deletion.mean(), abs=1e-5)
    assert row["insertion"] == pytest.approx(curves.insertion.mean(), abs=1e-5)


def test_other_methods_are_scored_alike(
    predictor: Predictor, images: tuple[pl.DataFrame, PixelCache]
) -> None:
    rows, cache = images
    classifier = bundle_classifier(predictor.bundle)
    table = score_saliency(
        predictor, classifier, cache, rows, {}, reporter=Silent(), method="hirescam", most=4
    )
    assert table["method"].to_list() == ["hirescam"] * 4
    assert table["deletion"].null_count() == 0
    assert table["hit"].null_count() == 4
    bare = score_saliency(predictor, None, cache, rows, {}, reporter=Silent(), most=4)
    assert bare["randomised_similarity"].null_count() == 4
    with pytest.raises(InputError, match="'hirescam' needs the classifier"):
        score_saliency(predictor, None, cache, rows, {}, reporter=Silent(), method="hirescam")
    with pytest.raises(InputError, match="0 images, 200 at most"):
        score_saliency(predictor, None, cache, rows.clear(), {}, reporter=Silent())
    with pytest.raises(LabelError, match="label 'D'; the bundle answers A, B, C"):
        strange = rows.with_columns(label=pl.lit("D"))
        score_saliency(predictor, None, cache, strange, {}, reporter=Silent())
