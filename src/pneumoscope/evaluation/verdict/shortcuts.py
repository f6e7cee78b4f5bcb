"""The verdict on what else could explain the figures: shortcuts and sources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pneumoscope.core.said import Said
from pneumoscope.evaluation.verdict.parts import (
    Colour,
    Content,
    Estimate,
    Finding,
    difference,
    estimate,
    graded,
    listed,
    number,
    part,
    rows,
    said,
    three,
    unmeasured,
    worst,
)
from pneumoscope.evaluation.verdict.thresholds import (
    BLIND_AUC,
    BLIND_AUC_FAR,
    CHANCE,
    LUNGS_ONLY_DROP,
    ORACLE_EXCESS,
    ORACLE_EXCESS_FAR,
    SOURCE_LOSS,
    SOURCE_TIE,
    SOURCE_TOLD,
)

_BLIND = {
    "lungs_removed": "With the lungs removed, the network",
    "metadata_only": "From size, format and other metadata alone, without an image, a small model",
    "border_only": "From the image's border alone, a small model",
}
_TESTS = ("lungs_removed", "lungs_swapped", "metadata_only", "border_only", "lungs_only")
_NAMES = {name: name.replace("_", " ") for name in _TESTS}
_UNRECORDED = (
    "The usual reason is source confounding: labels differ in what is not anatomy, as they do "
    "when each was gathered at another place. Several sources are not recorded, so it cannot be "
    "excluded."
)
_LUNG_TESTS = {"lungs_removed", "lungs_swapped"}


def shortcuts(metrics: Content, assessment: Content) -> Finding:
    """Whether the label can be had without the lungs, and if so, whether sources explain it."""
    del metrics
    table = {str(row.get("condition")): row for row in rows(assessment, "conditions")}
    if (swapped := table.get("lungs_swapped")) and (control := table.get("lungs_exchanged")):
        table["lungs_swapped"] = {**swapped, "control": control.get("drop")}
    found = {
        name: finding
        for name in _TESTS
        if (finding := _CHECKS[name](name, table.get(name, {}))) is not None
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
    elif chosen.colour == "red" and not part(assessment, "sources"):
        sentences.append(_UNRECORDED)
        told.append(said("shortcuts.unrecorded"))
    return replace(chosen, sentence=" ".join(sentences), said=tuple(told))


def _blind(name: str, row: Content) -> Finding | None:
    """A model or an image without lungs should be near chance."""
    area, full = estimate(row.get("auc")), estimate(row.get("full_auc"))
    if area is None:
        return None
    # A ranking that is wrong way round knows as much of the label as the same one turned.
    colour = graded(max(area.low, 1 - area.high), green=BLIND_AUC, red=BLIND_AUC_FAR)
    ending = {
        "red": "far from chance: much of the result can be had without the lungs",
        "amber": "surely off chance: something besides the lungs tells the label",
        "green": "not surely more than outlines and noise explain",
    }[colour]
    beside = f" (whole image: {three(full.value)})" if full else ""
    told = [said(f"shortcuts.{name}", auc=area, chance=CHANCE)]
    if full:
        told.append(said("shortcuts.whole", auc=full.value))
    return Finding(
        colour,
        f"AUC {area}, {_NAMES[name]}",
        f"lower end: green up to {BLIND_AUC:.2f}, red above {BLIND_AUC_FAR:.2f}",
        f"{_BLIND[name]} reaches an AUC of {area} where chance is {CHANCE}{beside}, {ending}.",
        (*told, said(f"shortcuts.blind_{colour}")),
        said("limit.blind", green=BLIND_AUC, red=BLIND_AUC_FAR),
    )


def _swapped(name: str, row: Content) -> Finding | None:
    """Lungs put among other surroundings should keep their answer."""
    lungs, around = estimate(row.get("auc")), estimate(row.get("surroundings_auc"))
    if lungs is None or around is None:
        return None
    told = (
        f"With lungs and surroundings of different labels in one image, the AUC for the lungs' "
        f"label is {lungs} and for the surroundings' {around}"
    )
    also = [said("shortcuts.lungs_swapped", lungs=lungs, around=around)]
    if (cost := estimate(row.get("control"))) is not None:
        told += f" (lungs of another image of the same label cost {cost}, so much is the cut's)"
        also.append(said("shortcuts.control", cost=cost))
    colour: Colour = "amber"
    ending = "both decide"
    if around.low > lungs.high:
        colour, ending = "red", "the answer follows what is not lung"
    elif lungs.low > around.high:
        colour, ending = "green", "the answer follows the lungs"
    return Finding(
        colour,
        f"AUC {lungs}, {_NAMES[name]}",
        "green if the lungs surely decide, red if the surroundings surely do",
        f"{told}: {ending}.",
        (*also, said(f"shortcuts.swapped_{colour}")),
        said("limit.swapped"),
    )


def _lungs_only(name: str, row: Content) -> Finding | None:
    """The lungs alone should be enough, nearly; never red, as black surroundings are new."""
    area, drop = estimate(row.get("auc")), estimate(row.get("drop"))
    if area is None or drop is None:
        return None
    lost = drop.low > LUNGS_ONLY_DROP
    ending = "so the surroundings were used" if lost else "so the lungs are nearly enough"
    colour: Colour = "amber" if lost else "green"
    return Finding(
        colour,
        f"AUC {area}, {_NAMES[name]}",
        f"lower end of the loss: green up to {LUNGS_ONLY_DROP:.2f}",
        f"With the lungs alone the AUC is {area}, a loss of {drop}, {ending}.",
        (said("shortcuts.lungs_only", auc=area, drop=drop), said(f"shortcuts.lungs_only_{colour}")),
        said("limit.lungs_only", green=LUNGS_ONLY_DROP),
    )


_CHECKS: dict[str, Callable[[str, Content], Finding | None]] = {
    **dict.fromkeys(_BLIND, _blind),
    "lungs_swapped": _swapped,
    "lungs_only": _lungs_only,
}


def source_confounding(assessment: Content) -> tuple[str, list[Said]]:
    """How sources and labels are tied, in words; empty where they are not, or it is not known."""
    section = part(assessment, "sources")
    excess, tie = _oracle_excess(section), number(section, "tie")
    if (excess is None or excess.low <= ORACLE_EXCESS) and (tie is None or tie < SOURCE_TIE):
        return "", []
    strength = "" if tie is None else f" (Cramér's V {three(tie)})"
    reasons = [f"sources and labels are tied{strength}"]
    told = [said("shortcuts.confounding", tie=tie)]
    accuracy, share = _oracle_numbers(section)
    if accuracy and share is not None:
        reasons.append(
            f"the source alone names the label of {accuracy} of the images, against {three(share)} "
            "for the most frequent label"
        )
        told.append(said("shortcuts.source_names", accuracy=accuracy, share=share))
    return ", and ".join(reasons), told


def _oracle_numbers(section: Content) -> tuple[Estimate | None, float | None]:
    """Accuracy of naming the label from the source alone, and of the most frequent label."""
    oracle = part(section, "oracle")
    return estimate(oracle.get("accuracy")), number(oracle, "share_of_most_frequent_label")


def _oracle_excess(section: Content) -> Estimate | None:
    """What the source alone adds to naming the most frequent label."""
    accuracy, share = _oracle_numbers(section)
    if accuracy is None or share is None:
        return None
    return Estimate(accuracy.value - share, accuracy.low - share, accuracy.high - share)


def sources(metrics: Content, assessment: Content) -> Finding:
    """Whether the source tells the label, and whether the model carries to a source left out."""
    del metrics
    section = part(assessment, "sources")
    checks = (_oracle(section), *map(_left_out, rows(section, "left_out")), _told(section))
    found = [finding for finding in checks if finding is not None]
    if not found:
        return unmeasured(
            "the images are of one source, or their sources are not recorded",
            "Record a source per image, and gather every label from several.",
            said("unmeasured.sources"),
        )
    return worst(found)


def _oracle(section: Content) -> Finding | None:
    excess = _oracle_excess(section)
    if excess is None:
        return None
    colour = graded(excess.low, green=ORACLE_EXCESS, red=ORACLE_EXCESS_FAR)
    accuracy, tie = _oracle_numbers(section)[0], number(section, "tie")
    told = said("sources.oracle", accuracy=accuracy, excess=excess.value, tie=tie)
    if colour == "green" and tie is not None and tie >= SOURCE_TIE:
        colour = "amber"
    ending = {
        "red": "label and source cannot be told apart, and neither can what the network learned",
        "amber": "part of the result may be the source",
        "green": "sources say little about labels",
    }[colour]
    beside = "" if tie is None else f"; Cramér's V {three(tie)}"
    return Finding(
        colour,
        f"{three(excess.value)} above the most frequent label",
        f"lower end: green up to {ORACLE_EXCESS:.2f} with a Cramér's V below {SOURCE_TIE:.2f}, red "
        f"above {ORACLE_EXCESS_FAR:.2f}",
        f"Naming the label from the source alone is right with a frequency of {accuracy}, "
        f"{three(excess.value)} more than the most frequent label alone{beside}: {ending}.",
        (told, said(f"sources.oracle_{colour}")),
        said("limit.oracle", green=ORACLE_EXCESS, red=ORACLE_EXCESS_FAR, tie=SOURCE_TIE),
    )


def _left_out(row: Content) -> Finding | None:
    outside, inside = estimate(row.get("auc")), estimate(row.get("inside_auc"))
    if outside is None or inside is None:
        return None
    loss = difference(inside, outside)
    colour = graded(loss.low, green=0.0, red=SOURCE_LOSS)
    ending = {
        "red": "what is learned elsewhere does not carry there",
        "amber": "some of what is learned elsewhere does not carry there",
        "green": "no loss is sure",
    }[colour]
    source = str(row.get("source"))
    return Finding(
        colour,
        f"{three(loss.value)} AUC lost on {source} left out",
        f"lower end of the loss: green up to 0, red above {SOURCE_LOSS:.2f}",
        f"Learned from all other sources, embeddings tell the label at {source} with an AUC of "
        f"{outside}, and learned from {source} itself with {inside}: {ending}.",
        (
            said("sources.left_out", source=source, outside=outside, inside=inside),
            said(f"sources.left_out_{colour}"),
        ),
        said("limit.left_out", red=SOURCE_LOSS),
    )


def _told(section: Content) -> Finding | None:
    told = estimate(section.get("told"))
    if told is None:
        return None
    known = told.low > SOURCE_TOLD
    ending = "a way in for shortcuts where sources and labels are tied" if known else "not plainly"
    return Finding(
        "amber" if known and (number(section, "tie") or 0) >= SOURCE_TIE else "green",
        f"AUC {told} for the source",
        f"lower end: green up to {SOURCE_TOLD:.2f}, or with a Cramér's V below {SOURCE_TIE:.2f}",
        f"Embeddings tell the source with an AUC of {told}, {ending}.",
        (
            said("sources.told", auc=told),
            said("sources.told_plainly" if known else "sources.not_plainly"),
        ),
        said("limit.told", green=SOURCE_TOLD, tie=SOURCE_TIE),
    )
