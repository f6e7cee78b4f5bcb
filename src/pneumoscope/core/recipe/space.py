"""The search space: which fields of a recipe a study varies, and between what.

A YAML file of dotted fields:

```yaml
optimizer.learning_rate: {low: 1e-5, high: 1e-2, log: true}
phases.1.last: [1, 2, 3]
preprocess.size: {low: 160, high: 256, step: 32}
model.head: {choices: [[{dropout: 0.2}], [{dense: 128}, {dropout: 0.5}]]}
```
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import yaml
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from pneumoscope.core.errors import RecipeError
from pneumoscope.core.files import sha256
from pneumoscope.core.recipe.files import override
from pneumoscope.core.recipe.recipe import Recipe
from pneumoscope.core.recipe.sections import Section

Value: TypeAlias = str | int | float | bool | None
"""What a study stores: a number or a choice's word."""

_SEALED = ("name", "seed", "data", "split", "evaluate", "tracking", "compute")
"""What decides what is measured, or how it is computed, and nothing that is learned."""


class Range(Section):
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float
    log: bool = False
    """Drawn evenly over orders of magnitude."""
    step: Annotated[float, Field(gt=0)] | None = None
    """Only `low`, `low + step`, `low + 2 step`, ..."""
    whole: bool = False
    """Only whole numbers; found from the field."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0 (low: {self.low:g})")
        if self.log and self.step is not None:
            raise ValueError("give log or step, not both")
        if self.step is not None and self.step > self.high - self.low:
            raise ValueError(f"step ({self.step:g}) must fit between low and high")
        return self

    @property
    def values(self) -> tuple[int | float, ...] | None:
        """All values in order, None where they are not countable."""
        step = self.step or (1.0 if self.whole and not self.log else None)
        if step is None:
            return None
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return tuple(self._plain(self.low + index * step) for index in range(count))

    @property
    def ends(self) -> tuple[int | float, int | float]:
        """The least and the greatest value that is drawn."""
        values = self.values
        return (
            (values[0], values[-1]) if values else (self._plain(self.low), self._plain(self.high))
        )

    def decode(self, value: Value) -> Any:
        """What the recipe holds for a stored value."""
        return value

    def encode(self, held: Any) -> Value:
        """The stored value for what a recipe holds.

        Raises:
            ValueError: the range does not hold it.
        """
        if isinstance(held, bool) or not isinstance(held, (int, float)):
            raise ValueError(f"{held!r} is no number")
        near = self.values
        if near is not None and held not in near:
            raise ValueError(f"{held} is not among {near}")
        if not self.low <= held <= self.high:
            raise ValueError(f"{held} is not from {self.low:g} to {self.high:g}")
        return self._plain(held)

    def _plain(self, value: float) -> int | float:
        return round(value) if self.whole else float(f"{value:.12g}")


class Choices(Section):
    """One of several values, of any kind the field takes."""

    choices: Annotated[tuple[Any, ...], Field(min_length=2, max_length=200)]

    @model_validator(mode="after")
    def _are_different(self) -> Choices:
        words = [str(word) for word in self.values]
        twice = [word for word in words if words.count(word) > 1]
        if twice:
            raise ValueError(f"choice {twice[0]} is given twice")
        return self

    @property
    def values(self) -> tuple[Value, ...]:
        """A storable value for each choice: itself, or JSON of a list or mapping."""
        return tuple(_storable(choice) for choice in self.choices)

    def decode(self, value: Value) -> Any:
        """What the recipe holds for a stored value."""
        return self.choices[self.values.index(value)]

    def encode(self, held: Any) -> Value:
        """The stored value for what a recipe holds.

        Raises:
            ValueError: it is not among the choices.
        """
        return self.values[self.values.index(_storable(held))]


class Space(Section):
    """Ranges and choices by dotted field, in the file's order."""

    fields: dict[str, Range | Choices]

    @property
    def fingerprint(self) -> str:
        """The same for the same space, whatever the order of its fields."""
        return sha256(json.dumps(self.to_dict(), sort_keys=True).encode())[:16]

    @property
    def size(self) -> int | None:
        """How many points there are, None where a range is continuous."""
        counts = [field.values for field in self.fields.values()]
        return None if None in counts else math.prod(len(values or ()) for values in counts)

    def point(self, number: int) -> dict[str, Value]:
        """The point of this number in a grid of all, from 0 to `size` - 1."""
        found: dict[str, Value] = {}
        for name, field in self.fields.items():
            values = field.values or ()
            number, place = divmod(number, len(values))
            found[name] = values[place]
        return found

    def apply(self, recipe: Recipe, point: Mapping[str, Value]) -> Recipe:
        """The recipe at a point.

        Raises:
            RecipeError: the values do not go together.
        """
        changes = {name: self.fields[name].decode(value) for name, value in point.items()}
        return override(recipe, changes)

    def start(self, recipe: Recipe) -> dict[str, Value] | None:
        """Where in the space the recipe itself is, None where it is outside."""
        held = recipe.model_dump(mode="json")
        try:
            return {name: field.encode(_at(held, name)) for name, field in self.fields.items()}
        except ValueError:
            return None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the file has them."""
        return {
            name: field.model_dump(mode="json", exclude_defaults=True)
            for name, field in self.fields.items()
        }


def load_space(path: str | Path, recipe: Recipe) -> Space:
    """The search space in a YAML file, checked against the recipe that it varies.

    Raises:
        RecipeError: as `parse_space`, or the file is not YAML.

    Example:
        space = ps.load_space("space.yaml", ps.load_recipe("recipe.yaml"))
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}). Give a YAML file.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RecipeError(f"{path}: is not YAML ({reason}). Correct the line named.") from error
    return parse_space(content, recipe, origin=str(path))


