"""Dictionaries in a Python file, read statement by statement and never executed.

Followed are literals, sums and products of numbers, copies of dictionaries, and what plainly sets
a key: `params["k"] = 1`, `params.update(k=1)`, `params |= {"k": 1}`, `del params["k"]`. What else
may change a dictionary is kept in it as `Code` under its line. What a function does to a dictionary
that it is handed is not seen.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from pneumoscope.core.recipe.keras_reader import LEFT_OUT, Code

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv,
}  # fmt: skip
_CHANGES = frozenset((
    "update", "setdefault", "pop", "popitem", "clear", "append", "extend", "insert", "remove",
    "reverse", "sort", "__setitem__", "__delitem__",
))  # fmt: skip


def dictionaries(text: str) -> dict[str, dict[str, Any]]:
    """Every name of a module that is assigned a dictionary, as it is at the module's end.

    Raises:
        SyntaxError: the text is no Python.
        ValueError: a key stands twice in one dictionary.
    """
    module = _Module()
    for statement in ast.parse(text).body:
        module.read(statement)
    return module.found


class _Module:
    """The dictionaries so far, and the names through which a part of one can be changed."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self._parts: dict[str, dict[str, Any]] = {}

    def read(self, statement: ast.stmt) -> None:
        """Follow the statement, or keep it as `Code` in the dictionaries that it may change."""
        if self._assigned(statement) or self._updated(statement) or self._deleted(statement):
            return
        text = " ".join(ast.unparse(statement).split())
        for name in _changed(statement):
            owner = self.found.get(name, self._parts.get(name))
            if owner is not None:
                _keep(owner, statement, text)

    def _assigned(self, statement: ast.stmt) -> bool:
        """Whether this is an assignment that was followed."""
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        else:
            return False
        if all(isinstance(target, ast.Name) for target in targets):
            return self._bound([t.id for t in targets if isinstance(t, ast.Name)], value, statement)
        place = self._place(targets[0]) if len(targets) == 1 else None
        if place is None:
            return False
        place[0][place[1]] = self._value(value)
        return True

    def _bound(self, names: list[str], value: ast.expr, statement: ast.stmt) -> bool:
        """Whether what the names are bound to was followed."""
        content, root = self._mapping(value), _root(value)
        part = isinstance(self._inside(value), (dict, list))
        used = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
        for name in names:
            self._parts.pop(name, None)
            if content is not None:
                if self.found.get(name, {}).keys() - content.keys() and name not in used:
                    text = f"{name} = {ast.unparse(value)}"
                    reason = "is not the first dictionary of this name"
                    _keep(content, statement, text, reason=reason, taken="the last one is taken")
                self.found[name] = content
            elif part and root in self.found and name not in self.found:
                self._parts[name] = self.found[root]
        return content is not None or (part and not set(names) & self.found.keys())

    def _updated(self, statement: ast.stmt) -> bool:
        """Whether this is an `update` or `|=` that was followed."""
        keywords: list[ast.keyword] = []
        target: ast.expr
        if isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.BitOr):
            target, parts = statement.target, [statement.value]
        elif isinstance(statement, ast.Expr) and isinstance(call := statement.value, ast.Call):
            if not (isinstance(call.func, ast.Attribute) and call.func.attr == "update"):
                return False
            target, parts, keywords = call.func.value, call.args, call.keywords
        else:
            return False
        owner, news = self._inside(target), [self._mapping(part) for part in parts]
        if not isinstance(owner, dict) or None in news:
            return False
        for new in news:
            owner.update(new or {})
        owner.update(self._keywords(keywords))
        return True

    def _deleted(self, statement: ast.stmt) -> bool:
        """Whether this is the removal of one key that was followed."""
        if not isinstance(statement, ast.Delete) or len(statement.targets) != 1:
            return False
        place = self._place(statement.targets[0])
        if place is None:
            return False
        owner, key = place
        if isinstance(owner, list) or key in owner:
            del owner[key]
        return True

    # Expressions

    def _mapping(self, node: ast.expr) -> dict[str, Any] | None:
        """The dictionary that is meant, None where that is not followed."""
        if isinstance(node, ast.Dict):
            return self._dictionary(node)
        if isinstance(node, ast.Name):
            return self.found.get(node.id)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            sides = self._mapping(node.left), self._mapping(node.right)
            return None if sides[0] is None or sides[1] is None else {**sides[0], **sides[1]}
        return self._called(node) if isinstance(node, ast.Call) else None

    def _called(self, call: ast.Call) -> dict[str, Any] | None:
        """`dict(...)`, `x.copy()` or `copy.deepcopy(x)`."""
        name = ast.unparse(call.func)
        if name.endswith(".copy") and not call.args and isinstance(call.func, ast.Attribute):
            content = self._mapping(call.func.value)
        elif name in ("dict", "copy.copy", "copy.deepcopy", "deepcopy") and len(call.args) == 1:
            content = self._mapping(call.args[0])
            content = deepcopy(content) if name.endswith("deepcopy") else content
        else:
            content = {} if name == "dict" and not call.args else None
        return None if content is None else {**content, **self._keywords(call.keywords)}

    def _dictionary(self, node: ast.Dict) -> dict[str, Any]:
        found: dict[str, Any] = {}
        said: set[str] = set()
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                spread = self._mapping(value)
                text = f"**{ast.unparse(value)}"
                found |= {text: Code(text)} if spread is None else spread
                continue
            name = str(key.value) if isinstance(key, ast.Constant) else ast.unparse(key)
            if name in said:
                raise ValueError(f"the key '{name}' stands twice")
            said.add(name)
            found[name] = self._value(value)
        return found

    def _keywords(self, keywords: list[ast.keyword]) -> dict[str, Any]:
        keys: list[ast.expr | None] = [
            None if one.arg is None else ast.Constant(one.arg) for one in keywords
        ]
        return self._dictionary(ast.Dict(keys, [keyword.value for keyword in keywords]))

    def _value(self, node: ast.expr) -> Any:
        """A literal; within dictionaries and lists, what is none is `Code`."""
        content = self._mapping(node)
        if content is not None:
            return content
        if isinstance(node, (ast.List, ast.Tuple)):
            return [self._value(item) for item in node.elts]
        try:
            return _arithmetic(node)
        except (ValueError, TypeError, ArithmeticError):
            return Code(ast.unparse(node))

    # Places

    def _place(self, node: ast.expr) -> tuple[Any, Any] | None:
        """The container and key that `params["a"][0]` names, None where that is not followed."""
        if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Constant):
            return None
        owner, key = self._inside(node.value), node.slice.value
        if isinstance(owner, list):
            return (owner, key) if isinstance(key, int) and 0 <= key < len(owner) else None
        return (owner, str(key)) if isinstance(owner, dict) else None

    def _inside(self, node: ast.expr) -> Any:
        """What `params["a"][0]` holds, None where that is not followed."""
        if isinstance(node, ast.Name):
            return self.found.get(node.id)
        place = self._place(node)
        if place is None or (isinstance(place[0], dict) and place[1] not in place[0]):
            return None
        return place[0][place[1]]


