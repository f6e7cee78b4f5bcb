"""Convolutions computed otherwise are the same convolutions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pneumoscope.training.convolutions import fast_convolutions


def network() -> nn.Sequential:
    """One of each: depthwise, pointwise, on single pixels, grouped and plain."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1),
        nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False),
        nn.Conv2d(8, 12, 1),
        nn.Conv2d(12, 12, 3, groups=3),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(12, 6, 1),
    ).to(memory_format=torch.channels_last)


def gradients(
    given: nn.Module, images: Tensor, *, bfloat16: bool = False
) -> tuple[Tensor, list[Tensor]]:
    given.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        answer = given(images)
    answer.float().square().sum().backward()
    return answer.detach().float(), [
        one.grad.clone() for one in given.parameters() if one.grad is not None
    ]


@pytest.mark.parametrize(("bfloat16", "tolerance"), [(False, 1e-5), (True, 0.05)])
def test_values_and_gradients_are_those_of_the_plain_network(
    bfloat16: bool, tolerance: float
) -> None:
    given = network()
    images = torch.randn(3, 4, 9, 9, generator=torch.Generator().manual_seed(1))
    values, plain = gradients(given, images)
    with fast_convolutions(given) as count:
        assert count == 3
        found, fast = gradients(given, images, bfloat16=bfloat16)
    assert found.shape == values.shape
    for ours, theirs in zip([found, *fast], [values, *plain], strict=True):
        assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def test_depthwise_convolutions_stay_float32_in_bfloat16() -> None:
    given = network()
    seen: list[torch.dtype] = []
    given[1].register_forward_hook(lambda _module, _given, found: seen.append(found.dtype))
    with fast_convolutions(given), torch.autocast("cpu", dtype=torch.bfloat16):
        given(torch.zeros(2, 4, 9, 9))
    assert seen == [torch.float32]


def test_the_network_is_itself_again_afterwards_even_after_an_error() -> None:
    given = network()
    with pytest.raises(RuntimeError), fast_convolutions(given):
        given(torch.zeros(2, 5, 9, 9))
    assert all("forward" not in vars(module) for module in given.modules())


def test_convolutions_with_ways_of_their_own_are_left_alone() -> None:
    class Standardised(nn.Conv2d):
        pass

    with fast_convolutions(nn.Sequential(Standardised(2, 2, 1), nn.Conv2d(2, 2, 3))) as count:
        assert count == 0