def parse_space(content: Any, recipe: Recipe, *, origin: str = "space") -> Space:
    """The search space that `content` says.

    Raises:
        RecipeError: a field that the recipe does not have (the closest are named), that decides
            what is measured, or lies within another; a range that is none; a value that the field
            does not take.
    """
    if not isinstance(content, Mapping) or not content:
        raise RecipeError(
            f"{origin}: names no field. Give lines such as "
            "optimizer.learning_rate: {low: 1e-5, high: 1e-2, log: true}."
        )
    known = list(_dotted(recipe.model_dump(mode="json")))
    names = [str(name) for name in content]
    asks = any(phase.learning_rate is None for phase in recipe.phases) or any(
        name.startswith("phases") for name in names
    )
    for name in names:
        _check_name(name, names, known, origin, asks=asks)
    fields = {
        str(name): _checked(recipe, str(name), said, f"{origin}: {name}")
        for name, said in content.items()
    }
    return Space(fields=fields)


def _check_name(
    name: str, names: Sequence[str], known: Sequence[str], origin: str, *, asks: bool
) -> None:
    """Refuse what is no field to vary; `asks`: a phase takes the optimizer's learning rate."""
    if name not in known:
        last = name.rpartition(".")[2]
        alike = [one for one in known if last and one.rpartition(".")[2] == last]
        close = [*alike, *difflib.get_close_matches(name, known, n=3, cutoff=0.5)]
        hint = f"did you mean {' or '.join(dict.fromkeys(close[:3]))}?" if close else (
            "`pneumoscope tune` varies the recipe's own fields, all listed in recipes/default.yaml."
        )  # fmt: skip
        raise RecipeError(f"{origin}: '{name}' is no field of this recipe; {hint}")
    if name.partition(".")[0] in _SEALED:
        raise RecipeError(
            f"{origin}: {name}: decides what is measured, not what is learned. Take it out of the "
            "space, and set it in the recipe."
        )
    if name == "optimizer.learning_rate" and not asks:
        raise RecipeError(
            f"{origin}: {name}: every phase has a learning_rate of its own. Vary "
            "phases.0.learning_rate, or set those of the phases to null in the recipe."
        )
    within = next((other for other in names if name.startswith(f"{other}.")), None)
    if within:
        raise RecipeError(f"{origin}: {name} lies within {within}. Vary one of them.")


def _checked(recipe: Recipe, name: str, said: Any, origin: str) -> Range | Choices:
    """The field's range or choices; each end and each choice is one that the recipe takes."""
    given = {"choices": said} if isinstance(said, (list, tuple)) else said
    if isinstance(given, Mapping) and isinstance(given.get("choices"), (list, tuple)):
        given = {**given, "choices": [_number_if_one(choice) for choice in given["choices"]]}
    if not isinstance(given, Mapping):
        raise RecipeError(
            f"{origin}: {said!r} is no range. Give {{low: A, high: B}} or a list of choices."
        )
    kind: type[Range | Choices] = Choices if "choices" in given else Range
    field = _validated(kind, given, origin)
    if isinstance(field, Range):
        field = field.model_copy(update={"whole": not _takes_fractions(recipe, name, field)})
        if field.whole and any(end is not None and end % 1 for end in
                               (field.low, field.high, field.step)):  # fmt: skip
            raise RecipeError(f"{origin}: takes whole numbers only. Give whole low, high and step.")
    tried = field.ends if isinstance(field, Range) else field.values
    for value in tried:
        if reason := _refusal(recipe, name, field.decode(value)):
            raise RecipeError(f"{origin}: {value} cannot be taken: {reason}")
    return field


def _validated(
    kind: type[Range | Choices], given: Mapping[Any, Any], origin: str
) -> Range | Choices:
    try:
        found: Range | Choices = TypeAdapter(kind).validate_python(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            allowed = ", ".join(name for name in kind.model_fields if name != "whole")
            raise RecipeError(f"{origin}: unknown key '{where}'; allowed: {allowed}.") from error
        said = first["msg"].removeprefix("Value error, ")
        message = f"{origin}: {where + ': ' if where else ''}{said}. Correct the range."
        raise RecipeError(message) from error
    return found


def _takes_fractions(recipe: Recipe, name: str, field: Range) -> bool:
    between = field.low + 0.381966 * (field.high - field.low)
    return _refusal(recipe, name, between) is None


def _refusal(recipe: Recipe, name: str, value: Any) -> str | None:
    """Why the recipe's field does not take the value; None where it does."""
    try:
        override(recipe, {name: value})
    except RecipeError as error:
        cause = error.__cause__
        if isinstance(cause, ValidationError) and not cause.errors()[0]["loc"]:
            return None  # a matter between fields: another value of the other may allow it
        return str(error).removeprefix("recipe after --set: ")
    return None


def _dotted(content: Any, parent: str = "") -> Iterator[str]:
    items: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(content, Mapping):
        items = iter(content.items())
    elif isinstance(content, list):
        items = iter(enumerate(content))
    for name, inner in items:
        yield f"{parent}{name}"
        yield from _dotted(inner, f"{parent}{name}.")


def _at(content: Any, dotted: str) -> Any:
    for name in dotted.split("."):
        content = content[int(name)] if isinstance(content, list) else content[name]
    return content


def _number_if_one(choice: Any) -> Any:
    """YAML 1.1 reads `1e-4`, without a point, as text."""
    exponent = isinstance(choice, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", choice)
    return float(choice) if exponent else choice


def _storable(choice: Any) -> Value:
    if choice is None or isinstance(choice, (str, int, float, bool)):
        return choice
    return json.dumps(choice, sort_keys=True)
