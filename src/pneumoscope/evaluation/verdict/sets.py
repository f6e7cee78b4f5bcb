"""The verdict on guarantees for labels and groups: label sets, and the worst group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, groupby
from typing import TypeAlias

from pneumoscope.core.said import Said
from pneumoscope.evaluation.verdict.parts import (
    Colour,
    Content,
    Estimate,
    Finding,
    amount,
    difference,
    estimate,
    number,
    part,
    rows,
    said,
    three,
    unmeasured,
    worst,
)
from pneumoscope.evaluation.verdict.several import counted, level_of, one_of
from pneumoscope.evaluation.verdict.thresholds import (
    COVERAGE_SLACK,
    GROUP_GAP,
    GROUP_IMAGES,
    GROUP_PATIENTS,
    GROUP_UNKNOWN,
    SINGLE_SHARE,
)

_Graded: TypeAlias = tuple[Colour, str, Said]


def label_sets(metrics: Content, assessment: Content) -> Finding:
    """Whether sets hold the true label as often as promised, and are small enough to be of use.

    A shortfall is judged at a level corrected for the number of labels looked at.
    """
    del metrics
    section = part(assessment, "label_sets")
    level = number(section, "confidence_level")
    covered = [
        (row, found)
        for row in rows(section, "coverage")
        if row.get("group") in {"all", "label"} and (found := estimate(row.get("coverage")))
    ]  # other groups have no promise
    if level is None or not covered:
        return unmeasured(
            "the bundle makes no label sets",
            "Train again with label sets and a calibration split; they are fitted on it.",
            said("unmeasured.sets"),
        )
    promise = _Promise(level, section.get("conditional") is True, len(covered))
    covered.sort(key=lambda item: item[1].high)
    return worst([_coverage(*one, promise, at=level_of(assessment)) for one in covered])


@dataclass(frozen=True)
class _Promise:
    """What label sets promise: their level, whether for every label, and how many are judged."""

    level: float
    conditional: bool
    comparisons: int


def _coverage(row: Content, covered: Estimate, promise: _Promise, *, at: float) -> Finding:
    """The finding on all images or on one label."""
    group, level = row.get("group"), promise.level
    whose = "all images" if group == "all" else str(row.get("value"))
    told = said("sets.all", covered=covered)
    if group == "label":
        told = said("sets.label", covered=covered, label=whose)
    high = one_of(covered, promise.comparisons, level=at).high
    colour, ending, also = _kept(high, promise, row, promised=group == "all" or promise.conditional)
    return Finding(
        colour,
        f"{covered} of {whose} covered",
        f"upper end{counted(promise.comparisons)}: green from {level:.2f}, red below "
        f"{level - COVERAGE_SLACK:.2f}",
        f"Label sets hold the true label of {whose} with a frequency of {covered}{ending}.",
        (told, also),
        said(
            "limit.sets", green=level, red=round(level - COVERAGE_SLACK, 6),
            comparisons=promise.comparisons,
        ),
    )  # fmt: skip


def _kept(high: float, promise: _Promise, row: Content, *, promised: bool) -> _Graded:
    """The colour of a coverage whose corrected upper end is `high`, and why."""
    level, single = promise.level, number(row, "single")
    if high < level - COVERAGE_SLACK and promised:
        words = f": the promised {level:.2f} is broken"
        return "red", words, said("sets.broken", level=level)
    if high < level and promised:
        words = f": surely below the promised {level:.2f}"
        return "amber", words, said("sets.below", level=level)
    if high < level:
        words = f": not promised per label, but below {level:.2f}"
        return "amber", words, said("sets.below_unpromised", level=level)
    if single is not None and single < SINGLE_SHARE:
        share = f"only {three(single)} of the sets single out one label (limit {SINGLE_SHARE})"
        told = said("sets.little", single=single, limit=SINGLE_SHARE)
        return "amber", f", but {share}: kept by saying little", told
    return "green", f"; {level:.2f} was promised", said("sets.kept", level=level)


@dataclass(frozen=True)
class _Gap:
    """A label's error rates in two groups of a column, the higher first.

    Attributes:
        column: what tells the groups apart.
        label: whose images are missed.
        names: of the groups.
        rates: with intervals at the evaluation's level.
    """

    column: str
    label: str
    names: tuple[str, str]
    rates: tuple[Estimate, Estimate]

    def size(self, comparisons: int, *, level: float) -> Estimate:
        """By how much they differ, at the level of one of several comparisons."""
        return difference(*(one_of(rate, comparisons, level=level) for rate in self.rates))

    def words(self) -> tuple[str, Said]:
        """What the two rates are."""
        (high, low), (rate, other) = self.names, self.rates
        told = said(
            "groups.gap", label=self.label, column=self.column, group=high, rate=rate, other=low,
            other_rate=other,
        )  # fmt: skip
        return (
            f"Of the images of {self.label}, {rate} are missed where {self.column} is {high}, and "
            f"{other} where it is {low}"
        ), told


def groups(metrics: Content, assessment: Content) -> Finding:
    """Whether a true label is missed more often in one group than another: by the gap's interval.

    Every two groups of a column are compared, label by label; error rates of a label do not depend
    on how frequent it is in a group, as accuracy would. A gap is called sure at a level corrected
    for the number of all these comparisons, and excluded where every interval at the evaluation's
    own level excludes it (see `several`).
    """
    del metrics
    found, level = list(_gaps(assessment)), level_of(assessment)
    if not found:
        return unmeasured(
            f"no two groups have {GROUP_IMAGES} images of {GROUP_PATIENTS} patients of a label",
            "Record source, view, sex or age in the catalogue, and evaluate on more patients.",
            said("unmeasured.groups", images=GROUP_IMAGES, patients=GROUP_PATIENTS),
        )
    many = len(found)
    chosen, gap = max(
        ((one, one.size(many, level=level)) for one in found), key=lambda item: item[1].low
    )
    sure = gap.low > 0
    if not sure:
        chosen, gap = max(
            ((one, one.size(1, level=level)) for one in found), key=lambda item: item[1].high
        )
    colour, ending, also = _graded_gap(gap, many, sure=sure)
    words, told = chosen.words()
    return Finding(
        colour,
        f"largest gap {gap}",
        f"lower end{counted(many)}: green up to 0, red above {GROUP_GAP:.2f}; upper end: green up "
        f"to {GROUP_UNKNOWN:.2f}",
        f"{words}{ending}.",
        (told, also),
        said("limit.groups", red=GROUP_GAP, open=GROUP_UNKNOWN, comparisons=many),
    )


def _graded_gap(gap: Estimate, comparisons: int, *, sure: bool) -> _Graded:
    """The colour of the surest of several gaps, or where none is sure of the widest, and why."""
    if not sure and gap.high > GROUP_UNKNOWN:
        words = f": groups are too small to exclude a gap of {three(gap.high)}"
        return "amber", words, said("groups.open", gap=gap.high)
    if not sure:
        words = f", the widest gap found: it may be chance{counted(comparisons)}"
        return "green", words, said("groups.chance", comparisons=comparisons)
    if gap.low > GROUP_GAP:
        words = f": a gap of {three(gap.low)} or more is sure{counted(comparisons)}"
        return "red", words, said("groups.sure", gap=gap.low, comparisons=comparisons)
    words = f": one group is surely worse served{counted(comparisons)}"
    return "amber", words, said("groups.worse", comparisons=comparisons)


def _gaps(assessment: Content) -> Iterator[_Gap]:
    """Every two groups of a column, label by label."""
    table = rows(assessment, "subgroups")
    for column, members in groupby(table, key=lambda row: str(row.get("column"))):
        known = [row for row in members if row.get("group") != "unknown"]
        labels = dict.fromkeys(label for row in known for label in part(row, "error_rates"))
        for label in labels:
            rates = {
                str(row.get("group")): rate
                for row in known
                if (rate := _error_rate(part(part(row, "error_rates"), label)))
            }
            for pair in combinations(rates, 2):
                low, high = sorted(pair, key=lambda name: rates[name].value)
                yield _Gap(column, label, (high, low), (rates[high], rates[low]))


def _error_rate(rate: Content) -> Estimate | None:
    few = amount(rate, "trials") < GROUP_IMAGES or amount(rate, "patients") < GROUP_PATIENTS
    return None if few else estimate(rate)
