"""Lung masks made plausible, the network that draws them, its weights, and how it learns."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.core.errors import InputError, LabelError, LayoutError, TrainingError, WeightsError
from pneumoscope.core.progress import Silent
from pneumoscope.core.randomness import unit_hash
from pneumoscope.data.lung_masks import clean_mask, dice, is_plausible, masked_images
from pneumoscope.data.phantoms import render_phantom
from pneumoscope.models import lungs as models_lungs
from pneumoscope.models.lungs import SIZE, LungNetwork, LungSegmenter, weights_of
from pneumoscope.training.lung_views import draw_views
from pneumoscope.training.lungs import LungLearning, fit_lungs, overlap_loss
from pneumoscope.workflows.segmenting import train_lungs

Mask = NDArray[np.bool_]


def ellipse(side: int, middle: tuple[float, float], radii: tuple[float, float]) -> Mask:
    rows, columns = np.mgrid[:side, :side] / side
    down, across = (rows - middle[0]) / radii[0], (columns - middle[1]) / radii[1]
    inside: Mask = down**2 + across**2 <= 1
    return inside


RIGHT = ellipse(100, (0.45, 0.3), (0.3, 0.12))
LEFT = ellipse(100, (0.45, 0.7), (0.3, 0.1))
LUNGS = RIGHT | LEFT


@pytest.fixture(scope="module")
def segmenter() -> LungSegmenter:
    return LungSegmenter.load()


def test_cleaning_drops_blobs_and_fills_holes() -> None:
    noisy = LUNGS.copy()
    noisy[40:45, 28:33] = False  # a hole
    noisy[2:6, 2:6] = noisy[88:92, 50:53] = True  # stray
    assert np.array_equal(clean_mask(noisy), LUNGS)


def test_cleaning_prefers_the_other_lung_to_a_larger_blob_below() -> None:
    small = ellipse(100, (0.3, 0.7), (0.12, 0.06))
    stomach = ellipse(100, (0.92, 0.65), (0.07, 0.2))
    assert stomach.sum() > small.sum()
    assert np.array_equal(clean_mask(RIGHT | small | stomach), RIGHT | small)


def test_cleaning_prefers_the_other_lung_to_a_larger_piece_of_the_same_side() -> None:
    split = RIGHT.copy()
    split[50:54] = False
    small = ellipse(100, (0.3, 0.7), (0.12, 0.05))
    cleaned = clean_mask(split | small)
    assert cleaned[30, 70]
    assert cleaned[30, 30]
    assert not cleaned[60].any()


def test_pieces_above_one_another_are_not_two_lungs() -> None:
    rows, columns = np.mgrid[:100, :100]
    split = RIGHT & (abs(rows - 45 - 1.5 * (columns - 30)) > 3)
    small = ellipse(100, (0.45, 0.7), (0.12, 0.05))
    cleaned = clean_mask(split | small)
    assert cleaned[45, 70]
    assert cleaned[60, 27]
    assert not cleaned[30, 33].any()


def test_cleaning_leaves_one_lung_alone_and_two_that_touch_together() -> None:
    crumb = np.zeros_like(RIGHT)
    crumb[10:13, 80:83] = True
    assert np.array_equal(clean_mask(RIGHT | crumb), RIGHT)
    touching = LUNGS.copy()
    touching[44:47, 30:70] = True
    assert np.array_equal(clean_mask(touching | crumb), touching)


@pytest.mark.parametrize("shape", [(64, 64), (1, 1), (7, 300)])
def test_cleaning_nothing_leaves_nothing(shape: tuple[int, int]) -> None:
    assert not clean_mask(np.zeros(shape, dtype=np.bool_)).any()


def test_cleaning_specks_leaves_nothing() -> None:
    specks = np.zeros((100, 100), dtype=np.bool_)
    specks[::10, ::10] = True
    assert not clean_mask(specks).any()


@pytest.mark.parametrize("mask", [np.zeros((4, 4)), np.zeros((1, 4, 4), dtype=np.bool_)])
def test_cleaning_refuses_what_is_no_mask(mask: Mask) -> None:
    with pytest.raises(InputError, match="allowed: \\[height, width\\] of bool"):
        clean_mask(mask)


def test_two_whole_lungs_are_plausible_and_parts_are_not() -> None:
    half = ellipse(100, (0.3, 0.7), (0.12, 0.06))
    touching = LUNGS.copy()
    touching[44:47, 30:70] = True
    bitten = LUNGS & ~ellipse(100, (0.45, 0.32), (0.2, 0.12))
    assert is_plausible(LUNGS)
    assert not is_plausible(RIGHT)
    assert not is_plausible(RIGHT | half)
    assert not is_plausible(touching)
    assert not is_plausible(clean_mask(bitten))
    line = np.zeros((100, 100), dtype=np.bool_)
    line[10:90, 30] = line[10:90, 70] = True
    assert not is_plausible(line)


def test_dice_is_twice_the_overlap_over_both() -> None:
    one, other = np.array([[True, True, False]]), np.array([[False, True, False]])
    assert dice(one, other) == pytest.approx(2 / 3)
    assert dice(one & False, other & False) == 1
    assert dice(np.stack([one, other]), np.stack([one, one]), axis=(1, 2)) == pytest.approx(
        [1, 2 / 3]
    )


def write_pairs(folder: Path, count: int, *, size: int = 96) -> tuple[Path, Path]:
    data, masks = folder / "data", folder / "masks"
    for index in range(count):
        label = ("NORMAL", "PNEUMONIA")[index % 2]
        name = f"IM-{index:04d}-0001" if label == "NORMAL" else f"person{index}_virus_{index}"
        phantom = render_phantom(seed=index, label=label, size=size)
        for root, picture in ((data, phantom.image), (masks, phantom.lungs)):
            (root / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(root / label / f"{name}.png")
    return data, masks


def test_images_and_masks_are_paired_by_path(tmp_path: Path) -> None:
    data, masks = write_pairs(tmp_path, 4)
    (masks / "NORMAL/IM-0002-0001.png").unlink()
    found = masked_images(data, masks)
    assert [pair.path for pair in found] == [
        "NORMAL/IM-0000-0001.png", "PNEUMONIA/person1_virus_1.png", "PNEUMONIA/person3_virus_3.png"
    ]  # fmt: skip
    assert [pair.patient for pair in found] == ["IM-0000", "person1_virus", "person3_virus"]
    assert [pair.label for pair in found] == ["NORMAL", "PNEUMONIA", "PNEUMONIA"]


def test_folders_without_pairs_are_refused(tmp_path: Path) -> None:
    data, masks = write_pairs(tmp_path, 2)
    with pytest.raises(LayoutError, match="is no folder"):
        masked_images(data, tmp_path / "absent")
    with pytest.raises(LayoutError, match="holds no mask"):
        masked_images(data, masks / "NORMAL")
    with pytest.raises(LayoutError, match="holds no mask"):
        masked_images(data, data)


def test_the_network_answers_pixel_by_pixel() -> None:
    network = LungNetwork().eval()
    canvases = torch.rand(2, 1, 64, 96) * 255
    assert network(canvases).shape == (2, 1, 64, 96)
    # Brightness and contrast do not matter.
    moved = network(canvases * 40 + 9)
    assert torch.allclose(network(canvases), moved, atol=0.05)


def test_folding_normalisation_changes_nothing() -> None:
    torch.manual_seed(0)
    network = LungNetwork().train()
    canvases = torch.rand(4, 1, 64, 64) * 255
    for _ in range(3):
        network(canvases)
    network.eval()
    assert torch.allclose(network(canvases), models_lungs._fused(network)(canvases), atol=1e-4)


def test_weights_round_to_half_precision_and_come_back(tmp_path: Path) -> None:
    network = LungNetwork().eval()
    content = weights_of(network)
    assert content == weights_of(network)
    (tmp_path / "w.safetensors").write_bytes(content)
    canvases = np.random.default_rng(0).integers(0, 256, (2, 1, SIZE, SIZE), dtype=np.uint8)
    loaded = LungSegmenter.load(tmp_path / "w.safetensors", expected=None)
    expected = network(torch.from_numpy(canvases).float())[:, 0].sigmoid().detach().numpy()
    assert loaded.probabilities(canvases) == pytest.approx(expected, abs=5e-3)


def test_packaged_weights_are_small_and_the_expected_ones() -> None:
    packaged = resources.files("pneumoscope.models") / "weights_data" / "lungs.safetensors"
    assert len(packaged.read_bytes()) < 3_000_000
    LungSegmenter.load()


def test_changed_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = resources.files("pneumoscope.models") / "weights_data" / "lungs.safetensors"
    content = bytearray(packaged.read_bytes())
    content[-1] ^= 1
    file = tmp_path / "lungs.safetensors"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="were changed"):
        LungSegmenter.load(file)
    with pytest.raises(WeightsError, match="cannot be read"):
        LungSegmenter.load(tmp_path / "absent")
    monkeypatch.setattr(resources, "files", lambda _: tmp_path)
    with pytest.raises(WeightsError, match="missing from the package"):
        LungSegmenter.load()


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save

    file = tmp_path / "w.safetensors"
    whole = {name: value.contiguous() for name, value in LungNetwork().state_dict().items()}
    part = {name: value for name, value in whole.items() if not name.startswith("answer")}
    wrong = {**whole, "answer.weight": torch.zeros(3)}
    for content in (b"pickle", save(part), save(wrong), save({**whole, "x": torch.zeros(1)})):
        file.write_bytes(content)
        with pytest.raises(WeightsError, match="Install Pneumoscope again"):
            LungSegmenter.load(file, expected=None)


@pytest.mark.parametrize(
    "canvases",
    [np.zeros((2, 64, 64), np.uint8), np.zeros((2, 3, 8, 8), np.uint8), np.zeros((1, 1, 8, 8)),
     np.zeros((1, 1, 0, 8), np.uint8)],
)  # fmt: skip
def test_what_is_no_canvas_is_refused(
    segmenter: LungSegmenter, canvases: NDArray[np.uint8]
) -> None:
    with pytest.raises(InputError, match="canvases are"):
        segmenter.segment(canvases)


@pytest.mark.parametrize("shape", [(0, 64, 64), (3, 64, 64), (1, 90, 200), (35, 16, 16)])
def test_masks_have_the_canvases_size(
    segmenter: LungSegmenter, shape: tuple[int, int, int]
) -> None:
    found = segmenter.segment(np.zeros((shape[0], 1, *shape[1:]), dtype=np.uint8))
    assert found.shape == shape
    assert found.dtype == np.bool_


def test_what_the_network_marks_is_cleaned(
    segmenter: LungSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    lungs = np.asarray(Image.fromarray(LUNGS).resize((SIZE, SIZE)))
    marked = lungs.astype(np.float32)
    marked[60:64, 36:40] = 0
    marked[2:6, 2:6] = 1
    monkeypatch.setattr(segmenter, "probabilities", lambda _: marked[None].copy())
    found = segmenter.segment(np.zeros((1, 1, SIZE, SIZE), dtype=np.uint8))
    assert np.array_equal(found[0], lungs)


def test_phantoms_are_segmented_the_same_way_every_time(segmenter: LungSegmenter) -> None:
    phantoms = [
        render_phantom(seed=seed, label=label, size=160)
        for seed in range(1000, 1008)
        for label in ("NORMAL", "PNEUMONIA")
    ]
    canvases = np.stack([phantom.image[None] for phantom in phantoms])
    found = segmenter.segment(canvases)
    scores = dice(found, np.stack([phantom.lungs for phantom in phantoms]), axis=(1, 2))
    assert scores.mean() >= 0.93
    assert np.array_equal(found, segmenter.segment(canvases))


def held_out_canvases(folder: Path, side: int = 224) -> tuple[NDArray[np.uint8], Mask]:
    pairs = masked_images(folder / "chest_xray", folder / "chest_xray_lung_masks")
    tested = [pair for pair in pairs if unit_hash(0, "lungs", pair.patient) < 0.15][::12]
    canvases = [np.asarray(Image.open(pair.image).convert("L")) for pair in tested]
    masks = [clean_mask(np.asarray(Image.open(pair.mask))) for pair in tested]
    return np.stack(canvases)[:, None], np.stack(masks)


@pytest.mark.data
def test_held_out_patients_reach_the_promised_dice(
    segmenter: LungSegmenter, data_folder: Path
) -> None:
    canvases, masks = held_out_canvases(data_folder)
    assert len(canvases) > 50
    assert dice(segmenter.segment(canvases), masks, axis=(1, 2)).mean() >= 0.93


@pytest.mark.data
def test_letterboxed_dark_and_wide_radiographs_are_segmented(
    segmenter: LungSegmenter, data_folder: Path
) -> None:
    canvases, masks = held_out_canvases(data_folder)
    boxed, expected = np.zeros_like(canvases), np.zeros_like(masks)
    for index, (canvas, mask) in enumerate(zip(canvases[:, 0], masks, strict=True)):
        low = np.asarray(Image.fromarray(canvas).resize((224, 150)))
        boxed[index, 0, 37:187] = (255 * (low / 255.0) ** 1.5 * 0.7).astype(np.uint8)
        expected[index, 37:187] = np.asarray(Image.fromarray(mask).resize((224, 150)))
    found = segmenter.segment(boxed)
    assert dice(found, expected, axis=(1, 2)).mean() >= 0.91
    assert found[:, :34].mean() < 0.001


def drawn(count: int, size: int = 64) -> tuple[NDArray[np.uint8], Mask]:
    phantoms = [render_phantom(seed=seed, label="NORMAL", size=size) for seed in range(count)]
    images = np.stack([phantom.image[None] for phantom in phantoms])
    return images, np.stack([phantom.lungs for phantom in phantoms])


def test_views_differ_and_are_the_same_for_the_same_seed() -> None:
    images, masks = drawn(6)
    canvases, lungs = torch.from_numpy(images).float(), torch.from_numpy(masks)[:, None].float()
    first, again, other = (
        draw_views(canvases, lungs, side=96, generator=torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    )
    assert first.canvases.shape == first.lungs.shape == (6, 1, 96, 96)
    assert torch.equal(first.canvases, again.canvases)
    assert torch.equal(first.lungs, again.lungs)
    assert not torch.equal(first.canvases, other.canvases)
    assert first.canvases.min() >= 0
    assert first.canvases.max() <= 255
    assert first.lungs.min() >= 0
    assert first.lungs.max() <= 1
    assert torch.isfinite(first.canvases).all()


def test_lungs_move_with_the_picture() -> None:
    _, masks = drawn(24)
    lungs = torch.from_numpy(masks)[:, None].float()
    # The picture is the mask: whatever is done to grey levels, lung stays brighter on average.
    views = draw_views(lungs * 255, lungs, side=64, generator=torch.Generator().manual_seed(0))
    differences = [
        float(view[lung > 0.9].mean() - view[lung < 0.1].mean())
        for view, lung in zip(views.canvases, views.lungs, strict=True)
        if (lung > 0.9).sum() > 20
    ]
    assert len(differences) > 15
    assert np.mean(np.array(differences) > 40) > 0.8


def test_the_loss_falls_with_the_overlap() -> None:
    lungs = torch.from_numpy(LUNGS[None, None]).float()
    logits = [(lungs * 2 - 1) * strength for strength in (8.0, 1.0, -1.0)]
    losses = [float(overlap_loss(logit, lungs)) for logit in logits]
    assert losses == sorted(losses)
    assert losses[0] < 0.01


def test_learning_repeats() -> None:
    images, masks = drawn(6)
    learning = LungLearning(steps=3, batch=2, plain=0.5)
    first = weights_of(fit_lungs(images, masks, learning, reporter=Silent()))
    assert first == weights_of(fit_lungs(images, masks, learning, reporter=Silent()))
    other = replace(learning, seed=1)
    assert first != weights_of(fit_lungs(images, masks, other, reporter=Silent()))


def test_learning_goes_on_from_weights() -> None:
    images, masks = drawn(6)
    learning = LungLearning(steps=1, batch=2, rate=0.0, decay=0.0)
    start = LungNetwork()
    found = fit_lungs(images, masks, learning, start=start, reporter=Silent())
    assert torch.equal(found.answer.weight, start.answer.weight)
    other = fit_lungs(images, masks, learning, reporter=Silent())
    assert not torch.equal(other.answer.weight, start.answer.weight)


def test_plain_views_keep_their_grey_levels() -> None:
    images = torch.full((8, 1, 64, 64), 90.0)
    random = torch.Generator().manual_seed(0)
    views = draw_views(images, torch.ones_like(images), side=64, generator=random, plain=1.0)
    assert views.canvases.numpy() == pytest.approx(90, abs=0.01)
    assert views.lungs.mean() > 0.85


def test_learning_says_that_it_diverged() -> None:
    images, masks = drawn(4)
    with pytest.raises(TrainingError, match="not finite"):
        fit_lungs(
            images, masks, LungLearning(steps=5, batch=4, rate=float("inf")), reporter=Silent()
        )


def test_training_writes_weights_and_figures(tmp_path: Path) -> None:
    data, masks = write_pairs(tmp_path, 16)
    (data / "NORMAL/IM-0000-0001.png").write_bytes(b"broken")
    told = Silent()
    result = train_lungs(
        data, masks, tmp_path / "out", learning=LungLearning(steps=2, batch=4), held_out=0.5,
        phantoms=2, resamples=50, reporter=told,
    )  # fmt: skip
    assert LungSegmenter.load(result.output / "lungs.safetensors", expected=result.sha256)
    assert set(result.dice) == {"all", "NORMAL", "PNEUMONIA"}
    assert 0 <= result.dice["all"]["low"] <= result.dice["all"]["value"] <= 1
    assert result.dice["all"]["n_images"] < 16
    assert any("IM-0000-0001" in warning for warning in told.warnings)
    assert (result.output / "lungs.json").is_file()


def test_training_needs_patients_on_both_sides(tmp_path: Path) -> None:
    data, masks = write_pairs(tmp_path, 4)
    short = LungLearning(steps=1, batch=2)
    with pytest.raises(LabelError, match="no patient is held out"):
        train_lungs(data, masks, tmp_path / "out", learning=short, held_out=0.0, phantoms=0)
    with pytest.raises(LabelError, match="two whole lungs"):
        train_lungs(data, masks, tmp_path / "out", learning=short, held_out=1.0, phantoms=0)
    assert not (tmp_path / "out").exists()
