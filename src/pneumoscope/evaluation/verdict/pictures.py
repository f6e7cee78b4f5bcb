"""The verdict on changed pictures: what corruptions cost, and where saliency maps point."""

from __future__ import annotations

from dataclasses import replace

from pneumoscope.evaluation.verdict.parts import (
    Colour,
    Content,
    Estimate,
    Finding,
    amount,
    difference,
    estimate,
    graded,
    part,
    rows,
    said,
    three,
    unmeasured,
    worst,
)
from pneumoscope.evaluation.verdict.thresholds import (
    CORRUPTION_DROP,
    CORRUPTION_DROP_FAR,
    DAILY_SEVERITY,
    SAME_MAP,
    UNDONE_CORRUPTIONS,
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
        missing = said("unmeasured.robustness")
        return unmeasured("no corrupted image was answered", "Evaluate with the audit on.", missing)
    chosen = worst([finding for _, finding in sorted(found, key=lambda item: -item[0])])
    if chosen.colour != "green":
        return chosen
    sentence = f"None of {len(found)} corruptions surely costs much; the worst: {chosen.sentence}"
    told = (said("robustness.none", corruptions=len(found)), *chosen.said)
    return replace(chosen, sentence=sentence, said=told)


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
        (said("robustness.corruption", corruption=kind, severity=severity, drop=drop),),
        said(
            "limit.robustness", green=CORRUPTION_DROP, red=CORRUPTION_DROP_FAR,
            severity=DAILY_SEVERITY,
        ),
    )  # fmt: skip


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
            said("unmeasured.saliency"),
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
            (said("saliency.random", similarity=same),),
            said("limit.random", green=SAME_MAP),
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
    colour: Colour = "amber"
    ending = "no more than chance would put there"
    if more.low > 0:
        colour, ending = "green", "more than chance would put there, which excludes no shortcut"
    elif more.high < 0:
        colour, ending = "red", "less than chance would put there: the network looks elsewhere"
    return Finding(
        colour,
        f"{three(energy.value)} in lungs, area {three(area.value)}",
        "green if surely more than the area, red if surely less",
        f"{told}: {ending}.",
        (
            said("saliency.pointing", label=label, energy=energy, area=area),
            said(f"saliency.pointing_{colour}"),
        ),
        said("limit.saliency"),
    )
