"""Copies of training images are told from other images, whatever else is evaluated."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.core.errors import BundleError
from pneumoscope.core.types import PixelBatch
from pneumoscope.data.near_training import (
    COPY,
    LENGTH,
    SIGNATURES,
    TrainingImages,
    near_training,
    training_arrays,
    training_signatures,
)
from pneumoscope.data.phantoms import write_phantoms
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.imaging.radiograph import read_radiograph

Grey = NDArray[np.uint8]


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


def resized(image: Grey, factor: float) -> Grey:
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def recompressed(image: Grey, quality: int) -> Grey:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).convert("L"))


def cropped(image: Grey, part: float) -> Grey:
    down, across = (round(part * side) for side in image.shape)
    return image[down : image.shape[0] - down, across : image.shape[1] - across]


CHANGES: dict[str, Callable[[Grey], Grey]] = {
    "half": lambda image: resized(image, 0.5),
    "double": lambda image: resized(image, 2.0),
    "jpeg 30": lambda image: recompressed(image, 30),
    "half, jpeg 50": lambda image: recompressed(resized(image, 0.5), 50),
    "brighter": lambda image: np.clip(image * 1.1, 0, 255).astype(np.uint8),
    "padded": lambda image: np.pad(image, round(0.04 * max(image.shape))),
    "wide": lambda image: np.pad(image, ((0, 0), (30, 30))),
    "cropped": lambda image: cropped(image, 0.04),
    "mirrored": lambda image: image[:, ::-1],
}


def on_canvas(image: Grey) -> Grey:
    """As the preprocessing makes it."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, "PNG")
    canvas, _ = Preprocess().apply(read_radiograph(stream.getvalue()))
    return canvas


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Grey]:
    folder = tmp_path_factory.mktemp("near") / "phantoms"
    write_phantoms(folder, patients=100, size=224, seed=5)
    return [np.asarray(Image.open(file).convert("L")) for file in sorted(folder.rglob("*.png"))]


@pytest.fixture(scope="module")
def known(drawn: list[Grey]) -> Canvases:
    return Canvases({f"t{at:03}": on_canvas(image) for at, image in enumerate(drawn[:70])})


@pytest.mark.parametrize("change", CHANGES)
def test_copies_are_found_with_the_row_they_copy(
    drawn: list[Grey], known: Canvases, change: str
) -> None:
    training = training_signatures(list(known.canvases), known)
    copies = {f"c{at:03}": on_canvas(CHANGES[change](drawn[at])) for at in range(0, 70, 5)}
    found = near_training(training, list(copies), Canvases(copies))
    assert len(found) >= 0.9 * len(copies)
    assert all(int(copy.image_id[1:]) == copy.row for copy in found)
    assert all(COPY <= copy.similarity <= 1 for copy in found)


def test_other_images_are_not_found(drawn: list[Grey], known: Canvases) -> None:
    training = training_signatures(list(known.canvases), known)
    others = Canvases({f"o{at:03}": on_canvas(image) for at, image in enumerate(drawn[70:])})
    assert near_training(training, list(others.canvases), others) == []


def test_the_training_images_themselves_are_all_found(known: Canvases) -> None:
    ids = list(known.canvases)
    found = near_training(training_signatures(ids, known), ids, known)
    assert [copy.image_id for copy in found] == ids
    assert [copy.row for copy in found] == list(range(len(ids)))
    assert min(copy.similarity for copy in found) > 0.99


