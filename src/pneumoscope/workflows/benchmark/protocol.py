"""The one protocol of a benchmark: candidates by name, the split made once, a recipe for each run.

Pretrained backbones are trained as the base recipe says. What starts from random weights is trained
as a whole, all such candidates alike. Small networks get the canvas and the head they were made
for; everything else is the same for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from pneumoscope.core.errors import RecipeError, WeightsError
from pneumoscope.core.files import sha256_file, write_text
from pneumoscope.core.progress import Reporter
from pneumoscope.core.recipe import FineTunePhase, Recipe, dump_recipe, override
from pneumoscope.data.catalogue import counts_table, require_labels
from pneumoscope.data.split import apply_split, save_split
from pneumoscope.models.names import NAMES
from pneumoscope.models.scratch import SCRATCH
from pneumoscope.models.weights import require_imagenet
from pneumoscope.models.zoo import resolve
from pneumoscope.tracking import DataInput
from pneumoscope.workflows.assess import data_name
from pneumoscope.workflows.prepare import limited, name_of, prepare_recipe, split_as_told
from pneumoscope.workflows.tracked_data import data_inputs
from pneumoscope.workflows.training import quickened

PROTOCOL, SPLIT = "protocol.yaml", "split.parquet"

SUITES: Mapping[str, tuple[str, ...]] = {
    "fast": (
        "EfficientNet-Lite0", "EfficientNet-Lite1", "EfficientNet-Lite2", "LeNet-5", "cnn4",
    ),
    "scratch": ("LeNet-5", "cnn3", "cnn4", "cnn6", "cnn4x4"),
    "fifteen": (
        "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large", "DenseNet121", "DenseNet201",
        "VGG16", "VGG19", "ResNet50", "ResNet50V2", "ResNet101V2", "EfficientNetB0",
        "EfficientNetB4", "InceptionV3", "Xception", "ConvNeXt-Tiny",
    ),
}  # fmt: skip
"""Candidates that go by one name."""

FROM_RANDOM = FineTunePhase(
    last="all", epochs=6, batch_size=32, learning_rate=1e-3, layer_decay=1.0, patience=4
)
"""How networks are trained from random weights, where the recipe trains no whole network itself."""

HALF_THE_EVIDENCE: Mapping[str, int] = {
    "evaluate.audit.conditions": 400,
    "evaluate.audit.corruptions": 100,
    "evaluate.audit.saliency": 50,
}
"""What a benchmark without a recipe changes of the default one, by dotted field: shortcuts and
robustness of every candidate would cost more time than training most of them. Whoever is chosen
is asked in full by `train` or `evaluate`."""

_LENET = {
    "model.pooling": "flatten",
    "model.head": [
        {"dense": 120, "activation": "tanh"},
        {"dense": 84, "activation": "tanh"},
    ],
}  # LeCun et al. 1998, layers C5 and F6
_CANVAS = {"lenet5": 32, "cnn3": 128, "cnn4": 128, "cnn6": 128, "cnn4x4": 128}
_TITLES = {timm_name: name for name, timm_name in NAMES.items()} | {"lenet5": "LeNet-5"}


@dataclass(frozen=True)
class Candidate:
    """One network of a benchmark.

    Attributes:
        name: For people; it says where published weights are left for random ones.
        backbone: Its timm name, or a small network's; what runs and files are called by.
        weights: As `model.weights` says it.
        random: Whether it has published weights and starts from random ones all the same.
        changes: What of the base recipe is otherwise for it, by dotted field.
        skipped: Why it cannot take part, or None.
    """

    name: str
    backbone: str
    weights: str
    random: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)
    skipped: str | None = None


@dataclass(frozen=True)
class Run:
    """One training of a benchmark.

    Attributes:
        candidate: Of what.
        seed: Of the training.
        recipe: What `train` is given.
        output: The run folder.
        record: The file that says how it went.
        log: The file that says what happened.
    """

    candidate: Candidate
    seed: int
    recipe: Recipe
    output: Path
    record: Path
    log: Path


@dataclass(frozen=True)
class Protocol:
    """What all candidates share.

    Attributes:
        output: The benchmark's folder.
        base: The recipe that every run's recipe is made from.
        seeds: Of the trainings of each candidate.
        data: Name and fingerprint.
        labels: The label set.
        test_paths: Of the images in the test split.
        inputs: The data and each split of them, as tracking is told.
    """

    output: Path
    base: Recipe
    seeds: tuple[int, ...]
    data: str
    labels: tuple[str, ...]
    test_paths: tuple[Path, ...]
    inputs: tuple[DataInput, ...]

    def runs(self, candidate: Candidate) -> Iterator[Run]:
        """The trainings of a candidate, one for each seed."""
        for seed in self.seeds:
            name = f"{candidate.backbone}-seed{seed}"[-64:].lstrip("._-")
            yield Run(
                candidate,
                seed,
                self._recipe(candidate, name, seed),
                self.output / "runs" / name,
                self.output / "records" / f"{name}.json",
                self.output / "logs" / f"{name}.log",
            )

    def _recipe(self, candidate: Candidate, name: str, seed: int) -> Recipe:
        own, masks = self.base.augment.seed, self.base.data.masks
        changes = {
            "name": name,
            "seed": seed,
            "data.path": str(Path(str(self.base.data.path)).resolve()),
            "data.masks": masks and str(Path(masks).resolve()),
            "data.limit": None,  # the split names who was drawn
            "split": {"file": str((self.output / SPLIT).resolve())},
            "augment.seed": self.base.seed if own is None else own,
            "model.backbone": candidate.backbone,
            "model.width": None,
            "model.weights": candidate.weights,
            # What a network looks at costs half of a short training to find out; seeds share it.
            "evaluate.audit.enabled": self.base.evaluate.audit.enabled and seed == self.base.seed,
        }
        return override(self.base, changes | dict(candidate.changes))


def choose_candidates(
    names: Sequence[str], base: Recipe, *, random_weights: bool, quick: bool, reporter: Reporter
) -> tuple[Candidate, ...]:
    """The candidates in the order given, each once, with what keeps one from taking part.

    Args:
        names: As `resolve` takes them.
        base: The base recipe.
        random_weights: Let those whose weights are not at hand start from random ones.
        quick: Whether few epochs are enough.
        reporter: Told which these are.

    Raises:
        RecipeError: no candidate, or an unknown backbone; the closest names are given.
    """
    backbones = dict.fromkeys(resolve(name.strip()) for name in names if name.strip())
    if not backbones:
        known = ", ".join(SUITES)
        raise RecipeError(f"no candidate. Name some by --candidates a,b, or a --suite ({known}).")
    fresh = _from_random(base, quick=quick)
    chosen = tuple(
        _candidate(name, base, fresh, random_weights=random_weights) for name in backbones
    )
    for one in chosen:
        if one.skipped:
            reporter.warn(f"{one.name} is skipped: {one.skipped}")
        elif one.random:
            reporter.warn(f"{one.name} starts from random weights, not from its published ones.")
    return chosen


def begin(base: Recipe, output: Path, *, seeds: int, quick: bool, reporter: Reporter) -> Protocol:
    """The protocol in `output`: made and written, or found there and the same.

    Args:
        base: The recipe that every run's is made from, quickened already if it should be.
        output: The benchmark's folder.
        seeds: How many trainings of each candidate.
        quick: Whether few epochs are enough.
        reporter: Shown what happens.

    Raises:
        RecipeError: another protocol was begun in this folder.
        LayoutError, LabelError: as their names say.
    """
    prepared = prepare_recipe(base, reporter=reporter)
    root = Path(str(base.data.path))
    labels = require_labels(prepared.catalogue)
    catalogue = _split(prepared.catalogue, base, output / SPLIT, reporter)
    tested = catalogue.filter(pl.col("excluded").is_null(), pl.col("split") == "test")
    protocol = Protocol(
        output=output,
        base=base,
        seeds=tuple(base.seed + number for number in range(seeds)),
        data=data_name(name_of(base.data), prepared.catalogue),
        labels=labels,
        test_paths=tuple(root / path for path in tested.sort("image_id")["path"]),
        inputs=data_inputs(name_of(base.data), catalogue),
    )
    _write_or_compare(protocol, _from_random(base, quick=quick), output / PROTOCOL)
    counts = (
        counts_table(catalogue).group_by("split", maintain_order=True).agg(pl.col("images").sum())
    )
    shown = ", ".join(f"{name} {images}" for name, images in counts.iter_rows() if name)
    reporter.say(f"One split for all: {shown} images; labels {', '.join(labels)}.")
    return protocol


def _candidate(
    backbone: str, base: Recipe, fresh: Mapping[str, Any], *, random_weights: bool
) -> Candidate:
    name, weights = _TITLES.get(backbone, backbone), base.model.weights
    if backbone in SCRATCH:
        return Candidate(name, backbone, "none", changes={**fresh, **_small(backbone, base)})
    if weights == "none":
        return Candidate(f"{name} (random)", backbone, "none", random=True, changes=fresh)
    try:
        if weights == "imagenet":
            require_imagenet(backbone)
    except WeightsError as error:
        if random_weights:
            return Candidate(f"{name} (random)", backbone, "none", random=True, changes=fresh)
        return Candidate(name, backbone, weights, skipped=str(error))
    return Candidate(name, backbone, weights)


def _small(backbone: str, base: Recipe) -> dict[str, Any]:
    """Canvas and head that a small network was made for."""
    changes: dict[str, Any] = dict(_LENET) if backbone == "lenet5" else {}
    if _CANVAS[backbone] < base.preprocess.size:
        changes["preprocess.size"] = _CANVAS[backbone]
    return changes


def _from_random(base: Recipe, *, quick: bool) -> dict[str, Any]:
    """The phases of what starts from random weights; those of the recipe if they train all."""
    whole = [p for p in base.phases if isinstance(p, FineTunePhase) and p.last == "all"]
    longest = sum(phase.epochs for phase in base.phases)
    short = FROM_RANDOM.model_copy(update={"epochs": min(FROM_RANDOM.epochs, longest)})
    phases = [phase.model_dump(mode="json") for phase in whole or [short]]
    recipe = override(base, {"phases": phases})
    recipe = quickened(recipe) if quick else recipe
    return {"phases": [phase.model_dump(mode="json") for phase in recipe.phases]}


def _split(catalogue: pl.DataFrame, base: Recipe, file: Path, reporter: Reporter) -> pl.DataFrame:
    if file.is_file():
        return apply_split(limited(catalogue, base), file, reporter=reporter)
    split = split_as_told(catalogue, base, reporter)
    save_split(split, file)
    return split


def _write_or_compare(protocol: Protocol, fresh: Mapping[str, Any], file: Path) -> None:
    text = _described(protocol, fresh)
    if not file.is_file():
        write_text(file, text)
        return
    begun, now = file.read_text(encoding="utf8").splitlines(), text.splitlines()
    if begun != now:
        pairs = zip([*begun, "less"], [*now, "less"], strict=False)
        before, after = next(pair for pair in pairs if pair[0] != pair[1])
        raise RecipeError(
            f"{protocol.output}: a benchmark with another protocol was begun here "
            f"({before.strip()!r}, now {after.strip()!r}). Give that one, or another --output."
        )


def _described(protocol: Protocol, fresh: Mapping[str, Any]) -> str:
    """The protocol as YAML; candidates and seeds may be added later, so they are not in it."""
    recipe = yaml.safe_load(dump_recipe(protocol.base))
    del recipe["data"]["path"]  # the fingerprint says which images they are
    small = {name: _small(name, protocol.base) for name in SCRATCH}
    content = {
        "about": "Each candidate is trained by the recipe, with each seed, on the one split. What "
        "starts from random weights is trained as `from_random_weights` says; small networks have "
        "their own canvas and head. Views are drawn alike for all. Shortcuts and robustness are "
        "asked of the first seed.",
        "data": protocol.data,
        "split": {"file": SPLIT, "sha256": sha256_file(protocol.output / SPLIT)},
        "recipe": recipe,
        "from_random_weights": dict(fresh),
        "small_networks": small,
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=False)
