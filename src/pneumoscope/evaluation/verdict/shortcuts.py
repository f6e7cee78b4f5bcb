"""The verdict on what else could explain the figures: shortcuts, sources, corruptions, saliency."""

from __future__ import annotations

from collections.abc import Callable

from pneumoscope.evaluation.verdict.parts import (
    Content,
    Estimate,
    Finding,
    amount,
    difference,
    estimate,
    graded,
    listed,
    number,
    part,
    rows,
    three,
    unmeasured,
    worst,
)
from pneumoscope.evaluation.verdict.thresholds import (
    BLIND_AUC,
    BLIND_AUC_FAR,
    CHANCE,
    CORRUPTION_DROP,
    CORRUPTION_DROP_FAR,
    DAILY_SEVERITY,
    LUNGS_ONLY_DROP,
    ORACLE_EXCESS,
    ORACLE_EXCESS_FAR,
    SAME_MAP,
    SOURCE_LOSS,
    SOURCE_TIE,
    SOURCE_TOLD,
    UNDONE_CORRUPTIONS,
)

_BLIND = {
    "lungs_removed": "With the lungs removed, the network",
    "metadata_only": "From size, format and other metadata alone, without an image, a small model",
    "border_only": "From the image's border alone, a small model",
}
_TESTS = ("lungs_removed", "lungs_swapped", "metadata_only", "border_only", "lungs_only")
_NAMES = {name: name.replace("_", " ") for name in _TESTS}
_UNRECORDED = (
    "The likely reason is source confounding: labels differ in what is not anatomy, as they do "
    "when each was gathered at another place. Sources are not recorded, so it cannot be excluded."
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
        return unmeasured("no shortcut test was made", remedy)
    chosen = worst(list(found.values()))
    if chosen.colour == "green":
        if missing:
            return unmeasured(
                f"{listed([_NAMES[name] for name in found])} found nothing, but {listed(missing)} "
                "was not tested",
                remedy,
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
    sentences = [chosen.sentence]
    if agreeing:
        sentences.append(f"It does not stand alone: see also {listed(agreeing)}.")
    if reason := source_confounding(assessment):
        sentences.append(f"The likely reason is source confounding: {reason}.")
    elif chosen.colour == "red" and not part(assessment, "sources"):
        sentences.append(_UNRECORDED)
    return Finding(chosen.colour, chosen.value, chosen.threshold, " ".join(sentences))


def _blind(name: str, row: Content) -> Finding | None:
    """A model or an image without lungs should be near chance."""
    area, full = estimate(row.get("auc")), estimate(row.get("full_auc"))
    if area is None:
        return None
    colour = graded(area.low, green=BLIND_AUC, red=BLIND_AUC_FAR)
    ending = {
        "red": "far above chance: much of the result can be had without the lungs",
        "amber": "surely above chance: something besides the lungs tells the label",
        "green": "not surely above what outlines and noise explain",
    }[colour]
    beside = f" (whole image: {three(full.value)})" if full else ""
    return Finding(
        colour,
        f"AUC {area}, {_NAMES[name]}",
        f"lower end: green up to {BLIND_AUC:.2f}, red above {BLIND_AUC_FAR:.2f}",
        f"{_BLIND[name]} reaches an AUC of {area} where chance is {CHANCE}{beside}, {ending}.",
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
    if (cost := estimate(row.get("control"))) is not None:
        told += f" (lungs of another image of the same label cost {cost}, so much is the cut's)"
    limit = "green if the lungs surely decide, red if the surroundings surely do"
    value = f"AUC {lungs}, {_NAMES[name]}"
    if around.low > lungs.high:
        return Finding("red", value, limit, f"{told}: the answer follows what is not lung.")
    if lungs.low > around.high:
        return Finding("green", value, limit, f"{told}: the answer follows the lungs.")
    return Finding("amber", value, limit, f"{told}: both decide.")


def _lungs_only(name: str, row: Content) -> Finding | None:
    """The lungs alone should be enough, nearly; never red, as black surroundings are new."""
    area, drop = estimate(row.get("auc")), estimate(row.get("drop"))
    if area is None or drop is None:
        return None
    lost = drop.low > LUNGS_ONLY_DROP
    ending = "so the surroundings were used" if lost else "so the lungs are nearly enough"
    return Finding(
        "amber" if lost else "green",
        f"AUC {area}, {_NAMES[name]}",
        f"lower end of the loss: green up to {LUNGS_ONLY_DROP:.2f}",
        f"With the lungs alone the AUC is {area}, a loss of {drop}, {ending}.",
    )


_CHECKS: dict[str, Callable[[str, Content], Finding | None]] = {
    **dict.fromkeys(_BLIND, _blind),
    "lungs_swapped": _swapped,
    "lungs_only": _lungs_only,
}


def source_confounding(assessment: Content) -> str:
    """How sources and labels are tied, in words; empty where they are not, or it is not known."""
    section = part(assessment, "sources")
    excess, tie = _oracle_excess(section), number(section, "tie")
    if (excess is None or excess.low <= ORACLE_EXCESS) and (tie is None or tie < SOURCE_TIE):
        return ""
    strength = "" if tie is None else f" (Cramér's V {three(tie)})"
    reasons = [f"sources and labels are tied{strength}"]
    accuracy, share = _oracle_numbers(section)
    if accuracy and share is not None:
        reasons.append(
            f"the source alone names the label of {accuracy} of the images, against {three(share)} "
            "for the most frequent label"
        )
    return ", and ".join(reasons)


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
        )
    return worst(found)


def _oracle(section: Content) -> Finding | None:
    excess = _oracle_excess(section)
    if excess is None:
        return None
    colour = graded(excess.low, green=ORACLE_EXCESS, red=ORACLE_EXCESS_FAR)
    accuracy, tie = _oracle_numbers(section)[0], number(section, "tie")
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
    source = row.get("source")
    return Finding(
        colour,
        f"{three(loss.value)} AUC lost on {source} left out",
        f"lower end of the loss: green up to 0, red above {SOURCE_LOSS:.2f}",
        f"Learned from all other sources, embeddings tell the label at {source} with an AUC of "
        f"{outside}, and learned from {source} itself with {inside}: {ending}.",
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
    )


def robustness(metrics: Content, assessment: Content) -> Finding:
    """What the worst corruption costs: by the lower end of the AUC's drop."""
    del metrics
    found = [
        (drop.low, _corruption(row, drop))
        for row in rows(assessment, "corruptions")
        if (drop := estimate(row.get("drop"))) and row.get("kind") not in UNDONE_CORRUPTIONS
    ]
    if not found:
        return unmeasured("no corrupted image was answered", "Evaluate with the audit on.")
    chosen = worst([finding for _, finding in sorted(found, key=lambda item: -item[0])])
    if chosen.colour != "green":
        return chosen
    sentence = f"None of {len(found)} corruptions surely costs much; the worst: {chosen.sentence}"
    return Finding("green", chosen.value, chosen.threshold, sentence)


def _corruption(row: Content, drop: Estimate) -> Finding:
    kind, severity = str(row.get("kind")), amount(row, "severity")
    colour = graded(drop.low, green=CORRUPTION_DROP, red=CORRUPTION_DROP_FAR)
    if severity > DAILY_SEVERITY:
        colour = "amber" if colour == "red" else "green"
    name = f"{kind.replace('_', ' ')}, severity {severity}"
    return Finding(
        colour,
        f"{three(drop.value)} AUC lost to {name}",
        f"lower end: green up to {CORRUPTION_DROP:.2f}, red above {CORRUPTION_DROP_FAR:.2f}; "
        f"beyond severity {DAILY_SEVERITY}, amber above {CORRUPTION_DROP_FAR:.2f}",
        f"With {name}, the AUC falls by {drop}.",
    )


def saliency(metrics: Content, assessment: Content) -> Finding:
    """Whether maps point at the lungs more than their area alone would, and depend on weights."""
    del metrics
    section = part(assessment, "saliency")
    labels = part(section, "labels")
    chosen = [label for label in _of_interest(assessment) if label in labels] or list(labels)
    found = [
        finding for label in chosen if (finding := _pointing(str(label), part(labels, str(label))))
    ]
    if not found:
        return unmeasured(
            "no saliency map was scored",
            "Give lung masks or let the lung segmenter draw them, and evaluate with the audit on.",
        )
    same = estimate(section.get("randomised_similarity"))
    finding = worst(found)
    if same is not None and same.high > SAME_MAP and finding.colour != "red":
        return Finding(
            "amber",
            f"similarity {same} with random weights",
            f"upper end: green up to {SAME_MAP:.2f}",
            f"Maps of random weights resemble the trained ones ({same}): maps show the image, and "
            "say little about what was learned.",
        )
    return finding


def _of_interest(assessment: Content) -> list[object]:
    """Labels whose evidence should lie in the lungs: those that operating points are for."""
    wanted = part(assessment, "rules").get("label_of_interest")
    points = dict.fromkeys(row.get("label") for row in rows(assessment, "operating_points"))
    return list(points) if wanted is None else [wanted]


def _pointing(label: str, row: Content) -> Finding | None:
    energy, area = estimate(row.get("energy_in_lungs")), estimate(row.get("lung_area"))
    if energy is None or area is None:
        return None
    more = difference(energy, area)
    told = f"For {label}, {energy} of the map lies in the lungs, which cover {area} of the image"
    value = f"{three(energy.value)} in lungs, area {three(area.value)}"
    limit = "green if surely more than the area, red if surely less"
    if more.low > 0:
        ending = "more than chance would put there, which excludes no shortcut"
        return Finding("green", value, limit, f"{told}: {ending}.")
    if more.high < 0:
        ending = "less than chance would put there: the network looks elsewhere"
        return Finding("red", value, limit, f"{told}: {ending}.")
    return Finding("amber", value, limit, f"{told}: no more than chance would put there.")
