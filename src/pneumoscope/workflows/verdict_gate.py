"""The gate of promotion that asks the verdict: nothing red, and nothing left unasked."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumoscope.core.errors import InputError
from pneumoscope.core.recipe import AuditRecipe, load_recipe
from pneumoscope.evaluation.verdict.judge import ITEMS
from pneumoscope.evaluation.verdict.parts import listed

_FILE = "assessment.json"
_FIELD = "evaluate.audit"
_BETTER = "Train a better one"
_NEEDS: Mapping[str, str] = {
    "shortcuts": "enabled",
    "sources": "enabled",
    "robustness": "corruptions",
    "saliency": "saliency",
}
"""Items that are judged only where the recipe asks for their evidence, by the field that does."""


@dataclass(frozen=True)
class Gate:
    """One condition of promotion.

    Attributes:
        name: `verdict` or `champion`.
        passed: Whether it is met.
        sentence: What was found.
        remedy: How it can be met.
    """

    name: str
    passed: bool
    sentence: str
    remedy: str = _BETTER


def verdict_gate(run: Path) -> Gate:
    """No item red, none missing, and none grey because the recipe left its evidence out.

    What was asked for and could not be judged (no lungs found, no source recorded) passes, and the
    sentence says so.

    Raises:
        InputError: assessment or recipe cannot be read.
    """
    file = run / _FILE
    if not file.is_file():
        return _refused([f"{_FILE} is missing from the run"], "Train again")
    try:
        verdict = json.loads(file.read_text(encoding="utf8"))["verdict"]
        colours = {str(item["item"]): str(item["colour"]) for item in verdict}
        red = [_words(item) for item in verdict if item["colour"] == "red"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: holds no verdict ({error}). Train the run again.") from error
    grey = [item for item, colour in colours.items() if colour == "grey"]
    missing = [item for item in ITEMS if item not in colours]
    audit = load_recipe(run / "recipe.yaml").evaluate.audit
    fields = _unasked(grey, audit)
    found = [f"{len(red)} red: {'; '.join(red)}"] if red else []
    if missing:
        found.append(f"{_FILE} has no verdict on {listed(missing)}")
    if fields:
        said = [f"{_FIELD}.{n}: {_yaml(getattr(audit, n))}" for n in dict.fromkeys(fields.values())]
        found.append(f"nobody asked about {listed(list(fields))} ({', '.join(said)})")
    if found:
        again = "Train again" if missing else _BETTER
        return _refused(found, _asking(run, fields) if fields else again)
    ending = f"; not judged: {', '.join(grey)}" if grey else ""
    return Gate("verdict", passed=True, sentence=f"no red among {len(colours)} verdicts{ending}")


def _unasked(grey: Sequence[str], audit: AuditRecipe) -> dict[str, str]:
    """Each item that is grey for want of asking, with the field of the recipe that says so."""
    needed = {item: _NEEDS[item] if audit.enabled else "enabled" for item in grey if item in _NEEDS}
    return {item: field for item, field in needed.items() if not getattr(audit, field)}


def _refused(found: Sequence[str], remedy: str) -> Gate:
    return Gate("verdict", passed=False, sentence="; ".join(found), remedy=remedy)


def _asking(run: Path, fields: Mapping[str, str]) -> str:
    """How to have it asked: the fields as they are by default, or another seed."""
    default, recipe = AuditRecipe(), shlex.quote(str(run / "recipe.yaml"))
    names = dict.fromkeys(fields.values())
    sets = " ".join(f"--set {_FIELD}.{name}={_yaml(getattr(default, name))}" for name in names)
    return (
        f"Ask, by training it again: pneumoscope train {recipe} {sets}; or promote one that was "
        "asked, as the first seed of each candidate in a benchmark"
    )


def _yaml(value: object) -> str:
    return str(value).lower()


def _words(item: Mapping[str, Any]) -> str:
    return str(item.get("sentence") or item["item"]).rstrip(".")