def test_an_answer_does_not_depend_on_what_else_is_asked(
    drawn: list[Grey], known: Canvases
) -> None:
    training = training_signatures(list(known.canvases), known)
    others = Canvases({f"o{at:03}": on_canvas(image) for at, image in enumerate(drawn[60:90])})
    together = near_training(training, list(others.canvases), others, threshold=-1)
    alone = [
        copy
        for image in list(others.canvases)[::-1]
        for copy in near_training(training, [image], others, threshold=-1)
    ][::-1]
    assert [copy[:2] for copy in together] == [copy[:2] for copy in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.similarity == pytest.approx(other.similarity, abs=1e-5)


def test_the_pieces_work_is_done_in_change_nothing(
    known: Canvases, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = list(known.canvases)
    training, pieces = training_signatures(ids, known), "pneumoscope.data.near_training"
    whole = near_training(training, ids[::3], known)
    monkeypatch.setattr(f"{pieces}._BATCH", 16)
    monkeypatch.setattr(f"{pieces}._BLOCK", 8)
    assert np.array_equal(training_signatures(ids, known), training)
    cut = near_training(training, ids[::3], known)
    assert [copy[:2] for copy in cut] == [copy[:2] for copy in whole]


def test_what_is_kept_is_small_and_signed_bytes(known: Canvases) -> None:
    ids = list(known.canvases)
    kept = training_signatures(ids, known)
    assert kept.shape == (len(ids), LENGTH)
    assert LENGTH <= 150
    assert kept.dtype == np.int8
    assert (np.abs(kept.astype(int)).max(axis=1) == 127).all()


def test_only_a_blur_can_be_drawn_from_a_signature(known: Canvases) -> None:
    """The best linear guess of the canvases leaves out what makes them sharp."""
    ids = list(known.canvases)
    kept = training_signatures(ids, known).astype(np.float64)
    pixels = np.stack([known.canvases[image][::4, ::4] for image in ids]).reshape(len(ids), -1)
    half = len(ids) // 2
    design = np.column_stack([kept, np.ones(len(ids))])
    ridge = design[:half].T @ design[:half] + 1e3 * np.eye(design.shape[1])
    guess = design[half:] @ np.linalg.solve(ridge, design[:half].T @ pixels[:half])
    detail = [
        image.reshape(56, 56)[1:] - image.reshape(56, 56)[:-1]
        for stack in (guess, pixels[half:].astype(np.float64))
        for image in stack
    ]
    drawn_again, real = np.stack(detail[: len(detail) // 2]), np.stack(detail[len(detail) // 2 :])
    unexplained = ((drawn_again - real) ** 2).sum() / (real**2).sum()
    assert unexplained > 0.5


def test_a_bundle_gives_back_what_it_kept(known: Canvases) -> None:
    ids = list(known.canvases)
    arrays = training_arrays(ids, known)
    assert list(arrays) == [SIGNATURES]
    remembered = TrainingImages.from_arrays(arrays)
    assert remembered is not None
    assert list(remembered.among(ids[3:6], known)) == ids[3:6]
    assert TrainingImages.from_arrays({}) is None


def test_wrong_signatures_are_refused_in_one_line(known: Canvases) -> None:
    for wrong in (np.zeros((3, LENGTH)), np.zeros((3, 7), np.int8), np.zeros(LENGTH, np.int8)):
        with pytest.raises(BundleError, match=f"allowed: int8 .image, {LENGTH}.") as caught:
            TrainingImages.from_arrays({SIGNATURES: wrong})
        assert "\n" not in str(caught.value)
    with pytest.raises(BundleError, match="Export the bundle again"):
        near_training(np.zeros((3, 7), np.int8), ["t000"], known)


def test_nothing_is_near_to_nothing(known: Canvases) -> None:
    nothing = training_signatures([], known)
    assert nothing.shape == (0, LENGTH)
    assert near_training(nothing, list(known.canvases), known) == []
    training = training_signatures(list(known.canvases), known)
    assert near_training(training, [], known) == []


def test_flat_images_break_nothing(known: Canvases) -> None:
    flat = Canvases({**known.canvases, "flat": np.full((224, 224), 90, np.uint8)})
    training = training_signatures([*known.canvases, "flat"], flat)
    assert not training[-1].any()
    (found,) = near_training(training, ["flat"], flat)
    assert found.row == len(training) - 1
    one = near_training(training[:1], ["t000", "t001"], known, threshold=-1)
    assert all(np.isfinite(copy.similarity) for copy in one)


def canvases_of(files: Sequence[Path]) -> Canvases:
    preprocess = Preprocess()
    return Canvases({
        str(file): preprocess.apply(read_radiograph(file))[0] for file in files
    })  # fmt: skip


@pytest.mark.data
def test_real_copies_are_found_and_other_hospitals_are_not(data_folder: Path) -> None:
    """The pneumonia images of one data set were taken from the other; COVID images were not."""
    radiography, children = data_folder / "radiography", data_folder / "chest_xray"
    taken = sorted((radiography / "Viral Pneumonia" / "images").iterdir())[::7]
    adults = sorted((radiography / "COVID" / "images").iterdir())[::2]
    origin = canvases_of(sorted((children / "train" / "PNEUMONIA").rglob("*virus*")))
    asked = canvases_of([*taken, *adults])
    training = training_signatures(list(origin.canvases), origin)
    found = near_training(training, list(asked.canvases), asked)
    names = {copy.image_id for copy in found}
    assert names.isdisjoint(map(str, adults))
    in_train = len(names)
    assert in_train >= 0.8 * len(taken)  # the others were taken from the part for testing
    changed = {
        name: on_canvas(recompressed(resized(origin.canvases[name], 0.6), 40))
        for name in list(origin.canvases)[::25]
    }
    again = near_training(training, list(changed), Canvases(changed))
    assert len(again) >= 0.98 * len(changed)
