"""Pneumoscope: from a folder of radiographs to a classifier you can defend.

The names below are stable: they are what programs and notebooks build upon. They are loaded when
first used; `import pneumoscope` alone loads nothing heavy.

>>> import pneumoscope as ps
>>> ps.override(ps.Recipe(), {"model.backbone": "resnet18"}).model.backbone
'resnet18'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pneumoscope._version import __version__

if TYPE_CHECKING:
    from pneumoscope.bundle.archive import Bundle
    from pneumoscope.bundle.prediction import GateVerdict, PointDecision, Prediction
    from pneumoscope.bundle.predictor import Predictor
    from pneumoscope.core.errors import PneumoscopeError
    from pneumoscope.core.progress import Reporter
    from pneumoscope.core.recipe import Recipe, load_recipe, override, save_recipe
    from pneumoscope.core.recipe.space import Space, load_space
    from pneumoscope.data.phantoms import write_phantoms
    from pneumoscope.imaging.overlay import overlay
    from pneumoscope.imaging.radiograph import Radiograph, read_radiograph
    from pneumoscope.workflows.auditing import AuditResult, audit
    from pneumoscope.workflows.benchmark.run import BenchmarkResult, benchmark
    from pneumoscope.workflows.bundles import load_bundle
    from pneumoscope.workflows.comparing import CompareResult
    from pneumoscope.workflows.comparing import compare_runs as compare
    from pneumoscope.workflows.demonstration import demo
    from pneumoscope.workflows.estimator import RadiographClassifier
    from pneumoscope.workflows.evaluation import evaluate
    from pneumoscope.workflows.prediction import Answered, predict
    from pneumoscope.workflows.promoting import PromoteResult, promote
    from pneumoscope.workflows.recomputing import Recomputed, recompute
    from pneumoscope.workflows.reexporting import Reexported
    from pneumoscope.workflows.reexporting import reexport as export
    from pneumoscope.workflows.results import EvaluateResult, TrainResult
    from pneumoscope.workflows.segmenting import SegmentResult, segment
    from pneumoscope.workflows.showing import show_augmentation
    from pneumoscope.workflows.syncing import Synced, sync
    from pneumoscope.workflows.training import train
    from pneumoscope.workflows.tuning.plan import Search
    from pneumoscope.workflows.tuning.run import TuneResult, tune

__all__ = [
    "Answered",
    "AuditResult",
    "BenchmarkResult",
    "Bundle",
    "CompareResult",
    "EvaluateResult",
    "GateVerdict",
    "PneumoscopeError",
    "PointDecision",
    "Prediction",
    "Predictor",
    "PromoteResult",
    "Radiograph",
    "RadiographClassifier",
    "Recipe",
    "Recomputed",
    "Reexported",
    "Reporter",
    "Search",
    "SegmentResult",
    "Space",
    "Synced",
    "TrainResult",
    "TuneResult",
    "__version__",
    "audit",
    "benchmark",
    "compare",
    "demo",
    "evaluate",
    "export",
    "load_bundle",
    "load_recipe",
    "load_space",
    "overlay",
    "override",
    "predict",
    "promote",
    "read_radiograph",
    "recompute",
    "save_recipe",
    "segment",
    "show_augmentation",
    "sync",
    "train",
    "tune",
    "write_phantoms",
]

_HOMES = {
    "bundle.archive": ("Bundle",),
    "bundle.prediction": ("GateVerdict", "PointDecision", "Prediction"),
    "bundle.predictor": ("Predictor",),
    "core.errors": ("PneumoscopeError",),
    "core.progress": ("Reporter",),
    "core.recipe": ("Recipe", "load_recipe", "override", "save_recipe"),
    "core.recipe.space": ("Space", "load_space"),
    "data.phantoms": ("write_phantoms",),
    "imaging.overlay": ("overlay",),
    "imaging.radiograph": ("Radiograph", "read_radiograph"),
    "workflows.auditing": ("AuditResult", "audit"),
    "workflows.benchmark.run": ("BenchmarkResult", "benchmark"),
    "workflows.bundles": ("load_bundle",),
    "workflows.comparing": ("CompareResult", "compare"),
    "workflows.demonstration": ("demo",),
    "workflows.estimator": ("RadiographClassifier",),
    "workflows.evaluation": ("evaluate",),
    "workflows.prediction": ("Answered", "predict"),
    "workflows.promoting": ("PromoteResult", "promote"),
    "workflows.recomputing": ("Recomputed", "recompute"),
    "workflows.reexporting": ("Reexported", "export"),
    "workflows.results": ("EvaluateResult", "TrainResult"),
    "workflows.segmenting": ("SegmentResult", "segment"),
    "workflows.showing": ("show_augmentation",),
    "workflows.syncing": ("Synced", "sync"),
    "workflows.training": ("train",),
    "workflows.tuning.plan": ("Search",),
    "workflows.tuning.run": ("TuneResult", "tune"),
}
"""Module below this package to the public names that it holds; looked up on first use."""

_THERE = {"compare": "compare_runs", "export": "reexport"}
"""What a public name is called at home, where that is another name."""


if not TYPE_CHECKING:  # a type checker would take any name for a public one

    def __getattr__(name: str) -> object:
        """The public name, imported from its home."""
        for home, names in _HOMES.items():
            if name in names:
                return getattr(import_module(f"{__name__}.{home}"), _THERE.get(name, name))
        raise AttributeError(f"module 'pneumoscope' has no attribute '{name}'")


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
