"""Planted copies among real radiographs: rescaled, recompressed, brighter, padded, mirrored."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.core.progress import Silent
from pneumoscope.core.types import PixelBatch
from pneumoscope.data.alignment import aligned_correlation, textures
from pneumoscope.data.duplicates import Pair, find_duplicates
from pneumoscope.data.phantoms import write_phantoms
from pneumoscope.data.thumbnails import thumbnails
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.imaging.radiograph import read_radiograph

Grey = NDArray[np.uint8]


def resized(image: Grey, factor: float) -> Grey:
    height, width = (round(side * factor) for side in image.shape)
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def recompressed(image: Grey) -> Grey:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=30)
    return np.asarray(Image.open(stream).convert("L"))


def brighter(image: Grey, factor: float) -> Grey:
    levels: Grey = np.clip(np.rint(image * factor), 0, 255).astype(np.uint8)
    return levels


def padded(image: Grey, level: int) -> Grey:
    return np.pad(image, round(0.04 * max(image.shape)), constant_values=level)


CHANGES: dict[str, Callable[[Grey], Grey]] = {
    "half": lambda image: resized(image, 0.5),
    "double": lambda image: resized(image, 2.0),
    "jpeg 30": recompressed,
    "darker": lambda image: brighter(image, 0.8),
    "brighter": lambda image: brighter(image, 1.2),
    "padded black": lambda image: padded(image, 0),
    "padded white": lambda image: padded(image, 255),
    "mirrored": lambda image: image[:, ::-1],
    "mirrored, half, jpeg 30": lambda image: recompressed(resized(image[:, ::-1], 0.5)),
}


class Canvases:
    """Canvases by id, as a cache would give them."""

    def __init__(self, canvases: dict[str, Grey]) -> None:
        self.canvases = canvases

    def batches(
        self, image_ids: Sequence[str], batch_size: int
    ) -> Iterator[tuple[Sequence[str], PixelBatch]]:
        for start in range(0, len(image_ids), batch_size):
            ids = image_ids[start : start + batch_size]
            yield ids, np.stack([self.canvases[image] for image in ids])[:, None]


def on_canvas(image: Grey) -> Grey:
    """Letterboxed to 224 as the preprocessing does it, without its code."""
    height, width = image.shape
    scale = 224 / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    canvas = np.zeros((224, 224), np.uint8)
    top, left = ((224 - side) // 2 for side in small.shape)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


def search(originals: Sequence[Grey], every: int) -> tuple[int, int, list[Pair]]:
    """How many copies were planted and found, and the pairs that are none."""
    canvases = {f"a{at:05d}": on_canvas(image) for at, image in enumerate(originals)}
    planted = {}
    for at in range(0, len(originals), every):
        name = list(CHANGES)[at // every % len(CHANGES)]
        planted[f"b{at:05d}"] = name
        canvases[f"b{at:05d}"] = on_canvas(np.ascontiguousarray(CHANGES[name](originals[at])))
    pairs = find_duplicates(list(canvases), Canvases(canvases), reporter=Silent())
    right = [pair for pair in pairs if pair.first[1:] == pair.second[1:]]
    assert all(pair.mirrored == ("mirrored" in planted[pair.second]) for pair in right)
    return len(planted), len(right), [pair for pair in pairs if pair not in right]


@pytest.mark.data
def test_planted_copies_are_found_among_real_radiographs(data_folder: Path) -> None:
    files = sorted((data_folder / "chest_xray").rglob("*.jp*g"))[::2]
    originals = [read_radiograph(file).pixels.astype(np.uint8) for file in files[:1000]]
    unlike = {  # the data set's own copies are no mistakes
        (pair.first, pair.second)
        for pair in find_duplicates(
            [f"a{at:05d}" for at in range(len(originals))],
            Canvases({f"a{at:05d}": on_canvas(image) for at, image in enumerate(originals)}),
            reporter=Silent(),
        )
    }
    planted, found, others = search(originals, every=2)
    false = [pair for pair in others if (f"a{pair.first[1:]}", f"a{pair.second[1:]}") not in unlike]
    assert found / planted >= 0.98
    assert found / (found + len(false)) >= 0.98, [
        (files[int(pair.first[1:])], files[int(pair.second[1:])]) for pair in false
    ]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Grey]:
    folder = tmp_path_factory.mktemp("near") / "phantoms"
    write_phantoms(folder, patients=90, size=224, seed=3)
    return [np.asarray(Image.open(file).convert("L")) for file in sorted(folder.rglob("*.png"))]


def test_planted_copies_are_found_among_phantoms(drawn: list[Grey]) -> None:
    planted, found, _ = search(drawn, every=3)
    assert found / planted >= 0.98


@pytest.mark.parametrize("name", CHANGES)
def test_every_kind_of_copy_correlates(drawn: list[Grey], name: str) -> None:
    first = np.stack([on_canvas(image) for image in drawn[:8]])
    second = np.stack([on_canvas(np.ascontiguousarray(CHANGES[name](i))) for i in drawn[:8]])
    if "mirrored" in name:
        second = second[:, :, ::-1]
    one, other = (
        textures(thumbnails(np.ascontiguousarray(s)[:, None])[0][:8]) for s in (first, second)
    )
    assert aligned_correlation(one, other).min() > 0.85


def test_the_order_of_the_images_changes_nothing(drawn: list[Grey]) -> None:
    canvases = {f"a{at:05d}": on_canvas(image) for at, image in enumerate(drawn[:60])}
    canvases |= {f"b{at:05d}": on_canvas(padded(image, 0)) for at, image in enumerate(drawn[:9])}
    forth = find_duplicates(list(canvases), Canvases(canvases), reporter=Silent())
    back = find_duplicates(list(canvases)[::-1], Canvases(canvases), reporter=Silent())
    assert forth == back
    assert len(forth) >= 9


def test_the_canvas_of_the_test_is_the_products() -> None:
    image = np.random.default_rng(0).integers(0, 256, (180, 300), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    canvas, _ = Preprocess().apply(read_radiograph(stream.getvalue()))
    assert np.abs(canvas.astype(int) - on_canvas(image)).max() <= 1
