"""The reference of the Python API, from the names in `pneumoscope.__all__` and their docstrings."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args, get_type_hints

_HEADINGS = ("Args", "Attributes", "Raises", "Returns", "Yields")
_ITEM = re.compile(r"^(?P<name>[\w.*, \[\]]+?): (?P<text>.*)$")


_MARKS: dict[Any, str] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


def python_api() -> str:
    """Functions, then classes, then what functions return, then errors."""
    import pneumoscope

    named = {name: getattr(pneumoscope, name) for name in sorted(pneumoscope.__all__)}
    functions = {name: one for name, one in named.items() if inspect.isfunction(one)}
    classes = {name: one for name, one in named.items() if inspect.isclass(one)}
    errors = {name: one for name, one in classes.items() if issubclass(one, Exception)}
    objects = {name: one for name, one in classes.items() if name not in errors}
    results = _results(
        [*functions.values(), *(m for o in objects.values() for _, m in _methods(o))]
    )
    returned = {one.__name__: one for one in results if one.__name__ not in named}
    return "\n".join([
        *(line for name, one in functions.items() for line in _function(name, one, level=2)),
        *(line for name, one in (objects | returned).items() for line in _class(name, one)),
        *_errors(errors),
    ])  # fmt: skip


def _function(name: str, function: Callable[..., Any], *, level: int) -> Iterator[str]:
    yield from (f"{'#' * level} `{name}`", "", "```python", _signature(name, function), "```", "")
    yield from _docstring(function)


def _signature(name: str, function: Callable[..., Any]) -> str:
    """The call, one line if it is short."""
    signature = inspect.signature(function)
    parts = []
    starred = False
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        said = parameter.annotation
        kind = "" if said is parameter.empty else f": {_spelled(said)}"
        empty = parameter.default is parameter.empty
        starred = starred or parameter.kind is parameter.VAR_POSITIONAL
        mark = _MARKS.get(parameter.kind, "")
        parts.append(f"{mark}{parameter.name}{kind}{'' if empty else f' = {parameter.default!r}'}")
    given = signature.return_annotation
    silent = given is signature.empty or inspect.isclass(function)
    result = "" if silent else f" -> {_spelled(given)}"
    line = f"{name}({', '.join(parts)}){result}"
    return (
        line
        if len(line) <= 90
        else "\n".join([f"{name}(", *(f"    {p}," for p in parts), f"){result}"])
    )


def _spelled(annotation: Any) -> str:
    return (
        annotation
        if isinstance(annotation, str)
        else getattr(annotation, "__name__", str(annotation))
    )


def _class(name: str, kind: type) -> Iterator[str]:
    yield from (f"## `{name}`", "")
    if kind.__module__.startswith("pneumoscope.core.recipe"):
        yield from (*_docstring(kind), "Its fields: [Recipe](recipe.md).", "")
        return
    if not dataclasses.is_dataclass(kind):
        yield from ("```python", _signature(name, kind), "```", "")
    yield from _docstring(kind)
    for method, function in _methods(kind):
        if isinstance(function, property):
            yield from (f"### `{name}.{method}`", "", *_docstring(function))
        else:
            yield from _function(f"{name}.{method}", function, level=3)


def _methods(kind: type) -> list[tuple[str, Any]]:
    """Its public methods and properties, in the order of the source."""
    found = []
    for name, member in vars(kind).items():
        function = getattr(member, "__func__", member)
        public = not name.startswith("_") and (
            inspect.isfunction(function) or isinstance(member, property)
        )
        if public and getattr(function, "__doc__", None):
            found.append((name, function))
    return found


def _results(functions: Sequence[Any]) -> list[type]:
    """The classes of this package that functions return."""
    found: dict[type, None] = {}
    for function in functions:
        try:
            given = get_type_hints(function).get("return") if inspect.isfunction(function) else None
        except NameError:  # a name that only type checkers see
            continue
        for kind in (
            given,
            *get_args(given),
            *(inner for one in get_args(given) for inner in get_args(one)),
        ):
            if dataclasses.is_dataclass(kind) and isinstance(kind, type):
                found[kind] = None
    return sorted(found, key=lambda kind: kind.__name__)


def _errors(errors: dict[str, Any]) -> Iterator[str]:
    from pneumoscope.core import errors as tree

    yield from ("## Errors", "")
    for name, one in errors.items():
        yield from (f"`{name}`: {_summary(one)}", "")
    drawn = (tree.__doc__ or "").split("```")[1].strip("\n")
    yield from ("```text", drawn, "```", "")


def _summary(one: Any) -> str:
    return " ".join((inspect.getdoc(one) or "").partition("\n\n")[0].split())


def _docstring(one: Any) -> Iterator[str]:
    """Google's form as Markdown: a list under each heading, examples as code."""
    text, found, example = (inspect.getdoc(one) or "").partition("\nExample:\n")
    yield from _prose(text.rstrip("\n"))
    if found:
        code = textwrap.dedent(example).strip("\n")
        yield from ("**Example**", "", "```python", *code.splitlines(), "```", "")


def _prose(text: str) -> Iterator[str]:
    """All but the example: paragraphs, lists, doctests."""
    listing = fenced = False
    for line in text.splitlines():
        if fenced and not line.strip():
            yield "```"
            fenced = False
        if line.rstrip(":") in _HEADINGS and line.endswith(":"):
            listing = True
            yield from (f"**{line.rstrip(':').replace('Args', 'Arguments')}**", "")
        elif not listing and line.startswith(">>> ") and not fenced:
            fenced = True
            yield from ("```pycon", line)
        elif (
            listing
            and (found := _ITEM.match(line.removeprefix("    ")))
            and line.startswith("    ")
            and line[4:5] != " "
        ):
            yield f"- `{found['name']}`: {found['text']}"
        elif listing and line.strip():
            yield f"  {line.strip()}"
        else:
            listing = listing and not line.strip()
            yield line
    yield from ("```", "") if fenced else ("",)
