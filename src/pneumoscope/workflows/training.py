"""Train: from a recipe to a run folder with bundle, metrics and report."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from pneumoscope.bundle.archive import CARD, Bundle
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.errors import RecipeError
from pneumoscope.core.files import sha256, staged_folder, write_text
from pneumoscope.core.progress import Noting, Reporter, Silent
from pneumoscope.core.recipe import Recipe, dump_recipe, override, recipe_of, save_recipe
from pneumoscope.core.tables import save_csv, save_parquet
from pneumoscope.data.catalogue import counts_table, fingerprint, usable
from pneumoscope.data.split import save_split
from pneumoscope.evaluation.predictions import read_table
from pneumoscope.reporting.model_card import ModelCardInput, render_model_card
from pneumoscope.reporting.report import ReportInput
from pneumoscope.tracking import Identity, Parent, TrackedRun, epoch_metrics, tracked_run
from pneumoscope.tracking.tensorboard import require_tensorboard
from pneumoscope.training.checkpoints import Checkpoints
from pneumoscope.training.distributed import World, joined_world
from pneumoscope.training.plan import Epoch
from pneumoscope.training.trainer import Trained, train_classifier
from pneumoscope.workflows.answering import predict_rows
from pneumoscope.workflows.assess import (
    Assessed,
    data_name,
    error_gallery,
    excluded_images,
    model_facts,
    write_assessment,
)
from pneumoscope.workflows.event_files import Ended, board_in
from pneumoscope.workflows.evidence import Inquiry, assessed
from pneumoscope.workflows.exporting import export, rows_of
from pneumoscope.workflows.prepare import Prepared, name_of, prepare_split
from pneumoscope.workflows.results import TrainResult
from pneumoscope.workflows.tracked_data import data_inputs, precision_tags
from pneumoscope.workflows.unfinished import Unfinished, find_unfinished, folder_of, unfinished

QUICK: Mapping[str, int] = {
    "data.limit": 400,
    "evaluate.resamples": 500,
    "gate.images": 200,
    "evaluate.audit.conditions": 100,
    "evaluate.audit.corruptions": 16,
    "evaluate.audit.saliency": 8,
    "views": 1,
    "epochs": 20,
    "fine_tune_epochs": 2,
}
"""The most that `--quick` leaves: a small but complete pass."""


def quickened(recipe: Recipe) -> Recipe:
    """The recipe made small: what is smaller already stays."""
    evaluate, audit = recipe.evaluate, recipe.evaluate.audit
    changes = {
        "data.limit": min(QUICK["data.limit"], recipe.data.limit or QUICK["data.limit"]),
        "evaluate.resamples": min(QUICK["evaluate.resamples"], evaluate.resamples),
        "gate.images": min(QUICK["gate.images"], recipe.gate.images),
    }
    for name in ("conditions", "corruptions", "saliency"):
        field = f"evaluate.audit.{name}"
        changes[field] = min(QUICK[field], getattr(audit, name))
    for number, phase in enumerate(recipe.phases):
        most = QUICK["epochs" if phase.kind == "probe" else "fine_tune_epochs"]
        changes[f"phases.{number}.epochs"] = min(most, phase.epochs)
        changes[f"phases.{number}.views"] = min(QUICK["views"], phase.views)
    return override(recipe, changes)


def train(
    recipe: Recipe | str | Path,
    *,
    output: str | Path | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
    notices: Sequence[str] = (),
    parent: Parent | None = None,
    tensorboard: bool = False,
) -> TrainResult:
    """Train, export, calibrate and evaluate as the recipe says.

    Args:
        recipe: One whose `data.path` is set; the file of one; or labelled radiographs, for the
            default recipe.
        output: The run folder to write; default `runs/<time>-<name>`.
        resume: Go on with the unfinished training of this output; without an output, with the last
            one of this recipe. Where there is none, begin.
        reporter: Shown what happens.
        notices: What the report should say besides what happens here.
        parent: The tracked run that this one is a part of; it is then called as its folder.
        tensorboard: Also write TensorBoard event files, into `tensorboard` of the run folder.

    Raises:
        DependencyError: TensorBoard is asked for and missing.
        InputError: the data or the recipe cannot be used.
        StorageError: the output or the cache cannot be written; nothing half-written is left.
        TrainingError, ExportError: as their names say.

    Example:
        run = ps.train("chest_xray", output="runs/first")
        run.metrics["auc"], run.report, run.bundle
        again = ps.train(ps.override(ps.load_recipe("runs/first/recipe.yaml"), {"seed": 1}))
    """
    recipe = recipe_of(recipe)
    if recipe.data.path is None:
        raise RecipeError("data.path: is not set. Give a folder of radiographs.")
    if tensorboard:
        require_tensorboard()
    with joined_world(recipe.compute.device) as world:
        named = output or (find_unfinished(recipe, Path("runs")) if resume else None)
        folder = Path(world.agreed(str(named or _default_output(recipe.name))))
        if not world.first:
            return _assist(recipe, folder, world)
        noting = Noting(reporter or Silent(), notices)
        wanted = _Wanted(resume, parent, tensorboard)
        return _lead(recipe, folder, world, noting, wanted)


@dataclass(frozen=True)
class _Wanted:
    """How `train` was asked."""

    resume: bool
    parent: Parent | None
    tensorboard: bool

    def identity(self, folder: Path) -> Identity:
        """Of the tracked run."""
        return Identity(folder.name if self.parent else None, parent=self.parent)


def _lead(
    recipe: Recipe, folder: Path, world: World, reporter: Noting, wanted: _Wanted
) -> TrainResult:
    """Everything, and the writing of it."""
    start = time.perf_counter()
    with (
        unfinished(recipe, folder, resume=wanted.resume, reporter=reporter) as begun,
        staged_folder(folder) as stage,
        board_in(begun.folder, wanted=wanted.tensorboard, reporter=reporter) as board,
    ):
        prepared, labels = _prepare(recipe, reporter)
        begun.require_data(_state_of(prepared))
        world.wait()
        with tracked_run(
            recipe,
            store=folder.parent,
            tags={"data": fingerprint(prepared.catalogue)},
            reporter=reporter,
            inputs=data_inputs(name_of(recipe.data), prepared.catalogue),
            identity=wanted.identity(folder),
            memory=begun.folder,
            scalars=board.scalar if board else None,
        ) as run:
            trained = _train(recipe, prepared, labels, begun, world, run, reporter)
            bundle = export(recipe, prepared, labels, trained, reporter)
            metrics, ended = _write(stage, recipe, prepared, trained, bundle, reporter)
            run.set_tags(precision_tags(trained))
            run.log_results(metrics)
            if board:
                board.end(ended, stage)
            run.log_folder(stage)
    world.wait()
    return TrainResult(
        output=folder,
        report=folder / "report.html",
        metrics=metrics,
        bundle=folder / "bundle",
        run_id=run.run_id,
        tracking_uri=run.uri,
        seconds=time.perf_counter() - start,
    )


def _state_of(prepared: Prepared) -> str:
    """A hash of what is trained on: images, labels, who is in which split, and their canvases."""
    rows = usable(prepared.catalogue).select("image_id", "label", "split").sort("image_id")
    preprocess = prepared.pixels.preprocess.fingerprint
    return sha256(f"{preprocess}{rows.rows()}".encode())


def _assist(recipe: Recipe, folder: Path, world: World) -> TrainResult:
    """This process's part of the training that the first process leads; what that one wrote."""
    start = time.perf_counter()
    world.wait()
    prepared, labels = _prepare(recipe, Silent())
    train_classifier(
        recipe,
        prepared.catalogue,
        labels,
        prepared.pixels,
        checkpoints=Checkpoints(folder_of(folder)),
        world=world,
        reporter=Silent(),
        on_epoch=lambda _: None,
    )
    world.wait()
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf8"))
    bundle = folder / "bundle"
    seconds = time.perf_counter() - start
    return TrainResult(folder, folder / "report.html", metrics, bundle, None, None, seconds)


