"""The house rules that no linter checks."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

import pneumoscope

ROOT = Path(__file__).parents[1]
HELP = "from pneumoscope.cli.main import app\ntry: app({})\nexcept SystemExit: pass"
HEAVY = ("torch", "numpy", "polars", "matplotlib", "sklearn", "mlflow", "timm", "PIL")


def loaded_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    ["import pneumoscope", HELP.format("['--help']"), HELP.format("['train', '--help']")],
)
def test_help_and_import_load_nothing_heavy(code: str) -> None:
    assert loaded_after(code).isdisjoint(HEAVY)


def test_every_module_imports_and_is_described() -> None:
    for found in pkgutil.walk_packages(pneumoscope.__path__, "pneumoscope."):
        if not found.name.endswith("__main__"):
            assert (importlib.import_module(found.name).__doc__ or "").strip(), found.name


def test_every_exported_name_exists() -> None:
    for name in pneumoscope.__all__:
        assert getattr(pneumoscope, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = pneumoscope.absent  # type: ignore[attr-defined]


def test_modules_stay_small() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "src").rglob("*.py")
        if (lines := len(path.read_text(encoding="utf8").splitlines())) > 400
    }
    assert not long


def test_pinned_versions_cover_what_is_installed_directly() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    wanted = list(chain(project["dependencies"], *project["optional-dependencies"].values()))
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf8").splitlines()
        if "==" in line
    }
    names = {"".join(c if c.isalnum() or c in "-_." else " " for c in w).split()[0] for w in wanted}
    assert {name.lower().replace("_", "-") for name in names} <= pinned


def test_no_picture_is_committed_but_drawn_ones() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    pictures = [name for name in tracked if name.endswith((".jpeg", ".jpg", ".dcm", ".npz"))]
    assert not pictures
