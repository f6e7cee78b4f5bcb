from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.core.recipe import AugmentRecipe
from pneumoscope.reporting.augmentation_figure import augmentation_figure, augmentation_words
from pneumoscope.reporting.canvas import NamedFigure
from pneumoscope.reporting.rendering import save_figures, to_svg

STRONG = AugmentRecipe(
    rotation=180, shear=12.5, horizontal_flip=0.25, noise=64, blur=8, degrade=0.5, erase=0.3,
    histogram=0.8,
)  # fmt: skip


def sheet(
    rows: int = 2, views: int = 3, *, recipe: AugmentRecipe | None = None, name: str = "image"
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NamedFigure]:
    generator = np.random.default_rng(0)
    originals = generator.integers(60, 190, (rows, 224, 224), dtype=np.uint8)
    augmented = generator.integers(0, 256, (rows, views, 224, 224), dtype=np.uint8)
    names = [f"{name} {row}" for row in range(rows)]
    drawn = augmentation_figure(
        originals, augmented, names=names, recipe=recipe or AugmentRecipe()
    )  # fmt: skip
    return originals, augmented, drawn


def words(named: NamedFigure) -> list[str]:
    return [text.get_text() for text in named.figure.findobj(Text) if text.get_text()]


def test_each_row_is_the_plain_image_then_its_views() -> None:
    originals, views, named = sheet()
    tiles = [axes for axes in named.figure.axes if axes.get_label() == "tile"]
    assert len(tiles) == 8
    for index, axes in enumerate(tiles):
        row, column = divmod(index, 4)
        (image,) = axes.images
        expected = views[row, column - 1] if column else originals[row]
        np.testing.assert_array_equal(image.get_array(), expected)
        assert image.get_clim() == (0, 255)
    lefts = [axes.get_position().x0 for axes in tiles[:4]]
    assert lefts == sorted(lefts)
    assert tiles[0].get_position().y0 > tiles[4].get_position().y1


def test_heads_names_and_words_are_written() -> None:
    named = sheet(recipe=STRONG)[2]
    written = words(named)
    assert {"What training sees", "Plain", "View 1", "View 3", "image 0", "image 1"} <= set(written)
    assert augmentation_words(STRONG) in " ".join(written)
    assert named.name == "augmentation"
    assert named.alt.startswith("2 training images, each plain and in 3 views: ")


def test_the_default_fits_one_line_beside_four_views() -> None:
    assert augmentation_words(AugmentRecipe()) in words(sheet(views=4)[2])


@pytest.mark.parametrize("views", [0, 1, 2, 5])
def test_nothing_is_written_beyond_the_sheet_nor_over_another_word(views: int) -> None:
    named = sheet(views=views, recipe=STRONG, name="PNEUMONIA " * 9)[2]
    named.figure.set_dpi(200)
    renderer = FigureCanvasAgg(named.figure).get_renderer()  # type: ignore[no-untyped-call]
    texts = [text for text in named.figure.findobj(Text) if text.get_text()]
    boxes = [text.get_window_extent(renderer) for text in texts]
    for index, box in enumerate(boxes):
        assert named.figure.bbox.x0 <= box.x0
        assert box.x1 <= named.figure.bbox.x1, texts[index].get_text()
        assert not any(box.overlaps(other) for other in boxes[index + 1 :]), texts[index].get_text()


def test_words_name_every_part_that_is_on_and_no_other() -> None:
    assert augmentation_words(STRONG) == (
        "mirrored 25%, rotation ±180°, zoom 1.12, aspect 1.1, shift ±6%, shear ±12.5°, "
        "histogram matching up to 80%, gamma 1.3, contrast 1.25, brightness ±15%, "
        "blur up to 8 px, JPEG quality from 55, noise up to 64 grey levels, erased up to 30%"
    )
    parts = [field for field in AugmentRecipe.model_fields if field != "seed"]
    off = AugmentRecipe.model_validate(dict.fromkeys(parts, 0))
    assert augmentation_words(off) == "nothing: every part is switched off"
    for field in parts:
        assert augmentation_words(off.model_copy(update={field: 0.5})).count(",") == 0
        assert "nothing" not in augmentation_words(off.model_copy(update={field: 0.5}))


def test_the_png_holds_the_pixels_one_to_one(tmp_path: Path) -> None:
    originals, _, named = sheet(rows=1, views=1)
    (path,) = save_figures([named], tmp_path)
    with Image.open(path) as image:
        page = np.asarray(image.convert("L"))
    found = min(
        np.abs(page[y : y + 224, x : x + 224].astype(int) - originals[0]).mean()
        for y in range(page.shape[0] - 270, page.shape[0] - 224)
        for x in range(20, 40)
    )
    assert found < 1


def test_names_are_drawn_literally_and_the_svg_is_whole() -> None:
    svg = to_svg(sheet(name="$x_2$ & <b>")[2])
    assert "$x_2$ &amp; &lt;b&gt;" in svg
    assert svg.count("<image") == 8
