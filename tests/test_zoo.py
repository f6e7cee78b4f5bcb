from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from pneumoscope.core.errors import RecipeError
from pneumoscope.models import listing
from pneumoscope.models.classifier import evaluating, seeded
from pneumoscope.models.names import NAMES, WIDTHS
from pneumoscope.models.scratch import SCRATCH
from pneumoscope.models.stages import Stage, split_network, stage_parameters, stages
from pneumoscope.models.zoo import (
    XRV_SCALE,
    Backbone,
    InputScale,
    create_network,
    require_feature_maps,
    resolve,
    to_backbone,
)

FAMILIES: list[tuple[str, float | None, int]] = [
    *((name, None, 64) for name in SCRATCH),
    ("DenseNet121", None, 64),
    ("MobileNetV2", 0.35, 64),
    ("MobileNetV2", 1.1, 64),
    ("MobileNetV3Small", 0.5, 64),
    ("MobileNetV3Large", 0.75, 64),
    ("VGG16", None, 64),
    ("ResNet50", None, 64),
    ("ResNet50V2", None, 64),
    ("EfficientNetB0", None, 64),
    ("EfficientNet-Lite0", None, 64),
    ("InceptionV3", None, 80),
    ("Xception", None, 64),
    ("InceptionResNetV2", None, 80),
    ("NASNet", None, 64),
    ("ConvNeXt-Tiny", None, 64),
    ("ViT", None, 64),
    ("ViT-Tiny", None, 96),
    ("swin_tiny_patch4_window7_224", None, 64),
]
"""Every architecture among the known names, in its smallest form, and one with channels last."""

