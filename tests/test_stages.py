from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from pneumoscope.core.errors import RecipeError
from pneumoscope.models.classifier import evaluating, seeded
from pneumoscope.models.stages import Cut, split_network, stage_parameters, stages
from pneumoscope.models.zoo import create_network


def network_of(name: str) -> nn.Module:
    with seeded(1, "test"):
        return create_network(name)[0].eval()


def features_of(network: nn.Module, images: Tensor) -> Tensor:
    features: Tensor = network.forward_features(images)  # type: ignore[operator]
    return features


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


class Fake(nn.Module):
    """Three blocks, run as the test says."""

    pretrained_cfg: ClassVar[dict[str, object]] = {
        "input_size": (3, 32, 32),
        "first_conv": "blocks.0",
    }

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)]
        )

    def forward_features(self, images: Tensor) -> Tensor:
        one, two, three = self.blocks
        maps: Tensor = three(two(one(images)))
        return maps


class TwoInputs(Fake):
    def forward_features(self, images: Tensor) -> Tensor:
        one, two, three = self.blocks
        first = one(images)
        maps: Tensor = three(two(first) + first)
        return maps


class ChangesItsInput(Fake):
    def __init__(self) -> None:
        super().__init__()
        self.blocks.insert(2, nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)))

    def forward_features(self, images: Tensor) -> Tensor:
        for block in self.blocks:
            images = block(images)
        return images


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("resnet18", 64, ["stem", "layer1", "layer2", "layer3", "layer4"]),
        ("vgg11", 64, [f"block{at}" for at in range(1, 6)]),
        ("densenet121", 64, ["stem", *(f"features.denseblock{at}" for at in range(1, 5))]),
        ("tf_efficientnet_lite0", 64, ["stem", *(f"blocks.{at}" for at in range(7))]),
        ("vit_tiny_patch16_224", 64, ["stem", *(f"blocks.{at}" for at in range(12))]),
        ("inception_v3", 80, ["stem", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c"]),
        ("cnn4", 64, [f"stages.{at}" for at in range(4)]),
    ],
)
def test_stages_are_the_backbones_own(name: str, size: int, expected: list[str]) -> None:
    assert [stage.name for stage in stages(network_of(name), size)] == expected


def test_what_comes_between_belongs_to_the_stage_before() -> None:
    dense = {stage.name: stage.modules for stage in stages(network_of("densenet121"), 64)}
    assert dense["features.denseblock1"] == ("features.denseblock1", "features.transition1")
    assert dense["features.denseblock4"] == ("features.denseblock4", "features.norm5")
    lite = stages(network_of("tf_efficientnet_lite0"), 64)
    assert lite[-1].modules == ("blocks.6", "conv_head", "bn2")
    vgg = stages(network_of("vgg11"), 64)
    assert vgg[0].modules == ("features.0", "features.1", "features.2")


def test_parameters_outside_modules_belong_to_the_stem() -> None:
    network = network_of("vit_tiny_patch16_224")
    found = stages(network, 64)
    assert found[0].parameters == ("cls_token", "pos_embed")
    names = [name for name, _ in stage_parameters(network, found[0])]
    assert names == ["cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("last", [1, 4])
def test_a_cut_trains_as_the_whole(last: int, *, training: bool) -> None:
    """Same outputs, same gradients on the same parameters, same batch statistics."""
    whole, halves = network_of("resnet18"), network_of("resnet18")
    images = noise(4, 3, 64, 64)
    cut = split_network(halves.to(memory_format=torch.channels_last), last, 64)
    assert cut is not None
    for part in (whole, cut.prefix, cut.suffix):
        part.train(training)
    expected = features_of(whole, images)
    found = cut.suffix(cut.prefix(images.to(memory_format=torch.channels_last)))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.autograd.backward([expected.square().mean(), found.square().mean()])
    for (name, one), two in zip(whole.named_parameters(), halves.parameters(), strict=True):
        assert one.grad is not None, name
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-3, atol=1e-5, msg=name)
    for one_buffer, two_buffer in zip(whole.buffers(), halves.buffers(), strict=True):
        torch.testing.assert_close(one_buffer, two_buffer, rtol=1e-4, atol=1e-4)


def test_a_cut_copies_no_tensor_and_leaves_the_network_alone() -> None:
    network = network_of("vit_tiny_patch16_224").train()
    images = noise(1, 3, 64, 64)
    with evaluating(network):
        before = features_of(network, images).clone()
    modes = [part.training for part in network.modules()]
    cut = split_network(network, 3, 64)
    assert isinstance(cut, Cut)
    own = {id(tensor) for tensor in [*network.parameters(), *network.buffers()]}
    parts = [*cut.prefix.parameters(), *cut.suffix.parameters(), *cut.suffix.buffers()]
    assert {id(tensor) for tensor in parts} <= own
    assert {name for name, _ in cut.suffix.named_parameters() if "token" in name} == set()
    assert [part.training for part in network.modules()] == modes
    with evaluating(network):
        assert torch.equal(features_of(network, images), before)


def test_the_prefix_runs_nothing_of_what_is_trained() -> None:
    network = network_of("resnet18")
    cut = split_network(network, 2, 64)
    assert cut is not None
    nn.init.constant_(network.get_parameter("layer3.0.conv1.weight"), float("nan"))
    with evaluating(cut.prefix), evaluating(cut.suffix):
        activation = cut.prefix(noise(1, 3, 64, 64))
        assert activation.shape == (1, 128, 8, 8)
        assert activation.isfinite().all()
        assert cut.suffix(activation).isnan().all()


@pytest.mark.parametrize("network", [TwoInputs(), ChangesItsInput()])
def test_what_is_no_chain_is_not_cut(network: nn.Module) -> None:
    """A block that reads two before it; a cached activation that would be overwritten."""
    assert len(stages(network, 32)) >= 3
    assert split_network(network, 2 if isinstance(network, ChangesItsInput) else 1, 32) is None
    assert split_network(Fake(), 1, 32) is not None


def test_a_network_that_always_answers_the_same_proves_nothing() -> None:
    network = Fake()
    nn.init.zeros_(network.get_parameter("blocks.2.weight"))
    nn.init.zeros_(network.get_parameter("blocks.2.bias"))
    assert split_network(network, 1, 32) is None


@pytest.mark.parametrize("last", [0, 5, 6])
def test_more_stages_than_there_are_is_refused(last: int) -> None:
    with pytest.raises(RecipeError, match=r"phases: last: \d; the backbone has 5 stages\. Give 1"):
        split_network(network_of("resnet18"), last, 64)
