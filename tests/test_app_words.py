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
from pneumoscope.app.amounts import measured_on
from pneumoscope.app.french import in_french
from pneumoscope.app.language import (
    Text,
    chosen,
    decimal,
    interval,
    percent,
    probability,
    spoken,
    whole,
)
from pneumoscope.app.reasons import because, reason_in
from pneumoscope.app.words import common, dataset, trying
from pneumoscope.app.words.findings import FINDINGS
from pneumoscope.app.words.issues import ISSUES
from pneumoscope.app.words.named import NAMED
from pneumoscope.bundle.prediction import GateVerdict
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.said import Keys, Value
from pneumoscope.data.audit.keys import KEYS as AUDIT_KEYS
from pneumoscope.data.audit.orientation import TURNS
from pneumoscope.data.audit.registry import CHECKS
from pneumoscope.data.audit.shortcut_checks import CUES
from pneumoscope.data.corruptions import CORRUPTIONS
from pneumoscope.evaluation.verdict.judge import ITEMS
from pneumoscope.evaluation.verdict.keys import KEYS as VERDICT_KEYS

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
    return {name: value for name, value in vars(TABLES[table]).items()
            if name.isupper() and not name.startswith("_")}  # fmt: skip


def gaps(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


FRENCH = ("findings", "issues", "named", "reasons")
"""Tables of what records say in English themselves."""


@pytest.mark.parametrize("table", sorted(set(TABLES) - set(FRENCH)))
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


@pytest.mark.parametrize(
    ("keys", "table"), [(VERDICT_KEYS, FINDINGS), (AUDIT_KEYS, ISSUES)], ids=["verdict", "audit"]
)
def test_what_records_say_by_key_is_there_in_french(keys: Keys, table: dict[str, str]) -> None:
    assert set(table) == set(keys)
    for key, french in table.items():
        assert gaps(french) <= set(keys[key]), key
        assert "'" not in french, key
        assert re.search(r"[.:]$", french) or key.startswith("limit."), key


def test_every_finding_is_told_in_french_with_its_numbers() -> None:
    numbers: dict[str, float | None] = {"value": 0.9, "low": 0.8512, "high": None}
    values: dict[str, Value] = {
        "auc": {**numbers, "high": 0.95}, "tests": ["lungs removed", "lungs only"], "rates": 1,
        "images": 12345, "share": 0.004, "label": "X", "tie": None,
        "error": {**numbers, "low": None}, "point": "sensitivity >= 0.95",
    }  # fmt: skip
    for table, keys in ((FINDINGS, VERDICT_KEYS), (ISSUES, AUDIT_KEYS)):
        for key, names in keys.items():
            given = {name: values.get(name, 2.0) for name in names}
            told = in_french({"key": key, "values": given}, table)
            assert told, key
            assert not re.search(r"\d\.\d|[{}|]| [:;?!»%]|« ", told), told
    said = [{"key": "discrimination.auc", "values": values}, {"key": "shortcuts.agreeing",
                                                             "values": values}]  # fmt: skip
    told = in_french(said, FINDINGS)
    assert told is not None
    assert told.startswith("L\u2019AUC est de 0,900 (0,851 à 0,950). Ce n\u2019est pas isolé")
    assert told.endswith("voir aussi poumons retirés et poumons seuls.")


def test_images_of_unknown_patients_are_not_told_as_patients() -> None:
    metrics = {"n_images": 804, "n_patients": 575, "data": "one@1"}
    for unknown, english, french in (
        (0, "804 images of 575 patients (one)", "804 images de 575 patients (one)"),
        (41, "804 images of at most 575 patients (one)", "Les patients de 41 images ne sont pas"),
        (804, "804 images (one). Their", "Leurs patients ne sont pas connus"),
    ):
        known = metrics if not unknown else {**metrics, "n_unknown_patients": unknown}
        assert english in measured_on(known, "en")
        assert french in measured_on(known, "fr")


@pytest.mark.parametrize(
    "said", [None, [], "x", [{"key": "later", "values": {}}], [{"key": "calibration.gap"}],
             [{"key": "calibration.gap", "values": {}}]],
)  # fmt: skip
def test_records_of_other_versions_are_left_to_their_english(said: object) -> None:
    assert in_french(said, FINDINGS) is None


def test_names_in_gaps_are_those_of_the_program() -> None:
    assert set(NAMED["corruption"]) == {one.kind for one in CORRUPTIONS}
    assert set(NAMED["change"]) == {"inverted", *TURNS}
    assert set(NAMED["cue"]) == {*CUES, "all of them"}


class Messages:
    """Examples of what a module raises as RadiographError, its gaps filled."""

    def __init__(self, file: Path) -> None:
        self.nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf8"))))

    def __iter__(self) -> Iterator[str]:
        for node in self.nodes:
            raised = node.exc if isinstance(node, ast.Raise) else None
            if isinstance(raised, ast.Call) and ast.unparse(raised.func) == "RadiographError":
                yield self.example(raised.args[0])
            if isinstance(node, ast.FunctionDef) and node.name == "_reason":
                returned = (one for one in ast.walk(node) if isinstance(one, ast.Return))
                yield from (self.example(one.value) for one in returned if one.value)

    def example(self, node: ast.expr) -> str:
        """The text of a literal, a digit for what is not known before it runs."""
        if isinstance(node, ast.IfExp):
            return self.example(node.body)
        if isinstance(node, ast.JoinedStr):
            return "".join(map(self.example, node.values))
        if isinstance(node, ast.FormattedValue):
            given = self.assigned(node.value) if isinstance(node.value, ast.Name) else None
            plain = isinstance(given, ast.JoinedStr | ast.Constant | ast.IfExp)
            return self.example(given) if given is not None and plain else "7"
        return str(node.value) if isinstance(node, ast.Constant) else ""

    def assigned(self, name: ast.Name) -> ast.expr | None:
        """What was given that name just before."""
        above = [
            one
            for one in self.nodes
            if isinstance(one, ast.Assign) and one.lineno < name.lineno
            and ast.unparse(one.targets[0]) == name.id
        ]  # fmt: skip
        return max(above, key=lambda one: one.lineno).value if above else None


def test_whatever_keeps_a_file_from_being_read_is_told_in_french() -> None:
    found = {text for file in (APP.parent / "imaging").glob("*.py") for text in Messages(file)}
    assert len(found) > 50
    assert not [text for text in found if text and reason_in(text, "fr") is None]


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
        ("is inverted: a negative. Invert it back; is blank", "Rétablissez-le\u202f; est vide"),
        ("is unfamiliar: 99.2 % of the calibration images are more like them", "99,2\u202f%"),
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
    assert because("something new.", "fr") == "Raison, en anglais\u00a0: something new."
    assert because("is blank", "fr") == "Ce cliché est vide."
    assert because("no label can be excluded", "en") == "Because: no label can be excluded."


def test_numbers_are_written_as_the_language_does() -> None:
    assert (decimal(1234.5, "fr", digits=1), decimal(None, "en")) == ("1234,5", "\u2013")
    assert (percent(0.25, "en"), percent(0.25, "fr")) == ("25%", "25\u202f%")
    # No model is sure; other shares may be all or nothing.
    assert [probability(one, "en") for one in (1.0, 0.9996, 0.999, 0.0005, 0.0004, None)] == [
        ">\u00a099.9%", ">\u00a099.9%", "99.9%", "0.1%", "<\u00a00.1%", "\u2013",
    ]  # fmt: skip
    assert probability(0.997, "fr", digits=0) == ">\u00a099\u202f%"
    assert percent(1.0, "en") == "100%"
    assert (whole(12345, "en"), whole(12345, "fr"), whole(9, "fr")) == (
        "12,345",
        "12\u202f345",
        "9",
    )
    assert interval({"low": None, "high": 1.0}, "en") == ""
    assert spoken(Text("a {n}", "b {n}"), chosen("fr"), n=1) == "b 1"
    agreeing = Text("{n:thing|things}", "{n:chose|choses}")
    assert [spoken(agreeing, "en", n=n) for n in (0, 1, 2)] == ["things", "thing", "things"]
    assert [spoken(agreeing, "fr", n=n) for n in (0, 1, 2)] == ["chose", "chose", "choses"]
