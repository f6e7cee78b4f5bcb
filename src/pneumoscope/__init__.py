"""Pneumoscope: from a folder of radiographs to a classifier you can defend.

>>> import pneumoscope as ps
>>> sorted(ps.__all__)  # doctest: +NORMALIZE_WHITESPACE
['PneumoscopeError', 'Predictor', 'Recipe', '__version__', 'audit', 'demo', 'evaluate',
 'load_bundle', 'load_recipe', 'predict', 'train']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pneumoscope._version import __version__

if TYPE_CHECKING:
    from pneumoscope.bundle.predictor import Predictor, load_bundle
    from pneumoscope.core.errors import PneumoscopeError
    from pneumoscope.core.recipe import Recipe, load_recipe
    from pneumoscope.workflows import audit, demo, evaluate, predict, train

__all__ = [
    "PneumoscopeError",
    "Predictor",
    "Recipe",
    "__version__",
    "audit",
    "demo",
    "evaluate",
    "load_bundle",
    "load_recipe",
    "predict",
    "train",
]

# Looked up on first use: importing the package loads nothing heavy.
_HOMES = {
    "PneumoscopeError": "pneumoscope.core.errors",
    "Predictor": "pneumoscope.bundle.predictor",
    "Recipe": "pneumoscope.core.recipe",
    "audit": "pneumoscope.workflows.auditing",
    "demo": "pneumoscope.workflows.demonstration",
    "evaluate": "pneumoscope.workflows.evaluation",
    "load_bundle": "pneumoscope.bundle.predictor",
    "load_recipe": "pneumoscope.core.recipe",
    "predict": "pneumoscope.workflows.prediction",
    "train": "pneumoscope.workflows.training",
}


def __getattr__(name: str) -> object:
    """The public name, imported from its home."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'pneumoscope' has no attribute '{name}'")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
