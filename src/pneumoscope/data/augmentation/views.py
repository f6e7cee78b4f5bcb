"""From drawn numbers to pixels: each part in turn, for the whole batch at once."""

from __future__ import annotations

from torch import Tensor, float32

from pneumoscope.core.errors import InputError
from pneumoscope.data.augmentation.degradation import add_noise, blur, degrade, erase
from pneumoscope.data.augmentation.draws import Draws
from pneumoscope.data.augmentation.geometry import move
from pneumoscope.data.augmentation.photometric import adjust, match_histograms


def apply(
    pixels: Tensor, draws: Draws, *, fill: int = 0, histograms: Tensor | None = None
) -> Tensor:
    """The views drawn, as float32 grey levels 0-255.

    Args:
        pixels: `[batch, 1, size, size]` grey levels 0-255, any dtype.
        draws: What to do to each.
        fill: Grey level of what a move brings in from outside.
        histograms: `[reference, 256]` as `cumulative_histograms` gives them for plain training
            images; needed where histograms are drawn, in the same order each time.

    Raises:
        InputError: Histograms are drawn and no reference is given.
    """
    images = move(pixels.to(float32), draws.matrices, fill=fill)
    if draws.histogram is not None:
        if histograms is None or not len(histograms):
            message = "augment.histogram is on and there are no reference histograms; allowed: "
            raise InputError(f"{message}one or more. Give some training images', or set it to 0.")
        images = match_histograms(images, draws.histogram, histograms, fill=fill)
    images = adjust(images, draws.gamma, draws.contrast, draws.brightness)
    if draws.blur is not None:
        images = blur(images, draws.blur)
    if draws.degrade is not None:
        images = degrade(images, draws.degrade)
    if draws.noise is not None:
        images = add_noise(images, draws.noise)
    return images if draws.erase is None else erase(images, draws.erase)
