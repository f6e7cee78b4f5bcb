"""A small drawing: probabilities of a label by true label, and the threshold among them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np
from numpy.typing import NDArray

from pneumoscope.app.theme import FONT

_WIDTH, _HALF, _BINS, _FOOT = 1100.0, 70.0, 44, 22.0


def spread_svg(
    positive: NDArray[np.bool_],
    scores: NDArray[np.float64],
    *,
    threshold: float,
    names: tuple[str, str],
    colours: Mapping[str, str],
    point: str = ".",
) -> str:
    """An SVG: bars of the label above a line, of all others below it.

    Args:
        positive: `[image]`, whether it has the label.
        scores: `[image]`, probability of the label, in [0, 1].
        threshold: In [0, 1].
        names: What the bars above and below are called.
        colours: `accent`, `muted`, `rule` and `ink` of the theme.
        point: Between a number's units and decimals.
    """
    edges = np.linspace(0, 1, _BINS + 1)
    above, below = (
        np.histogram(scores[chosen], edges)[0] / max(1, int(chosen.sum()))
        for chosen in (positive, ~positive)
    )
    # Square roots, for most images lie in the first and last bin and the others are what matters.
    highest = float(np.sqrt(max(above.max(), below.max(), 1e-9)))
    bars = [
        _bar(place, float(np.sqrt(share)) / highest, up=up)
        for shares, up in ((above, True), (below, False))
        for place, share in enumerate(shares)
        if share
    ]
    at, height = threshold * _WIDTH, 2 * _HALF + _FOOT
    ticks = "".join(
        f'<text x="{x * _WIDTH:.0f}" y="{height - 5:.0f}" text-anchor="{anchor}">'
        f"{f'{x:g}'.replace('.', point)}</text>"
        for x, anchor in (
            (0, "start"),
            (0.25, "middle"),
            (0.5, "middle"),
            (0.75, "middle"),
            (1, "end"),
        )
    )
    style = (
        f".with{{fill:{colours['accent']}}}.without{{fill:{colours['muted']}}}"
        f".base{{stroke:{colours['rule']}}}.at{{stroke:{colours['ink']};stroke-width:2}}"
        f"text{{fill:{colours['muted']};font:13px {FONT}}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {height:g}">'
        f"<style>{style}</style>{''.join(bars)}"
        f'<line class="base" x1="0" x2="{_WIDTH:g}" y1="{_HALF:g}" y2="{_HALF:g}"/>'
        f'<line class="at" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{2 * _HALF:g}"/>{ticks}'
        f'<text x="6" y="14">{escape(names[0])}</text>'
        f'<text x="6" y="{2 * _HALF - 6:g}">{escape(names[1])}</text></svg>'
    )


def _bar(place: int, share: float, *, up: bool) -> str:
    width, height = _WIDTH / _BINS, share * (_HALF - 4)
    top = _HALF - height if up else _HALF
    return (
        f'<rect class="{"with" if up else "without"}" x="{place * width + 1:.1f}" y="{top:.1f}" '
        f'width="{width - 2:.1f}" height="{height:.1f}"/>'
    )
