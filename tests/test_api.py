"""What programs build upon: the public names and what they take."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from pydantic import BaseModel

import pneumoscope as ps

STABLE = Path(__file__).with_name("public_api.txt")
"""Every public name with its signature. A change there breaks somebody's program: it goes into the
changelog, and a removal waits for a major version."""

FUNCTIONS = sorted(name for name in ps.__all__ if inspect.isfunction(getattr(ps, name)))


def signature(function: Any) -> str:
    return str(inspect.signature(function)).replace("'", "")


def described(name: str, value: Any) -> Iterator[str]:
    """The lines of one public name: how it is called, and what a class offers."""
    if not inspect.isclass(value):
        yield f"{name}{signature(value)}" if callable(value) else name
        return
    fields = ", ".join(value.model_fields) if issubclass(value, BaseModel) else None
    plain = issubclass(value, Exception) or getattr(value, "_is_protocol", False)
    built = "" if plain else signature(value)
    yield f"class {name}{f'({fields})' if fields else built}"
    for member, held in sorted(vars(value).items()):
        plain = getattr(held, "__func__", held)
        if member.startswith(("_", "set_")):
            continue  # scikit-learn adds setters for the routing of metadata
        if isinstance(plain, FunctionType):
            yield f"{name}.{member}{signature(plain)}"
        elif isinstance(held, property):
            yield f"{name}.{member}"


def test_a_change_of_a_public_signature_is_noticed() -> None:
    found = [line for name in sorted(ps.__all__) for line in described(name, getattr(ps, name))]
    assert found == STABLE.read_text(encoding="utf8").splitlines()


def test_nothing_else_is_offered() -> None:
    assert dir(ps) == sorted(ps.__all__)
    assert {"train", "audit", "load_bundle", "benchmark", "tune", "compare"} <= set(ps.__all__)
    with pytest.raises(AttributeError, match="no attribute 'compare_runs'"):
        _ = ps.compare_runs  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [*FUNCTIONS, "RadiographClassifier"])
def test_the_example_of_each_calls_what_there_is(name: str) -> None:
    text = inspect.getdoc(getattr(ps, name)) or ""
    if ">>> " in text:
        return  # it runs by itself
    block = re.search(r"^Example:\n((?: {4}.*\n?)+)", text, re.MULTILINE)
    assert block, text
    nodes = list(ast.walk(ast.parse(textwrap.dedent(block[1]))))
    calls = [(node, node.func.attr) for node in nodes
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
             and ast.unparse(node.func.value) == "ps"]  # fmt: skip
    assert name in [called for _, called in calls]
    for call, called in calls:
        keywords = {str(keyword.arg): None for keyword in call.keywords}
        inspect.signature(getattr(ps, called)).bind(*call.args, **keywords)
