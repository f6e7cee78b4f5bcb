"""Readers of what other commands wrote: run folders, benchmarks, audits. No Streamlit here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import polars as pl

from pneumoscope.core.errors import InputError
from pneumoscope.core.files import printable
from pneumoscope.core.recipe import load_recipe
from pneumoscope.data.remembered import remembered
from pneumoscope.evaluation.predictions import Predictions, load_predictions, read_table
from pneumoscope.evaluation.verdict.parts import WORST_FIRST

Role: TypeAlias = Literal["champion", "challenger", "candidate", "run"]
Content: TypeAlias = Mapping[str, Any]

METRICS, PREDICTIONS, ASSESSMENT = "metrics.json", "predictions.parquet", "assessment.json"
RECIPE = "recipe.yaml"
_PASSED_OVER = ("bundle", "figures", "mlartifacts")
_DEPTH = 5
_LABEL_CHECKS = ("label_suspects", "declared_label", "named_label", "duplicates_across_labels")
_HISTORY = ("phase", "epoch", "validation_loss", "validation_auc", "best")


@dataclass(frozen=True, eq=False)
class Run:
    """What `train` or `evaluate` left in a folder.

    Attributes:
        name: Relative to the folder of runs.
        folder: Where it is.
        role: `champion` answers in the app; `challenger` was tuned; `candidate` was benchmarked.
        metrics: The content of `metrics.json`.
        assessment: The content of `assessment.json`; empty where there is none.
    """

    name: str
    folder: Path
    role: Role
    metrics: Content
    assessment: Content

    @property
    def trained(self) -> bool:
        """Whether it was trained here; an evaluation keeps no recipe."""
        return (self.folder / RECIPE).is_file()

    def predictions(self) -> Predictions:
        """The images it answered.

        Raises:
            PredictionsError: the table cannot be read or breaks its contract.
        """
        return read_table(load_predictions(self.folder / PREDICTIONS))

    def calibration(self) -> Predictions | None:
        """The images that the rules were fixed on; None where they are not at hand.

        Raises:
            PredictionsError: the table breaks its contract.
        """
        table = _table(self.folder / "calibration.parquet")
        return None if table is None else read_table(table)

    def history(self) -> pl.DataFrame | None:
        """How training went; None where nothing tells."""
        file = self.folder / "history.csv"
        try:
            table = pl.read_csv(file) if file.is_file() else pl.DataFrame()
        except (OSError, pl.exceptions.PolarsError):
            return None
        usable = table.height and set(_HISTORY) <= set(table.columns)
        return table if usable else None

    def catalogue(self) -> pl.DataFrame | None:
        """Its images and their split; None where there is no table."""
        return _table(self.folder / "catalogue.parquet")

    def remembered(self) -> tuple[pl.DataFrame, Path] | None:
        """The training images that its bundle's gate remembers, and the folder they lie in.

        None where the run does not tell.
        """
        catalogue = self.catalogue()
        try:
            recipe = load_recipe(self.folder / RECIPE)
        except InputError:
            return None
        if catalogue is None or recipe.data.path is None:
            return None
        drawn = remembered(catalogue, images=recipe.gate.images, seed=recipe.seed)
        return drawn, Path(recipe.data.path)


@dataclass(frozen=True, eq=False)
class Audit:
    """What `audit` left in a folder.

    Attributes:
        folder: Where it is.
        facts: The content of `audit.json`.
        catalogue: One row per image.
    """

    folder: Path
    facts: Content
    catalogue: pl.DataFrame

    @property
    def issues(self) -> list[Content]:
        """What was found, worst first."""
        found = self.facts.get("issues")
        return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []

    @property
    def labels(self) -> list[str]:
        """The labels that images have, by name."""
        return self.catalogue["label"].unique().sort().to_list()


@dataclass(frozen=True)
class Suspect:
    """An image whose label is to be looked at.

    Attributes:
        image_id: Which.
        path: In the data folder.
        label: As the data have it; the first, where identical copies carry different ones.
        check: Of the audit that asks.
        share: Of its nearest neighbours that carry another label, in [0, 1]; None where unknown.
        labels: All that its identical copies carry, its own first.
    """

    image_id: str
    path: str
    label: str
    check: str
    share: float | None
    labels: tuple[str, ...]


def find_runs(folder: Path, *, champion: str | None = None) -> list[Run]:
    """The runs at and below a folder, by name; what cannot be read is left out.

    Args:
        folder: Of runs, or of one.
        champion: Model id of the bundle that answers, as its evaluations have it.
    """
    return [
        run
        for place in _run_folders(folder)
        if (run := _read_run(place, folder, champion)) is not None
    ]


def champion(many: Sequence[Run]) -> Run | None:
    """The run whose bundle answers: the training that made it, else an evaluation of it."""
    found = [run for run in many if run.role == "champion"]
    return next((run for run in found if run.trained), found[0] if found else None)


def read_audit(folder: Path) -> Audit:
    """The audit in a folder.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    facts = read_json(folder / "audit.json")
    catalogue = _table(folder / "catalogue.parquet")
    if facts is None or catalogue is None:
        remedy = "Run: pneumoscope audit DATA --output FOLDER"
        raise InputError(f"{folder}: has no audit.json with catalogue.parquet. {remedy}")
    return Audit(folder, facts, catalogue)


