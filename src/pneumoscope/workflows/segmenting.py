"""Segment: a lung mask for every radiograph."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.core.errors import InputError, RadiographError
from pneumoscope.core.files import is_there, printable, staged_folder, storage_errors
from pneumoscope.core.progress import Reporter, Silent
from pneumoscope.core.types import Canvas
from pneumoscope.data.layouts import image_paths
from pneumoscope.imaging.geometry import Geometry
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.imaging.radiograph import read_radiograph
from pneumoscope.models.lungs import LungSegmenter
from pneumoscope.workflows.lung_training import LungTraining, train_lungs

__all__ = ["TABLE", "LungTraining", "SegmentResult", "Segmented", "segment", "train_lungs"]

TABLE = "lungs.csv"
"""What was written: a row per image."""

_MASKS = "masks"
_WINDOW = 32


@dataclass(frozen=True, slots=True)
class Segmented:
    """What became of one image.

    Attributes:
        path: Of the image, inside the data folder.
        mask_path: Of its mask, inside the folder written; None where there is none.
        lung_area: Of the picture, in [0, 1]; None where the image could not be read.
        reason: Why there is no mask.
    """

    path: str
    mask_path: str | None = None
    lung_area: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class SegmentResult:
    """Masks on disk, in `output`, and what became of every image."""

    output: Path
    images: tuple[Segmented, ...]

    @property
    def left_out(self) -> tuple[Segmented, ...]:
        """The images without a mask."""
        return tuple(one for one in self.images if one.mask_path is None)


def segment(
    data: str | Path,
    output: str | Path,
    *,
    segmenter: LungSegmenter | None = None,
    reporter: Reporter | None = None,
) -> SegmentResult:
    """Write a one-bit PNG mask of every image, in its size, and `lungs.csv` that lists them.

    A mask has its image's relative path, as `.png`. An image that cannot be read, or shows no
    lung, has a row that says so and no mask.

    Args:
        data: A radiograph, or a folder to search for radiographs; folders called `masks` inside
            it are passed over.
        output: The folder to write; it appears whole or not at all.
        segmenter: Marks the lungs; the packaged one where none is given.
        reporter: Shown the progress, and told of every image without a mask.

    Raises:
        InputError: there is no image, or two would have the same mask.
        StorageError: the folder holds something already or cannot be written.
        WeightsError: the packaged weights were changed.

    Example:
        len(ps.segment("chest_xray", "masks").left_out)
    """
    data, output = Path(data), Path(output)
    shown = reporter or Silent()
    images = _find(data, output)
    marks = segmenter or LungSegmenter.load()
    with staged_folder(output) as stage:
        work = _segmented(images, marks, stage, output)
        done = tuple(shown.track(work, "Segmenting lungs", len(images)))
        _write_table(done, stage / TABLE, output)
    result = SegmentResult(output, done)
    for one in result.left_out:
        shown.warn(f"{one.path}: no mask: {one.reason}")
    return result


def _find(data: Path, output: Path) -> dict[str, Path]:
    """Every image by its path inside the folder, masks and what is in `output` left out."""
    if not is_there(data):
        raise InputError(f"{data}: does not exist. Give an image or a folder.")
    root = data if data.is_dir() else data.parent
    within = output != root and output.is_relative_to(root)
    found = {
        inside.as_posix(): image
        for image in image_paths(data)
        if _MASKS not in (inside := image.relative_to(root)).parts[:-1]
        and not (within and image.is_relative_to(output))
    }
    if not found:
        raise InputError(f"{data}: no image found (.png, .jpg, .jpeg, .dcm). Give another folder.")
    first: dict[PurePosixPath, str] = {}
    for path in found:
        if (other := first.setdefault(_mask_path(path), path)) != path:
            both = f"{printable(other)} and {printable(path)}"
            raise InputError(f"{both}: their masks would have one name. Rename one of them.")
    return found


def _mask_path(path: str) -> PurePosixPath:
    return PurePosixPath(path).with_suffix(".png")


@dataclass(frozen=True, slots=True)
class _Opened:
    """An image on its canvas, or why it is not."""

    path: str
    canvas: Canvas | None = None
    geometry: Geometry | None = None
    reason: str | None = None


def _segmented(
    images: dict[str, Path], segmenter: LungSegmenter, stage: Path, output: Path
) -> Iterator[Segmented]:
    """A bounded number at a time: memory does not grow with the folder."""
    remaining = iter(images.items())
    open_one = partial(_open, preprocess=Preprocess())
    write_one = partial(_write, stage=stage, output=output)
    with ThreadPoolExecutor(max_workers=4) as pool:
        while window := list(islice(remaining, _WINDOW)):
            paths, files = zip(*window, strict=True)
            opened = list(pool.map(open_one, paths, files))
            yield from pool.map(write_one, opened, _masks(opened, segmenter))


def _open(path: str, file: Path, *, preprocess: Preprocess) -> _Opened:
    try:
        canvas, geometry = preprocess.apply(read_radiograph(file, name=path))
    except RadiographError as error:
        return _Opened(path, reason=printable(str(error).removeprefix(f"{path}: ")))
    return _Opened(path, canvas, geometry)


def _masks(
    opened: Sequence[_Opened], segmenter: LungSegmenter
) -> Iterator[NDArray[np.bool_] | None]:
    canvases = [one.canvas[None] for one in opened if one.canvas is not None]
    found = iter(segmenter.segment(np.stack(canvases))) if canvases else iter(())
    return (None if one.canvas is None else next(found) for one in opened)


def _write(
    opened: _Opened, mask: NDArray[np.bool_] | None, *, stage: Path, output: Path
) -> Segmented:
    shown = printable(opened.path)
    if mask is None or opened.geometry is None:
        return Segmented(shown, reason=opened.reason)
    lungs = opened.geometry.restore(mask.astype(np.float32)) > 0.5
    area = float(lungs.mean())
    if not area:
        return Segmented(shown, lung_area=area, reason="no lung found. Is it a chest radiograph?")
    inside = _mask_path(opened.path)
    with storage_errors(output):
        (stage / inside).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(lungs).save(stage / inside, format="PNG", compress_level=6)
    return Segmented(shown, printable(inside), area)


def _write_table(rows: Sequence[Segmented], path: Path, output: Path) -> None:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(Segmented.__slots__), lineterminator="\n")
    table.writeheader()
    table.writerows(map(asdict, rows))
    with storage_errors(output):
        path.write_text(text.getvalue(), encoding="utf8")
