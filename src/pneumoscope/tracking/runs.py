"""One training, one MLflow run: parameters, live metrics, and the finished run folder.

Tracking is a witness, never a reason to fail: what the store refuses becomes one warning, and the
run folder on disk stays complete by itself (`sync` tells the store later). Only a login that is
refused at the very start is an error: whoever named a server and a password wants to know now.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from pneumoscope.core.errors import InputError
from pneumoscope.core.progress import Reporter
from pneumoscope.core.recipe import Recipe, dump_recipe
from pneumoscope.tracking import writing
from pneumoscope.tracking.contents import content_key
from pneumoscope.tracking.naming import (
    COMPLETE_TAG,
    CONTENT_TAG,
    finite,
    flatten,
    legal_tags,
    provenance_tags,
    result_metrics,
)
from pneumoscope.tracking.record import (
    DataInput,
    Identity,
    Parent,
    Point,
    Record,
    load_record,
    now,
)
from pneumoscope.tracking.stores import (
    Store,
    choose_store,
    has_mlflow,
    quiet,
    reason,
    refusal,
    refuses_login,
)
from pneumoscope.tracking.system import sampling
from pneumoscope.tracking.telling import adopt, parent_in, tell_run

_SYSTEM = "system/"


class Line(NamedTuple):
    """A store that answers."""

    store: Store
    client: Any


class TrackedRun:
    """A run in an MLflow store and in its record; every call is safe, whatever the store does.

    Args:
        record: Takes everything that is told; None where tracking is off.
        line: To the store, None where there is none to tell.
        reporter: Told once if the store refuses.
        memory: Folder in which the record is kept while the run lasts, so that a run that was
            killed goes on as the same one.
        scalars: Also takes every metric, as name, value, step.
    """

    def __init__(
        self,
        record: Record | None,
        line: Line | None,
        reporter: Reporter,
        *,
        memory: Path | None = None,
        scalars: Callable[[str, float, int], None] | None = None,
    ) -> None:
        self._record = record
        self._line = line
        self._reporter = reporter
        self._memory = memory
        self._scalars = scalars
        self._folder: Path | None = None
        self._lock = threading.RLock()
        self._known = {(p.name, p.step): p.value for p in record.metrics} if record else {}

    @property
    def run_id(self) -> str | None:
        """The run in its store, None where it never began there."""
        return self._record.run_id if self._record else None

    @property
    def uri(self) -> str | None:
        """The store's address without credentials."""
        return self._record.uri if self._record and self._record.run_id else None

    @property
    def parent(self) -> Parent | None:
        """What the children of this run name as their parent."""
        found = self._record
        if found is None:
            return None
        return Parent(found.key, found.run_id, found.name, found.experiment, found.uri)

    @property
    def samples(self) -> int:
        """How often the machine was looked at before, where the run goes on."""
        steps = [step for name, step in self._known if name.startswith(_SYSTEM)]
        return 1 + max(steps, default=-1)

    def log_params(self, params: Recipe | Mapping[str, object]) -> None:
        """Every field, flattened to dotted names; a recipe also as `recipe.yaml`.

        What a run that goes on was told before stays, as stores ask for.
        """
        recipe = params if isinstance(params, Recipe) else None
        flat = flatten(recipe.model_dump(mode="json") if recipe else params)
        if self._record:
            flat |= self._record.params
            self._record.params = flat
        self._safely(lambda client, run: writing.send_params(client, run, flat))
        if recipe:
            text = dump_recipe(recipe)
            self._safely(lambda client, run: client.log_text(run, text, "recipe.yaml"))

    def log_metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        """Numbers at a step; what is not finite, or was told before, is left out."""
        time = now()
        with self._lock:
            points = [
                Point(name, value, time, step)
                for name, value in finite(values).items()
                if self._known.get((name, step)) != value
            ]
            self._known |= {(point.name, step): point.value for point in points}
            if self._record:
                self._record.metrics += points
            if self._scalars:
                for point in points:
                    self._scalars(point.name, point.value, step)
            self._safely(lambda client, run: writing.send_metrics(client, run, points))
            self.remember()

    def log_results(self, metrics: Mapping[str, object]) -> None:
        """Value and interval of every defined metric of a `metrics.json`."""
        self.log_metrics(result_metrics(metrics))

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Names and values kept with the run; the same name again replaces the value."""
        legal = legal_tags(tags)
        if self._record:
            self._record.tags |= legal
        self._safely(lambda client, run: writing.send_tags(client, run, legal))

    def log_inputs(self, inputs: Sequence[DataInput]) -> None:
        """Data that went in."""
        if self._record:
            self._record.inputs += [one for one in inputs if one not in self._record.inputs]
        self._safely(lambda client, run: writing.send_inputs(client, run, inputs))

    def log_folder(self, folder: Path) -> None:
        """Every file of the finished run folder as artefacts, its bundle as the run's model.

        The record is written into the folder, now and once more when the run ends.
        """
        self._folder = folder
        if record := self._record:
            self.set_tags({CONTENT_TAG: content_key(folder)})
            record.save(folder)
            self._safely(lambda client, run: writing.send_folder(client, run, folder, record))
        if (folder / writing.BUNDLE).is_dir():
            bundle = folder / writing.BUNDLE
            self._safely(lambda client, run: writing.send_model(client, run, bundle))

    def log_child(self, child: Record, folder: Path) -> None:
        """A run that has ended, as a child of this one: kept in `folder`, and told to the store."""
        child.save(folder)
        line = self._line
        if line is not None:
            self._safely(lambda client, _: tell_run(client, line.store, folder, child))

    def end(self, status: str) -> None:
        """Close the run as `FINISHED`, `FAILED` or `KILLED`, and write its record once more."""
        record = self._record
        if record is None:
            return
        record.status, record.ended = status, now()
        whole = self._folder is not None and status == "FINISHED"
        self._safely(lambda client, run: writing.finish(client, run, record, whole=whole))
        record.complete = whole and self._line is not None
        if self._folder is not None and self._folder.is_dir():
            record.save(self._folder)
        self.remember()

    def remember(self) -> None:
        """Keep the record where a run that was killed finds it."""
        if self._record and self._memory and self._memory.is_dir():
            self._record.save(self._memory)

    def _safely(self, act: Callable[[Any, str], object]) -> None:
        """Tell the store; after its first refusal, only the record is told."""
        with self._lock:
            if self._line is None or self._record is None or self._record.run_id is None:
                return
            try:
                act(self._line.client, self._record.run_id)
            except Exception as error:  # noqa: BLE001 - whatever the store does, training goes on
                self._line = None
                self._record.lost = reason(error)
                self._reporter.warn(
                    f"tracking stopped ({reason(error)}); the run folder will be complete: "
                    "pneumoscope sync FOLDER tells the store later."
                )


@contextmanager
def tracked_run(
    recipe: Recipe,
    *,
    store: Path,
    tags: Mapping[str, str],
    reporter: Reporter,
    inputs: Sequence[DataInput] = (),
    identity: Identity | None = None,
    memory: Path | None = None,
    scalars: Callable[[str, float, int], None] | None = None,
) -> Iterator[TrackedRun]:
    """A run that ends as `FINISHED`, or as `FAILED` / `KILLED` when the block is left by an error.

    Args:
        recipe: Its parameters and the prefix of the experiment.
        store: Folder of the local SQLite store, used unless `MLFLOW_TRACKING_URI` is set.
        tags: Names and values kept with the run.
        reporter: Told where the run is kept, or why it is not.
        inputs: Data that go in; the first names the experiment, `<prefix>/<name>@<digest>`.
        identity: Which run it is; default a new one of the recipe's name. A child goes where its
            parent is.
        memory: Folder that remembers the run until it is finished; a run remembered there goes on.
        scalars: Also takes every metric, as name, value, step.

    Raises:
        StorageError: the server named by `MLFLOW_TRACKING_URI` refuses the login.
    """
    with quiet():
        which = identity or Identity()
        new = _remembered(_new_record(recipe, which, tags, inputs), which, memory)
        begun = _start(recipe, new, store, reporter)
        run = TrackedRun(*begun, reporter, memory=memory, scalars=scalars)
        try:
            run.log_params(recipe)
            run.log_inputs(inputs)
            run.remember()
            with _watching(run, new.kind):
                yield run
        except BaseException as error:
            run.end("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        run.end("FINISHED")


def _watching(run: TrackedRun, kind: str) -> AbstractContextManager[None]:
    """The machine is looked at by those who work; parents wait for their children."""
    if kind != "train":
        return nullcontext()
    return sampling(lambda values, at: run.log_metrics(values, step=at), run.samples)


def _new_record(
    recipe: Recipe, identity: Identity, tags: Mapping[str, str], inputs: Sequence[DataInput]
) -> Record:
    name, parent = identity.name or recipe.name, identity.parent
    record = Record(
        name=name,
        experiment=experiment_name(recipe.tracking.experiment, inputs),
        kind=identity.kind,
        tags=legal_tags({**provenance_tags(), **tags}),
        parent=parent,
    )
    if parent is not None:
        record.key = parent.key_of(name)
        record.experiment = parent.experiment or record.experiment
    record.key = identity.key or record.key
    return record


def experiment_name(prefix: str, inputs: Sequence[DataInput]) -> str:
    """One experiment per data: `<prefix>/<name>@<fingerprint>`, or the prefix without data."""
    return f"{prefix}/{inputs[0].name}@{inputs[0].digest}"[:500] if inputs else prefix


def _start(
    recipe: Recipe, record: Record, folder: Path, reporter: Reporter
) -> tuple[Record | None, Line | None]:
    """The record to keep, and a line to the store where there is one to tell."""
    if not recipe.tracking.enabled:
        return None, None
    store = _store_for(record, folder)
    record.uri = store.shown
    if not has_mlflow():
        record.lost = "MLflow is missing"
        reporter.warn(
            "the run is not tracked: MLflow is missing (pip install pneumoscope[tracking])."
        )
        return record, None
    try:
        client = store.client()
        _open(client, store, record)
    except Exception as error:
        if refuses_login(error):
            raise refusal(store, error) from error
        record.lost = reason(error)
        reporter.warn(
            f"the run is not tracked: {store.shown} refuses ({reason(error)}). Later, pneumoscope "
            "sync FOLDER tells it."
        )
        return record, None
    return record, Line(store, client)


def _store_for(record: Record, folder: Path) -> Store:
    """A child's is its parent's; credentials are never in a record, so a server is asked anew."""
    kept = record.parent.uri if record.parent else None
    local = kept if kept and kept.startswith("sqlite:") else None
    return choose_store(os.environ.get("MLFLOW_TRACKING_URI") or local, folder)


def _remembered(record: Record, identity: Identity, memory: Path | None) -> Record:
    """The record of the run that was begun and not finished, else the new one.

    Where the run's key is fixed, a record of another key is of another run.
    """
    try:
        found = load_record(memory) if memory else None
    except InputError:
        found = None
    if found is None or found.experiment != record.experiment:
        return record
    fixed = identity.key is not None or record.parent is not None
    if fixed and found.key != record.key:
        return record
    found.status, found.ended, found.lost, found.complete = "RUNNING", None, None, False
    found.parent, found.tags = record.parent, found.tags | record.tags
    return found


def _open(client: Any, store: Store, record: Record) -> None:
    """Begin the run, or go on with it where the store already has it."""
    experiment = store.experiment(client, record.experiment)
    known = writing.find_run(client, experiment, record.key)
    if known is None:
        parent = parent_in(client, experiment, record.parent)
        record.run_id = writing.begin(client, experiment, record, parent=parent)
    else:
        record.run_id = known
        client.update_run(known, status="RUNNING")
        client.set_tag(known, COMPLETE_TAG, "false")
        adopt(client, experiment, known, record.parent)
    if record.params:  # remembered: the store may have been away
        writing.catch_up(client, record.run_id, record)
