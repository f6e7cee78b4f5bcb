"""One page to take along: the answer, its probabilities and the pictures, as PDF or PNG."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, Literal

import numpy as np

from pneumoscope.app.answer import Told, told, worth
from pneumoscope.app.examine import Examined
from pneumoscope.app.language import Language, probability, spoken
from pneumoscope.app.words import common
from pneumoscope.app.words import trying as words
from pneumoscope.evaluation.verdict.parts import Colour
from pneumoscope.imaging.overlay import overlay
from pneumoscope.imaging.radiograph import Radiograph
from pneumoscope.reporting.canvas import ACCENT, FONT, INK, MUTED, RULE, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 8.27, 11.69
"""Inches: A4."""
_LEFT, _RIGHT = 0.09, 0.91
_LINE = 0.0185


def summary(
    examined: Examined,
    language: Language,
    *,
    model: str,
    kind: Literal["pdf", "png"],
    verdict: Colour = "grey",
) -> bytes:
    """The page as a file's content.

    Args:
        examined: What is told.
        language: To tell it in.
        model: The model's name for people.
        kind: Of the file.
        verdict: On the model.
    """
    said = told(examined.prediction, language)
    if examined.prediction.probabilities:
        said = said._replace(text=f"{said.text} {worth(verdict, language)}".strip())
    figure = _page(examined, said, language, model)
    buffer = io.BytesIO()
    metadata = {"Title": model, "Creator": "Pneumoscope", "CreationDate": None}
    figure.savefig(
        buffer, format=kind, dpi=150, metadata=metadata if kind == "pdf" else {"Software": None}
    )
    return buffer.getvalue()


def _page(examined: Examined, said: Told, language: Language, model: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT), facecolor="white")
    figure.set_layout_engine("none")
    _write(figure, 0.955, "Pneumoscope", size=11, color=ACCENT, bold=True)
    _write(figure, 0.955, spoken(common.NOTICE, language), size=9, color=MUTED, right=True)
    _rule(figure, 0.945)
    at = _paragraph(figure, 0.918, plain(examined.name, longest=80), size=9, color=MUTED)
    at = _paragraph(figure, at - 0.014, said.title, size=20, bold=True, width=52)
    at = _paragraph(figure, at + 0.012, said.text, size=10, width=88)
    at = _stages(figure, at - 0.012, said)
    at = _probabilities(figure, at - 0.012, examined, language)
    _pictures(figure, at - 0.02, examined, language)
    prediction = examined.prediction
    named = spoken(words.MODEL, language, name=plain(model, longest=60), id=prediction.model_id)
    _rule(figure, 0.062)
    _write(figure, 0.043, named, size=8, color=MUTED)
    milliseconds = f"{prediction.milliseconds:.0f}"
    done = spoken(words.DONE, language, milliseconds=milliseconds)
    _write(figure, 0.043, done, size=8, color=MUTED, right=True)
    return figure


def _stages(figure: Figure, at: float, said: Told) -> float:
    for name, outcome, text in said.stages:
        _write(figure, at, name, size=9.5, bold=True)
        _write(figure, at, outcome, size=9.5, at=_LEFT + 0.16)
        at = _paragraph(figure, at, text, size=9.5, color=MUTED, left=_LEFT + 0.33, width=54)
    return at


def _probabilities(figure: Figure, at: float, examined: Examined, language: Language) -> float:
    values = examined.prediction.probabilities
    if not values:
        return at
    _write(figure, at, spoken(words.PROBABILITIES, language), size=9.5, bold=True)
    for label, value in sorted(values.items(), key=lambda pair: -pair[1])[:6]:
        at -= _LINE * 1.2
        _write(figure, at, plain(label), size=9.5)
        axes = figure.add_axes((_LEFT + 0.33, at, 0.38, 0.008))
        axes.set_axis_off()
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.barh(0.5, 1, height=1, color=RULE)
        axes.barh(0.5, value, height=1, color=ACCENT)
        _write(figure, at, probability(value, language), size=9.5, right=True)
    held = examined.prediction.label_set
    if held is not None:
        at -= _LINE * 1.2
        _write(figure, at, spoken(words.LABEL_SET, language), size=9.5)
        named = ", ".join(plain(label) for label in held) or spoken(words.NOTHING, language)
        _write(figure, at, named, size=9.5, at=_LEFT + 0.33)
    return at - _LINE


def _pictures(figure: Figure, at: float, examined: Examined, language: Language) -> None:
    if examined.picture is None:
        return
    label = examined.prediction.most_probable
    first = words.ORIGINAL if examined.maps else words.IMAGE
    shown = [(examined.picture, spoken(first, language))]
    if label is not None and label in examined.maps:
        title = spoken(words.EVIDENCE, language, label=plain(label))
        shown.append((_overlaid(examined, label), title))
    height, width = examined.picture.shape[:2]
    wide = (_RIGHT - _LEFT - 0.03) / 2
    tall = min(at - 0.1, wide * _WIDTH / _HEIGHT * height / width)
    for place, (picture, title) in enumerate(shown):
        left = _LEFT + place * (wide + 0.03)
        _write(figure, at, title, size=9, color=MUTED, at=left)
        axes = figure.add_axes((left, at - 0.012 - tall, wide, tall), facecolor="black")
        axes.set(xticks=[], yticks=[])
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, aspect="equal")
        axes.set_anchor("N")


def _overlaid(examined: Examined, label: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    from PIL import Image

    assert examined.picture is not None  # noqa: S101 - asked by the caller
    height, width = examined.picture.shape
    small = Image.fromarray(examined.maps[label])
    laid = np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))
    radiograph = Radiograph(examined.picture, bits=8, photometric="L", format="png")
    return overlay(radiograph, laid)


def _paragraph(
    figure: Figure, at: float, text: str, *, size: float, color: str = INK, bold: bool = False,
    left: float = _LEFT, width: int = 100,
) -> float:  # fmt: skip
    for line in textwrap.wrap(text, width) or [""]:
        _write(figure, at, line, size=size, color=color, bold=bold, at=left)
        at -= _LINE * max(1.0, size / 9.5)
    return at


def _write(
    figure: Figure, height: float, text: str, *, size: float, color: str = INK,
    bold: bool = False, right: bool = False, at: float = _LEFT,
) -> None:  # fmt: skip
    figure.text(
        _RIGHT if right else at, height, text, fontsize=size, color=color, fontfamily=FONT,
        fontweight="bold" if bold else "normal", ha="right" if right else "left", parse_math=False,
    )  # fmt: skip


def _rule(figure: Figure, height: float) -> None:
    from matplotlib.lines import Line2D

    ends = (_LEFT, _RIGHT)
    figure.add_artist(Line2D(ends, (height, height), color=RULE, linewidth=0.8))
