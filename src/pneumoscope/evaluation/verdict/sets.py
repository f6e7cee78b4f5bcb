"""The verdict on guarantees for labels and groups: label sets, and the worst group."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

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
from pneumoscope.evaluation.verdict.thresholds import (
    COVERAGE_SLACK,
    GROUP_GAP,
    GROUP_IMAGES,
    GROUP_PATIENTS,
    GROUP_UNKNOWN,
    SINGLE_SHARE,
)


def label_sets(metrics: Content, assessment: Content) -> Finding:
    """Whether sets hold the true label as often as promised, and are small enough to be of use."""
    del metrics
    section = part(assessment, "label_sets")
    level = number(section, "confidence_level")
    covered = sorted(
        rows(section, "coverage"), key=lambda row: number(part(row, "coverage"), "high") or 0.0
    )
    found = [
        finding
        for row in covered
        if level is not None and (finding := _coverage(row, level, section))
    ]
    if not found:
        return unmeasured(
            "the bundle makes no label sets",
            "Train again with label sets and a calibration split; they are fitted on it.",
            said("unmeasured.sets"),
        )
    return worst(found)


def _coverage(row: Content, level: float, section: Content) -> Finding | None:
    """The finding on all images or on one label, None for other groups: they have no promise."""
    covered, group = estimate(row.get("coverage")), row.get("group")
    if covered is None or group not in {"all", "label"}:
        return None
    whose = "all images" if group == "all" else str(row.get("value"))
    value = f"{covered} of {whose} covered"
    limit = f"upper end: green from {level:.2f}, red below {level - COVERAGE_SLACK:.2f}"
    told = said("sets.all", covered=covered)
    if group == "label":
        told = said("sets.label", covered=covered, label=whose)
    promised = group == "all" or section.get("conditional") is True
    colour, ending, also = _kept(covered, level, number(row, "single"), promised=promised)
    return Finding(
        colour,
        value,
        limit,
        f"Label sets hold the true label of {whose} with a frequency of {covered}{ending}.",
        (told, also),
        said("limit.sets", green=level, red=round(level - COVERAGE_SLACK, 6)),
    )


def _kept(
    covered: Estimate, level: float, single: float | None, *, promised: bool
) -> tuple[Colour, str, Said]:
    """The colour of a coverage, and why."""
    if covered.high < level - COVERAGE_SLACK and promised:
        words = f": the promised {level:.2f} is broken"
        return "red", words, said("sets.broken", level=level)
    if covered.high < level and promised:
        words = f": surely below the promised {level:.2f}"
        return "amber", words, said("sets.below", level=level)
    if covered.high < level:
        words = f": not promised per label, but below {level:.2f}"
        return "amber", words, said("sets.below_unpromised", level=level)
    if single is not None and single < SINGLE_SHARE:
        share = f"only {three(single)} of the sets single out one label (limit {SINGLE_SHARE})"
        told = said("sets.little", single=single, limit=SINGLE_SHARE)
        return "amber", f", but {share}: kept by saying little", told
    return "green", f"; {level:.2f} was promised", said("sets.kept", level=level)


def groups(metrics: Content, assessment: Content) -> Finding:
    """Whether a true label is missed more often in one group than another: by the gap's interval.

    The worst and the best group of a column are compared, label by label; error rates of a label
    do not depend on how frequent it is in a group, as accuracy would.
    """
    del metrics
    found = sorted(_gaps(assessment), key=lambda item: -item[0].low)
    if not found:
        return unmeasured(
            f"no two groups have {GROUP_IMAGES} images of {GROUP_PATIENTS} patients of a label",
            "Record source, view, sex or age in the catalogue, and evaluate on more patients.",
            said("unmeasured.groups", images=GROUP_IMAGES, patients=GROUP_PATIENTS),
        )
    gap, words, told = found[0]
    limit = f"lower end: green up to 0, red above {GROUP_GAP:.2f}"
    widest, open_words, open_told = max(found, key=lambda item: item[0].high)
    colour: Colour = "green"
    ending, also = ", the widest gap found: it may be chance", said("groups.chance")
    if gap.low > GROUP_GAP:
        colour, ending = "red", f": a gap of {three(gap.low)} or more is sure"
        also = said("groups.sure", gap=gap.low)
    elif gap.low > 0:
        colour, ending = "amber", ": one group is surely worse served"
        also = said("groups.worse")
    elif widest.high > GROUP_UNKNOWN:
        gap, words, told = widest, open_words, open_told
        colour = "amber"
        ending = f": groups are too small to exclude a gap of {three(widest.high)}"
        also = said("groups.open", gap=widest.high)
    bound = said("limit.groups", red=GROUP_GAP)
    sentence = f"{words}{ending}."
    return Finding(colour, f"largest gap {gap}", limit, sentence, (told, also), bound)


def _gaps(assessment: Content) -> Iterator[tuple[Estimate, str, Said]]:
    """Per column and label, the gap of worst and best group, and what it says."""
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
            if len(rates) > 1:
                yield _gap(column, label, rates)


def _error_rate(rate: Content) -> Estimate | None:
    few = amount(rate, "trials") < GROUP_IMAGES or amount(rate, "patients") < GROUP_PATIENTS
    return None if few else estimate(rate)


def _gap(column: str, label: str, rates: dict[str, Estimate]) -> tuple[Estimate, str, Said]:
    high, low = max(rates, key=lambda name: rates[name].value), min(
        rates, key=lambda name: rates[name].value
    )  # fmt: skip
    words = (
        f"Of the images of {label}, {rates[high]} are missed where {column} is {high}, and "
        f"{rates[low]} where it is {low}"
    )
    told = said(
        "groups.gap", label=label, column=column, group=high, rate=rates[high], other=low,
        other_rate=rates[low],
    )  # fmt: skip
    return difference(rates[high], rates[low]), words, told
