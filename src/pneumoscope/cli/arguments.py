"""Turns what was typed into what workflows take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pneumoscope.core.errors import InputError, RecipeError
from pneumoscope.core.recipe import EvaluateRecipe, Recipe, override, recipe_of


def recipe_from(
    source: Path, changes: Sequence[str], *, fields: Mapping[str, Any], quick: bool
) -> Recipe:
    """The recipe in a YAML file, or the default one for a folder; changes on top."""
    from pneumoscope.workflows.training import quickened

    recipe = recipe_of(source)
    recipe = quickened(recipe) if quick else recipe
    wanted = {name: value for name, value in fields.items() if value is not None}
    return override(recipe, wanted | dict(_change(text) for text in changes))


def pairs(texts: Sequence[str]) -> dict[str, str | None]:
    """The mapping that `A=B` or `A=B,C=D` say; what lies before the last `=` is the data's label.

    Nothing after it is None.

    >>> pairs(["Pneumonia=PNEUMONIA,No finding=NORMAL", "a, b=NORMAL"])
    {'Pneumonia': 'PNEUMONIA', 'No finding': 'NORMAL', 'a, b': 'NORMAL'}
    >>> pairs(["Unclear="])
    {'Unclear': None}
    """
    found: dict[str, str | None] = {}
    for text in texts:
        several = text.split(",")
        for pair in several if all("=" in part for part in several) else [text]:
            name, equals, value = pair.rpartition("=")
            if not equals or not name.strip():
                raise InputError(f"--map '{text}': is not A=B. Give data label = label wanted.")
            found[name.strip()] = value.strip() or None
    return found


def evaluation_settings(
    *,
    audit: bool,
    external: bool,
    drop_known: bool,
    prevalence: float | None,
    cost_ratios: Sequence[float] | None = None,
) -> EvaluateRecipe:
    """The settings that the options of `evaluate` say.

    Raises:
        InputError: the options contradict each other.
        RecipeError: a value is out of range.
    """
    if external and drop_known:
        raise InputError("--external refuses what --drop-known leaves out. Give one of them.")
    if cost_ratios and prevalence is None:
        given = ", ".join(f"{ratio:g}" for ratio in cost_ratios)
        raise InputError(
            f"--cost-ratio {given} without --prevalence; allowed: both, for the least cost depends "
            "on how frequent the label is. Give --prevalence too."
        )
    known = "refuse" if external else "drop" if drop_known else "keep"
    changes: dict[str, object] = {
        "evaluate.audit.enabled": audit,
        "evaluate.known_images": known,
        "evaluate.prevalence": prevalence,
    }
    if cost_ratios:
        changes["evaluate.cost_ratios"] = list(cost_ratios)
    return override(Recipe(), changes).evaluate


def _change(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise RecipeError(f"--set {text}: is not FIELD=VALUE, such as --set phases.0.views=2.")
    try:
        return name.strip(), yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"--set {text}: the value is not YAML. Quote it.") from error
