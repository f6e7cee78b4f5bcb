"""The bundle's own network in torch: where no other runtime is, and to compare them with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundle.archive import ONNX, WEIGHTS, Bundle
from pneumoscope.bundle.runtimes import Outputs
from pneumoscope.core.errors import BundleError
from pneumoscope.core.types import PixelBatch
from pneumoscope.imaging.preprocess import Preprocess

NAME = "torch"


@dataclass(frozen=True)
class Torch:
    """The network with saliency, in evaluation mode."""

    network: Any
    name: str = NAME

    @classmethod
    def open(cls, bundle: Bundle) -> Torch:
        """The network that the bundle's weights make, over the test views its graph averages.

        Raises:
            BundleError: the bundle is of another precision than float32, which only its graph is.
        """
        from pneumoscope.bundle.export import views_of
        from pneumoscope.models.checkpoint import from_bytes
        from pneumoscope.models.classifier import rebuild_classifier
        from pneumoscope.models.saliency import SaliencyClassifier

        spec = bundle.spec
        if spec.precision != "float32":
            raise BundleError(
                f"precision {spec.precision}: torch computes float32 only. Choose openvino."
            )
        size = Preprocess.from_dict(spec.preprocess).size
        weights = from_bytes(bundle.files[WEIGHTS])
        classifier = rebuild_classifier(spec.model, spec.labels, weights, size=size)
        return cls(SaliencyClassifier(classifier, views_of(bundle.files[ONNX])).eval())

    def run(self, pixels: PixelBatch) -> Outputs:
        """Answer a batch."""
        import torch

        with torch.inference_mode():
            found = self.network(torch.from_numpy(np.ascontiguousarray(pixels)))
        return Outputs(*(part.float().numpy() for part in found))

    def arrays(
        self, pixels: PixelBatch, given: str, wanted: Sequence[str]
    ) -> list[NDArray[np.float32]]:
        """See `Runtime`; it has one input."""
        del given
        outputs = self.run(pixels)
        return [getattr(outputs, name) for name in wanted]
