"""The references of recipe and bundle, from the pydantic models: type, range, default, meaning."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from described import attribute_texts

_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}


def recipe_fields() -> str:
    """Every field of a recipe, a heading for each section."""
    from pneumoscope.core.recipe import Recipe

    return "\n".join(_section("", Recipe))


def bundle_fields() -> str:
    """Every field of `bundle.json`."""
    from pneumoscope.bundle.spec import BundleSpec

    return "\n".join(_section("", BundleSpec, stop=("pneumoscope.core.",)))


def _section(path: str, model: type[BaseModel], stop: tuple[str, ...] = ()) -> Iterator[str]:
    """Heading, table, and the sections below; models of the modules `stop` get none."""
    texts = attribute_texts(model)
    if path:
        yield from (f"## `{path}`", "", " ".join((model.__doc__ or "").split()), "")
    rows = []
    below: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        place = f"{path.partition(' ')[0]}.{name}" if path else name
        inside = list(_models(field.annotation))
        rows.append(
            [f"`{place}`", _type(field), _default(field, inside), texts.get(name) or _about(inside)]
        )
        below += [(_place(place, one, field), one) for one in inside]
    yield "| field | takes | default | meaning |"
    yield "|---|---|---|---|"
    yield from ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    yield ""
    for place, one in below:
        if not one.__module__.startswith(stop or ("-",)):
            yield from _section(place, one, stop)


def _about(models: list[type[BaseModel]]) -> str:
    """The first sentence about the one model that a field holds."""
    return (
        " ".join((models[0].__doc__ or "").partition("\n\n")[0].split()) if len(models) == 1 else ""
    )


def _place(place: str, model: type[BaseModel], field: FieldInfo) -> str:
    """Where a model's fields are: in a list under a number, told apart by what it is."""
    if get_origin(_bare(field.annotation)) is not tuple:
        return place
    several = len(list(_models(field.annotation))) > 1
    kind = model.model_fields.get("kind")
    said = f"kind: {kind.default}" if kind else next(iter(model.model_fields))
    return f"{place}.N ({said})" if several else f"{place}.N"


def _bare(annotation: Any) -> Any:
    """An annotation without what `Annotated` adds."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from _models(get_args(annotation)[0])
    else:
        for inside in get_args(annotation):
            yield from _models(inside)


def _type(field: FieldInfo) -> str:
    return _named(field.annotation, field.metadata)


def _named(annotation: Any, metadata: Any = ()) -> str:
    """What a field takes, in words."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        limits = [more for one in inside[1:] for more in getattr(one, "metadata", [one])]
        return _named(inside[0], limits)
    if origin in (tuple, dict):
        return _several(origin, inside, metadata)
    if origin is Literal:
        return _either([f"`{_yaml(value)}`" for value in inside])
    if origin in (Union, types.UnionType):
        models = [one for one in inside if list(_models(one))]
        words = [_named(one) for one in inside if one not in models]
        return _either([*(["a section"] if models else []), *words])
    return _single(annotation, metadata)


def _single(kind: Any, metadata: Any) -> str:
    if kind is type(None):
        return "null"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "a section"
    return f"{_WORDS[kind]}{_range(metadata)}"


def _several(origin: Any, inside: tuple[Any, ...], metadata: Any) -> str:
    if origin is dict:
        return f"mapping from {_named(inside[0])} to {_named(inside[1])}"
    many = _range(metadata).replace("from ", "")
    return f"list of{many} {_named(inside[0])}".replace("a section", "sections")


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _range(metadata: Any) -> str:
    """The limits, in words."""
    low = high = ""
    for limit in metadata:
        match limit:
            case Ge(ge=value) | MinLen(min_length=value):
                low = f"from {value}"
            case Gt(gt=value):
                low = f"above {value}"
            case Le(le=value) | MaxLen(max_length=value):
                high = f"to {value}" if low.startswith("from") else f"at most {value}"
            case Lt(lt=value):
                high = f"below {value}"
            case _ if pattern := getattr(limit, "pattern", None):
                low = f"matching `{pattern}`"
    between = " " if high.startswith("to") else ", "
    return f" {between.join(filter(None, (low, high)))}" if low or high else ""


def _default(field: FieldInfo, inside: list[type[BaseModel]]) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return "see below"
    plain = [one.model_dump(mode="json") for one in value] if inside and value else value
    if inside and isinstance(plain, list) and any(len(one) > 2 for one in plain):
        return "one, see below"
    return f"`{_yaml(plain)}`"


def _yaml(value: Any) -> str:
    """A value as a recipe has it, on one line."""
    shown: Mapping[str, Any] | Any = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(shown, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("...\n").strip()
