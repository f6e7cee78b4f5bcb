"""How the packaged gate's network is made and measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundle.gate.modality import chest_probability
from pneumoscope.bundle.gate.network import Looker, Looks, seen_part
from pneumoscope.bundle.gate.quality import faults
from pneumoscope.bundle.gate.settings import ModalitySettings, QualitySettings
from pneumoscope.bundle.runtimes import open_runtime
from pneumoscope.core.errors import RadiographError
from pneumoscope.core.files import sha256, staged_folder, write_bytes, write_text
from pneumoscope.core.progress import Reporter, Silent
from pneumoscope.core.provenance import provenance
from pneumoscope.core.randomness import generator
from pneumoscope.core.recipe import PreprocessRecipe
from pneumoscope.core.types import Canvas
from pneumoscope.data.decoys import DECOYS, draw_decoy
from pneumoscope.data.gate_pictures import GatePicture, gate_pictures
from pneumoscope.data.gate_views import View, draw_view, plain_view
from pneumoscope.data.phantoms import LABELS, draw_phantom
from pneumoscope.evaluation.resampling import proportion
from pneumoscope.imaging.lungs import lung_mask
from pneumoscope.imaging.preprocess import Preprocess, to_uint8
from pneumoscope.imaging.radiograph import read_radiograph
from pneumoscope.imaging.thumbnail import square
from pneumoscope.models.gate import GateNetwork, GateTrunk, gate_onnx, trunk_onnx
from pneumoscope.training.gate import UNKNOWN, GateLearning, GateTargets, fit_head

NETWORK, FIGURES = "gate.onnx", "gate.json"

VIEWS: Mapping[str, int] = {"children": 2, "covid": 4, "normal": 2, "brain": 14, "photograph": 16}
"""Views of each picture of a group."""

SHARES: Mapping[str, float] = {
    "children": 0.24, "covid": 0.13, "normal": 0.13, "phantom": 0.04,
    "brain": 0.1, "photograph": 0.2, "decoy": 0.16,
}  # fmt: skip
"""How often a group is drawn, whatever its size."""

_DECOYS, _PHANTOMS = 150, 700
_HELD_DECOYS = 40
_BATCH = 64


@dataclass(frozen=True)
class GateTraining:
    """A network on disk and how good it is.

    Attributes:
        output: The folder written: `gate.onnx` and `gate.json`.
        sha256: Of the network: what `bundle.gate.network.GATE_SHA256` is to be.
        figures: The content of `gate.json`.
    """

    output: Path
    sha256: str
    figures: Mapping[str, object]


class _Square(NamedTuple):
    """A view as the network sees it, and what is known of it."""

    group: str
    square: Canvas
    chest: bool
    view: View


def train_gate(
    data: Path,
    output: Path,
    *,
    learning: GateLearning | None = None,
    views: Mapping[str, int] = VIEWS,
    decoys: int = _DECOYS,
    phantoms: int = _PHANTOMS,
    without: Sequence[str] = (),
    seed: int = 0,
    reporter: Reporter | None = None,
) -> GateTraining:
    """Learn to tell chest radiographs, and how they lie, and measure it on what is held.

    Args:
        data: The folder that `data.gate_pictures` describes.
        output: The folder to write; it appears whole or not at all.
        learning: How long and how fast the head learns.
        views: Of each picture, by group.
        decoys: Drawn of each kind.
        phantoms: How many are drawn.
        without: Groups not to learn from, to see what the others teach.
        seed: Of what is held, of views and of what is drawn.
        reporter: Told what is left out and shown the progress.

    Raises:
        LayoutError: a folder is missing.
        StorageError: the output holds something already or cannot be written.
    """
    shown, how = reporter or Silent(), learning or GateLearning()
    pictures = gate_pictures(data, seed=seed)
    learnt = [one for one in pictures if not one.held and one.group not in without]
    trunk = GateTrunk()
    sources = (_views(learnt, views, seed, shown), _drawn_views(decoys, phantoms, seed))
    seen = (one for source in sources for one in source if one.group not in without)
    total = sum(views.get(one.group, 0) for one in learnt) + decoys * len(DECOYS) + phantoms
    with staged_folder(output) as stage:
        maps, targets, groups = _mapped(trunk, shown.track(seen, "Drawing views", total))
        head = fit_head(maps, targets, _weights(groups), how, reporter=shown)
        content = gate_onnx(GateNetwork(trunk, head))
        measured = measure_gate(
            content, pictures, decoys=min(decoys, _HELD_DECOYS), seed=seed, reporter=shown
        )
        made = {
            "learning": asdict(how), "views": dict(views), "decoys": decoys,
            "phantoms": phantoms, "without": list(without), "seed": seed,
        }  # fmt: skip
        named = {"sha256": sha256(content), "bytes": len(content), "n_views": len(groups)}
        figures = {**named, **measured, **made, **provenance()}
        write_bytes(stage / NETWORK, content)
        write_text(stage / FIGURES, json.dumps(figures, indent=2) + "\n")
    return GateTraining(output, sha256(content), figures)


def measure_gate(
    network: bytes,
    pictures: Sequence[GatePicture],
    *,
    decoys: int = _HELD_DECOYS,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> dict[str, object]:
    """How the network does on the held pictures, as they are, under the default settings.

    Given are, for each group, how many are refused by the modality stage and warned of, and how
    many faults are seen where there is none; balanced accuracy is that of passing against being
    refused on `modality` (chest against brain and photographs). Each with a Wilson interval.

    Args:
        network: `gate.onnx`.
        pictures: All of them; only the held ones are read.
        decoys: Drawn of each kind.
        seed: Of the drawn decoys.
        reporter: Shown the progress.
    """
    shown, looker = reporter or Silent(), Looker.open(network)
    canvases: dict[str, list[Canvas]] = {}
    held = [one for one in pictures if one.held]
    preprocess = Preprocess(PreprocessRecipe())
    for one in shown.track(held, "Measuring the gate", len(held)):
        try:
            canvas, _ = preprocess.apply(read_radiograph(one.path))
        except RadiographError as error:
            shown.warn(f"left out: {error}")
            continue
        canvases.setdefault(one.group, []).append(canvas)
    for kind in DECOYS:
        drawn = (draw_decoy(kind, seed=seed + 10**6 + at) for at in range(decoys))
        canvases.setdefault("decoy", []).extend(drawn)
    looks = {group: _looks(looker, found) for group, found in sorted(canvases.items())}
    return {
        "groups": {group: _group(canvases[group], found) for group, found in looks.items()},
        "modality": _balanced({group: found.answers for group, found in looks.items()}),
    }


def _looks(looker: Looker, canvases: Sequence[Canvas]) -> Looks:
    found = [looker.look(canvas[None, None]) for canvas in canvases]
    return Looks(*(
        np.concatenate([getattr(one, name) for one in found])
        for name in ("answers", "look", "squares")
    ))  # fmt: skip


def _group(canvases: Sequence[Canvas], looks: Looks) -> dict[str, object]:
    chances = np.array([chest_probability(row) for row in looks.answers])
    limits = ModalitySettings()
    kinds: dict[str, list[bool]] = {}
    for one in zip(canvases, looks.squares, looks.answers, strict=True):
        seen = {fault.kind for fault in faults(*one, QualitySettings())}
        for kind in ("blank", "inverted", "turned", "cut_off", "lateral"):
            kinds.setdefault(kind, []).append(kind in seen)
    shares = {
        "refused": chances < limits.refuse,
        "refused or warned": chances < limits.warn,
        **{kind: np.array(hits) for kind, hits in kinds.items()},
    }
    rates = {
        name: proportion(hits, np.arange(len(hits))).to_json() for name, hits in shares.items()
    }
    return {"n_images": len(chances), **rates}


def _balanced(answers: Mapping[str, NDArray[np.float32]]) -> dict[str, object]:
    """Balanced accuracy of passing against refusing; the interval adds the two variances."""
    passed = {
        group: np.array([chest_probability(row) for row in rows]) >= ModalitySettings().refuse
        for group, rows in answers.items()
    }
    own = proportion(passed["modality"], np.arange(len(passed["modality"])))
    others = np.concatenate([~passed["brain"], ~passed["photograph"]])
    other = proportion(others, np.arange(len(others)))
    value = (own.value + other.value) / 2
    below = np.hypot(own.value - own.low, other.value - other.low) / 2
    above = np.hypot(own.high - own.value, other.high - other.value) / 2
    return {
        "balanced_accuracy": value, "low": value - below, "high": min(1.0, value + above),
        "passed": own.to_json(), "refused": other.to_json(),
    }  # fmt: skip


def _views(
    pictures: Sequence[GatePicture], views: Mapping[str, int], seed: int, reporter: Reporter
) -> Iterator[_Square]:
    for one in pictures:
        if not views.get(one.group):
            continue
        try:
            picture = to_uint8(read_radiograph(one.path))
            lungs = None if one.mask is None else lung_mask(read_radiograph(one.mask))
        except RadiographError as error:
            reporter.warn(f"left out: {error}")
            continue
        for at in range(views[one.group]):
            rng = generator(seed, "gate", "view", one.path.name, at)
            view = draw_view(picture, rng, lungs=lungs) if at else plain_view(picture)
            yield _Square(one.group, square(seen_part(view.picture)), one.chest, view)


def _drawn_views(decoys: int, phantoms: int, seed: int) -> Iterator[_Square]:
    for kind in DECOYS:
        for at in range(decoys):
            picture = draw_decoy(kind, seed=seed + at)
            rng = generator(seed, "gate", "decoy", kind, at)
            view = draw_view(picture, rng) if at % 4 else plain_view(picture)
            yield _Square("decoy", square(seen_part(view.picture)), False, view)
    for at in range(phantoms):
        rng = generator(seed, "gate", "phantom", at)
        size = int(rng.integers(48, 200))
        picture = draw_phantom(seed=seed + at, label=LABELS[at % 2], size=size)
        view = draw_view(picture, rng) if at % 2 else plain_view(picture)
        yield _Square("phantom", square(seen_part(view.picture)), True, view)


def _mapped(
    trunk: GateTrunk, squares: Iterator[_Square]
) -> tuple[NDArray[np.float16], GateTargets, list[str]]:
    """Maps of the views `[view, channels, rows, columns]`, what is known of them, their groups."""
    runtime = open_runtime(trunk_onnx(trunk), file=NETWORK)
    maps: list[NDArray[np.float16]] = []
    waiting: list[_Square] = []
    known: list[tuple[int, int, int, int]] = []
    groups: list[str] = []

    def run() -> None:
        batch = np.stack([one.square for one in waiting])[:, None]
        maps.append(runtime.arrays(batch, "squares", ("maps",))[0].astype(np.float16))
        waiting.clear()

    for one in squares:
        waiting.append(one)
        known.append(_target(one))
        groups.append(one.group)
        if len(waiting) == _BATCH:
            run()
    if waiting:
        run()
    columns = np.array(known, dtype=np.int64).T
    return np.concatenate(maps), GateTargets(*columns), groups


def _target(one: _Square) -> tuple[int, int, int, int]:
    """Chest, inverted, cut off, turned; where lungs are not known, only a little is cut."""
    if not one.chest:
        return 0, UNKNOWN, UNKNOWN, UNKNOWN
    view = one.view
    unsure = one.group == "children"
    cut = (UNKNOWN if unsure else 0) if view.cut_off is None else int(view.cut_off)
    return 1, int(view.inverted), cut, view.turned


def _weights(groups: Sequence[str]) -> NDArray[np.float64]:
    names, counts = np.unique(groups, return_counts=True)
    each = {n: SHARES.get(str(n), 0.1) / c for n, c in zip(names, counts, strict=True)}
    return np.array([each[group] for group in groups])
