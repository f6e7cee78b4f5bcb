"""The verdict on shortcuts: whether the label can be had without the lungs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from pneumoscope.core.said import Said
from pneumoscope.evaluation.verdict.parts import (
    WORST_FIRST,
    Colour,
    Content,
    Estimate,
    Finding,
    estimate,
    graded,
    listed,
    part,
    rows,
    said,
    three,
    unmeasured,
    worst,
)
from pneumoscope.evaluation.verdict.sources import source_confounding, unmeasured_confounding
from pneumoscope.evaluation.verdict.thresholds import (
    BLIND_AUC,
    BLIND_AUC_FAR,
    CHANCE,
    LUNGS_ONLY_DROP,
)

_BLIND = {
    "lungs_removed": "With the lungs removed, the network",
    "metadata_only": "From size, format and other metadata alone, without an image, a small model",
    "border_only": "From the image's border alone, a small model",
}
_TESTS = ("lungs_removed", "lungs_swapped", "metadata_only", "border_only", "lungs_only")
_NAMES = {name: name.replace("_", " ") for name in _TESTS}
_LUNG_TESTS = {"lungs_removed", "lungs_swapped"}


def shortcuts(metrics: Content, assessment: Content) -> Finding:
    """Whether the label can be had without the lungs, and if so, whether sources explain it."""
    del metrics
    table = {str(row.get("condition")): row for row in rows(assessment, "conditions")}
    if (swapped := table.get("lungs_swapped")) and (control := table.get("lungs_exchanged")):
        drops = {f"control_{name}": control[name] for name in control if name.startswith("drop")}
        table["lungs_swapped"] = {**swapped, **drops}
    found = {
        name: finding
        for name in _TESTS
        if (finding := _worst_label(name, table.get(name, {}))) is not None
    }
    missing = [_NAMES[name] for name in _TESTS if name in _LUNG_TESTS and name not in found]
    remedy = "Give lung masks or let the lung segmenter draw them, and evaluate with the audit on."
    if not found:
        return unmeasured("no shortcut test was made", remedy, said("unmeasured.shortcuts"))
    chosen = worst(list(found.values()))
    if chosen.colour == "green":
        if missing:
            passed = [_NAMES[name] for name in found]
            return unmeasured(
                f"{listed(passed)} found nothing, but {listed(missing)} was not tested",
                remedy,
                said("unmeasured.shortcuts_partly", tests=passed, missing=missing),
            )
        return chosen
    return _with_reason(found, chosen, assessment)


def _with_reason(found: dict[str, Finding], chosen: Finding, assessment: Content) -> Finding:
    """The worst finding, the tests that agree with it, and the confounding behind them."""
    agreeing = [
        _NAMES[name]
        for name, finding in found.items()
        if finding is not chosen and finding.colour in {"red", "amber"}
    ]
    sentences, told = [chosen.sentence], [*chosen.said]
    if agreeing:
        sentences.append(f"It does not stand alone: see also {listed(agreeing)}.")
        told.append(said("shortcuts.agreeing", tests=agreeing))
    reason, confounded = source_confounding(assessment)
    if reason:
        sentences.append(f"The likely reason is source confounding: {reason}.")
        told += confounded
    elif chosen.colour == "red" and (open_question := unmeasured_confounding(assessment)):
        sentences.append(open_question[0])
        told.append(open_question[1])
    return replace(chosen, sentence=" ".join(sentences), said=tuple(told))


@dataclass(frozen=True)
class _Seen:
    """What was measured under one condition, of one label or on the mean of all.

    Attributes:
        name: of the condition.
        row: the condition's entry.
        label: which; None for the mean.
        labels: how many there are to choose from.
    """

    name: str
    row: Content
    label: str | None
    labels: int

    def area(self, key: str) -> Estimate | None:
        """The entry at `key`; a label's ends are those that hold for all labels at once."""
        if self.label is None:
            return estimate(self.row.get(key))
        entry = part(self.row, f"{key}:{self.label}")
        ends = {"low": entry.get("joint_low"), "high": entry.get("joint_high")}
        return estimate({**entry, **ends})

    @property
    def whose(self) -> str:
        """Which label it is about, in a sentence."""
        if self.label is None:
            return ""
        return (
            f" for {self.label}, which stands out most of {self.labels} labels (intervals hold for "
            "all of them at once),"
        )

    def value(self, area: Estimate) -> str:
        """What was measured, short."""
        of_label = "" if self.label is None else f" of {self.label}"
        return f"AUC {area}{of_label}, {_NAMES[self.name]}"

    def said(self, *sentences: Said) -> tuple[Said, ...]:
        """The sentences' keys, with the label after the first."""
        if self.label is None:
            return sentences
        of_label = said("shortcuts.of_label", label=self.label, labels=self.labels)
        return (sentences[0], of_label, *sentences[1:])


