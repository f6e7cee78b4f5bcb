"""Export: the bundle of a finished run again, in another precision, if it is as good."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pneumoscope.bundle.archive import ONNX, Bundle, open_bundle
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.bundle.quantise import quantised
from pneumoscope.bundle.spec import Parity
from pneumoscope.core.errors import ExportError, InputError
from pneumoscope.core.progress import Reporter, Silent
from pneumoscope.core.recipe import Recipe, load_recipe, override
from pneumoscope.core.types import PixelBatch
from pneumoscope.data.catalogue import fingerprint
from pneumoscope.evaluation.comparison import compare
from pneumoscope.evaluation.intervals import Interval
from pneumoscope.evaluation.predictions import Predictions, read_table
from pneumoscope.workflows.answering import predict_rows
from pneumoscope.workflows.exporting import fitted, rows_of
from pneumoscope.workflows.prepare import Prepared, prepare_split

TOLERANCE = 0.005
_EXAMPLES = 256


@dataclass(frozen=True)
class Reexported:
    """A bundle in another precision.

    Attributes:
        bundle: Where it was written.
        precision: It is computed in.
        difference: Of the AUC on the validation split, new less float32, paired.
        probability: Largest absolute difference of a calibrated probability there.
        bytes: Of the graph, before and after.
    """

    bundle: Path
    precision: str
    difference: Interval
    probability: float
    bytes: tuple[int, int]


def reexport(
    run: str | Path,
    *,
    precision: str,
    output: str | Path,
    data: str | Path | None = None,
    tolerance: float = TOLERANCE,
    reporter: Reporter | None = None,
) -> Reexported:
    """Write the run's bundle in another precision, with calibration and rules fitted for it.

    It is accepted where the AUC on the validation split (the test split stays sealed) is surely
    not worse by `tolerance`: the lower end of the paired interval lies above.

    Args:
        run: Folder that `train` wrote.
        precision: `bfloat16` or `int8`.
        output: Folder for the bundle.
        data: The images, where they are no longer where the recipe says.
        tolerance: Of the AUC.
        reporter: Shown what happens.

    Raises:
        InputError: the folder is no run, or the data are not those it was trained on.
        ExportError: the graph cannot be made, or is worse.

    Example:
        ps.export("runs/first", precision="int8", output="runs/first-int8").difference
    """
    run, output, shown = Path(run), Path(output), reporter or Silent()
    bundle, recipe = open_bundle(run / "bundle"), _recipe(run, data)
    prepared, _ = prepare_split(recipe, reporter=shown)
    if fingerprint(prepared.catalogue) != bundle.spec.training.fingerprint:
        raise InputError(
            f"{recipe.data.path}: is not what {run} was trained on. Name that folder with --data."
        )
    validation = rows_of(prepared.catalogue, "validation")
    shown.say(f"Exporting in {precision}; compared on {validation.height} validation images.")
    plain = _in_precision(bundle, precision, _examples(prepared))
    other = fitted(plain, recipe, prepared, reporter=shown)
    answers = {
        name: read_table(
            predict_rows(
                Predictor(one, gated=False), prepared.pixels, validation, reporter=shown
            ).table
        )
        for name, one in (("float32", bundle), (precision, other))
    }
    difference = _difference(answers, precision, recipe)
    if not difference.low > -tolerance:
        raise ExportError(
            f"{precision}: the AUC on the validation split changes by {difference.value:.4f} "
            f"({difference.low:.4f} to {difference.high:.4f}); allowed: a lower end above "
            f"-{tolerance:g}. Keep float32, or allow more with --tolerance."
        )
    parity = _parity(answers["float32"], answers[precision])
    other.revised(parity=parity).save(output)
    sizes = (len(bundle.files[ONNX]), len(other.files[ONNX]))
    return Reexported(output, precision, difference, parity.probabilities, sizes)


def _recipe(run: Path, data: str | Path | None) -> Recipe:
    """The run's recipe, with the very split that it made."""
    split = run / "split.parquet"
    if not split.is_file():
        raise InputError(f"{run}: holds no split.parquet. Give a folder that train wrote.")
    changes: dict[str, object] = {"split.file": str(split)}
    if data is not None:
        changes["data.path"] = str(data)
    return override(load_recipe(run / "recipe.yaml"), changes)


def _examples(prepared: Prepared) -> PixelBatch:
    """Training images, evenly from all: what activations look like."""
    ids = rows_of(prepared.catalogue, "train")["image_id"].to_list()
    chosen = ids[:: max(1, len(ids) // _EXAMPLES)][:_EXAMPLES]
    return prepared.pixels.pixels(chosen)


def _in_precision(bundle: Bundle, precision: str, examples: PixelBatch) -> Bundle:
    if bundle.spec.precision != "float32":
        raise ExportError(
            f"the run's bundle is {bundle.spec.precision}; allowed: float32. Give the run itself."
        )
    if precision == "int8":
        bundle = bundle.with_file(ONNX, quantised(bundle.files[ONNX], examples))
    return bundle.revised(precision=precision)


def _difference(answers: dict[str, Predictions], precision: str, recipe: Recipe) -> Interval:
    (row,) = compare(
        {"float32": answers["float32"], precision: answers[precision]},
        metrics=("auc",),
        resamples=recipe.evaluate.resamples,
        seed=recipe.seed,
        reference="float32",
    )
    return row.difference


def _parity(before: Predictions, after: Predictions) -> Parity:
    return Parity(
        images=before.n_images,
        logits=float(np.abs(before.logits - after.logits).max()),
        probabilities=float(np.abs(before.probabilities - after.probabilities).max()),
    )
