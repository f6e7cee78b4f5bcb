"""Recipes as YAML files and dotted fields."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pneumoscope.core.errors import InputError, RecipeError
from pneumoscope.core.files import is_there, write_text
from pneumoscope.core.recipe.learning import HEAD_LAYERS, PHASES
from pneumoscope.core.recipe.recipe import Recipe


def parse_recipe(content: Mapping[str, Any], *, origin: str = "recipe") -> Recipe:
    """The recipe that `content` says.

    Raises:
        RecipeError: an unknown key (the closest known one is named) or a value out of range.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{origin}: {_first_reason(error)}") from error


def load_recipe(path: str | Path) -> Recipe:
    """The recipe in a YAML file.

    Raises:
        RecipeError: it cannot be read, or a key or value in it is wrong.

    Example:
        recipe = ps.load_recipe("runs/first/recipe.yaml")
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}). Give a YAML file.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RecipeError(f"{path}: is not YAML ({reason}). Correct the line named.") from error
    if not isinstance(content, Mapping):
        raise RecipeError(f"{path}: holds {type(content).__name__}, not sections such as `model:`.")
    return parse_recipe(content, origin=str(path))


def recipe_of(source: Recipe | str | Path) -> Recipe:
    """A recipe as it is, the one in a YAML file, or the default one on labelled radiographs.

    A relative `data.path` in a file is relative to where the program runs.

    Raises:
        RecipeError: the file holds no recipe.
        InputError: there is nothing of this name.
    """
    if isinstance(source, Recipe):
        return source
    path = Path(source)
    if path.suffix.lower() in (".yaml", ".yml"):
        return load_recipe(path)
    if not is_there(path):
        raise InputError(f"{path}: does not exist. Give a recipe (.yaml) or a data folder.")
    return override(Recipe(), {"data.path": str(path)})


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, every default spelled out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def save_recipe(recipe: Recipe, path: str | Path) -> None:
    """Write the recipe to `path` as YAML, every default spelled out.

    Raises:
        StorageError: the place cannot be written.

    Example:
        ps.save_recipe(ps.Recipe(), "recipe.yaml")
    """
    write_text(Path(path), dump_recipe(recipe))


def override(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with dotted fields replaced, validated again.

    >>> override(Recipe(), {"model.backbone": "resnet18", "seed": 3}).model.backbone
    'resnet18'
    """
    content = recipe.model_dump(mode="json")
    for dotted, value in changes.items():
        *parents, last = dotted.split(".")
        target: Any = content
        for name in parents:
            key: Any = int(name) if isinstance(target, list) and name.isdecimal() else name
            try:
                target = target[key]
            except (KeyError, IndexError, TypeError) as error:
                raise RecipeError(f"{dotted}: {_unknown(name, _keys(target))}") from error
        if isinstance(target, list) and last.isdecimal() and int(last) < len(target):
            target[int(last)] = value
        elif isinstance(target, dict):
            target[last] = value
        else:
            raise RecipeError(f"{dotted}: {_unknown(last, _keys(target))}")
    return parse_recipe(content, origin="recipe after --set")


def _keys(target: Any) -> list[str]:
    if isinstance(target, Mapping):
        return [str(key) for key in target]
    return [str(index) for index in range(len(target))] if isinstance(target, list) else []


def _unknown(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"allowed: {', '.join(names) or 'nothing'}."
    return f"unknown key '{name}'; {hint}"


def _first_reason(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    # A part after a number is the tag of a phase or head layer, not a field of the recipe.
    location = first["loc"]
    path = [part for at, part in enumerate(location) if not _is_tag(location, at)]
    where = ".".join(map(str, path))
    if first["type"] == "extra_forbidden":
        reason = _unknown(str(path[-1]), _fields_at(location[:-1]))
        return f"{'.'.join(map(str, path[:-1]))}: {reason}" if path[:-1] else reason
    if first["type"] in ("union_tag_not_found", "union_tag_invalid"):
        known = f"give `kind`: {' or '.join(PHASES)}"
        if path[:1] != ["phases"]:
            known = f"a layer is one of {', '.join(HEAD_LAYERS)}, such as {{dense: 128}}"
        return f"{where}: {known} (given: {first['input']!r})."
    message = first["msg"].removeprefix("Value error, ")
    given = first["input"]
    shown = "" if isinstance(given, (dict, list, tuple, BaseModel)) else f" (given: {given!r})"
    return f"{where or 'recipe'}: {message}{shown}. See `pneumoscope train --help`."


def _is_tag(location: tuple[int | str, ...], at: int) -> bool:
    return at > 0 and isinstance(location[at - 1], int) and isinstance(location[at], str)


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    content: type[BaseModel] = Recipe
    for at, part in enumerate(location):
        if _is_tag(location, at):
            content = {**PHASES, **HEAD_LAYERS}[str(part)]
        elif part in content.model_fields:
            section = content.model_fields[str(part)].annotation
            content = section if isinstance(section, type) else content
    return list(content.model_fields)