NO_CHAIN = ("NASNet",)
"""Their blocks take the outputs of two blocks before, so nothing smaller than both is a cut."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def grey(size: int, count: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8, generator=generator)


def backbone_of(name: str, width: float | None = None, *, seed: int = 3) -> Backbone:
    with seeded(seed, "test"):
        network, scale = create_network(name, width=width)
    return to_backbone(network, resolve(name, width), scale).eval()


def reference_maps(network: nn.Module, scale: InputScale, pixels: Tensor) -> Tensor:
    """What three equal channels, each scaled its own way, give."""
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (scale.mean, scale.std))
    with evaluating(network):
        features: Tensor = network.forward_features((pixels.float() / 255 - mean) / std)  # type: ignore[operator]
    return features.clone()


def with_gradient(network: nn.Module, output: Tensor) -> set[str]:
    """Names of the parameters that `output` depends on and that learn."""
    network.zero_grad()
    torch.autograd.backward(output.square().sum())
    return {name for name, value in network.named_parameters() if value.grad is not None}


def only_last_two_learn(network: nn.Module, found: Sequence[Stage]) -> None:
    network.requires_grad_(requires_grad=False)
    for stage in found[-2:]:
        for _, parameter in stage_parameters(network, stage):
            parameter.requires_grad_()


@pytest.mark.parametrize(("name", "width", "size"), FAMILIES)
def test_every_family_gives_maps_stages_and_a_cut(
    name: str, width: float | None, size: int
) -> None:
    """The contract of a backbone; phases, saliency and export rest on it."""
    backbone = backbone_of(name, width)
    network, images = backbone.network, backbone.scaled(grey(size))
    whole: Tensor = network.forward_features(images)  # type: ignore[operator]
    maps = backbone.to_maps(whole)
    assert (maps.ndim, maps.shape[1]) == (4, backbone.features)
    assert maps.shape[2] == maps.shape[3] > 0
    assert maps.isfinite().all()

    used = with_gradient(network, whole)
    found = stages(network, size)
    owned = [{key for key, _ in stage_parameters(network, stage)} for stage in found]
    assert len(found) >= 2
    assert all(stage.modules for stage in found)
    assert sum(map(len, owned)) == len(set().union(*owned)), "disjoint"
    assert used <= set().union(*owned), "all that forward_features uses"

    only_last_two_learn(network, found)
    cut = split_network(network, 2, size) if len(found) > 2 else None
    assert (cut is None) == (name in NO_CHAIN or len(found) == 2)
    front = images if cut is None else cut.prefix(images)
    assert not front.requires_grad
    again: Tensor = network.forward_features(images) if cut is None else cut.suffix(front)  # type: ignore[operator]
    difference = (again - whole).detach().abs().max()
    assert difference <= 1e-5 * whole.detach().abs().max()
    learns = with_gradient(network, again)
    assert learns
    assert learns <= owned[-1] | owned[-2]


def test_known_names_are_what_timm_has() -> None:
    known = set(timm.list_models())
    several = {name for widths in WIDTHS.values() for name in widths.values()}
    assert set(NAMES.values()) | several <= known
    assert all(NAMES[name] in widths.values() for name, widths in WIDTHS.items())


@pytest.mark.parametrize(
    ("name", "timm_name"),
    [
        ("densenet121", "densenet121"),
        ("DENSENET-201", "densenet201"),
        ("ResNet152V2", "resnetv2_152"),
        ("efficientnetb4", "efficientnet_b4"),
        ("xception", "legacy_xception"),
        ("vit", "vit_small_patch16_224"),
        ("LeNet-5", "lenet5"),
        ("resnet18", "resnet18"),
        ("resnet18.a1_in1k", "resnet18.a1_in1k"),
    ],
)
def test_names_resolve_in_any_case(name: str, timm_name: str) -> None:
    assert resolve(name) == timm_name
    assert resolve(timm_name) == timm_name


def test_widths_are_those_that_there_are() -> None:
    found = [resolve("mobilenetv2", width) for width in WIDTHS["MobileNetV2"]]
    assert found[0] == "mobilenetv2_035"
    assert found[-1] == "mobilenetv2_140"
    with pytest.raises(RecipeError, match=r"0\.6; MobileNetV2 comes in 0\.35, 0\.5, .* 1\.4"):
        resolve("MobileNetV2", 0.6)
    with pytest.raises(RecipeError, match="VGG16 comes in one width"):
        resolve("VGG16", 1.0)


@pytest.mark.parametrize("name", ["DensNet121", "resnet18.no_such_tag", "lenet6"])
def test_an_unknown_backbone_names_the_closest(name: str) -> None:
    with pytest.raises(RecipeError, match=f"'{name}' is no backbone; did you mean"):
        resolve(name)


def test_one_grey_channel_equals_three_where_patches_are_not_padded() -> None:
    """ConvNeXt's channels are scaled apart; the difference goes into filters and bias."""
    with seeded(3, "test"):
        network, scale = create_network("convnext_atto")
        nn.init.normal_(network.get_submodule("stem.0").bias)  # type: ignore[arg-type]
    pixels = grey(64)
    expected = reference_maps(network, scale, pixels)
    backbone = to_backbone(network, "convnext_atto", scale)
    assert backbone.mean.numel() == 1
    with evaluating(backbone):
        torch.testing.assert_close(backbone(pixels), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "tf_mobilenetv3_small_minimal_100"])
def test_one_grey_channel_equals_three_where_they_are_scaled_alike(name: str) -> None:
    with seeded(3, "test"):
        network, scale = create_network(name)
    assert scale.uniform
    pixels = grey(96)
    expected = reference_maps(network, scale, pixels)
    backbone = to_backbone(network, name, scale)
    assert backbone.mean.numel() == 1
    with evaluating(backbone):
        ours = backbone(pixels)
    torch.testing.assert_close(ours, backbone.to_maps(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "resnetv2_50x1_bit"])
def test_padded_or_standardised_stems_keep_three_channels(name: str) -> None:
    """The border of zeros is black in neither scale; standardised filters are not their sum."""
    with seeded(3, "test"):
        network, scale = create_network(name)
    pixels = grey(64)
    expected = reference_maps(network, scale, pixels)
    backbone = to_backbone(network, name, scale)
    assert backbone.mean.numel() == 3
    with evaluating(backbone):
        torch.testing.assert_close(backbone(pixels), expected, rtol=1e-4, atol=1e-4)


def test_grey_levels_are_scaled_as_torchxrayvision_does() -> None:
    _, scale = create_network("resnet18", weights="xrv:anything")
    assert scale == XRV_SCALE
    ends = (torch.tensor([0.0, 255.0]) / 255 - scale.mean[0]) / scale.std[0]
    assert ends.tolist() == [-1024, 1024]


