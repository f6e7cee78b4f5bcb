"""Turns what was typed into what workflows take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pneumoscope.core.errors import InputError, RecipeError
from pneumoscope.core.recipe import Recipe, load_recipe, override


def recipe_from(source: Path, changes: Sequence[str], *, seed: int | None, quick: bool) -> Recipe:
    """The recipe in a YAML file, or the default one for a folder; changes on top.

    A relative `data.path` in a recipe is relative to where the command runs.
    """
    from pneumoscope.workflows.training import QUICK

    if source.suffix.lower() in (".yaml", ".yml"):
        recipe = load_recipe(source)
    elif source.exists():
        recipe = override(Recipe(), {"data.path": str(source)})
    else:
        raise InputError(f"{source}: does not exist. Give a recipe (.yaml) or a data folder.")
    wanted: dict[str, Any] = dict(QUICK) if quick else {}
    wanted |= {} if seed is None else {"seed": seed}
    wanted |= dict(_change(text) for text in changes)
    return override(recipe, wanted)


def pairs(text: str | None) -> dict[str, str]:
    """The mapping that `A=B,C=D` says.

    >>> pairs("Pneumonia=PNEUMONIA, No finding=NORMAL")
    {'Pneumonia': 'PNEUMONIA', 'No finding': 'NORMAL'}
    """
    if not text:
        return {}
    found = [part.partition("=") for part in text.split(",")]
    if any(not equals or not name.strip() or not value.strip() for name, equals, value in found):
        raise InputError(f"--map '{text}': is not A=B,C=D. Give data label = bundle label pairs.")
    return {name.strip(): value.strip() for name, _, value in found}


def _change(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise RecipeError(f"--set {text}: is not FIELD=VALUE, such as --set phases.0.views=2.")
    try:
        return name.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {text}: the value is not YAML. Quote it.") from error
