"""What the gate learns from, how its head learns, and the one command that makes it again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pneumoscope.bundle.gate.network import Looker
from pneumoscope.core.errors import LayoutError, RecipeError, TrainingError
from pneumoscope.core.progress import Silent
from pneumoscope.data.decoys import DECOYS, draw_decoy
from pneumoscope.data.gate_pictures import gate_pictures
from pneumoscope.data.gate_views import CUT_OFF, draw_view, plain_view
from pneumoscope.data.phantoms import draw_phantom, render_phantom
from pneumoscope.training.gate import UNKNOWN, GateLearning, GateTargets, fit_head, gate_loss
from pneumoscope.workflows.gate_training import train_gate


@pytest.mark.parametrize("kind", DECOYS)
def test_a_decoy_is_its_seeds_picture(kind: str) -> None:
    first = draw_decoy(kind, seed=1, side=96)
    assert first.shape == (96, 96)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, draw_decoy(kind, seed=1, side=96))
    assert not np.array_equal(first, draw_decoy(kind, seed=2, side=96))


def test_an_unknown_decoy_is_refused() -> None:
    with pytest.raises(RecipeError, match="no decoy; allowed: page"):
        draw_decoy("elephant", seed=0)


def test_a_view_says_what_was_done() -> None:
    drawn = render_phantom(seed=3, label="NORMAL", size=128)
    views = [
        draw_view(drawn.image, np.random.default_rng(n), lungs=drawn.lungs) for n in range(120)
    ]
    again = draw_view(drawn.image, np.random.default_rng(7), lungs=drawn.lungs)
    np.testing.assert_array_equal(views[7].picture, again.picture)
    assert 10 <= sum(view.inverted for view in views) <= 45
    assert {view.turned for view in views} == {0, 1, 2, 3}
    assert sum(view.cut_off is True for view in views) >= 15
    assert sum(view.cut_off is False for view in views) >= 40
    assert draw_view(drawn.image, np.random.default_rng(0)).cut_off is None
    assert plain_view(drawn.image).cut_off is False
    assert 0 < CUT_OFF < 1


def targets(count: int) -> GateTargets:
    chest = np.arange(count) % 2
    unknown = np.where(chest, 0, UNKNOWN)
    return GateTargets(chest, unknown, unknown, np.where(chest, np.arange(count) // 2 % 4, UNKNOWN))


def test_the_loss_leaves_out_what_is_not_known() -> None:
    wanted = targets(8)
    logits = torch.zeros(8, 7)
    plain = gate_loss(logits, wanted)
    assert float(plain) == pytest.approx(3 * np.log(2) + np.log(4))
    moved = logits.clone()
    moved[::2, 1:] = 50  # of pictures that are no chest
    assert float(gate_loss(moved, wanted)) == pytest.approx(float(plain))
    moved[1, 1] = 50
    assert float(gate_loss(moved, wanted)) > float(plain) + 1


def test_a_head_learns_and_repeats() -> None:
    rng = np.random.default_rng(0)
    wanted = targets(64)
    maps = rng.normal(size=(64, 80, 8, 8)).astype(np.float16)
    maps[:, 0] += 3 * wanted.chest[:, None, None].astype(np.float16)
    learning = GateLearning(steps=25, batch=32, average=0.8)
    heads = [fit_head(maps, wanted, np.ones(64), learning, reporter=Silent()) for _ in range(2)]
    with torch.inference_mode():
        first, second = (head(torch.from_numpy(maps).float()).numpy() for head in heads)
    np.testing.assert_array_equal(first, second)
    assert ((first[:, 0] > 0) == (wanted.chest == 1)).all()
    with pytest.raises(TrainingError, match="not finite"):
        fit_head(maps * np.float16(np.nan), wanted, np.ones(64), learning, reporter=Silent())


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def development(tmp_path: Path) -> Path:
    """A folder laid out as the development data, of phantoms and decoys."""
    data = tmp_path / "data"
    for n in range(8):
        drawn = render_phantom(seed=n, label="NORMAL", size=96)
        part = "test" if n < 3 else "train"
        write(data / f"chest_xray/{part}/NORMAL/{n}.jpeg", drawn.image)
        mask = drawn.lungs.astype(np.uint8) * 255
        write(data / f"chest_xray_lung_masks/{part}/NORMAL/{n}.png", mask)
        other = draw_phantom(seed=100 + n, label="NORMAL", size=96)
        for folder in ("radiography/COVID/images", "radiography/Normal/images", "modality/chest"):
            write(data / folder / f"{n}.png", other)
        write(data / f"inbox/{n}.png", other)
        write(data / f"modality/brain/{n}.png", draw_decoy("slices", seed=n))
        write(data / f"modality/other/{n}.png", draw_decoy("screen", seed=n))
    return data


def test_the_network_is_made_and_measured_again_by_one_command(
    development: Path, tmp_path: Path
) -> None:
    reporter = Silent()
    found = train_gate(
        development, tmp_path / "gate", views={"children": 1, "brain": 1}, decoys=1, phantoms=4,
        learning=GateLearning(steps=3, batch=16), reporter=reporter,
    )  # fmt: skip
    content = (found.output / "gate.onnx").read_bytes()
    figures = json.loads((found.output / "gate.json").read_text())
    assert figures["sha256"] == found.sha256
    assert figures["groups"]["inbox"]["n_images"] == 8
    assert figures["groups"]["children"]["n_images"] == 3
    assert 0 <= figures["modality"]["low"] <= figures["modality"]["balanced_accuracy"] <= 1
    looks = Looker.open(content).look(np.zeros((2, 1, 64, 64), np.uint8))
    assert looks.answers.shape == (2, 7)
    assert looks.look.shape == (2, 320)


def test_what_is_measured_on_is_never_learnt_from(development: Path) -> None:
    pictures = gate_pictures(development)
    held = {one.path.name for one in pictures if one.group == "modality" and one.held}
    learnt = {one.path.name for one in pictures if one.group == "covid" and not one.held}
    assert held
    assert learnt
    assert not held & learnt  # radiography holds the same files under the same names
    assert all(one.held for one in pictures if one.group == "inbox")
    with pytest.raises(LayoutError, match="no picture"):
        gate_pictures(development / "modality")
