"""What a study is: its plan, which every worker is given, and the data its trials see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import polars as pl
import yaml
from pydantic import Field

from pneumoscope.core.errors import InputError, RecipeError
from pneumoscope.core.files import sha256
from pneumoscope.core.progress import Reporter
from pneumoscope.core.recipe import Recipe, Section, dump_recipe
from pneumoscope.core.recipe.space import Space
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import usable
from pneumoscope.workflows.prepare import prepare_split

SamplerName = Literal["tpe", "grid", "random"]
PrunerName = Literal["median", "hyperband", "none"]
MetricName = Literal["validation_auc", "validation_loss"]

_GRID = 100_000


class Search(Section):
    """How a study searches."""

    trials: Annotated[int, Field(ge=1)] = 20
    """How many, over all workers; retries are not counted."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """After which no trial is begun and those under way are stopped."""
    sampler: SamplerName = "tpe"
    """What chooses the next point."""
    pruner: PrunerName = "median"
    """What stops a trial that is behind the others."""
    metric: MetricName = "validation_auc"
    """What is best."""
    heartbeat: Annotated[int, Field(ge=1)] = 15
    """Seconds between a worker's signs of life in a database; after four missed ones its trial is
    begun again. With a journal, a lock says it at once."""


class StudyPlan(Search):
    """A study, as all its workers on all machines know it."""

    recipe: Recipe
    space: Space
    study: str
    storage: str
    """A database address, or the path of a journal file."""
    deadline: float | None = None
    """Seconds since 1970 (UTC) after which no trial is begun and none goes on."""

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Which way the metric is better."""
        return "maximize" if self.metric == "validation_auc" else "minimize"

    @property
    def budget(self) -> int:
        """How many trials there will be: no more than a grid has points."""
        size = self.space.size
        return min(self.trials, size) if self.sampler == "grid" and size else self.trials

    @property
    def longest(self) -> int:
        """The most epochs a phase may have: steps between phases on the pruner's scale."""
        known = [phase.epochs for phase in self.recipe.phases]
        varied = [
            int(value)
            for name, field in self.space.fields.items()
            if name.endswith(".epochs") or name == "phases"
            for value in (field.values or ())
            if isinstance(value, (int, float))
        ]
        return max([*known, *varied])

    def facts(self, data: str) -> dict[str, str]:
        """What must be the same for every worker, in words; where the data lie may differ."""
        held = self.recipe.model_copy(
            update={"data": self.recipe.data.model_copy(update={"path": None})}
        )
        return {
            "recipe": dump_recipe(held),
            "space": yaml.safe_dump(self.space.to_dict(), sort_keys=True),
            "metric": self.metric,
            "sampler": self.sampler,
            "pruner": self.pruner,
            "data": data,
        }

    def require_sound(self) -> None:
        """Refuse what cannot be tuned, before any work.

        Raises:
            RecipeError: no data, a grid without an end, losses that cannot be compared.
        """
        if self.recipe.data.path is None:
            raise RecipeError("data.path: is not set. Give a folder of radiographs.")
        if self.recipe.split.folds is not None:
            raise RecipeError("split.folds: tuning needs one split; set it to null.")
        touched = [n for n in self.space.fields if n.split(".")[0] in ("loss", "balance")]
        if self.metric == "validation_loss" and touched:
            raise RecipeError(
                f"metric validation_loss: differs in meaning where {touched[0]} is varied. Use "
                "validation_auc, or take the field out of the space."
            )
        if self.sampler == "grid" and not 0 < (self.space.size or 0) <= _GRID:
            endless = [name for name, field in self.space.fields.items() if field.values is None]
            why = f"{endless[0]} is continuous" if endless else f"it has {self.space.size} points"
            raise RecipeError(
                f"sampler grid: {why}; allowed: up to {_GRID} points. Give choices or a step, or "
                "use random or tpe."
            )


@dataclass(frozen=True)
class Material:
    """The data of a recipe, split.

    Attributes:
        catalogue: Every image; the lead keeps it for the end.
        seen: Those of the train and validation splits: all that a trial is given.
    """

    catalogue: pl.DataFrame
    labels: tuple[str, ...]
    pixels: PixelCache

    @property
    def seen(self) -> pl.DataFrame:
        """Rows of the train and validation splits; the others stay sealed."""
        return self.catalogue.filter(pl.col("split").is_in(["train", "validation"]))

    @property
    def fingerprint(self) -> str:
        """A hash of images, labels and who is in which split."""
        rows = usable(self.catalogue).select("image_id", "label", "split").sort("image_id")
        return sha256(str(rows.rows()).encode())[:16]


def read_material(recipe: Recipe, reporter: Reporter) -> Material:
    """The recipe's data, read and split as `train` does it.

    Raises:
        InputError: the data cannot be used.
        StorageError: the cache cannot be written.
    """
    prepared, labels = prepare_split(recipe, reporter=reporter)
    if prepared.catalogue.filter(pl.col("split") == "validation").is_empty():
        raise InputError("the split has no validation part to choose by. Set split.validation.")
    return Material(prepared.catalogue, labels, prepared.pixels)
