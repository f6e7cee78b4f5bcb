"""How far two namings of the same images go together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Names: TypeAlias = Sequence[Any] | NDArray[Any]
"""A name per image."""


def cramers_v(first: Names, second: Names) -> float:
    """How far two namings determine each other, 0 (not at all) to 1.

    Cramér's V corrected for what chance alone would show (Bergsma, Journal of the Korean
    Statistical Society 2013, equation 10). 0 where either has one name only.

    Args:
        first: a name per image.
        second: likewise, of the same images; one or more.
    """
    rows, columns = (
        np.unique(np.asarray(names), return_inverse=True)[1] for names in (first, second)
    )
    height, width, total = rows.max() + 1, columns.max() + 1, len(rows)
    if min(height, width) < 2:
        return 0.0
    seen = np.bincount(rows * width + columns, minlength=height * width).reshape(height, width)
    expected = np.outer(seen.sum(axis=1), seen.sum(axis=0)) / total
    phi2 = float(((seen - expected) ** 2 / expected).sum() / total)
    corrected = max(0.0, phi2 - (height - 1) * (width - 1) / (total - 1))
    sides = [side - (side - 1) ** 2 / (total - 1) for side in (height, width)]
    return float(min(1.0, np.sqrt(corrected / max(1e-12, min(sides) - 1))))
