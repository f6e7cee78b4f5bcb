"""Every text of the app exists in both languages, says the same with the same gaps, and is used."""

from __future__ import annotations

import ast
import pkgutil
import re
import string
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

import pytest

from pneumoscope.app import words
from pneumoscope.app.language import Text, chosen, decimal, interval, percent, spoken, whole
from pneumoscope.app.reasons import reason_in
from pneumoscope.app.words import common, dataset, trying
from pneumoscope.app.words.reasons import REASONS
from pneumoscope.bundle.prediction import GateVerdict
from pneumoscope.core.recipe import Recipe
from pneumoscope.data.audit.registry import CHECKS
from pneumoscope.evaluation.verdict.judge import ITEMS

APP = Path(words.__file__).parents[1]
TABLES = {found.name: import_module(f"pneumoscope.app.words.{found.name}")
          for found in pkgutil.iter_modules(words.__path__)}  # fmt: skip


def texts(value: object) -> Iterator[Text]:
    if isinstance(value, Text):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from texts(inner)


def named(table: str) -> dict[str, object]:
    return {name: value for name, value in vars(TABLES[table]).items() if name.isupper()}


def gaps(text: str) -> list[str]:
    return sorted(
        name or "" for _, name, _, _ in string.Formatter().parse(text) if name is not None
    )


@pytest.mark.parametrize("table", TABLES)
def test_every_text_is_there_twice_with_the_same_gaps(table: str) -> None:
    found = [text for value in named(table).values() for text in texts(value)]
    assert found
    for text in found:
        assert all(one.strip() for one in text), text
        assert gaps(text.en) == gaps(text.fr), text
        assert "'" not in text.fr, text  # French takes the other apostrophe


@pytest.mark.parametrize("table", TABLES)
def test_every_text_is_used(table: str) -> None:
    used = {
        node.attr if isinstance(node, ast.Attribute) else node.name
        for path in APP.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8")))
        if isinstance(node, ast.Attribute | ast.alias)
    }
    assert not set(named(table)) - used


def test_no_page_writes_words_of_its_own() -> None:
    said = re.compile(r'st\.(?:title|header|subheader|write|button|markdown|caption)\(\s*f?"')
    for path in [*(APP / "pages").glob("*.py"), APP / "main.py"]:
        assert not said.search(path.read_text(encoding="utf8")), path.name


def test_what_other_parts_name_has_words() -> None:
    assert set(common.ITEMS) == set(common.QUESTIONS) == set(ITEMS)
    assert set(dataset.CHECKS) == {check.name for check in CHECKS}
    assert set(trying.STAGES) == set(trying.PASSED) == set(GateVerdict.__dataclass_fields__)
    assert set(dataset.SPLITS) == {"train", *Recipe().split.model_dump()} & set(dataset.SPLITS)


@pytest.mark.parametrize(
    ("reason", "french"),
    [
        ("is no chest radiograph (probability 0.012)", "probabilité 0,012"),
        ("is blank", "est vide"),
        ("is inverted: a negative. Invert it back; is blank", "Rétablissez-le ; est vide"),
        ("is unfamiliar: 99.2 % of the calibration images are more like them", "99,2 %"),
        ("20000 x 10000 pixels; allowed: 100,000,000 pixels. Shrink it.", "20000 \u00d7 10000"),
        ("the PNG ends too early, at 900 bytes. Export the image again or exclude it.", "tronqué"),
        ("starts with b'hello'; supported: PNG, JPEG, DICOM. Convert it.", "PNG, JPEG"),
    ],
)  # fmt: skip
def test_reasons_are_told_in_french(reason: str, french: str) -> None:
    assert french in (reason_in(reason, "fr") or "")


def test_what_no_pattern_knows_stays_english_and_is_marked_unknown() -> None:
    assert reason_in("something new", "en") == "something new"
    assert reason_in("something new", "fr") is None
    assert all(re.compile(pattern) for pattern in REASONS)


def test_numbers_are_written_as_the_language_does() -> None:
    assert (decimal(1234.5, "fr", digits=1), decimal(None, "en")) == ("1234,5", "\u2013")
    assert (percent(0.25, "en"), percent(0.25, "fr")) == ("25%", "25\u202f%")
    assert (whole(12345, "en"), whole(12345, "fr"), whole(9, "fr")) == (
        "12,345",
        "12\u202f345",
        "9",
    )
    assert interval({"low": None, "high": 1.0}, "en") == ""
    assert spoken(Text("a {n}", "b {n}"), chosen("fr"), n=1) == "b 1"
