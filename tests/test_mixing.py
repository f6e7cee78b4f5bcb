from __future__ import annotations

import numpy as np
import pytest
import torch

from pneumoscope.core.recipe import RegularizeRecipe
from pneumoscope.training.mixing import mixed

BATCH = torch.arange(6 * 8 * 10, dtype=torch.float32).view(6, 1, 8, 10)
TRUTH = torch.tensor([0, 1, 2, 0, 1, 2])


def mix(
    recipe: RegularizeRecipe, step: int = 0, inputs: torch.Tensor = BATCH
) -> tuple[torch.Tensor, torch.Tensor]:
    return mixed(inputs, TRUTH, recipe, labels=3, draw=(0, "probe", 1, step))


def test_nothing_is_mixed_unless_asked() -> None:
    inputs, target = mix(RegularizeRecipe())
    assert torch.equal(inputs, BATCH)
    assert torch.equal(target, TRUTH)


@pytest.mark.parametrize("step", range(8))
def test_mixup_mixes_inputs_and_labels_alike(step: int) -> None:
    inputs, target = mix(RegularizeRecipe(mixup=0.5), step)
    share = float(target[0, 0])
    assert 0 <= share <= 1
    torch.testing.assert_close(inputs, share * BATCH + (1 - share) * BATCH.roll(1, 0))
    torch.testing.assert_close(target.sum(dim=1), torch.ones(6))
    assert float(target[0, 2]) == pytest.approx(1 - share, abs=1e-6)


@pytest.mark.parametrize("step", range(8))
def test_cutmix_pastes_a_box_whose_part_is_its_share(step: int) -> None:
    inputs, target = mix(RegularizeRecipe(cutmix=1.0), step)
    foreign = inputs != BATCH
    assert torch.equal(inputs[foreign], BATCH.roll(1, 0)[foreign])
    assert float(target[0, 2]) == pytest.approx(float(foreign[0].float().mean()), abs=1e-6)
    rows, columns = np.nonzero(foreign[0, 0].numpy())
    if len(rows):
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1), "a box"


def test_where_both_are_on_each_batch_is_mixed_one_way() -> None:
    both = RegularizeRecipe(mixup=1.0, cutmix=1.0)
    whole = [bool(torch.isin(mix(both, step)[0], BATCH).all()) for step in range(20)]
    assert 3 < sum(whole) < 17


def test_embeddings_are_never_cut() -> None:
    flat = BATCH.view(6, 80)
    inputs, target = mix(RegularizeRecipe(cutmix=1.0), inputs=flat)
    assert torch.equal(inputs, flat)
    assert torch.equal(target, TRUTH)