def _keep(
    owner: dict[str, Any],
    statement: ast.stmt,
    text: str,
    *,
    reason: str = "may change the dictionary, and is not executed",
    taken: str = LEFT_OUT,
) -> None:
    """Keep a statement in a dictionary, under its line."""
    key = f"line {statement.lineno}"
    while key in owner:
        key += "+"
    owner[key] = Code(text, reason, taken)


def _arithmetic(node: ast.expr) -> Any:
    """A literal, or what numbers add up to, such as 1 / 255.

    Raises:
        ValueError, TypeError, ArithmeticError: it is neither.
    """
    if not isinstance(node, ast.BinOp):
        return ast.literal_eval(node)
    sides = _arithmetic(node.left), _arithmetic(node.right)
    if type(node.op) not in _OPERATORS or not all(type(side) in (int, float) for side in sides):
        raise ValueError(ast.unparse(node))
    found = _OPERATORS[type(node.op)](*sides)
    if abs(found) > 1e300:
        raise OverflowError(ast.unparse(node))
    return found


def _root(node: ast.AST) -> str | None:
    """The name that `name["a"].b()` begins with."""
    while isinstance(node, (ast.Subscript, ast.Attribute, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _changed(statement: ast.AST) -> set[str]:
    """The names whose objects a statement binds anew, removes or changes in sight."""
    found = set(_names_changed(statement))
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        own = {node.arg for node in ast.walk(statement) if isinstance(node, ast.arg)}
        own |= {
            node.id
            for node in ast.walk(statement)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        shared = [node.names for node in ast.walk(statement) if isinstance(node, ast.Global)]
        found -= own - {name for names in shared for name in names}
    return found


def _names_changed(statement: ast.AST) -> Iterator[str]:
    for node in ast.walk(statement):
        name = None
        if isinstance(node, (ast.Name, ast.Subscript, ast.Attribute)):
            name = None if isinstance(node.ctx, ast.Load) else _root(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = _root(node.func.value) if node.func.attr in _CHANGES else None
        if name is not None:
            yield name
