"""From a trained classifier to ONNX, and the proof that the graph answers as the network does."""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pneumoscope.bundle.archive import CARD, ONNX, REFERENCE, WEIGHTS, Bundle, make_bundle
from pneumoscope.bundle.graph import OUTPUTS
from pneumoscope.bundle.reference import Reference, reference_bytes
from pneumoscope.bundle.runtimes import installed_runtimes, open_runtime
from pneumoscope.bundle.spec import Parity
from pneumoscope.core.errors import ExportError
from pneumoscope.core.recipe import ModelRecipe
from pneumoscope.core.types import PixelBatch
from pneumoscope.evaluation.calibrator import Calibrator, temperature_calibrator
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.models.checkpoint import to_bytes
from pneumoscope.models.classifier import Classifier, evaluating
from pneumoscope.models.saliency import FixedViews, SaliencyClassifier

LOGIT_TOLERANCE = 1e-4
PROBABILITY_TOLERANCE = 1e-5
PICTURE_TOLERANCE = 1e-3
"""Of embedding and saliency, relative to their largest value."""

_VIEWS, _FILL = "test_views", "test_views_fill"
"""The graph's metadata where it averages views: how many, and their `fill`."""


def export_onnx(
    classifier: Classifier, *, size: int, views: FixedViews | None = None, fuse: bool = True
) -> bytes:
    """The classifier as ONNX, normalisation and test views inside, the batch free.

    In: uint8 `pixels [batch, 1, size, size]`. Out: `logits`, `embedding`, `saliency`.

    Args:
        classifier: In evaluation mode.
        size: Side of the canvas.
        views: Whose logits are averaged.
        fuse: Whether batch normalisation goes into the weights of the convolutions before it, as
            runtimes do by themselves when they open a graph. Weights that were rounded stay so
            only where it does not.
    """
    network = SaliencyClassifier(_fitted(classifier, size), views).eval()
    example = torch.zeros(2, 1, size, size, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=4096)
    with (
        warnings.catch_warnings(),
        evaluating(network),
        _out_of_place(network),
        torch.inference_mode(mode=False),
    ):
        # The exporter warns of its own internals (deprecations), which nobody here can act on.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=["pixels"],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: batch},),
            optimize=fuse,
        )
    if program is None:
        raise ExportError("torch gave no ONNX program. Report this with the recipe.")
    if not fuse:
        _fold_constants(program.model)
    program.model.metadata_props.update(_noted(network.views))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ONNX
        program.save(path, external_data=False)
        return _bare(path.read_bytes())


@contextmanager
def _out_of_place(network: nn.Module) -> Iterator[None]:
    """Activations give a new tensor inside.

    The graph is the same; torch takes up to half of the export's time to write each in-place one
    as comparisons of symbolic shapes, and forgets them again.
    """
    changed: list[Any] = [part for part in network.modules() if getattr(part, "inplace", False)]
    for part in changed:
        part.inplace = False
    try:
        yield
    finally:
        for part in changed:
            part.inplace = True


def _fold_constants(model: Any) -> None:
    """What does not depend on the input, computed; the rest of the optimisation left out."""
    from onnxscript import optimizer

    optimizer.fold_constants(model)
    optimizer.remove_unused_nodes(model)


def _bare(onnx: bytes) -> bytes:
    """The graph without what the exporter notes at every node: source lines and folders of here."""
    from onnx import load_model_from_string

    model = load_model_from_string(onnx)
    for node in model.graph.node:
        del node.metadata_props[:]
    return bytes(model.SerializeToString())


def _fitted(classifier: Classifier, size: int) -> Classifier:
    """The classifier, or a copy that shares its tensors, its position embeddings for this canvas.

    Vision transformers that take any canvas resample them in every pass, antialiased, which
    OpenVINO's `Resize` leaves out without a word. Others that take any canvas (Swin) have none;
    fitting those would change their windows, and with them the answers.
    """
    network: Any = getattr(classifier.backbone, "network", None)
    resamples = getattr(network, "dynamic_img_size", False)
    if not resamples or getattr(network, "pos_embed", None) is None:
        return classifier
    shared: dict[int, Any] = {id(tensor): tensor for tensor in classifier.parameters()}
    fitted = copy.deepcopy(classifier, shared | {id(part): part for part in classifier.buffers()})
    copied: Any = fitted.backbone.network
    copied.set_input_size(img_size=size)
    return fitted