_Graded: TypeAlias = tuple[float, Finding]
"""How bad it is, to choose among findings of one colour, and the finding."""


def _worst_label(name: str, row: Content) -> Finding | None:
    """The finding on the label that stands out most, or on the mean where that is worse.

    Of two labels both have the same area, which is also the mean.
    """
    labels = [key.removeprefix("auc:") for key in row if key.startswith("auc:")]
    known = [label for label in labels if estimate(row.get(f"auc:{label}"))]
    several = known if len(labels) > 2 else []
    ranked = []
    for label in (*several, None):
        if (found := _CHECKS[name](_Seen(name, row, label, len(several)))) is not None:
            bad, finding = found
            ranked.append((WORST_FIRST.index(finding.colour), label is None, -bad, finding))
    return min(ranked, key=lambda one: one[:3])[3] if ranked else None


def _blind(seen: _Seen) -> _Graded | None:
    """A model or an image without lungs should be near chance."""
    area, full = seen.area("auc"), seen.area("full_auc")
    if area is None:
        return None
    # A ranking that is wrong way round knows as much of the label as the same one turned.
    known = max(area.low, 1 - area.high)
    colour = graded(known, green=BLIND_AUC, red=BLIND_AUC_FAR)
    ending = {
        "red": "far from chance: much of the result can be had without the lungs",
        "amber": "surely off chance: something besides the lungs tells the label",
        "green": "not surely more than outlines and noise explain",
    }[colour]
    beside = f" (whole image: {three(full.value)})" if full else ""
    told = [said(f"shortcuts.{seen.name}", auc=area, chance=CHANCE)]
    if full:
        told.append(said("shortcuts.whole", auc=full.value))
    reaches = f"{_BLIND[seen.name]} reaches an AUC of {area}{seen.whose}"
    return known, Finding(
        colour,
        seen.value(area),
        f"lower end: green up to {BLIND_AUC:.2f}, red above {BLIND_AUC_FAR:.2f}",
        f"{reaches} where chance is {CHANCE}{beside}, {ending}.",
        seen.said(*told, said(f"shortcuts.blind_{colour}")),
        said("limit.blind", green=BLIND_AUC, red=BLIND_AUC_FAR),
    )


def _swapped(seen: _Seen) -> _Graded | None:
    """Lungs put among other surroundings should keep their answer."""
    lungs, around = seen.area("auc"), seen.area("surroundings_auc")
    if lungs is None or around is None:
        return None
    told = (
        f"With lungs and surroundings of different labels in one image, the AUC{seen.whose} for "
        f"the lungs' label is {lungs} and for the surroundings' {around}"
    )
    also = [said("shortcuts.lungs_swapped", lungs=lungs, around=around)]
    if (cost := seen.area("control_drop")) is not None:
        told += f" (lungs of another image of the same label cost {cost}, so much is the cut's)"
        also.append(said("shortcuts.control", cost=cost))
    colour: Colour = "amber"
    ending = "neither surely decides alone"
    if around.low > lungs.high:
        colour, ending = "red", "the answer follows what is not lung"
    elif lungs.low > around.high:
        colour, ending = "green", "the answer follows the lungs"
    return around.low - lungs.high, Finding(
        colour,
        seen.value(lungs),
        "green if the lungs surely decide, red if the surroundings surely do",
        f"{told}: {ending}.",
        seen.said(*also, said(f"shortcuts.swapped_{colour}")),
        said("limit.swapped"),
    )


def _lungs_only(seen: _Seen) -> _Graded | None:
    """The lungs alone should be enough, nearly; never red, as black surroundings are new."""
    area, drop = seen.area("auc"), seen.area("drop")
    if area is None or drop is None:
        return None
    lost = drop.low > LUNGS_ONLY_DROP
    ending = "so the surroundings were used" if lost else "so the lungs are nearly enough"
    colour: Colour = "amber" if lost else "green"
    told = said("shortcuts.lungs_only", auc=area, drop=drop)
    return drop.low, Finding(
        colour,
        seen.value(area),
        f"lower end of the loss: green up to {LUNGS_ONLY_DROP:.2f}",
        f"With the lungs alone the AUC{seen.whose} is {area}, a loss of {drop}, {ending}.",
        seen.said(told, said(f"shortcuts.lungs_only_{colour}")),
        said("limit.lungs_only", green=LUNGS_ONLY_DROP),
    )


_CHECKS: dict[str, Callable[[_Seen], _Graded | None]] = {
    **dict.fromkeys(_BLIND, _blind),
    "lungs_swapped": _swapped,
    "lungs_only": _lungs_only,
}