def suspects(audit: Audit) -> list[Suspect]:
    """The images whose labels the audit doubts, each once, the most suspect first.

    Identical copies are one image.
    """
    rows = audit.catalogue.select("path", "image_id", "label").sort("path").rows()
    known = {path: (image_id, label) for path, image_id, label in rows if image_id}
    carried: dict[str, dict[str, None]] = {}
    for image_id, label in known.values():
        carried.setdefault(image_id, {})[label] = None
    found: dict[str, Suspect] = {}
    for check in _LABEL_CHECKS:
        for issue in (one for one in audit.issues if one.get("check") == check):
            facts = issue.get("facts") or {}
            for path in issue.get("paths") or ():
                image_id, label = known.get(path, ("", ""))
                if image_id and image_id not in found:
                    share = facts.get(path)
                    value = float(share) if isinstance(share, int | float) else None
                    labels = tuple(dict.fromkeys([label, *carried[image_id]]))
                    found[image_id] = Suspect(image_id, path, label, check, value, labels)
    return list(found.values())


def counts(catalogue: pl.DataFrame, by: str) -> pl.DataFrame:
    """Usable images per label and value of a column: `value`, `label`, `images`, in order."""
    live = catalogue.filter(pl.col("excluded").is_null())
    value = pl.col(by).cast(pl.String).alias("value")
    return live.group_by(value, "label").agg(pl.len().alias("images")).sort("value", "label")


def leaderboards(folder: Path) -> dict[str, Content]:
    """The content of each `leaderboard.json` at and below a folder, by name."""
    found = {}
    for place in _folders(folder):
        board = read_json(place / "leaderboard.json")
        if board is not None:
            found[_name(place, folder)] = board
    return found


def read_json(file: Path) -> Content | None:
    """The mapping in a JSON file; None where there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, Mapping) else None


def split_values(run: Run | None, audit: Audit | None) -> pl.DataFrame | None:
    """The catalogue that tells most: a run's, whose split is made, else the audit's."""
    table = run.catalogue() if run is not None else None
    return table if table is not None else audit.catalogue if audit is not None else None


def label_of_interest(labels: Sequence[str]) -> str:
    """The label that is asked about: the second of two, else the last."""
    return labels[1] if len(labels) == 2 else labels[-1]


def _read_run(place: Path, folder: Path, champion: str | None) -> Run | None:
    metrics = read_json(place / METRICS)
    if metrics is None or not _named(metrics.get("labels")):
        return None
    role: Role = "run"
    above = [place, *(one for one in place.parents if one == folder or folder in one.parents)]
    if any((one / "leaderboard.json").is_file() for one in above):
        role = "candidate"
    if any((one / "study.json").is_file() for one in above):
        role = "challenger"
    if champion is not None and metrics.get("bundle") == champion:
        role = "champion"
    assessment = dict(read_json(place / ASSESSMENT) or {})
    verdict = assessment.get("verdict")
    assessment["verdict"] = list(filter(_judged, verdict)) if isinstance(verdict, list) else []
    return Run(_name(place, folder), place, role, metrics, assessment)


def _named(labels: object) -> bool:
    """Whether these are labels: two or more names."""
    return (
        isinstance(labels, list)
        and len(labels) > 1
        and all(isinstance(label, str) for label in labels)
    )


def _judged(row: object) -> bool:
    return (
        isinstance(row, Mapping)
        and isinstance(row.get("item"), str)
        and row.get("colour") in WORST_FIRST
    )


def _run_folders(folder: Path) -> Iterator[Path]:
    for place in _folders(folder):
        if (place / METRICS).is_file() and (place / PREDICTIONS).is_file():
            yield place


def _folders(folder: Path) -> Iterator[Path]:
    """A folder and those below it, in order; hidden ones and what runs keep inside left out."""
    for name, inside, _ in os.walk(folder):
        place = Path(name)
        deep = len(place.relative_to(folder).parts) >= _DEPTH
        kept = [] if deep else sorted(
            one for one in inside if not one.startswith(".") and one not in _PASSED_OVER
        )  # fmt: skip
        inside[:] = kept
        yield place


def _name(place: Path, folder: Path) -> str:
    inside = place.relative_to(folder)
    return printable(inside.as_posix() if inside.parts else place.resolve().name)


def _table(file: Path) -> pl.DataFrame | None:
    try:
        return pl.read_parquet(file, hive_partitioning=False) if file.is_file() else None
    except (OSError, pl.exceptions.PolarsError):
        return None