def test_tokens_become_the_grid_they_were_cut_from() -> None:
    backbone = backbone_of("ViT-Tiny")
    network = backbone.network
    with evaluating(backbone):
        maps = backbone(grey(96))
        expected = network.forward_intermediates(  # type: ignore[operator]
            backbone.scaled(grey(96)), indices=1, norm=True, intermediates_only=True
        )[-1]
    assert maps.shape == (1, 192, 6, 6)
    torch.testing.assert_close(maps, expected)


def test_channels_at_the_end_are_put_second() -> None:
    backbone = backbone_of("swin_tiny_patch4_window7_224")
    with evaluating(backbone):
        raw = backbone.network.forward_features(backbone.scaled(grey(64)))  # type: ignore[operator]
        maps = backbone(grey(64))
    assert raw.shape == (1, 2, 2, 768)
    assert torch.equal(maps[0, :, 0, 1], raw[0, 0, 1])


def test_what_feature_maps_do_not_need_is_left_out() -> None:
    vgg, _ = create_network("VGG16")
    assert sum(parameter.numel() for parameter in vgg.parameters()) == 14_714_688
    mobile = backbone_of("MobileNetV3Small")
    assert mobile.features == 576
    assert not any(name.startswith("conv_head") for name in mobile.state_dict())


def test_a_network_that_cannot_do_without_pooling_still_gives_maps() -> None:
    assert backbone_of("efficientvit_b0")(grey(64)).shape == (1, 128, 2, 2)


@pytest.mark.parametrize(("name", "size"), [("cnn6", 32), ("ViT-Tiny", 100)])
def test_a_canvas_that_does_not_fit_is_refused(name: str, size: int) -> None:
    with pytest.raises(RecipeError, match=r"on a canvas of \d+ x \d+.*preprocess\.size"):
        require_feature_maps(backbone_of(name), size)


def test_lenet5_is_lecuns() -> None:
    """Section II-B: 5x5 maps of 16 channels on a canvas of 32; 156 and 2,416 parameters."""
    backbone = backbone_of("LeNet5")
    assert backbone(grey(32)).shape == (1, 16, 5, 5)
    counts = [
        sum(value.numel() for _, value in stage_parameters(backbone.network, stage))
        for stage in stages(backbone.network, 32)
    ]
    assert counts == [156, 2416]


def test_the_listing_agrees_with_what_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """He et al. 2016: 3.8 GFLOP (4.1 with the stride in the 3x3); Sandler et al. 2018: 300M."""
    chosen = ("ResNet50", "MobileNetV2", "EfficientNet-Lite0")
    monkeypatch.setattr(listing, "NAMES", {name: NAMES[name] for name in chosen})
    rows = {(row.name, row.width): row for row in listing.list_backbones()}
    resnet, mobile = rows["ResNet50", None], rows["MobileNetV2", 1.0]
    lite = rows["EfficientNet-Lite0", None]
    assert (resnet.parameters, resnet.size, round(resnet.gmac, 1)) == (23_508_032, 224, 4.1)
    assert (round(mobile.gmac, 2), mobile.licence) == (0.3, "apache-2.0")
    assert lite.weights == "packaged"
    assert rows["lenet5", None].licence == "none"
    assert len(rows) == len(SCRATCH) + len(WIDTHS["MobileNetV2"]) + 2


@pytest.mark.parametrize("content", [None, "not JSON", "[]", '{"lenet5": {"parameters": 1}}'])
def test_the_listing_remembers_what_networks_cost(
    content: str | None, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "NAMES", {"EfficientNet-Lite0": NAMES["EfficientNet-Lite0"]})
    first = listing.list_backbones()
    (file,) = (fresh_cache / "zoo").iterdir()
    if content is not None:
        file.write_text(content)
        assert listing.list_backbones() == first, "computed again"
    monkeypatch.setattr(listing, "_computed", lambda name: pytest.fail(f"{name} again"))
    assert listing.list_backbones() == first


def test_a_cache_that_cannot_be_written_costs_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PNEUMOSCOPE_CACHE", str(tmp_path / "file" / "inside"))
    monkeypatch.setattr(listing, "NAMES", {})
    assert [row.name for row in listing.list_backbones()] == list(SCRATCH)
