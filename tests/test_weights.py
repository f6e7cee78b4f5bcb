from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pneumoscope.core.errors import WeightsError
from pneumoscope.core.files import sha256_file
from pneumoscope.models import checkpoint, hub
from pneumoscope.models.classifier import evaluating, seeded
from pneumoscope.models.weight_files import read_state
from pneumoscope.models.weights import PACKAGED, at_hand, load_weights
from pneumoscope.models.zoo import (
    XRV_SCALE,
    Backbone,
    InputScale,
    create_network,
    resolve,
    to_backbone,
)

State = dict[str, Tensor]
ATTO = "convnext_atto"


def network_of(name: str, *, seed: int = 0) -> nn.Module:
    with seeded(seed, "test"):
        return create_network(name)[0]


def state_of(name: str, *, seed: int = 1) -> State:
    return {key: value.clone() for key, value in network_of(name, seed=seed).state_dict().items()}


def backbone_of(name: str, *, seed: int) -> Backbone:
    with seeded(seed, "test"):
        network, scale = create_network(name)
    return to_backbone(network, resolve(name), scale)


def same(network: nn.Module, state: State) -> bool:
    own = network.state_dict()
    return own.keys() == state.keys() and all(
        torch.equal(own[name], value) for name, value in state.items()
    )


@pytest.mark.parametrize("size", [1, 2])
def test_packaged_weights_fit_their_networks(size: int) -> None:
    name = f"tf_efficientnet_lite{size}"
    if at_hand(name) != "packaged":
        pytest.skip(f"{PACKAGED[name].package} is not installed")
    network = network_of(name)
    record = load_weights(network, name, "imagenet")
    assert (record.sha256 or "").startswith(PACKAGED[name].sha256_prefix)
    assert not same(network, state_of(name, seed=0))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_a_file_is_loaded_by_name_and_recorded(suffix: str, tmp_path: Path) -> None:
    """A classifier in the file is left out, batch counters may lack, nesting is undone."""
    state = state_of("resnet18")
    path = tmp_path / f"weights{suffix}"
    held = {name: value for name, value in state.items() if "num_batches" not in name}
    held = dict(reversed(held.items())) | {"fc.weight": torch.zeros(4, 512)}
    if suffix == ".safetensors":
        save_file(held, path)
    elif suffix == ".pth":
        torch.save({"epoch": 3, "state_dict": held}, path)
    else:
        torch.save({f"module.{name}": value for name, value in held.items()}, path)
    network = network_of("resnet18")
    record = load_weights(network, "resnet18", f"file:{path}")
    assert same(network, state)
    assert (record.source, record.sha256) == (f"file:{path}", sha256_file(path))


def test_a_file_with_other_names_is_loaded_in_order(tmp_path: Path) -> None:
    state = state_of("resnet18")
    torch.save({f"x{at}": value for at, value in enumerate(state.values())}, tmp_path / "a.pth")
    network = network_of("resnet18")
    load_weights(network, "resnet18", f"file:{tmp_path / 'a.pth'}")
    assert same(network, state)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", ATTO, "lenet5", "resnet18"])
def test_a_bundles_backbone_is_loaded_with_its_grey_stem(name: str, tmp_path: Path) -> None:
    """Summed filters, filters with folded scales, one channel from the start, and three kept."""
    trained = backbone_of(name, seed=1)
    state = {f"backbone.{key}": value for key, value in trained.state_dict().items()}
    save_file(state | {"head.output.weight": torch.zeros(2, 8)}, tmp_path / "model.safetensors")
    with seeded(2, "test"):
        network, scale = create_network(name)
    load_weights(network, resolve(name), f"file:{tmp_path / 'model.safetensors'}")
    again = to_backbone(network, resolve(name), scale)
    pixels = torch.randint(0, 256, (1, 1, 64, 64), dtype=torch.uint8)
    with evaluating(trained), evaluating(again):
        assert torch.equal(trained(pixels), again(pixels))


def test_a_grey_stem_is_refused_where_three_channels_are_scaled_apart(tmp_path: Path) -> None:
    state = state_of("resnet18")
    state["conv1.weight"] = state["conv1.weight"].sum(dim=1, keepdim=True)
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match=r"a\.safetensors: its first filters take one grey"):
        load_weights(network_of("resnet18"), "resnet18", f"file:{tmp_path / 'a.safetensors'}")


def _missing(state: State) -> State:
    return {name: value for name, value in state.items() if name != "layer1.0.conv1.weight"}


def _surplus(state: State) -> State:
    return state | {"layer5.weight": torch.zeros(1)}


