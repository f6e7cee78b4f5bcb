"""Saliency methods by name, all through torch: where a classifier's evidence for a label lies.

Bundles hold Grad-CAM in their graph (`models.saliency`), which is what is served. These methods
need the network itself; they serve to compare with it and to check it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pneumoscope.core.errors import InputError
from pneumoscope.core.types import IntArray, PixelBatch
from pneumoscope.models.attribution_cam import CAMS, cam
from pneumoscope.models.attribution_pixels import integrated_gradients, occlusion
from pneumoscope.models.classifier import Classifier, evaluating

Method = Callable[[Classifier, Tensor, Tensor], Tensor]
"""Maps `[image, size, size]` of a classifier, pixels `[image, 1, size, size]` and labels `[image]`.
"""

METHODS: dict[str, Method] = {
    **{name: partial(cam, formula=formula) for name, formula in CAMS.items()},
    "integrated_gradients": integrated_gradients,
    "occlusion": occlusion,
}
"""Cheapest first; what each is, and its source, its function says."""

_BATCH = 8


def attribute(
    classifier: Classifier,
    canvases: PixelBatch,
    label_indices: IntArray | Sequence[int],
    *,
    method: str = "gradcam",
) -> NDArray[np.float32]:
    """Saliency maps `[image, size, size]` float32, >= 0: evidence for the label, not against it.

    Scales differ between methods; within one, CAMs and the other two are in units of the logit or
    proportional to it. The classifier answers as in evaluation; its modes are left as they were.

    Args:
        classifier: On any device.
        canvases: `[image, 1, size, size]`, uint8 grey levels.
        label_indices: `[image]`, which logit is explained.
        method: One of `METHODS`.

    Raises:
        InputError: no such method, a label the classifier has not, or not one per canvas.
    """
    labels = _checked(classifier, canvases, label_indices, method)
    device = classifier.head.output.weight.device
    maps = np.empty((len(canvases), *canvases.shape[2:]), np.float32)
    # Inference mode, which `evaluating` sets, has no gradients at all.
    with evaluating(classifier), torch.inference_mode(mode=False), torch.enable_grad():
        for start in range(0, len(canvases), _BATCH):
            part = slice(start, start + _BATCH)
            pixels = torch.from_numpy(canvases[part]).to(device, torch.float32)
            chosen = torch.from_numpy(labels[part]).to(device)
            found = METHODS[method](classifier, pixels, chosen)
            maps[part] = torch.relu(found).detach().cpu().numpy()
    return maps


def _checked(
    classifier: Classifier,
    canvases: PixelBatch,
    label_indices: IntArray | Sequence[int],
    method: str,
) -> NDArray[np.int64]:
    if method not in METHODS:
        allowed = ", ".join(METHODS)
        raise InputError(f"saliency method '{method}'; allowed: {allowed}. Choose one of these.")
    labels = np.asarray(label_indices, dtype=np.int64)
    if labels.shape != (len(canvases),):
        found = f"{len(canvases)} canvases and labels {list(labels.shape)}"
        raise InputError(f"{found}; allowed: one label index per canvas. Give one each.")
    known = classifier.head.output.out_features
    if ((labels < 0) | (labels >= known)).any():
        found = f"label indices {labels.min()} to {labels.max()}"
        raise InputError(f"{found}; allowed: 0 to {known - 1}. Use the classifier's label set.")
    return labels
