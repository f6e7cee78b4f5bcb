"""A backbone's own block groups, counted from the input, and cutting between them.

What is frozen and what learns is said in stages; the cut lets the frozen ones run only once.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pneumoscope.core.errors import RecipeError
from pneumoscope.models.classifier import evaluating
from pneumoscope.models.trace import FAILURES, input_channels, trace

_CONTAINERS = ("blocks", "stages", "layers")
_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Stage:
    """One block group.

    Attributes:
        name: `stem`, or the module it begins with or is known by.
        modules: Dotted names of its modules, in the order they are run; none inside another.
        parameters: Names of parameters that no module in any stage holds (a class token, position
            embeddings); they are all in the first stage.
    """

    name: str
    modules: tuple[str, ...]
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cut:
    """A network in two parts that share its modules and parameters.

    Attributes:
        prefix: Images to the activation at the cut.
        suffix: That activation to what `forward_features` of the whole gives.
    """

    prefix: nn.Module
    suffix: nn.Module


def stages(network: nn.Module, size: int) -> tuple[Stage, ...]:
    """The stages of what `forward_features` runs: disjoint, and together all its parameters.

    Args:
        network: A timm network, or one like it.
        size: Side of a canvas that it takes.
    """
    run = trace(network, size).modules
    bounds = _bounds(network, run)
    units = sorted(_units(network, run, bounds), key=run.index)
    groups = _grouped(units, bounds)
    loose = tuple(name for name, _ in network.named_parameters() if _is_loose(name, units, run))
    return tuple(
        Stage(name, tuple(modules), loose if at == 0 else ())
        for at, (name, modules) in enumerate(groups)
    )


def stage_parameters(network: nn.Module, stage: Stage) -> tuple[tuple[str, nn.Parameter], ...]:
    """Names and parameters of a stage, in the network's order."""
    return tuple(
        (name, parameter)
        for name, parameter in network.named_parameters()
        if name in stage.parameters or any(_within(name, module) for module in stage.modules)
    )


def split_network(network: nn.Module, last: int, size: int) -> Cut | None:
    """The network cut before its last `last` stages, or None where it is no chain.

    The parts hold the network's own modules, so training one part trains the network, and a change
    of mode is seen on both sides. The cut is compared with the whole on a random image before it
    is given; networks whose blocks take more than what the block before gives do not agree.

    Args:
        network: On the device and in the precision in which it will be used.
        last: How many stages, counted from the output, come after the cut; at least 1.
        size: Side of the canvas.

    Raises:
        RecipeError: `last` leaves no stage before the cut.
    """
    found = stages(network, size)
    if not 1 <= last < len(found):
        raise RecipeError(
            f"phases: last: {last}; the backbone has {len(found)} stages. Give 1 to "
            f"{len(found) - 1}, or `all`."
        )
    before = [name for stage in found[:-last] for name in stage.modules]
    after = [name for stage in found[-last:] for name in stage.modules]
    prefix = _part(network, keep=before, skip=after)
    for without in dict.fromkeys((found[0].parameters, ())):
        cut = Cut(prefix, _part(network, keep=after, skip=before, without=without))
        if _agrees(network, cut, size):
            return cut
    return None


class _Pass(nn.Module):
    """Stands for a module that is not run: gives its first input."""

    def forward(self, activation: Tensor, *_: object, **__: object) -> Tensor:
        return activation


