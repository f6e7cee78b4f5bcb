"""Dictionaries in files: JSON, YAML, or Python, of which only literals are read.

Nothing is executed: where a value is code, its text is kept to be shown.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from pneumoscope.core.errors import RecipeError
from pneumoscope.core.recipe.keras_fields import word


def load_parameters(path: Path, *, pick: str | None = None) -> dict[str, Any]:
    """The dictionary in a `.json`, `.yaml`, `.yml` or `.py` file.

    Args:
        path: The file.
        pick: Name of the dictionary where there are several; default `params`, or the only one.

    Raises:
        RecipeError: the file cannot be read, or holds no dictionary that is meant.
    """
    try:
        text = path.read_text(encoding="utf8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}). Give a text file.") from error
    readers: dict[str, Callable[[str], Any]] = {
        ".json": json.loads,
        ".yaml": yaml.safe_load,
        ".yml": yaml.safe_load,
        ".py": _python,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        kinds = ", ".join(readers)
        raise RecipeError(f"{path}: '{path.suffix}' is not read; allowed: {kinds}.")
    try:
        content = reader(text)
    except (ValueError, yaml.YAMLError, SyntaxError, RecursionError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        message = f"{path}: is no {path.suffix[1:]} ({reason}). Correct the line named."
        raise RecipeError(message) from error
    return _picked(content, pick, path)


class Code(str):
    """The text of an expression that is no literal: it is shown, never executed."""

    __slots__ = ()


def _python(text: str) -> dict[str, Any]:
    """Every name that is assigned a dictionary, or a list of some."""
    found: dict[str, Any] = {}
    for statement in ast.parse(text).body:
        if not isinstance(statement, (ast.Assign, ast.AnnAssign)):
            continue
        value = statement.value
        for target in (
            statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        ):
            if isinstance(target, ast.Name) and isinstance(value, ast.Dict):
                found[target.id] = _literal(value)
    return found


def _literal(node: ast.expr | None) -> Any:
    """A literal; within dictionaries and lists, what is none becomes its own text."""
    if isinstance(node, ast.Dict):
        keys = [ast.unparse(key) if key is not None else "**" for key in node.keys]
        plain = [
            key.value if isinstance(key, ast.Constant) else text
            for key, text in zip(node.keys, keys, strict=True)
        ]
        return {str(k): _literal(value) for k, value in zip(plain, node.values, strict=True)}
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_literal(item) for item in node.elts]
    try:
        return ast.literal_eval(node) if node is not None else None
    except (ValueError, TypeError):
        return Code(ast.unparse(node) if node is not None else "")


def _picked(content: Any, pick: str | None, path: Path) -> dict[str, Any]:
    if not isinstance(content, Mapping) or not content:
        raise RecipeError(f"{path}: holds no dictionary. Give one, such as params = {{...}}.")
    inner = {str(k): v for k, v in content.items() if isinstance(v, Mapping)}
    if pick is not None:
        if pick not in inner:
            names = ", ".join(inner) or "none"
            raise RecipeError(f"{path}: has no dictionary '{pick}'; there are: {names}.")
        return dict(inner[pick])
    if "params" in inner:
        return dict(inner["params"])
    if any(word(key) in ("model", "backbone", "basemodel", "modelname") for key in content) and (
        path.suffix.lower() != ".py"
    ):
        return {str(k): v for k, v in content.items()}
    if len(inner) == 1:
        return dict(next(iter(inner.values())))
    names = ", ".join(inner) or "none"
    raise RecipeError(
        f"{path}: which dictionary is meant? There are: {names}. Name one by --pick, or `params`."
    )