def check_parity(
    classifier: Classifier,
    onnx: bytes,
    pixels: PixelBatch,
    *,
    calibrator: Calibrator | None = None,
) -> Parity:
    """How far the graph's answers are from the network's on `pixels`, in every installed runtime.

    The network answers over the test views that the graph says it averages.

    The limit on probabilities is for those of the plain softmax. What is recorded is with the
    calibrator, and may be more: isotonic regression is steep in places, and would turn float32's
    own rounding into a refusal.

    Raises:
        ExportError: a logit differs by more than 1e-4, a probability by more than 1e-5, or
            embedding or saliency by more than a thousandth of their largest value.
    """
    whole = SaliencyClassifier(classifier, views_of(onnx))
    with evaluating(whole):
        outputs = whole(torch.from_numpy(pixels))
    expected, embedding, saliency = (part.numpy() for part in outputs)
    logits = probabilities = calibrated = 0.0
    plain = temperature_calibrator(1.0)
    for name in installed_runtimes():
        answers = open_runtime(onnx, name).run(pixels)
        found = answers.logits
        _require_near(name, "embedding", answers.embedding, embedding)
        _require_near(name, "saliency", answers.saliency, saliency)
        logits = max(logits, float(np.abs(found - expected).max()))
        probabilities = max(probabilities, _apart(plain, found, expected))
        calibrated = max(calibrated, _apart(calibrator or plain, found, expected))
        if not (logits <= LOGIT_TOLERANCE and probabilities <= PROBABILITY_TOLERANCE):
            raise ExportError(
                f"{name}: the exported graph differs from the trained network by {logits:.2g} in a "
                f"logit and {probabilities:.2g} in a probability; allowed: {LOGIT_TOLERANCE} and "
                f"{PROBABILITY_TOLERANCE}. Report this with the recipe."
            )
    return Parity(images=len(pixels), logits=logits, probabilities=calibrated)


def _apart(
    calibrator: Calibrator, found: NDArray[np.float32], expected: NDArray[np.float32]
) -> float:
    """The largest absolute difference of a probability."""
    return float(np.abs(calibrator.apply(found) - calibrator.apply(expected)).max())


def views_of(onnx: bytes) -> FixedViews:
    """The test views that a graph averages, by its own metadata; most say nothing and take one."""
    from onnx import load_model_from_string

    noted = {entry.key: entry.value for entry in load_model_from_string(onnx).metadata_props}
    return FixedViews(int(noted.get(_VIEWS, 1)), int(noted.get(_FILL, 0)))


def _noted(views: FixedViews) -> dict[str, str]:
    """What `views_of` reads; nothing for the plain view alone, whose graph stays as it was."""
    return {_VIEWS: str(views.count), _FILL: str(views.fill)} if views.count > 1 else {}


def _require_near(
    runtime: str, what: str, found: NDArray[np.float32], expected: NDArray[np.float32]
) -> None:
    """Runtimes have got saliency wrong, silently, where logits were right."""
    difference = float(np.abs(found - expected).max()) if expected.size else 0.0
    allowed = PICTURE_TOLERANCE * max(float(np.abs(expected).max()), 1e-3)
    if not difference <= allowed:
        raise ExportError(
            f"{runtime}: the {what} of the exported graph differs from the trained network's by "
            f"{difference:.2g}; allowed: {allowed:.2g}. Report this with the recipe."
        )


def export_bundle(
    classifier: Classifier, *, facts: dict[str, Any], size: int, examples: PixelBatch
) -> Bundle:
    """The bundle of a trained classifier, its parity with torch checked and recorded.

    Args:
        classifier: In evaluation mode.
        facts: Fields of `BundleSpec` except `parity` and `files`; `model` says how many test views
            the graph averages, `preprocess` what lies outside them.
        size: Side of the canvas.
        examples: `[image, 1, size, size]` real canvases to compare on.

    Raises:
        ExportError: the exported graph does not answer as the network does.
    """
    recipe = ModelRecipe.model_validate(facts["model"])
    fill = Preprocess.from_dict(facts["preprocess"]).recipe.pad_value
    views = FixedViews(recipe.test_views, fill)
    onnx = export_onnx(classifier, size=size, views=views, fuse=recipe.rounding == "none")
    parity = check_parity(classifier, onnx, examples)
    weights = to_bytes(classifier.state_dict())
    nothing = Reference(np.zeros((0, len(facts["labels"])), np.float32))
    files = {ONNX: onnx, WEIGHTS: weights, REFERENCE: reference_bytes(nothing), CARD: b""}
    return make_bundle({**facts, "parity": parity}, files)
