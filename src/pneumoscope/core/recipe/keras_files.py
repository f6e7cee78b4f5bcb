"""Dictionaries in files: JSON, YAML, or Python, of which only literals are read.

Nothing is executed: where a value is code, its text is kept to be shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from pneumoscope.core.errors import RecipeError
from pneumoscope.core.recipe.keras_python import dictionaries
from pneumoscope.core.recipe.keras_reader import LEFT_OUT, Code, word


def load_parameters(path: Path, *, pick: str | None = None) -> dict[str, Any]:
    """The dictionary in a `.json`, `.yaml`, `.yml` or `.py` file.

    What is no literal, what stands beside the dictionary in JSON or YAML, and what a Python file
    does to it later in ways that are not followed, is in it as `Code`.

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
        ".json": _json,
        ".yaml": _yaml,
        ".yml": _yaml,
        ".py": dictionaries,
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


def _json(text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise ValueError(f"the key '{key}' stands twice")
            found[key] = value
        return found

    return json.loads(text, object_pairs_hook=once)


class _OnceLoader(yaml.SafeLoader):
    """YAML's own rule, which its reader does not enforce: a key stands once in a mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            twice = next(key for at, key in enumerate(keys) if key in keys[:at])
            problem = f"the key '{twice}' stands twice"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep=deep)


def _yaml(text: str) -> Any:
    loader = _OnceLoader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _picked(content: Any, pick: str | None, path: Path) -> dict[str, Any]:
    if not isinstance(content, Mapping) or not content:
        raise RecipeError(f"{path}: holds no dictionary. Give one, such as params = {{...}}.")
    inner = {str(k): v for k, v in content.items() if isinstance(v, Mapping)}
    of_python = path.suffix.lower() == ".py"
    if pick is not None and pick not in inner:
        names = ", ".join(inner) or "none"
        raise RecipeError(f"{path}: has no dictionary '{pick}'; there are: {names}.")
    meant = pick or ("params" if "params" in inner else None)
    backbones = ("model", "backbone", "basemodel", "modelname")
    if meant is None and not of_python and any(word(key) in backbones for key in content):
        return {str(k): v for k, v in content.items()}
    if meant is None and len({id(value) for value in inner.values()}) == 1:
        meant = next(iter(inner))
    if meant is None:
        names = ", ".join(inner) or "none"
        raise RecipeError(
            f"{path}: which dictionary is meant? There are: {names}. Name one by --pick, or "
            "`params`."
        )
    return {**inner[meant], **({} if of_python else _beside(content, meant, pick))}


def _beside(content: Mapping[Any, Any], meant: str, pick: str | None) -> dict[str, Any]:
    """What stands beside the dictionary that is read; whoever picks one leaves the others."""
    return {
        f"{key} (beside {meant})": Code(repr(value), "stands outside what is read", LEFT_OUT)
        for key, value in content.items()
        if str(key) != meant and not (pick is not None and isinstance(value, Mapping))
    }
