"""What a sentence says beside its English words: a key and its values, for other languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = "float | int | str | list[str] | dict[str, float | None] | None"
"""A number, a name, several names, or an estimate as `{"value": x, "low": x, "high": x}`."""

Keys: TypeAlias = Mapping[str, Sequence[str]]
"""By key, the names of the values that go with it."""


@dataclass(frozen=True)
class Said:
    """A sentence without its words; both go into JSON as they are.

    Attributes:
        key: Which sentence, the same for ever.
        values: What stands in its gaps, by name.
    """

    key: str
    values: dict[str, Value]

    def to_json(self) -> dict[str, object]:
        """The key and its values as JSON's own types."""
        return {"key": self.key, "values": dict(self.values)}


def checked(keys: Keys, key: str, values: dict[str, Value]) -> Said:
    """A sentence whose values are those that its key names.

    >>> checked({"images": ["n"]}, "images", {"n": 3}).to_json()
    {'key': 'images', 'values': {'n': 3}}

    Raises:
        ValueError: the key is not among the keys, or goes with other values.
    """
    if set(values) != set(keys.get(key, ("an unknown key",))):
        raise ValueError(f"{key}: {sorted(values)}; allowed: {sorted(keys.get(key, ()))}.")
    return Said(key, values)
