"""Named array aliases: the shape in the name's comment, the unit in words."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

GreyImage: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
"""`[height, width]`, grey levels, bright = dense."""

Canvas: TypeAlias = NDArray[np.uint8]
"""`[size, size]`, grey levels 0-255: a radiograph after preprocessing."""

PixelBatch: TypeAlias = NDArray[np.uint8]
"""`[batch, 1, size, size]`, grey levels 0-255: what every network takes."""

RgbImage: TypeAlias = NDArray[np.uint8]
"""`[height, width, 3]`, 0-255."""

FloatArray: TypeAlias = NDArray[np.floating[Any]]
"""Any real array; the function's docstring gives its shape."""

IntArray: TypeAlias = NDArray[np.integer[Any]]
"""Any integer array; the function's docstring gives its shape."""
