"""Reading a dictionary so that nothing in it is lost unsaid.

A `Reader` remembers which keys were read; `Notes.settle` notes all others. A key is thus carried
over or noted, also one that nobody has thought of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from pneumoscope.core.recipe.sections import Section

Found = TypeVar("Found")
Pairs = Iterable[tuple[str, Any]]
LEFT_OUT = "it is left out"


@dataclass(frozen=True)
class Note:
    """One thing that was not carried over as it was.

    Attributes:
        key: Where it stood.
        given: What stood there.
        reason: Why it was not carried over.
        taken: What was taken instead.
    """

    key: str
    given: str
    reason: str
    taken: str

    def __str__(self) -> str:
        return f"{self.key}: {self.given}: {self.reason}; {self.taken}."


@dataclass(frozen=True, repr=False)
class Code:
    """What stands in a file and is no literal: it is shown, never executed."""

    text: str
    reason: str = "is code, which is not executed"
    taken: str = "the default is taken"

    def __repr__(self) -> str:
        return self.text


class Notes:
    """Collects what could not be carried over."""

    def __init__(self) -> None:
        self._found: list[Note] = []
        self._readers: list[Reader] = []

    def add(self, key: str, given: object, reason: str, taken: str) -> None:
        """Say one thing more."""
        shown = given if isinstance(given, str) else repr(given)
        shown = shown if len(shown) <= 80 else f"{shown[:79]}…"
        self._found.append(Note(key, shown, reason, taken))

    def reader(
        self,
        pairs: Pairs,
        *,
        place: str = "",
        synonyms: Mapping[str, str] | None = None,
        unknown: str = "a recipe has no such field",
    ) -> Reader:
        """A reader of keys and values; what it never reads is noted by `settle`.

        Args:
            pairs: Keys, of which several may mean the same, and values.
            place: What stands before the keys in notes.
            synonyms: Other names of fields, in lower case.
            unknown: The reason to give for keys that are never read.
        """
        found = Reader(pairs, self, place=place, synonyms=synonyms or {}, unknown=unknown)
        self._readers.append(found)
        return found

    def settle(self) -> tuple[Note, ...]:
        """Every note, those about keys that no reader was asked for among them."""
        for reader in self._readers:
            reader.note_the_rest()
        return tuple(self._found)


class Reader:
    """The fields of one dictionary, each under its one name; `Notes.reader` makes it."""

    def __init__(
        self, pairs: Pairs, notes: Notes, *, place: str, synonyms: Mapping[str, str], unknown: str
    ) -> None:
        self.notes = notes
        self._place, self._synonyms, self._unknown = place, synonyms, unknown
        self._held: dict[str, tuple[str, Any]] = {}
        for key, value in pairs:
            if isinstance(value, Code):
                notes.add(place + key, value, value.reason, value.taken)
            else:
                self._hold(key, value)
        self._unread = dict.fromkeys(self._held)

    def _hold(self, key: str, value: Any) -> None:
        """Keep one value per field: that under its own name, else the first."""
        name = self._synonyms.get(key.lower(), key.lower())
        if name not in self._held:
            self._held[name] = (key, value)
            return
        kept, lost = self._held[name], (key, value)
        if key.lower() == name and kept[0].lower() != name:
            kept, lost = lost, kept
        self._held[name] = kept
        if kept[1] != lost[1]:
            reason = f"{self._place}{kept[0]} says otherwise"
            self.notes.add(self._place + lost[0], lost[1], reason, LEFT_OUT)

    def named(self, name: str) -> bool:
        """Whether the field is given, be it as null."""
        return name in self._held

    def has(self, name: str) -> bool:
        """Whether the field is given, and not as null."""
        return self.peek(name) is not None

    def key(self, name: str) -> str:
        """The field's name as it was written, with its place."""
        return self._place + self._held.get(name, (name, None))[0]

    def peek(self, name: str) -> Any:
        """The field's value, which is still to be read; None where there is none."""
        return self._held.get(name, (name, None))[1]

    def raw(self, name: str) -> Any:
        """The field's value, None where there is none; the caller notes what it does not keep."""
        self._unread.pop(name, None)
        return self.peek(name)

    def take(
        self, name: str, parse: Callable[[Any], Found | None], *, reason: str, taken: str
    ) -> Found | None:
        """What `parse` makes of the field; where that is None, it is noted why, and what is taken.

        A field that is null is one that is not given.
        """
        value = self.raw(name)
        found = None if value is None else parse(value)
        if value is not None and found is None:
            self.note(name, reason, taken)
        return found

    def field(
        self,
        name: str,
        section: type[Section],
        *,
        of: str | None = None,
        taken: str = LEFT_OUT,
    ) -> Any:
        """The field as a number that the recipe's own `of` (default `name`) of `section` allows."""
        reason = f"is no value that {of or name} has in a recipe"
        return self.take(name, allowed(section, of or name), reason=reason, taken=taken)

    def only(self, name: str, harmless: Collection[object], reason: str) -> None:
        """Note the field, unless it is null or says what is done anyway."""
        value = self.raw(name)
        if value is not None and value not in harmless:
            self.note(name, reason, LEFT_OUT)

    def note(self, name: str, reason: str, taken: str) -> None:
        """Note what the field says."""
        self.notes.add(self.key(name), self.peek(name), reason, taken)

    def note_whole(self, key: str, reason: str, taken: str) -> None:
        """Note all fields in one, under the key of the dictionary."""
        self.notes.add(key, dict(self._held.values()), reason, taken)
        self.dismiss()

    def dismiss(self) -> None:
        """Take all as read: a note about the whole has been written."""
        self._unread.clear()

    def note_the_rest(self) -> None:
        """Note every key that was never read."""
        for name in self._unread:
            self.note(name, self._unknown, LEFT_OUT)
        self.dismiss()


