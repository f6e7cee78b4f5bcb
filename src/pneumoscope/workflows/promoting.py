"""Promote: a run becomes the champion if it passes the gates, and the registry says why."""

from __future__ import annotations

import getpass
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pneumoscope.bundle.archive import ONNX, WEIGHTS, Bundle, open_bundle
from pneumoscope.core.errors import InputError, PredictionsError, StorageError
from pneumoscope.core.progress import Reporter, Silent
from pneumoscope.evaluation.comparison import Comparison, compare
from pneumoscope.evaluation.predictions import Predictions, load_predictions, read_table
from pneumoscope.tracking.models import Version, check_name, fetch_file
from pneumoscope.tracking.offline import store_of, sync
from pneumoscope.tracking.promotion import BYTES, current_champion, set_champion
from pneumoscope.tracking.stores import Store
from pneumoscope.workflows.verdict_gate import Gate, verdict_gate

METRIC = "auc"
"""What champion and challenger are compared by, with DeLong's test."""

_FILES = ("recipe.yaml", "metrics.json", "predictions.parquet", "bundle")
_PREDICTIONS = "predictions.parquet"
_MODEL_ID = "pneumoscope.model_id"
_OVERRIDE = "pneumoscope.override"


@dataclass(frozen=True)
class PromoteResult:
    """What promoting did.

    Attributes:
        name: The registered model.
        version: Its version that is champion now.
        uri: The store's address without credentials.
        gates: What was asked, and what was found.
        override: Why gates were passed over, None where all were passed.
        replaced: The version that was champion before, None where there was none or it is the same.
        changed: Whether another version is champion now.
    """

    name: str
    version: int
    uri: str
    gates: tuple[Gate, ...]
    override: str | None
    replaced: int | None
    changed: bool


def promote(
    run: str | Path,
    *,
    name: str,
    override: str | None = None,
    uri: str | None = None,
    who: str | None = None,
    reporter: Reporter | None = None,
) -> PromoteResult:
    """Make a run's model the champion of this name.

    The gates: no red verdict in its assessment, and none left out because the recipe did not ask;
    and on the same test images, significantly better than the present champion, or a statistical
    tie with a smaller bundle.

    Args:
        run: A folder that `train` wrote.
        name: Of the registered model.
        override: A reason to promote although a gate is not passed; it is kept in the registry.
        uri: The store; default `MLFLOW_TRACKING_URI`, else the one the run was begun in, else the
            SQLite store beside the run (of a benchmark's or study's run, beside that).
        who: Kept in the registry; default the tracking user, else the account.
        reporter: Shown what happens.

    Raises:
        InputError: no run folder, or a gate is not passed.
        StorageError: the store cannot be reached or refuses.

    Example:
        ps.promote("runs/first", name="pneumonia").gates
    """
    run, shown = Path(run), reporter or Silent()
    _require_run(run)
    check_name(name)
    if override is not None and not override.strip():
        raise InputError("--override '': is no reason. Say why the gates may be passed over.")
    store = store_of(run, uri)
    bundle = open_bundle(run / "bundle")
    champion = current_champion(store, name)
    if champion is not None and champion.tags.get(_MODEL_ID) == bundle.model_id:
        shown.say(f"{name}: version {champion.number} is this model and is champion already.")
        return PromoteResult(name, champion.number, store.shown, (), None, None, changed=False)
    gates = (verdict_gate(run), _champion_gate(run, store, champion, _bundle_bytes(bundle.files)))
    _require_passed(run, gates, override, shown)
    told = sync(run, uri=store.uri, reporter=shown)[0]
    failed = any(not gate.passed for gate in gates)
    reason = override if failed else None
    facts = _facts(bundle, gates, reason)
    why = "; ".join(gate.sentence for gate in gates) + (f"; override: {reason}" if failed else "")
    version = set_champion(
        store, name, told.run_id, who=who or _account(), why=why, about=_about(run, bundle),
        facts=facts,
    )  # fmt: skip
    shown.say(f"{name}: version {version.number} is champion: {why}.")
    return PromoteResult(
        name=name,
        version=version.number,
        uri=store.shown,
        gates=gates,
        override=reason,
        replaced=champion.number if champion and champion.number != version.number else None,
        changed=True,
    )