def _reshaped(state: State) -> State:
    return state | {"bn1.weight": torch.zeros(3)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_missing, r"layer1\.0\.conv1\.weight: missing"),
        (_surplus, r"layer5\.weight: unknown to it"),
        (_reshaped, r"bn1\.weight: another shape"),
        (lambda state: {"a": state["conv1.weight"]}, "does not hold the weights"),
    ],
)
def test_a_file_of_another_network_cannot_pass(change: object, reason: str, tmp_path: Path) -> None:
    assert callable(change)
    save_file(change(state_of("resnet18")), tmp_path / "a.safetensors")
    network = network_of("resnet18")
    with pytest.raises(WeightsError, match=reason):
        load_weights(network, "resnet18", f"file:{tmp_path / 'a.safetensors'}")
    assert same(network, state_of("resnet18", seed=0)), "nothing was loaded"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.pth", b"no weights", "is no weight file"),
        ("a.safetensors", b"no weights", "is not safetensors"),
        ("a.zip", b"PK", r"allowed: \.safetensors, \.pth, \.pt"),
        ("a.pt", None, "no such file"),
    ],
)
def test_what_is_no_weight_file_is_refused(
    name: str, content: bytes | None, reason: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=reason):
        load_weights(nn.Identity(), "resnet18", f"file:{tmp_path / name}")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (SimpleNamespace(a=1), "UnpicklingError"),
        ({"a": 1}, "more than tensors"),
        ([], "no tensors"),
    ],
)
def test_nothing_is_unpickled(content: object, reason: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=reason):
        load_weights(nn.Identity(), "resnet18", f"file:{tmp_path / 'a.pth'}")


def test_small_networks_have_no_published_weights() -> None:
    with pytest.raises(WeightsError, match="lenet5 is a small network without published weights"):
        load_weights(network_of("lenet5"), "lenet5", "imagenet")
    assert at_hand("lenet5") == "none"


def test_published_weights_are_read_from_the_cache_folder(fresh_cache: Path) -> None:
    path = fresh_cache / "weights" / "resnet18.a1_in1k.safetensors"
    path.parent.mkdir(parents=True)
    assert at_hand("resnet18") == "none"
    state = state_of("resnet18")
    save_file(state | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}, path)
    assert at_hand("resnet18") == "cache"
    network = network_of("resnet18")
    record = load_weights(network, "resnet18", "imagenet")
    assert same(network, state)
    assert (record.sha256, record.licence) == (sha256_file(path), "apache-2.0")
    path.write_bytes(b"cut off")
    with pytest.raises(WeightsError, match=r"does not hold the weights of resnet18.*Delete"):
        load_weights(network, "resnet18", "imagenet")


def test_published_weights_are_found_in_the_hubs_cache(
    fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(fresh_cache))
    folder = fresh_cache / "models--timm--resnet18.a1_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "snapshots" / "abc" / "model.safetensors").write_bytes(b"")
    assert hub.cached("resnet18") == folder / "snapshots" / "abc" / "model.safetensors"


@pytest.mark.parametrize("offline", [False, True])
def test_without_a_network_the_file_and_its_place_are_named(
    fresh_cache: Path, monkeypatch: pytest.MonkeyPatch, *, offline: bool
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(fresh_cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(hub, "_answers", lambda _: False)
    place = fresh_cache / "weights" / "resnet50.a1_in1k.safetensors"
    reason = "HF_HUB_OFFLINE" if offline else "does not answer"
    with pytest.raises(WeightsError, match=reason) as caught:
        load_weights(nn.Identity(), "resnet50", "imagenet")
    message = str(caught.value)
    assert f"model.safetensors of timm/resnet50.a1_in1k and put it at {place}" in message
    assert "\n" not in message


def test_whether_the_hub_answers_is_known_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "getproxies", dict)
    assert not hub._answers("http://127.0.0.1:9")
    monkeypatch.setattr(hub, "getproxies", lambda: {"https": "http://proxy"})
    assert hub._answers("http://127.0.0.1:9"), "the proxy is asked, not the hub"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mobilenetv2_035", "no ImageNet weights of mobilenetv2_035 are published"),
        ("legacy_xception", r"published at http\S+xception\S+ only.*file:PATH"),
    ],
)
def test_what_is_not_published_on_the_hub_says_so(
    name: str, reason: str, fresh_cache: Path
) -> None:
    with pytest.raises(WeightsError, match=reason):
        load_weights(nn.Identity(), name, "imagenet")


