"""Shared by all tests: a cache of their own, phantoms, one trained bundle, the real radiographs."""

from __future__ import annotations

import functools
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small networks; the other cores run other tests

from pneumoscope.core.recipe import Recipe, override
from pneumoscope.data.phantoms import write_phantoms

if TYPE_CHECKING:
    from pneumoscope.workflows.results import TrainResult

MadeOnce = Callable[[str, Callable[[Path], object]], Path]

SMALL = {
    "name": "small",
    "preprocess.size": 64,
    "phases.0.views": 2,
    "phases.0.epochs": 12,
    "compute.precision": "float32",
    "evaluate.resamples": 200,
    "evaluate.audit.enabled": False,
    "gate.enabled": False,
}
"""A recipe that takes seconds: small canvases, few epochs."""

AUDITED = {
    "evaluate.audit.enabled": True,
    "gate.enabled": True,
    "evaluate.audit.conditions": 40,
    "evaluate.audit.corruptions": 10,
    "evaluate.audit.saliency": 6,
}
"""On top of it: shortcuts and robustness are judged too."""

PLAINEST = {
    "model": {"backbone": "cnn3", "weights": "none"},
    "phases.0.epochs": 2,
    "phases.0.views": 1,
    "tracking.enabled": False,
}
"""On top of the small one, where any network will do: exported in a second instead of six."""


LONGEST = (
    "test_workflows", "test_fine_tuning", "test_tuning", "test_set_ups", "test_benchmarking",
    "test_zoo_export", "test_tracking_server", "test_app_browser", "test_notebook", "test_auditing",
    "test_cli", "test_registry", "test_gate_learning", "test_training", "test_agreement",
)  # fmt: skip
"""Files that take longest come first: one that begins last keeps the other processes waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; `--no-loadscope-reorder` leaves them there."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that no other run shares, and no tracking server from outside."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["PNEUMOSCOPE_CACHE"] = str(folder)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_onnx_registry() -> None:
    """torch's table of ONNX operators, read once per process: a fifth of every small training."""
    from torch.onnx._internal.exporter import _registration

    registry: Any = _registration.ONNXRegistry
    registry.from_torchlib = staticmethod(functools.cache(registry.from_torchlib))


@pytest.fixture(scope="session", autouse=True)
def one_migration(made_once: MadeOnce) -> None:
    """An empty MLflow store, made once: its migrations cost a second and a half in every test."""
    from mlflow.store.db import utils

    migrate = utils._initialize_tables

    def write(folder: Path) -> None:
        folder.mkdir()
        migrate(utils.create_sqlalchemy_engine_with_retry(f"sqlite:///{folder}/empty.db"))

    def initialize(engine: Any) -> None:
        file = Path(engine.url.database or ":memory:")
        if engine.dialect.name != "sqlite" or not file.is_file() or file.stat().st_size:
            migrate(engine)
            return
        empty = made_once("store", write) / "empty.db"
        with closing(sqlite3.connect(empty)) as source, closing(sqlite3.connect(file)) as target:
            source.backup(target)

    utils._initialize_tables = initialize


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for one test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PNEUMOSCOPE_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def made_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> MadeOnce:
    """Makes a folder by its name, in whichever of the processes that run tests comes first."""
    from filelock import FileLock

    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(name: str, write: Callable[[Path], object]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        with FileLock(root / f"{name}.lock"):
            if not done.is_file():
                write(folder)
                done.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def phantoms(made_once: MadeOnce) -> Path:
    """About 180 phantoms of 120 patients in class folders."""
    return made_once(
        "phantoms", lambda folder: write_phantoms(folder, patients=120, size=64, seed=1)
    )


@pytest.fixture(scope="session")
def small_recipe(phantoms: Path) -> Recipe:
    """The small recipe on the phantoms."""
    return override(Recipe(), {**SMALL, "data.path": str(phantoms)})


@pytest.fixture(scope="session")
def plainest_recipe(small_recipe: Recipe) -> Recipe:
    """The small recipe where any network will do."""
    return override(small_recipe, PLAINEST)


@pytest.fixture(scope="session")
def trained(small_recipe: Recipe, made_once: MadeOnce) -> TrainResult:
    """One finished, tracked and fully assessed training on phantoms."""
    from pneumoscope.workflows.results import TrainResult
    from pneumoscope.workflows.training import train

    def write(folder: Path) -> None:
        result = train(override(small_recipe, AUDITED), output=folder / "small")
        (folder / "result.json").write_text(json.dumps(asdict(result), default=str))

    facts = json.loads((made_once("runs", write) / "result.json").read_text())
    for name in ("output", "report", "bundle"):
        facts[name] = Path(facts[name])
    return TrainResult(**facts)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The real radiographs; where they are not, the test is skipped, and in CI it fails."""
    named = os.environ.get("PNEUMOSCOPE_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if folder.is_dir():
        return folder
    message = f"{folder}: no radiographs. Set PNEUMOSCOPE_DATA."
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
