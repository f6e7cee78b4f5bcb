"""Shared by all tests: a cache of their own, phantoms, one trained bundle, the real radiographs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small networks; the other cores run other tests

from pneumoscope.core.recipe import Recipe, override
from pneumoscope.data.phantoms import write_phantoms

if TYPE_CHECKING:
    from pneumoscope.workflows.results import TrainResult

SMALL = {
    "name": "small",
    "preprocess.size": 64,
    "phases.0.views": 2,
    "phases.0.epochs": 12,
    "compute.precision": "float32",
    "evaluate.resamples": 200,
    "evaluate.audit.enabled": False,
}
"""A recipe that takes seconds: small canvases, few epochs."""

AUDITED = {
    "evaluate.audit.enabled": True,
    "evaluate.audit.conditions": 40,
    "evaluate.audit.corruptions": 10,
    "evaluate.audit.saliency": 6,
}
"""On top of it: shortcuts and robustness are judged too."""


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that no other run shares, and no tracking server from outside."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["PNEUMOSCOPE_CACHE"] = str(folder)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    return folder


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for one test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PNEUMOSCOPE_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 180 phantoms of 120 patients in class folders."""
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    write_phantoms(folder, patients=120, size=64, seed=1)
    return folder


@pytest.fixture(scope="session")
def small_recipe(phantoms: Path) -> Recipe:
    """The small recipe on the phantoms."""
    return override(Recipe(), {**SMALL, "data.path": str(phantoms)})


@pytest.fixture(scope="session")
def trained(small_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """One finished, tracked and fully assessed training on phantoms."""
    from pneumoscope.workflows.training import train

    return train(override(small_recipe, AUDITED), output=tmp_path_factory.mktemp("runs") / "small")


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
