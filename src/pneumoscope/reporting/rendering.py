"""Figures as files and as SVG to be put inside a page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path

from pneumoscope.core.files import write_bytes
from pneumoscope.reporting.canvas import NamedFigure

_PNG_DPI = 200
# Matplotlib escapes < and > in texts and attributes, so this finds tags and nothing else.
_TAG = re.compile(r"<[^<>]+>")
_REFERENCE = re.compile(r'(\bid="|\bhref="#|url\(#)')
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


def save_figures(figures: Sequence[NamedFigure], folder: Path) -> tuple[Path, ...]:
    """Paths of the PNG files written, `<name>.png` each, in the order given.

    Raises:
        StorageError: the folder cannot be written or is full.
    """
    paths = tuple(folder / f"{named.name}.png" for named in figures)
    for named, path in zip(figures, paths, strict=True):
        write_bytes(path, to_png(named))
    return paths


def to_png(named: NamedFigure) -> bytes:
    """The figure as a PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with _settings(named.name):
        named.figure.savefig(
            buffer, format="png", dpi=_PNG_DPI, facecolor="white", metadata={"Software": None}
        )
    return buffer.getvalue()


def to_svg(named: NamedFigure) -> str:
    """An `<svg role="img">` element to put inside HTML; the same figure gives the same bytes.

    Words stay text, so that they can be selected, searched and set in the page's own font. Every
    id begins with the figure's name, so that several figures live in one page.
    """
    buffer = io.StringIO()
    with _settings(named.name):
        named.figure.savefig(buffer, format="svg", facecolor="white", metadata=_NO_METADATA)
    document = buffer.getvalue()
    body = document[document.index(">", document.index("<svg")) + 1 :].rstrip()
    body = _TAG.sub(lambda tag: _REFERENCE.sub(rf"\1{named.name}-", tag.group()), body)
    # Matplotlib's own style rule would reach every element of the page.
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    width, height = (72 * inches for inches in named.figure.get_size_inches())
    opening = (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 {width:g} {height:g}" '
        f'role="img" aria-label="{escape(named.alt)}" stroke-linejoin="round">'
    )
    return opening + body


@contextmanager
def _settings(salt: str) -> Iterator[None]:
    """Matplotlib's settings while a figure is saved, whatever the user's are; not thread-safe.

    A label may be in any script: the page's fonts have letters that Matplotlib's own lacks, so
    its warning about those says nothing to act on.
    """
    import matplotlib as mpl

    with (
        mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none", "savefig.bbox": None}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from font")
        yield