def agreed(
    fields: Sequence[tuple[Reader, str]],
    section: type[Section],
    of: str,
    *,
    taken: str = LEFT_OUT,
) -> Any:
    """The first of several places that say one thing; those that say another are noted."""
    said: tuple[str, Any] | None = None
    for reader, name in fields:
        value = reader.field(name, section, of=of, taken=taken)
        if value is not None and said is None:
            said = (reader.key(name), value)
        elif said is not None and value not in (None, said[1]):
            reader.note(name, f"{said[0]} says otherwise", LEFT_OUT)
    return None if said is None else said[1]


def word(value: object) -> str:
    """A name without case, signs and blanks, the last part of a dotted one; "" of a list.

    >>> word("tf.keras.losses.Categorical_Crossentropy")
    'categoricalcrossentropy'
    """
    if isinstance(value, (Mapping, list, tuple, set)):
        return ""
    return re.sub(r"[^a-z0-9]", "", str(value).rpartition(".")[2].lower())


def number(value: object) -> float | None:
    """The number that a value is or spells, None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < float("inf") else None


def numbers(value: object) -> list[float] | None:
    """The numbers that a list holds, or the one that a value is; None where one is none."""
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    found = [one for item in several if (one := number(item)) is not None]
    return found if found and len(found) == len(several) else None


@cache
def _adapter(section: type[Section], field: str) -> TypeAdapter[Any]:
    return TypeAdapter(section.model_fields[field].rebuild_annotation())


def allowed(section: type[Section], field: str) -> Callable[[Any], Any]:
    """What makes a number that the recipe's field allows of a value, and None of any other."""

    def parse(value: object) -> Any:
        found = number(value)
        if found is None:
            return None
        try:
            return _adapter(section, field).validate_python(found)
        except ValidationError:
            return None

    return parse


def named(given: object) -> tuple[str, list[tuple[str, Any]]]:
    """Name and settings of what is given as a name or a mapping with one."""
    if not isinstance(given, Mapping):
        return word(given), []
    pairs = [(str(key), value) for key, value in given.items()]
    places = {key.lower(): at for at, (key, _) in enumerate(pairs)}
    at = next((places[key] for key in ("class_name", "type", "name") if key in places), None)
    # A class, such as layers.Dense, is told by its name; a call of it is not.
    name = "" if at is None else str(pairs.pop(at)[1])
    settings: list[tuple[str, Any]] = []
    for key, value in pairs:
        if key.lower() == "config" and isinstance(value, Mapping):
            settings += [(str(inner), setting) for inner, setting in value.items()]
        else:
            settings.append((key, value))
    return word(name), settings
