"""What an assessment holds, read without trusting that a section is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Assessment: TypeAlias = Mapping[str, Any]
"""The content of `assessment.json`, see `evaluation.assessment`."""


def section(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The mapping called `name`, empty where there is none.

    >>> section({"saliency": None}, "saliency"), section({"shift": {"p_value": 0.5}}, "shift")
    ({}, {'p_value': 0.5})
    """
    found = content.get(name)
    return found if isinstance(found, Mapping) else {}


def listed(content: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The mappings in the list called `name`, none where there is no list.

    >>> listed({}, "subgroups"), listed({"subgroups": [{"group": "PA"}]}, "subgroups")
    ([], [{'group': 'PA'}])
    """
    found = content.get(name)
    if not isinstance(found, (list, tuple)):
        return []
    return [one for one in found if isinstance(one, Mapping)]
