"""Checks for shortcuts before any training: what predicts the label without showing anatomy."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from pneumoscope.core.association import cramers_v
from pneumoscope.core.said import Value
from pneumoscope.core.types import FloatArray
from pneumoscope.data.audit.data import AuditData, of_source, sentence
from pneumoscope.data.audit.duplicate_checks import borrowed_labels
from pneumoscope.data.audit.issues import Fact, Issue, Severity, of_set, percent, said
from pneumoscope.data.audit.predictability import Predictability, predictability

_WARN, _ALARM = 0.6, 0.8
"""The lower end of the interval from which a shortcut is a warning, and an error."""
_TIED = 0.3
_MARKED = 0.01
"""Share of corner pixels in strokes from which a picture counts as marked."""

CUES: dict[str, tuple[str, ...]] = {
    "size": ("width", "height"),
    "aspect": ("aspect",),
    "file size": ("bytes", "bytes_per_pixel"),
    "format": ("format_code", "name_code", "photometric_code", "bits"),
    "mean grey": ("mean",),
    "contrast": ("standard_deviation", "black_fraction", "white_fraction"),
    "border content": ("border_mean", "border_standard_deviation"),
    "sharpness": ("sharpness",),
    "corner text": ("corner_text",),
}
"""What each cue is made of."""

_COLUMNS = tuple(column for group in CUES.values() for column in group)
_ALL = "all of them"
_ANATOMICAL = ("mean grey", "contrast", "file size", "sharpness")
"""Cues that disease itself may change."""


def cues_table(images: pl.DataFrame) -> pl.DataFrame:
    """`images` with every column that `CUES` names, as numbers."""
    extension = pl.col("path").str.extract(r"(\.[^./#]+)$").str.to_lowercase()
    codes = [
        column.cast(pl.String).fill_null("").rank("dense").cast(pl.Float64).alias(name)
        for column, name in (
            (pl.col("format"), "format_code"), (extension, "name_code"),
            (pl.col("photometric"), "photometric_code"),
        )
    ]  # fmt: skip
    return images.with_columns(
        *codes,
        aspect=pl.col("width") / pl.col("height"),
        bytes_per_pixel=pl.col("bytes") / (pl.col("width") * pl.col("height")),
    )


def shortcuts(data: AuditData) -> list[Issue]:
    """Per data set: how well each cue alone, and all together, predict the label."""
    issues = []
    for name, images in data.sources.items():
        found = judged_cues(images)
        issues += [_shortcut(name, cue, found[cue]) for cue in found if found[cue].low > _WARN]
        if found:
            issues.append(_overview(name, found))
    return issues


def judged_cues(images: pl.DataFrame) -> dict[str, Predictability]:
    """What each cue of `CUES`, and all of them together, predict of the label.

    Empty where fewer than two labels have five patients.
    """
    table = cues_table(images)
    judged = {cue: _predict(table, columns) for cue, columns in CUES.items()}
    judged[_ALL] = _predict(table, _COLUMNS)
    return {cue: result for cue, result in judged.items() if result is not None}


def _overview(name: str, found: dict[str, Predictability]) -> Issue:
    shown = ", ".join(f"{cue} {result.auc:.2f}" for cue, result in found.items())
    message = f"{of_source(name)}the label is predicted with these AUCs (chance: 0.50): {shown}."
    facts: dict[str, Fact] = {"source": name or None, "chance": 0.5}
    for cue, result in found.items():
        facts |= {f"auc:{cue}": result.auc, f"low:{cue}": result.low, f"high:{cue}": result.high}
    tried = (said("shortcuts.tried_one", cue=cue, auc=result.auc) for cue, result in found.items())
    told = (*of_set(name), said("shortcuts.tried"), *tried)
    return Issue("shortcuts", "info", "Shortcuts tried", sentence(message), (), facts, told)


def label_sources(data: AuditData) -> list[Issue]:
    """Labels that look as if each had its own source, by acquisition cues or by known copies."""
    issues = borrowed_labels(data)
    for name, images in data.sources.items():
        result = _predict(cues_table(images), _COLUMNS)
        issues += _separable(name, result) if result is not None else []
    return issues


def _predict(table: pl.DataFrame, columns: tuple[str, ...]) -> Predictability | None:
    labels = [str(label) for label in table["label"]]
    return predictability(_matrix(table, columns), labels, [str(group) for group in table["group"]])


def _matrix(table: pl.DataFrame, columns: tuple[str, ...]) -> FloatArray:
    numbers = table.select(pl.col(name).cast(pl.Float64) for name in columns)
    return np.asarray(numbers.fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _severity(low: float) -> Severity:
    return "error" if low > _ALARM else "warning" if low > _WARN else "info"


def _shortcut(name: str, cue: str, result: Predictability) -> Issue:
    known = "the sum of all acquisition cues" if cue == _ALL else f"the {cue} alone"
    message = (
        f"{of_source(name)}{known} predicts the label with an AUC of {result.auc:.2f} "
        f"({result.low:.2f} to {result.high:.2f}); chance is 0.50. It shows no anatomy, and a "
        "model may learn it instead of disease."
    )
    area = _area(result)
    one = said("shortcuts.one", cue=cue, auc=area)
    told = [*of_set(name), said("shortcuts.all", auc=area) if cue == _ALL else one]
    if cue in (*_ANATOMICAL, _ALL):
        message += " Part of it may be the disease itself, which changes this too."
        told.append(said("shortcuts.disease"))
    facts = _facts(result, source=name or None, cue=cue)
    title = f"{sentence(known)} predicts the label"
    severity, every = _severity(result.low), tuple(told)
    return Issue("shortcuts", severity, title, sentence(message), (), facts, every)


def _area(result: Predictability) -> Value:
    return {"value": result.auc, "low": result.low, "high": result.high}


def _facts(result: Predictability, **more: Fact) -> dict[str, Fact]:
    return {**more, "auc": result.auc, "low": result.low, "high": result.high, "chance": 0.5}


def _separable(name: str, result: Predictability) -> list[Issue]:
    """The label pairs that all cues tell apart: acquired differently, likely at other places."""
    pairs = result.separable_pairs()
    apart = {both: auc for both, auc in pairs.items() if auc >= 0.9}
    if not apart:
        return []
    first = dict(list(apart.items())[:4])
    shown = "; ".join(f"'{a}' and '{b}' (AUC {auc:.2f})" for (a, b), auc in first.items())
    told = (
        *of_set(name),
        said("label_source.apart"),
        *(said("label_source.pair", first=a, second=b, auc=auc) for (a, b), auc in first.items()),
        said("label_source.unstated"),
    )
    message = (
        f"{of_source(name)}cues of acquisition almost suffice to tell labels apart: {shown}. The "
        "label may be predictable from the source, which the data do not state: find out where "
        "the images of each label come from before believing any figure."
    )
    facts: dict[str, Fact] = {f"{a}|{b}": auc for (a, b), auc in pairs.items()}
    facts = {"source": name or None, **facts}
    severity: Severity = "error" if max(apart.values()) >= 0.95 else "warning"
    title = "Labels look as if they came from different sources"
    return [Issue("label_source", severity, title, sentence(message), (), facts, told)]


def sources(data: AuditData) -> list[Issue]:
    """How well a source can be told, and how far label and source are tied."""
    if len(data.sources) < 2:
        return []
    table = cues_table(data.images.filter(pl.col("source").is_not_null()))
    names, groups = table["source"].to_list(), [str(group) for group in table["group"]]
    told = predictability(_matrix(table, _COLUMNS), names, groups)
    issues = [] if told is None else [_told_source(told)]
    return [*issues, *_tie(table, names, groups)]


def _told_source(told: Predictability) -> Issue:
    message = (
        f"Acquisition cues tell which data set an image comes from with an AUC of {told.auc:.2f} "
        f"({told.low:.2f} to {told.high:.2f}); chance is 0.50. The better a source can be told, "
        "the more a label that is tied to it can be guessed."
    )
    severity: Severity = "warning" if told.low > _ALARM else "info"
    title, parts = "Sources can be told apart", (said("sources.told", auc=_area(told)),)
    return Issue("sources", severity, title, message, (), _facts(told), parts)


def _tie(table: pl.DataFrame, names: list[str], groups: list[str]) -> list[Issue]:
    labels = [label.lower() for label in table["label"]]
    tie = cramers_v(labels, names)
    codes = np.unique(names, return_inverse=True)[1][:, None].astype(np.float64)
    hot = np.asarray(codes == np.arange(codes.max() + 1), dtype=np.float64)
    result = predictability(hot, labels, groups)
    if result is None:
        return []
    severity = _severity(result.low) if tie > _TIED else "info"
    strength = "almost determine each other" if tie > 0.9 else "hang together"
    message = (
        f"Label and source {strength if severity != 'info' else 'hardly hang together'} (Cramér's "
        f"V {tie:.2f}): the source alone predicts the label with an AUC of {result.auc:.2f} "
        f"({result.low:.2f} to {result.high:.2f}); chance is 0.50."
    )
    key = "untied" if severity == "info" else "determine" if tie > 0.9 else "tied"
    told = [said(f"sources.{key}", tie=tie, auc=_area(result))]
    if severity != "info":
        message += " Train on labels that every source has, or test on a source left out."
        told.append(said("sources.remedy"))
    table_facts = table.group_by("source", "label").len().sort("source", "label").iter_rows()
    counted: dict[str, Any] = {f"{source}:{label}": number for source, label, number in table_facts}
    facts = _facts(result, cramers_v=tie, cue="source", **counted)
    return [Issue("sources", severity, "Label and source", message, (), facts, tuple(told))]


def markers(data: AuditData) -> list[Issue]:
    """Corner text and markers per label: letters that only one label has give it away."""
    issues = []
    for name, images in data.sources.items():
        shown = images.filter(pl.col("corner_text").is_not_null())
        marked = (pl.col("corner_text") > _MARKED).mean()
        rates = dict(shown.group_by("label").agg(marked).sort("label").iter_rows())
        if len(rates) < 2:
            continue
        least, most = (pick(rates, key=lambda label: rates[label]) for pick in (min, max))
        gap = rates[most] - rates[least]
        severity: Severity = "warning" if gap > 0.2 else "info"
        message = (
            f"{of_source(name)}{percent(rates[most])} of '{most}' but {percent(rates[least])} of "
            f"'{least}' carry markers or text in the corners. "
        )
        message += "A model can read them: mask or crop them." if gap > 0.2 else "That is alike."
        facts: dict[str, Fact] = {f"marked:{label}": rate for label, rate in rates.items()}
        facts = {"source": name or None, "gap": gap, **facts}
        title = "Corner text and markers per label"
        told = (
            *of_set(name),
            said("markers", most=most, most_share=rates[most], least=least,
                 least_share=rates[least]),
            said("markers.read" if gap > 0.2 else "markers.alike"),
        )  # fmt: skip
        issues.append(Issue("markers", severity, title, sentence(message), (), facts, told))
    return issues
