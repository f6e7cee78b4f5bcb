"""Views of a training image: drawn per image from its own named seeds, then applied to the batch.

One bilinear resampling per image whatever the geometry, on the device the pixels are on. What is
drawn depends on the seed, the image id and the view alone, never on batches or workers.
"""

from __future__ import annotations

from pneumoscope.data.augmentation.draws import Draws, draw
from pneumoscope.data.augmentation.photometric import cumulative_histograms
from pneumoscope.data.augmentation.views import apply

__all__ = ["Draws", "apply", "cumulative_histograms", "draw"]