def _default_output(name: str) -> Path:
    return Path("runs") / f"{datetime.now(tz=UTC):%Y%m%d-%H%M%S}-{name}"


def _prepare(recipe: Recipe, reporter: Reporter) -> tuple[Prepared, tuple[str, ...]]:
    prepared, labels = prepare_split(recipe, reporter=reporter)
    table = counts_table(prepared.catalogue)
    counts = table.group_by("split", maintain_order=True).agg(pl.col("images").sum())
    shown = ", ".join(f"{name} {images}" for name, images in counts.iter_rows())
    reporter.say(f"Split by patient: {shown} images; labels {', '.join(labels)}.")
    return prepared, labels


def _train(
    recipe: Recipe,
    prepared: Prepared,
    labels: tuple[str, ...],
    begun: Unfinished,
    world: World,
    run: TrackedRun,
    reporter: Reporter,
) -> Trained:
    def on_epoch(epoch: Epoch) -> None:
        run.log_metrics(epoch_metrics(asdict(epoch)), step=epoch.epoch)

    trained = train_classifier(
        recipe,
        prepared.catalogue,
        labels,
        prepared.pixels,
        checkpoints=begun.checkpoints,
        world=world,
        reporter=reporter,
        on_epoch=on_epoch,
    )
    for (phase,), rows in trained.history.group_by("phase", maintain_order=True):
        best = rows.filter("best")[-1]
        reporter.say(
            f"{phase}: {rows.height} epochs; best: epoch {best['epoch'].item()}, validation loss "
            f"{best['validation_loss'].item():.3f}, AUC {best['validation_auc'].item():.3f}."
        )
    return trained


