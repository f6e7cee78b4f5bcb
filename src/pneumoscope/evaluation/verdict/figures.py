"""The verdict on the figures themselves: discrimination, calibration, promises."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pneumoscope.core.said import Said
from pneumoscope.evaluation.verdict.parts import (
    Colour,
    Content,
    Estimate,
    Finding,
    difference,
    estimate,
    graded,
    label_names,
    part,
    rows,
    said,
    three,
    unmeasured,
    worst,
)
from pneumoscope.evaluation.verdict.several import counted, level_of, one_of
from pneumoscope.evaluation.verdict.thresholds import (
    AUC_ACCEPTABLE,
    AUC_EXCELLENT,
    CHANCE,
    ECE_LARGE,
    ECE_SMALL,
    PROMISE_BROKEN,
    PROMISE_MARGIN,
)


def discrimination(metrics: Content, assessment: Content) -> Finding:
    """How well the label told apart worst is told apart: by the AUC's lower end."""
    del assessment
    areas = {label: estimate(metrics.get(f"auc:{label}")) for label in label_names(metrics)}
    known = {label: area for label, area in areas.items() if area is not None}
    mean = estimate(metrics.get("auc"))
    if not known or mean is None:
        return unmeasured(
            "the AUC is not defined with images of one label only",
            "Evaluate on images of every label.",
            said("unmeasured.discrimination"),
        )
    label, least = min(known.items(), key=lambda item: item[1].low)
    limit = f"lower end: green from {AUC_EXCELLENT:.2f}; upper end: red below {AUC_ACCEPTABLE:.2f}"
    which = "" if len(areas) == 2 else f" of {label}, the label told apart worst,"
    found, ending, also = _graded_area(least)
    told = (
        said("discrimination.auc", auc=least)
        if len(areas) == 2
        else said("discrimination.least", auc=least, label=label)
    )
    return Finding(
        found,
        f"AUC {mean if found == 'green' else least}",
        limit,
        f"The AUC{which} is {least}: {ending}.",
        (told, also),
        said("limit.discrimination", green=AUC_EXCELLENT, red=AUC_ACCEPTABLE),
    )


def _graded_area(area: Estimate) -> tuple[Colour, str, Said]:
    """Its colour, and why."""
    if area.low >= AUC_EXCELLENT:
        return "green", "excellent even at its lower end", said("discrimination.excellent")
    if area.high < AUC_ACCEPTABLE:
        words = "not acceptable even at its upper end"
        return "red", words, said("discrimination.not_acceptable")
    if area.low <= CHANCE:
        words = f"chance ({CHANCE}) is not excluded"
        return "red", words, said("discrimination.chance", chance=CHANCE)
    return "amber", "its lower end is not excellent", said("discrimination.not_excellent")


def calibration(metrics: Content, assessment: Content) -> Finding:
    """How far confidence is from accuracy, as served: by the ends of the calibration error.

    A calibrated model of a few hundred images has an error too, by chance: where none is sure
    (lower end 0), only a large one must be excluded.
    """
    section = part(assessment, "calibration")
    error = estimate(part(section, "after").get("ece") or metrics.get("ece"))
    if error is None:
        missing = said("unmeasured.calibration")
        return unmeasured(
            "the calibration error is not defined", "Evaluate on more images.", missing
        )
    limit = (
        f"upper end: green up to {ECE_SMALL:.2f}, or {ECE_LARGE:.2f} where the lower end is 0; "
        f"lower end: red above {ECE_LARGE:.2f}"
    )
    colour, ending, also = _graded_error(error, section)
    return Finding(
        colour,
        f"error {error}",
        limit,
        f"Confidence and accuracy differ by {error} on average{ending}.",
        (said("calibration.gap", error=error), also),
        said("limit.calibration", green=ECE_SMALL, red=ECE_LARGE),
    )


