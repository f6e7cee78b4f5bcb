"""The viewer: a radiograph and its saliency maps, moved by sliders in the browser alone."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from pneumoscope.app.examine import Examined
from pneumoscope.app.language import Language, spoken
from pneumoscope.app.pictures import address, coloured, png
from pneumoscope.app.words import viewer as words
from pneumoscope.app.words.trying import IMAGE

_DRAWN = np.uint8(0)


def show_viewer(examined: Examined, language: Language) -> None:
    """Show the radiograph of an answer, with a saliency map per label beside it."""
    if examined.picture is None:
        return
    _component()(key=f"viewer-{examined.key}", data=viewer_data(examined, language))


def viewer_data(examined: Examined, language: Language) -> dict[str, Any]:
    """What the browser is given: pictures as `data:` addresses, and the words around them."""
    picture = examined.picture if examined.picture is not None else np.full((1, 1), _DRAWN)
    height, width = picture.shape
    told = {name: spoken(text, language) for name, text in words.VIEWER.items()}
    if not examined.maps:
        told["original"] = spoken(IMAGE, language)
    return {
        "key": examined.key,
        "grey": address(png(picture)),
        "ratio": f"{width} / {height}",
        "maps": {label: address(png(coloured(one))) for label, one in examined.maps.items()},
        "label": examined.prediction.most_probable,
        "words": told,
    }


@cache
def _component() -> Any:
    import streamlit as st

    folder = resources.files("pneumoscope.app") / "static"
    html, css, js = (
        (folder / f"viewer.{kind}").read_text(encoding="utf8") for kind in ("html", "css", "js")
    )
    return st.components.v2.component("pneumoscope_viewer", html=html, css=css, js=js)