class _Part(nn.Module):
    """`forward_features` of a network some of whose modules pass their input on."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, activation: Tensor) -> Tensor:
        features: Tensor = self.network.forward_features(activation)  # type: ignore[operator]
        return features


def _part(
    network: nn.Module, *, keep: Iterable[str], skip: Iterable[str], without: Iterable[str] = ()
) -> _Part:
    """A copy of the containers around the kept modules, which are shared, as are all tensors."""
    same: dict[int, Any] = {id(tensor): tensor for tensor in network.parameters()}
    same |= {id(tensor): tensor for tensor in network.buffers()}
    same |= {id(part): part for part in map(network.get_submodule, keep)}
    same |= {id(part): _Pass() for part in map(network.get_submodule, skip)}
    # The skipped modules are reachable from nowhere in the copy, so nothing of them is copied.
    other = copy.deepcopy(network, same)
    for name in without:
        owner, _, leaf = name.rpartition(".")
        setattr(other.get_submodule(owner), leaf, None)
    return _Part(other)


def _agrees(network: nn.Module, cut: Cut, size: int) -> bool:
    """Whether the parts in a row give what the whole gives, and leave the activation alone."""
    first = next(network.parameters())
    shape = (1, input_channels(network), size, size)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(first)
    with evaluating(network), evaluating(cut.prefix), evaluating(cut.suffix):
        whole = network.forward_features(images)  # type: ignore[operator]
        try:
            activation = cut.prefix(images)
            before = activation.clone()
            parts = cut.suffix(activation)
        except FAILURES:
            return False
        if parts.shape != whole.shape or not torch.equal(activation, before):
            return False
        # A network that answers the same to everything would agree with anything.
        spread = float(whole.max() - whole.min())
        distance = float((parts - whole).abs().max())
        return spread > 0 and distance <= _TOLERANCE * float(whole.abs().max())


@dataclass(frozen=True)
class _Bounds:
    """Module to stage name: where stages begin, or where they end."""

    starts: Mapping[str, str]
    ends: Mapping[str, str]


def _bounds(network: nn.Module, run: tuple[str, ...]) -> _Bounds:
    """By the first rule that finds two stages or more."""
    features = network.get_submodule("features") if hasattr(network, "features") else nn.Identity()
    children = [f"features.{name}" for name, _ in features.named_children()]
    rules = (
        _children_of_containers(network, run),
        [name for name in run if re.fullmatch(r"layer\d+", name)],
        [name for name in children if re.fullmatch(r"features\.denseblock\d+", name)],
    )
    for starts in rules:
        if len(starts) > 1:
            return _Bounds({name: name for name in starts}, {})
    pools = [name for name in children if isinstance(network.get_submodule(name), nn.MaxPool2d)]
    if len(pools) > 1:
        return _Bounds({}, {name: f"block{at}" for at, name in enumerate(pools, start=1)})
    info = getattr(network, "feature_info", None) or ()
    ends = dict.fromkeys(_shown(network, str(entry["module"]), run) for entry in info)
    if len(ends) > 1:
        return _Bounds({}, {name: name if at else "stem" for at, name in enumerate(ends)})
    return _Bounds({name: name for name, _ in network.named_children()}, {})


def _children_of_containers(network: nn.Module, run: tuple[str, ...]) -> list[str]:
    """Children of the outermost containers named blocks, stages or layers."""
    found = [
        name
        for name, module in network.named_modules()
        if name.rpartition(".")[2] in _CONTAINERS
        and isinstance(module, (nn.Sequential, nn.ModuleList))
    ]
    depth = min((name.count(".") for name in found), default=0)
    children = [
        f"{name}.{child}"
        for name in found
        if name.count(".") == depth
        for child, _ in network.get_submodule(name).named_children()
    ]
    return [name for name in children if any(_within(other, name) for other in run)]


def _shown(network: nn.Module, name: str, run: tuple[str, ...]) -> str:
    """The outermost module around `name` that is no mere container: it runs as one."""
    parts = name.split(".")
    for count in range(1, len(parts)):
        path = ".".join(parts[:count])
        module = network.get_submodule(path)
        row = type(module).forward is nn.Sequential.forward
        if path in run and not row:
            return path
    return name


def _units(network: nn.Module, run: tuple[str, ...], bounds: _Bounds) -> Iterator[str]:
    """The largest modules that are called as a whole and hold no bound inside."""
    edges = (*bounds.starts, *bounds.ends)

    def walk(path: str, module: nn.Module) -> Iterator[str]:
        divided = any(_within(edge, path) and edge != path for edge in edges)
        if path in run and not divided:
            yield path
            return
        for name, child in module.named_children():
            inner = f"{path}.{name}"
            if any(_within(other, inner) for other in run):
                yield from walk(inner, child)

    for name, child in network.named_children():
        if any(_within(other, name) for other in run):
            yield from walk(name, child)


def _grouped(units: Iterable[str], bounds: _Bounds) -> list[tuple[str, list[str]]]:
    """Units gathered into stages; what comes before the first start is the stem."""
    groups: list[tuple[str, list[str]]] = []
    begun: set[str] = set()
    closed = True
    for unit in units:
        start = next((name for name in bounds.starts if _within(unit, name)), None)
        if start is not None and start not in begun:
            begun.add(start)
            groups.append((bounds.starts[start], []))
        elif bounds.ends and closed and len(groups) < len(bounds.ends):
            groups.append((list(bounds.ends.values())[len(groups)], []))
        elif not groups:
            groups.append(("stem", []))
        groups[-1][1].append(unit)
        closed = unit in bounds.ends
    return groups


def _is_loose(parameter: str, units: list[str], run: tuple[str, ...]) -> bool:
    """Whether the network itself, or a container around stages, holds the parameter."""
    owner = parameter.rpartition(".")[0]
    if any(_within(parameter, unit) for unit in units):
        return False
    return not owner or owner in run or any(_within(unit, owner) for unit in units)


def _within(name: str, path: str) -> bool:
    return name == path or name.startswith(f"{path}.")