def _graded_error(error: Estimate, section: Content) -> tuple[Colour, str, Said]:
    """Its colour, and why."""
    if error.low > ECE_LARGE:
        words = ": probabilities must not be read as such"
        return "red", words, said("calibration.not_as_such")
    if error.high > ECE_SMALL and (error.low > 0 or math.isinf(error.high)):
        words = ": read probabilities as an order only"
        return "amber", words, said("calibration.order_only")
    if error.high > ECE_LARGE:
        words = f", and {three(error.high)} is not excluded; more images would tell"
        return "amber", words, said("calibration.open", bound=error.high)
    before = estimate(part(section, "before").get("log_loss"))
    after = estimate(part(section, "after").get("log_loss"))
    if before and after and after.low > before.high:
        words = f", but log loss rose from {before} to {after} with calibration"
        told = said("calibration.not_alike", before=before, after=after)
        return "amber", f"{words}: the splits are not alike", told
    if error.high > ECE_SMALL:
        words = f", no more than by chance; more than {three(error.high)} is excluded"
        return "green", words, said("calibration.chance", bound=error.high)
    return "green", ": probabilities may be read as such", said("calibration.as_such")


def operating_points(metrics: Content, assessment: Content) -> Finding:
    """Whether each rate promised on the calibration split was kept: by the loss's interval.

    That a rate is less than promised is called sure at a level corrected for the number of rates;
    that all were kept takes each one's own interval (see `several`).
    """
    del metrics
    findings = list(_promises(assessment))
    if not findings:
        return unmeasured(
            "the bundle has no operating point that these images could test",
            "Train again with a calibration split; operating points are chosen on it.",
            said("unmeasured.points"),
        )
    chosen = worst(findings)
    broken = sum(finding.colour in {"red", "amber"} for finding in findings)
    if not broken:
        sentence = f"All {len(findings)} promised rates were kept. {chosen.sentence}"
        told = (said("points.all_kept", rates=len(findings)), *chosen.said)
        return replace(chosen, sentence=sentence, said=told)
    return chosen


def _promises(assessment: Content) -> Iterator[Finding]:
    """A finding per operating point and rate, the greatest possible loss first."""
    promises = [
        _Promise(point, rate, (promised, seen))
        for point in rows(assessment, "operating_points")
        for rate in ("sensitivity", "specificity")
        if (promised := estimate(part(part(point, "promised"), rate)))
        and (seen := estimate(part(part(point, "seen"), rate)))
    ]
    promises.sort(key=lambda promise: -promise.loss(1).high)
    yield from (_kept(promise, len(promises)) for promise in promises)


@dataclass(frozen=True)
class _Promise:
    """A rate of an operating point: what was promised and what was seen."""

    point: Content
    rate: str
    both: tuple[Estimate, Estimate]

    def loss(self, comparisons: int) -> Estimate:
        """Promised less seen, at the level of one of several comparisons."""
        levels = level_of(self.point), level_of(part(self.point, "seen"))
        return difference(
            *(
                one_of(one, comparisons, level=level)
                for one, level in zip(self.both, levels, strict=True)
            )
        )


def _kept(promise: _Promise, rates: int) -> Finding:
    point, rate, (promised, seen) = promise.point, promise.rate, promise.both
    named = str(point.get("name") or point.get("rule"))
    name, label = named.replace(">=", "\u2265"), str(point.get("label"))
    colour, ending, also = _graded_loss(promise, rates)
    values = {"label": label, "point": named, "rate": rate}
    return Finding(
        colour,
        f"{rate} {three(promised.value)} promised, {three(seen.value)} seen",
        f"green if a loss above {PROMISE_MARGIN:.2f} is excluded; red if one above "
        f"{PROMISE_BROKEN:.2f} is sure{counted(rates)}",
        f"For {label}, the operating point \u201c{name}\u201d promised a {rate} of {promised} and "
        f"gave {seen}, {ending}.",
        (said("points.promise", **values, promised=promised, seen=seen), also),
        said("limit.points", green=PROMISE_MARGIN, red=PROMISE_BROKEN, comparisons=rates),
    )


def _graded_loss(promise: _Promise, rates: int) -> tuple[Colour, str, Said]:
    """The colour of a loss against what was promised, and why."""
    least, most = promise.loss(rates).low, promise.loss(1).high
    if least > 0:
        words = f"surely less, by {three(least)} or more{counted(rates)}"
        colour: Colour = "red" if least > PROMISE_BROKEN else "amber"
        return colour, words, said("points.less", loss=least, comparisons=rates)
    if graded(most, green=PROMISE_MARGIN, red=math.inf) != "green":
        words = f"so a loss of {three(most)} is not excluded; more images would tell"
        return "amber", words, said("points.open", loss=most)
    words = f"so a loss above {PROMISE_MARGIN:.2f} is excluded"
    return "green", words, said("points.kept", margin=PROMISE_MARGIN)