def _write(
    stage: Path,
    recipe: Recipe,
    prepared: Prepared,
    trained: Trained,
    bundle: Bundle,
    reporter: Noting,
) -> tuple[dict[str, object], Ended]:
    """Evaluate on the test split and write the run folder; the metrics, and what they are of."""
    predictor = Predictor(bundle)
    catalogue, pixels = prepared.catalogue, prepared.pixels
    rows = rows_of(catalogue, "test")
    answered = predict_rows(predictor, pixels, rows, reporter=reporter)
    inquiry = Inquiry(
        predictor, pixels, rows, answered, rows_of(catalogue, "train"),
        recipe.evaluate.audit, recipe.seed, reporter,
    )  # fmt: skip
    data = data_name(name_of(recipe.data), catalogue)
    measured = assessed(inquiry, recipe.evaluate, split="test", data=data)
    written = _as_run(recipe, trained)
    _write_records(stage, written, bundle, measured, catalogue, trained.history)
    report = ReportInput(
        title=recipe.name,
        kind="train",
        metrics=measured.metrics,
        predictions=answered.table,
        history=trained.history,
        counts=counts_table(catalogue),
        notices=reporter.notices,
        excluded=excluded_images(catalogue),
        facts={**model_facts(predictor), "Frozen backbone's precision": str(trained.frozen)},
        recipe=dump_recipe(written),
        provenance=bundle.spec.provenance,
        gallery=error_gallery(predictor, pixels, read_table(answered.table)),
    )
    write_assessment(stage, measured, report)
    return measured.metrics, Ended(recipe, trained, catalogue, pixels, predictor, answered)


def _as_run(recipe: Recipe, trained: Trained) -> Recipe:
    """The recipe with what was chosen on this machine, so that it repeats the run."""
    chosen = {f"phases.{n}.precision": name for n, name in trained.phase_precisions.items()}
    frozen = trained.frozen
    machine = {"compute.precision": frozen.precision, "compute.engine": frozen.engine}
    return override(recipe, {**machine, **chosen})


def _write_records(
    stage: Path,
    recipe: Recipe,
    bundle: Bundle,
    measured: Assessed,
    catalogue: pl.DataFrame,
    history: pl.DataFrame,
) -> None:
    """Bundle, card, recipe, split, catalogue and history."""
    card = _card(recipe, bundle, measured, catalogue)
    bundle.with_file(CARD, card.encode()).save(stage / "bundle")
    write_text(stage / "model_card.md", card)
    save_recipe(recipe, stage / "recipe.yaml")
    save_split(catalogue, stage / "split.parquet")
    save_parquet(catalogue, stage / "catalogue.parquet")
    save_csv(history, stage / "history.csv")


def _card(recipe: Recipe, bundle: Bundle, measured: Assessed, catalogue: pl.DataFrame) -> str:
    return render_model_card(
        ModelCardInput(
            name=recipe.name,
            labels=bundle.spec.labels,
            backbone=recipe.model.backbone,
            weights=recipe.model.weights,
            preprocess=bundle.spec.preprocess,
            temperature=bundle.spec.temperature,
            metrics=measured.metrics,
            assessment=measured.assessment,
            test_views=recipe.model.test_views,
            counts=counts_table(catalogue),
            data_name=name_of(recipe.data),
            data_licence=recipe.data.licence,
            data_citation=recipe.data.citation,
            licence=recipe.licence,
            seed=recipe.seed,
            provenance=bundle.spec.provenance,
            gate=bundle.spec.gate,
            population=recipe.card.population,
            known_limits=recipe.card.limits,
            tried=recipe.card.tried,
        )
    )