class FakeXrv(nn.Module):
    """As TorchXRayVision's networks: timm's names, perhaps `model.` before, a head, thresholds."""

    def __init__(self, state: State, path: Path, prefix: str) -> None:
        super().__init__()
        self.held = {f"{prefix}{name}": value for name, value in state.items()}
        self.held |= {f"{prefix}classifier.bias": torch.zeros(18), "op_threshs": torch.zeros(18)}
        self.weights_filename_local = str(path)

    def state_dict(self, *args: object, **kwargs: object) -> State:  # type: ignore[override]
        return self.held


def install_xrv(monkeypatch: pytest.MonkeyPatch, network: nn.Module | Exception) -> None:
    """A library that says things on standard output, as the real one."""

    def get_model(name: str) -> nn.Module:
        sys.stdout.write(f"Downloading weights of {name}\n")
        if isinstance(network, Exception):
            raise network
        return network

    url = "https://example.org/d.pt"
    models = ModuleType("torchxrayvision.models")
    vars(models).update(
        model_urls={"all": {}, "densenet121-res224-all": {"weights_url": url}},
        get_model=get_model,
        utils=SimpleNamespace(get_cache_dir=lambda: "/cache"),
    )
    monkeypatch.setitem(sys.modules, "torchxrayvision", ModuleType("torchxrayvision"))
    monkeypatch.setitem(sys.modules, "torchxrayvision.models", models)


def _bare(source: str) -> tuple[nn.Module, str, InputScale]:
    """What a bundle is rebuilt from: no weights, but the scale of those it was made with."""
    network, scale = create_network("DenseNet121", weights=source)
    return network, "densenet121", scale


@pytest.mark.parametrize("prefix", ["", "model."])
def test_torchxrayvision_brings_a_grey_stem_and_its_scale(
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = "xrv:densenet121-res224-all"
    state = state_of("densenet121")
    state["features.conv0.weight"] = torch.randn(64, 1, 7, 7)
    (tmp_path / "d.pt").write_bytes(b"file")
    install_xrv(monkeypatch, FakeXrv(state, tmp_path / "d.pt", prefix))
    network, scale = create_network("DenseNet121", weights=source)
    record = load_weights(network, "densenet121", source)
    assert scale == XRV_SCALE
    assert same(network, state)
    assert (record.source, record.sha256) == (source, sha256_file(tmp_path / "d.pt"))
    assert capsys.readouterr().out == ""
    backbone = to_backbone(network, "densenet121", scale)
    rebuilt = to_backbone(*_bare(source))
    rebuilt.load_state_dict(backbone.state_dict())
    assert torch.equal(rebuilt.std, backbone.std)


def test_torchxrayvision_errors_name_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of("lenet5")
    monkeypatch.setitem(sys.modules, "torchxrayvision", None)
    with pytest.raises(WeightsError, match="pip install torchxrayvision"):
        load_weights(network, "densenet121", "xrv:densenet121-res224-all")
    install_xrv(monkeypatch, ConnectionError("no route"))
    with pytest.raises(WeightsError, match=r"Fetch d\.pt from https.* into /cache"):
        load_weights(network, "densenet121", "xrv:densenet121-res224-all")
    with pytest.raises(WeightsError, match="allowed: densenet121-res224-all"):
        load_weights(network, "densenet121", "xrv:densenet121-other")
    with pytest.raises(WeightsError, match="are weights of densenet121, not of resnet50"):
        load_weights(network, "resnet50", "xrv:densenet121-res224-all")


@pytest.mark.parametrize("source", ["noisy", "file:", "xrv:", "ImageNet"])
def test_an_unknown_source_names_those_there_are(source: str) -> None:
    with pytest.raises(WeightsError, match=r"allowed: imagenet, none, file:PATH, xrv:NAME"):
        load_weights(nn.Identity(), "resnet18", source)


def test_weights_kept_in_16_bits_come_as_float32(tmp_path: Path) -> None:
    """A bundle of rounded weights keeps them so; filters are summed and scaled on the way."""
    rounded = {"stem.weight": torch.randn(4, 3, generator=torch.Generator().manual_seed(0))}
    rounded = {name: value.bfloat16().float() for name, value in rounded.items()}
    (tmp_path / "model.safetensors").write_bytes(checkpoint.to_bytes(rounded))
    assert b'"BF16"' in (tmp_path / "model.safetensors").read_bytes()
    found = read_state(tmp_path / "model.safetensors")
    assert found["stem.weight"].dtype == torch.float32
    assert torch.equal(found["stem.weight"], rounded["stem.weight"])
