"""What a bundle's model card tells: the verdict and the figures, read from its Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pneumoscope.app.markdown import Block, blocks, cells, plain
from pneumoscope.evaluation.verdict.judge import ITEMS, colour_word
from pneumoscope.evaluation.verdict.parts import WORST_FIRST, Colour
from pneumoscope.reporting.words import OVERALL, PER_LABEL

_COLOURS: Mapping[str, Colour] = {colour_word(colour): colour for colour in WORST_FIRST}
_VALUE = re.compile(r"([\d.]+)(?: \(([\d.]+) to ([\d.]+)\))?$")
_KEYS = {wording.name: key for key, wording in OVERALL.items()}
_LABEL_KEYS = {wording.name: key for key, wording in PER_LABEL.items()}


@dataclass(frozen=True)
class Card:
    """A model card.

    Attributes:
        text: The whole of it, in Markdown.
        colour: Of the verdict as a whole; None where nothing was judged.
        verdict: `item` and `colour` of each item judged.
        metrics: Entries as `metrics.json` has them: `value`, and `low` and `high` where known.
        measured: On what, in English; empty where nothing was measured.
    """

    text: str
    colour: Colour | None
    verdict: list[dict[str, str]]
    metrics: Mapping[str, Any]
    measured: str


def read_card(content: bytes) -> Card:
    """The card in the file of a bundle; what it does not tell, or tells otherwise, is missing."""
    text = content.decode("utf8", "replace")
    parts = _sections(text)
    verdict, performance = parts.get("Verdict", []), parts.get("Performance", [])
    opening = next((plain(one.lines[0]) for one in verdict if one.kind == "text"), "")
    measured = next((plain(" ".join(one.lines)) for one in performance if one.kind == "text"), "")
    metrics = dict(pair for one in performance if one.kind == "table" for pair in _figures(one))
    judged = [
        {"item": item.lower(), "colour": _COLOURS[word]}
        for one in verdict
        if one.kind == "table"
        for item, word, *_ in map(_plain_cells, one.lines)
        if item.lower() in ITEMS and word in _COLOURS
    ]
    return Card(
        text, _COLOURS.get(opening.partition(".")[0]), judged, metrics, measured if metrics else ""
    )


def _sections(text: str) -> dict[str, list[Block]]:
    found: dict[str, list[Block]] = {}
    title = ""
    for block in blocks(text):
        if block.kind == "heading":
            title = plain(block.lines[-1].lstrip("# "))
        else:
            found.setdefault(title, []).append(block)
    return found


def _figures(block: Block) -> Iterator[tuple[str, Any]]:
    """Keys and entries of one table: of all labels together, or a label per row."""
    head, *rows = map(_plain_cells, [block.lines[0], *block.lines[2:]])
    if head[:1] == ["metric"]:
        level = re.search(r"\((\d+(?:\.\d+)?)% interval\)", head[1])
        if level:
            yield "confidence_level", float(level[1]) / 100
        yield from ((_KEYS[row[0]], _entry(row[1])) for row in rows if row[0] in _KEYS)
    elif head[:1] == ["label"]:
        for name, *values in rows:
            for kind, value in zip(head[1:], values, strict=False):
                if kind in _LABEL_KEYS:
                    yield f"{_LABEL_KEYS[kind]}:{name}", _entry(value)


def _entry(told: str) -> dict[str, float | None]:
    found = _VALUE.match(told)
    ends = found.groups() if found else (None, None, None)
    value, low, high = (None if end is None else float(end) for end in ends)
    return {"value": value, "low": low, "high": high}


def _plain_cells(line: str) -> list[str]:
    found = [plain(cell) for cell in cells(line)]
    return found + [""] * (2 - len(found))
