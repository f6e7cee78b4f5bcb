"""The commands."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import pneumoscope as ps
from pneumoscope.cli.app import app as web_app
from pneumoscope.cli.benchmark import benchmark
from pneumoscope.cli.card import card
from pneumoscope.cli.compare import compare
from pneumoscope.cli.console import TerminalReporter, exit_on, print_lines, print_metrics
from pneumoscope.cli.export import export
from pneumoscope.cli.options import AsJson, Bundle, Runtime, RuntimeName
from pneumoscope.cli.predict import predict
from pneumoscope.cli.promote import promote
from pneumoscope.cli.recipes import recipes
from pneumoscope.cli.segment import segment
from pneumoscope.cli.serve import serve
from pneumoscope.cli.sync import sync
from pneumoscope.cli.tune import tune
from pneumoscope.core.errors import PneumoscopeError, PredictionsError


class Guarded(TyperGroup):
    """Errors of this program are one line and exit status 1, whatever the command."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with exit_on(PneumoscopeError):
            return super().invoke(ctx)


app = typer.Typer(
    cls=Guarded,
    name="pneumoscope",
    help="From a folder of radiographs to a classifier you can defend. For research use; not a "
    "medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


Output = Annotated[Path | None, typer.Option(help="Folder to write; default runs/<time>-<name>.")]
Layout = Annotated[
    str | None, typer.Option(metavar="NAME", help="How the folder is laid out; default auto.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random.")]
Quick = Annotated[bool, typer.Option("--quick", help="A small but complete pass.")]


@app.callback(invoke_without_command=True)
def about(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Take the options that belong to no command."""
    if version:
        print_lines([f"pneumoscope {ps.__version__}"])
        raise typer.Exit
    if context.invoked_subcommand is None:
        print_lines([context.get_help()])


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Option(help="Labelled radiographs; default PneumoniaMNIST or phantoms.")
    ] = None,
    output: Output = None,
    seed: Seed = 0,
    quick: Quick = False,
    as_json: AsJson = False,
) -> None:
    """Walk the whole path once: data, training, evaluation, report, bundle.

    Example: pneumoscope demo --data chest_xray
    """
    reporter = TerminalReporter(quiet=as_json)
    result = ps.demo(data, output=output, quick=quick, seed=seed, reporter=reporter)
    _print_train(result, as_json=as_json)


@app.command()
def audit(
    data: Annotated[list[Path], typer.Argument(metavar="DATA...", help="Radiograph folders.")],
    output: Output = None,
    layout: Layout = None,
    label_map: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="A=B", help="Call label A B; A= leaves it out. Repeat."),
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Exit 1 on this severity or check; repeat for more."),
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Write split.parquet: a split without leaks.")
    ] = False,
    bundle: Annotated[
        str | None,
        typer.Option(metavar="BUNDLE", help="Also suspect label errors, as its model sees images."),
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Look for what would make results untrue: copies, leaks, shortcuts, broken files.

    Example: pneumoscope audit radiography chest_xray --fail-on error --fix
    """
    from pneumoscope.cli.arguments import pairs
    from pneumoscope.cli.issues import show_audit

    result = ps.audit(
        data,
        output=output,
        layout=layout or "auto",
        label_map=pairs(label_map or []),
        fail_on=fail_on or [],
        fix=fix,
        bundle=bundle,
        seed=seed,
        reporter=TerminalReporter(quiet=as_json),
    )
    show_audit(result, as_json=as_json)


@app.command()
def train(
    source: Annotated[Path, typer.Argument(metavar="RECIPE|DATA", help="YAML file, or a folder.")],
    output: Output = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Replaces the recipe's seed.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field.")
    ] = None,
    layout: Layout = None,
    quick: Quick = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was interrupted.")
    ] = False,
    show_augmentation: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Only draw what the recipe's augmentation does."),
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Also write event files; tensorboard --logdir runs."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train, evaluate and export from a recipe, or from a folder under the default recipe.

    Several processes share the work: torchrun --nproc-per-node=2 -m pneumoscope train ...

    Example: pneumoscope train chest_xray --set model.backbone=tf_efficientnet_lite0 --seed 1
    """
    from pneumoscope.cli.arguments import recipe_from

    fields = {"seed": seed, "data.layout": layout}
    recipe = recipe_from(source, changes or [], fields=fields, quick=quick)
    if show_augmentation is not None:
        picture = ps.show_augmentation(recipe, show_augmentation, reporter=TerminalReporter())
        print_lines([str(picture)])
        return
    helps = int(os.environ.get("RANK", "0")) > 0  # the first process speaks for all
    reporter = TerminalReporter(quiet=as_json or helps)
    result = ps.train(
        recipe, output=output, resume=resume, reporter=reporter, tensorboard=tensorboard
    )
    if not helps:
        _print_train(result, as_json=as_json)


@app.command()
def models(
    as_json: AsJson = False,
) -> None:
    """List the backbones known by name: size, effort, weights at hand, licence.

    Any other timm backbone can be named too. Example: pneumoscope models --json
    """
    from pneumoscope.cli.zoo import show_backbones

    show_backbones(as_json=as_json)


app.command()(web_app)
app.command()(benchmark)
app.command()(card)
app.command()(compare)
app.command()(promote)
app.command()(export)
app.command()(predict)
app.command()(segment)
app.command()(serve)
app.command()(sync)
app.command()(tune)
app.add_typer(recipes)


@app.command()
def evaluate(
    bundle: Bundle,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled radiographs.")],
    output: Output = None,
    split: Annotated[
        str | None, typer.Option(help="train, validation, test or all; default test, else all.")
    ] = None,
    label_map: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="A=B", help="Data label = bundle label; A= leaves A out."),
    ] = None,
    audit: Annotated[
        bool, typer.Option(help="Ask what shortcuts could explain: lungs, borders, corruptions.")
    ] = True,
    external: Annotated[
        bool, typer.Option("--external", help="Refuse data that holds training images.")
    ] = False,
    drop_known: Annotated[
        bool, typer.Option("--drop-known", help="Leave out images the bundle was trained on.")
    ] = False,
    prevalence: Annotated[
        float | None,
        typer.Option(help="Of the label in your clinic: PPV, NPV and thresholds for it."),
    ] = None,
    cost_ratio: Annotated[
        list[float] | None,
        typer.Option(help="With --prevalence: false alarms one miss is worth; repeatable."),
    ] = None,
    layout: Layout = None,
    runtime: Runtime = RuntimeName.auto,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure a bundle on labelled radiographs: metrics.json, figures and report.

    Example: pneumoscope evaluate runs/demo/bundle other_hospital --map "Pneumonia=PNEUMONIA"
    """
    from pneumoscope.cli.arguments import evaluation_settings, pairs

    result = ps.evaluate(
        bundle,
        data,
        output=output,
        split=split,
        label_map=pairs(label_map or []),
        settings=evaluation_settings(
            audit=audit,
            external=external,
            drop_known=drop_known,
            prevalence=prevalence,
            cost_ratios=cost_ratio,
        ),
        layout=layout or "auto",
        runtime=runtime.value,
        seed=seed,
        reporter=TerminalReporter(quiet=as_json),
    )
    if as_json:
        print_lines([json.dumps(result.metrics, allow_nan=False)])
        return
    print_metrics(result.metrics)
    print_lines(["", f"Report  {result.report}"])


@app.command()
def recompute(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What train or evaluate wrote.")],
    as_json: AsJson = False,
) -> None:
    """Compute every number of a run again from its tables, and compare with what is stored.

    Example: pneumoscope recompute runs/demo
    """
    found = ps.recompute(folder)
    if as_json:
        content = {"metrics": found.metrics, "assessment": found.assessment}
        print_lines([json.dumps(content, allow_nan=False)])
    else:
        print_metrics(found.metrics)
    if found.differences:
        shown = "; ".join(found.differences[:3])
        raise PredictionsError(
            f"{folder}: {len(found.differences)} stored numbers differ from the tables: {shown}. "
            "Evaluate again, or ask who changed the folder."
        )
    if not as_json:
        print_lines(["", "All stored numbers follow from the tables."])


def _print_train(result: Any, *, as_json: bool) -> None:
    if as_json:
        places = {"output": result.output, "bundle": result.bundle, "report": result.report}
        run = {"run_id": result.run_id, "tracking_uri": result.tracking_uri}
        content = {**{k: str(v) for k, v in places.items()}, **run, "metrics": result.metrics}
        print_lines([json.dumps(content, allow_nan=False)])
        return
    print_metrics(result.metrics)
    kept = f"{result.run_id} in {result.tracking_uri}" if result.run_id else "not tracked"
    print_lines([
        "",
        f"Report  {result.report}",
        f"Bundle  {result.bundle}",
        f"Run     {kept}",
        f"Time    {result.seconds:.0f} s",
        "",
        "Next:",
        f"  pneumoscope predict {result.bundle} IMAGE_OR_FOLDER --saliency overlays",
        f"  pneumoscope evaluate {result.bundle} OTHER_LABELLED_FOLDER",
        f"  pneumoscope train {result.output / 'recipe.yaml'} --seed 1",
        "",
        "For research use. Not a medical device.",
    ])  # fmt: skip


def main() -> None:
    """Run the command line; a request to end cleans up as an interrupt does."""
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    app()


class _Interrupted(KeyboardInterrupt):
    """As KeyboardInterrupt, but not itself.

    Started as a module, Python ends by signal, whatever exit status was asked for, once
    KeyboardInterrupt itself has passed through an `exec` of text, as imports of dataclasses run it.
    """


def _interrupt(number: int, frame: object) -> None:
    del number, frame
    raise _Interrupted


def _end(number: int, frame: object) -> None:
    del frame
    raise SystemExit(128 + number)
