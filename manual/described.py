"""What sources say of names beyond what Python keeps: the text below an attribute or constant."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any


def attribute_texts(kind: type) -> dict[str, str]:
    """The text below each attribute of a class, on one line; a base class's where it has none."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if one.__module__.startswith("pneumoscope."):
            parsed = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]
            found |= dict(_texts(parsed))
    return found


def module_constants(module: ModuleType) -> Iterator[tuple[str, Any, str]]:
    """Name, value and text of each constant that a module explains."""
    for name, text in _texts(ast.parse(inspect.getsource(module))):
        yield name, getattr(module, name), text


def _texts(node: Any) -> Iterator[tuple[str, str]]:
    """Each annotated name in a body that a string follows."""
    for said, below in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(said, ast.AnnAssign)
            and isinstance(said.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            yield said.target.id, " ".join(below.value.value.split())
