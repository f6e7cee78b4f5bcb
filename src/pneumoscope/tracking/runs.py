"""One training, one MLflow run: parameters, live metrics, and the finished run folder.

Tracking is a witness, never a reason to fail: what the store refuses becomes one warning, and the
run folder on disk stays complete by itself (`sync` tells the store later). Only a login that is
refused at the very start is an error: whoever named a server and a password wants to know now.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pneumoscope.core.errors import InputError
from pneumoscope.core.progress import Reporter
from pneumoscope.core.recipe import Recipe, dump_recipe
from pneumoscope.tracking import writing
from pneumoscope.tracking.contents import content_key
from pneumoscope.tracking.naming import (
    CONTENT_TAG,
    RUN_TAG,
    finite,
    flatten,
    legal_tags,
    provenance_tags,
    result_metrics,
)
from pneumoscope.tracking.record import (
    DataInput,
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


class TrackedRun:
    """A run in an MLflow store and in its record; every call is safe, whatever the store does.

    Args:
        record: Takes everything that is told; None where tracking is off.
        client: An MLflow client, None where there is no store to tell.
        reporter: Told once if the store refuses.
        memory: Folder in which the record is kept while the run lasts, so that a run that was
            killed goes on as the same one.
        scalars: Also takes every metric, as name, value, step.
    """

    def __init__(
        self,
        record: Record | None,
        client: Any,
        reporter: Reporter,
        *,
        memory: Path | None = None,
        scalars: Callable[[str, float, int], None] | None = None,
    ) -> None:
        self._record = record
        self._client = client
        self._reporter = reporter
        self._memory = memory
        self._scalars = scalars
        self._folder: Path | None = None
        self._lock = threading.RLock()

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
        return Parent(found.key, found.run_id, found.name) if found else None

    def log_params(self, params: Recipe | Mapping[str, object]) -> None:
        """Every field, flattened to dotted names; a recipe also as `recipe.yaml`."""
        recipe = params if isinstance(params, Recipe) else None
        flat = flatten(recipe.model_dump(mode="json") if recipe else params)
        if self._record:
            self._record.params |= flat
        self._safely(lambda client, run: writing.send_params(client, run, flat))
        if recipe:
            text = dump_recipe(recipe)
            self._safely(lambda client, run: client.log_text(run, text, "recipe.yaml"))

    def log_metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        """Numbers at a step; what is not finite is left out."""
        time = now()
        points = [Point(name, value, time, step) for name, value in finite(values).items()]
        with self._lock:
            if self._record:
                self._record.metrics += points
            if self._scalars:
                for point in points:
                    self._scalars(point.name, point.value, step)
            self._safely(lambda client, run: writing.send_metrics(client, run, points))
            self._remember()

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
            self._record.inputs += inputs
        self._safely(lambda client, run: writing.send_inputs(client, run, inputs))

    def log_folder(self, folder: Path) -> None:
        """Every file of the finished run folder as artefacts, its bundle as the run's model.

        The record is written into the folder, now and once more when the run ends.
        """
        self._folder = folder
        if self._record:
            self._record.tags |= {CONTENT_TAG: content_key(folder)}
            self._record.save(folder)
            self.set_tags({CONTENT_TAG: content_key(folder)})
        self._safely(lambda client, run: writing.send_folder(client, run, folder))
        if (folder / writing.BUNDLE).is_dir():
            bundle = folder / writing.BUNDLE
            self._safely(lambda client, run: writing.send_model(client, run, bundle))

    def end(self, status: str) -> None:
        """Close the run as `FINISHED`, `FAILED` or `KILLED`, and write its record once more."""
        record = self._record
        if record is None:
            return
        record.status, record.ended = status, now()
        whole = self._folder is not None and status == "FINISHED"
        self._safely(lambda client, run: writing.finish(client, run, record, whole=whole))
        record.complete = whole and self._client is not None
        if self._folder is not None and self._folder.is_dir():
            record.save(self._folder)
        self._remember()

    def _remember(self) -> None:
        if self._record and self._memory and self._memory.is_dir():
            self._record.save(self._memory)

    def _safely(self, act: Callable[[Any, str], object]) -> None:
        """Tell the store; after its first refusal, only the record is told."""
        with self._lock:
            if self._client is None or self._record is None or self._record.run_id is None:
                return
            try:
                act(self._client, self._record.run_id)
            except Exception as error:  # noqa: BLE001 - whatever the store does, training goes on
                self._client = None
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
    parent: Parent | None = None,
    name: str | None = None,
    kind: str = "train",
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
        parent: The run this one belongs to (`TrackedRun.parent`).
        name: As shown; default the recipe's.
        kind: `train`, `benchmark`, `tune`.
        memory: Folder that remembers the run until it is finished; a run remembered there goes on.
        scalars: Also takes every metric, as name, value, step.

    Raises:
        StorageError: the server named by `MLFLOW_TRACKING_URI` refuses the login.
    """
    with ExitStack() as stack:
        stack.enter_context(quiet())
        record = Record(
            name=name or recipe.name,
            experiment=experiment_name(recipe.tracking.experiment, inputs),
            kind=kind,
            tags=legal_tags({**provenance_tags(), **tags}),
            parent=parent,
        )
        begun = _start(recipe, record, store, memory, reporter)
        run = TrackedRun(*begun, reporter, memory=memory, scalars=scalars)
        try:
            run.log_params(recipe)
            run.log_inputs(inputs)
            with sampling(lambda values, number: run.log_metrics(values, step=number)):
                yield run
        except BaseException as error:
            run.end("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        run.end("FINISHED")


def experiment_name(prefix: str, inputs: Sequence[DataInput]) -> str:
    """One experiment per data: `<prefix>/<name>@<fingerprint>`, or the prefix without data."""
    return f"{prefix}/{inputs[0].name}@{inputs[0].digest}"[:500] if inputs else prefix


def _start(
    recipe: Recipe, record: Record, folder: Path, memory: Path | None, reporter: Reporter
) -> tuple[Record | None, Any]:
    """The record to keep, and a client where there is a store to tell."""
    if not recipe.tracking.enabled:
        return None, None
    record = _remembered(record, memory)
    if not has_mlflow():
        record.lost = "MLflow is missing"
        reporter.warn(
            "the run is not tracked: MLflow is missing (pip install pneumoscope[tracking])."
        )
        return record, None
    store = choose_store(None, folder)
    try:
        client = store.client()
        _open(client, store, record)
    except Exception as error:
        if refuses_login(error):
            raise refusal(store, error) from error
        record.uri, record.lost = store.shown, reason(error)
        reporter.warn(
            f"the run is not tracked: {store.shown} refuses ({reason(error)}). Later, pneumoscope "
            "sync FOLDER tells it."
        )
        return record, None
    return record, client


def _remembered(record: Record, memory: Path | None) -> Record:
    """The record of the run that was begun and not finished, else the new one."""
    try:
        found = load_record(memory) if memory else None
    except InputError:
        found = None
    if found is None or found.experiment != record.experiment:
        return record
    found.status, found.ended, found.lost = "RUNNING", None, None
    return found


def _open(client: Any, store: Store, record: Record) -> None:
    """Begin the run, or go on with it where the store already has it."""
    experiment = store.experiment(client, record.experiment)
    known = find_run(client, experiment, record.key) if record.run_id else None
    if known is None:
        parent = _parent_in(client, experiment, record.parent)
        record.run_id = writing.begin(client, experiment, record, parent=parent)
    else:
        record.run_id = known
        client.update_run(known, status="RUNNING")
    record.uri = store.shown


def find_run(client: Any, experiment_id: str, key: str, content: str | None = None) -> str | None:
    """The id of the run of this key, else of this content."""
    wanted = {RUN_TAG: key} | ({CONTENT_TAG: content} if content else {})
    for name, value in wanted.items():
        found = client.search_runs([experiment_id], f"tags.`{name}` = '{value}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
    return None


def _parent_in(client: Any, experiment_id: str, parent: Parent | None) -> str | None:
    if parent is None:
        return None
    return parent.run_id or find_run(client, experiment_id, parent.key)
