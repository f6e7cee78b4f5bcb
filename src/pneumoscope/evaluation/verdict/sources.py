"""The verdict on sources: whether they tell the label, and whether the model carries to another."""

from __future__ import annotations

from pneumoscope.core.said import Said
from pneumoscope.evaluation.verdict.parts import (
    Content,
    Estimate,
    Finding,
    amount,
    difference,
    estimate,
    graded,
    number,
    part,
    rows,
    said,
    three,
    unmeasured,
    worst,
)
from pneumoscope.evaluation.verdict.thresholds import (
    ORACLE_EXCESS,
    ORACLE_EXCESS_FAR,
    SOURCE_LOSS,
    SOURCE_TIE,
    SOURCE_TOLD,
)

_UNRECORDED = (
    "The usual reason is source confounding: labels differ in what is not anatomy, as they do "
    "when each was gathered at another place. The images' sources are not recorded, so it cannot "
    "be excluded."
)


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
            f"the source's other patients tell the label of {accuracy} of the images, against "
            f"{three(share)} for the most frequent label"
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


def unmeasured_confounding(assessment: Content) -> tuple[str, Said] | None:
    """Why nobody can say whether sources explain a shortcut; None where they were compared."""
    section = part(assessment, "sources")
    if not section:
        return _UNRECORDED, said("shortcuts.unrecorded")
    if (name := _only_source(section)) is None:
        return None
    sentence = f"The images come from one source ({name}): confounding by source cannot be measured"
    return f"{sentence}.", said("shortcuts.one_source", source=name)


def _only_source(section: Content) -> str | None:
    names = section.get("sources")
    return str(names[0]) if isinstance(names, list) and len(names) == 1 else None


def sources(metrics: Content, assessment: Content) -> Finding:
    """Whether the source tells the label, and whether the model carries to a source left out."""
    section = part(assessment, "sources")
    checks = (_oracle(section), *map(_left_out, rows(section, "left_out")), _told(section))
    found = [finding for finding in checks if finding is not None]
    return worst(found) if found else _not_compared(metrics, section)


def _not_compared(metrics: Content, section: Content) -> Finding:
    """Nothing recorded, one source, or several of too few patients."""
    if not section:
        return unmeasured(
            "no image has a recorded source, or sources were not looked at",
            "Record a source per image, and gather every label from several.",
            said("unmeasured.sources"),
        )
    remedy = "Gather every label from several sources."
    if (name := _only_source(section)) is None:
        many = len(section.get("sources") or ())
        return unmeasured(
            f"no two of the {many} sources have enough patients",
            remedy,
            said("unmeasured.small_sources", sources=many),
        )
    images, total = amount(section, "n_images"), amount(metrics, "n_images")
    cannot = "confounding by source cannot be measured, nor generalisation to another"
    if images < total:
        return unmeasured(
            f"{images} of {total} images come from one source ({name}) and the others' is not "
            f"recorded: {cannot}",
            f"Record a source per image, and {remedy[0].lower()}{remedy[1:]}",
            said("unmeasured.one_source_partly", source=name, images=images, total=total),
        )
    return unmeasured(
        f"all images come from one source ({name}): {cannot}",
        remedy,
        said("unmeasured.one_source", source=name),
    )


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
        f"Naming the label that the source's other patients have is right with a frequency of "
        f"{accuracy}, {three(excess.value)} more than the most frequent label alone{beside}: "
        f"{ending}.",
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