def _facts(bundle: Bundle, gates: Sequence[Gate], override: str | None) -> dict[str, str]:
    """What the registry keeps with a version: which model, how large, and how it passed."""
    return {
        _MODEL_ID: bundle.model_id,
        BYTES: str(_bundle_bytes(bundle.files)),
        **{f"pneumoscope.gate.{gate.name}": gate.sentence for gate in gates},
        **({} if override is None else {_OVERRIDE: override}),
    }


def _about(run: Path, bundle: Bundle) -> str:
    """What the model is, and how good, in a line of Markdown."""
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf8"))
    spec, auc = bundle.spec, metrics[METRIC]
    ends = "" if auc["low"] is None else f" ({auc['low']:.3f} to {auc['high']:.3f})"
    value = "not defined" if auc["value"] is None else f"{auc['value']:.3f}{ends}"
    return (
        f"Chest radiographs: {' or '.join(spec.labels)}. Network `{spec.model.backbone}`, canvas "
        f"{spec.preprocess['size']}; test AUC {value} on `{metrics['data']}`."
    )


def _require_run(run: Path) -> None:
    missing = [name for name in _FILES if not (run / name).exists()]
    if missing:
        raise InputError(
            f"{run}: {missing[0]} is missing, so this is no training. Give a folder train wrote."
        )


def _require_passed(
    run: Path, gates: Sequence[Gate], override: str | None, reporter: Reporter
) -> None:
    failed = [gate for gate in gates if not gate.passed]
    if failed and override is None:
        found = "; ".join(gate.sentence for gate in failed)
        remedies = ". ".join(dict.fromkeys(gate.remedy for gate in failed))
        raise InputError(
            f"{run}: not promoted: {found}. {remedies}, or say why it may be champion all the "
            'same: --override "reason".'
        )
    for gate in failed:
        reporter.warn(f"passed over by override: {gate.sentence}.")


def _champion_gate(run: Path, store: Store, champion: Version | None, size: int) -> Gate:
    """Better than the champion on the same test images, or as good and smaller."""
    if champion is None:
        return Gate("champion", passed=True, sentence="there was no champion")
    before = f"champion (version {champion.number})"
    try:
        found = _compared(run, store, champion, before)
    except (PredictionsError, StorageError) as error:
        reason = str(error).rstrip(".")
        sentence = f"cannot be compared with the {before} ({reason})"
        return Gate("champion", passed=False, sentence=sentence)
    words = found.words()
    if found.verdict == "better":
        return Gate("champion", passed=found.better != before, sentence=words)
    if found.verdict == "undecided":
        return Gate("champion", passed=False, sentence=words)
    return _smaller(words, size, int(champion.tags.get(BYTES, 0)))


def _smaller(words: str, size: int, before: int) -> Gate:
    sizes = f"{size / 1e6:.1f} MB against {before / 1e6:.1f} MB"
    passed = size < before
    verb = "and smaller" if passed else "and not smaller"
    return Gate("champion", passed=passed, sentence=f"{words}, {verb}: {sizes}")


def _compared(run: Path, store: Store, champion: Version, name: str) -> Comparison:
    challenger = read_table(load_predictions(run / _PREDICTIONS))
    with tempfile.TemporaryDirectory(prefix="pneumoscope-") as folder:
        file = fetch_file(store, champion.run_id, _PREDICTIONS, Path(folder))
        before = _in_order(read_table(load_predictions(file)), challenger.labels)
    return compare({run.name: challenger, name: before}, metrics=(METRIC,))[0]


def _in_order(model: Predictions, labels: tuple[str, ...]) -> Predictions:
    """The same predictions with their labels in another's order."""
    if model.labels == labels or sorted(model.labels) != sorted(labels):
        return model
    places = [model.labels.index(label) for label in labels]
    return replace(
        model,
        labels=labels,
        truth=_positions(places)[model.truth],
        logits=model.logits[:, places],
        probabilities=model.probabilities[:, places],
    )


def _positions(places: Sequence[int]) -> Any:
    import numpy as np

    return np.argsort(np.asarray(places))


def _bundle_bytes(files: Mapping[str, bytes]) -> int:
    return len(files[ONNX]) + len(files[WEIGHTS])


def _account() -> str:
    if named := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        return named
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
