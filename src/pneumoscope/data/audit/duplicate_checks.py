"""Checks of images that occur more than once, and of what crosses from one split to another."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pneumoscope.core.said import Said
from pneumoscope.data.audit.data import AuditData
from pneumoscope.data.audit.issues import (
    Fact,
    Issue,
    Severity,
    count,
    of_set,
    percent,
    said,
    sorted_paths,
)
from pneumoscope.data.audit.links import both_paths, contradicts, duplicate_groups, links

_TIED = 0.3
"""Cramér's V from which labels and borrowed images are said to hang together."""


def exact_duplicates(data: AuditData) -> list[Issue]:
    """Images with the same pixels, or files with the same bytes."""
    table = links(data).filter(pl.col("kind") != "near")
    return _repeated(
        data, table, "exact_duplicates", "Exact duplicates",
        "hold exactly the same pixels as another one. They count twice in training and in every "
        "figure: keep one of each.",
    )  # fmt: skip


def near_duplicates(data: AuditData) -> list[Issue]:
    """Images that show the same exposure, resized, recompressed, brightened or mirrored."""
    table = links(data).filter(pl.col("kind") == "near")
    return _repeated(
        data, table, "near_duplicates", "Near-duplicates",
        "show the same exposure as another one, resized, recompressed, padded, brightened or "
        "mirrored. Keep one of each, or keep them together when splitting.",
    )  # fmt: skip


def _repeated(
    data: AuditData, table: pl.DataFrame, check: str, title: str, words: str
) -> list[Issue]:
    if table.is_empty():
        return []
    groups = duplicate_groups(data, table)
    facts: dict[str, Fact] = {
        "images": groups.height, "groups": groups["duplicate_group"].n_unique(),
        "pairs": table.height, "mirrored_pairs": int(table["mirrored"].sum()),
        "least_similarity": float(table.select(pl.col("similarity").min()).item()),
    }  # fmt: skip
    message = (
        f"{count(groups.height, 'image')} in {count(int(facts['groups'] or 0), 'group')} {words}"
    )
    told = (said(check, images=groups.height, groups=facts["groups"]),)
    return [Issue(check, "warning", title, message, sorted_paths(groups["path"]), facts, told)]


def duplicates_across_labels(data: AuditData) -> list[Issue]:
    """The same image under labels that contradict each other."""
    table = links(data).filter(contradicts(data))
    if table.is_empty():
        return []
    message = (
        f"{count(table.height, 'pair')} of images show the same and carry different labels: at "
        "least one of each pair is wrong. Settle the label or leave both out."
    )
    title = "Duplicates with different labels"
    return [_linked("duplicates_across_labels", "error", title, message, table, "label")]


def duplicates_across_splits(data: AuditData) -> list[Issue]:
    """The same image in two parts of the split."""
    table = links(data).filter(pl.col("split") != pl.col("split_second"))
    if table.is_empty():
        return []
    message = (
        f"{count(table.height, 'pair')} of images show the same and lie in different splits: the "
        "model is examined on what it has learnt by heart. Draw the split again with duplicates "
        "kept together."
    )
    title = "Duplicates across splits"
    return [_linked("duplicates_across_splits", "error", title, message, table, "split")]


def duplicates_across_sources(data: AuditData) -> list[Issue]:
    """The same image in two data sets, and what that tells about where labels come from."""
    table = links(data).filter(pl.col("source") != pl.col("source_second"))
    issues = []
    both = table.select(
        pl.min_horizontal("source", "source_second").alias("one"),
        pl.max_horizontal("source", "source_second").alias("other"),
    )
    for one, other in both.unique().sort("one", "other").iter_rows():
        chosen = table.filter((both["one"] == one) & (both["other"] == other))
        paths = sorted_paths(both_paths(chosen))
        message = (
            f"{count(chosen.height, 'pair')} of images occur both in {one} and in {other} "
            f"({count(len(paths), 'image')}): neither is an external test of the other. Keep "
            "duplicates in one split, or leave one copy out."
        )
        title = f"Images shared by {one} and {other}"
        facts = _combinations(chosen, "label")
        facts |= {"pairs": chosen.height, "first": one, "second": other}
        check, pairs = "duplicates_across_sources", chosen.height
        told = (said(check, pairs=pairs, images=len(paths), first=one, second=other),)
        issues.append(Issue(check, "warning", title, message, paths, facts, told))
    return issues


def borrowed_labels(data: AuditData) -> list[Issue]:
    """Labels of a data set that were taken from another one, while its other labels were not."""
    from pneumoscope.core.association import cramers_v
    from pneumoscope.data.audit.predictability import placements

    table = links(data).filter(pl.col("source") != pl.col("source_second"))
    issues = []
    for name, images in data.sources.items():
        shared = images.select("label", "path").with_columns(
            borrowed=pl.col("path").is_in(both_paths(table))
        )
        rates = dict(shared.group_by("label").agg(pl.col("borrowed").mean()).sort("label").rows())
        tie = cramers_v(shared["label"].to_list(), shared["borrowed"].to_list())
        if tie < _TIED or max(rates.values()) < 0.5:
            continue
        guess = shared["label"].replace_strict(rates, return_dtype=pl.Float64).to_numpy()
        auc, _ = placements(guess, shared["borrowed"].to_numpy())
        often = [label for label, rate in rates.items() if rate >= 0.5]
        rest = [label for label in rates if label not in often]
        shares = {label: rates[label] for label in (*often, *rest)}
        shown = ", ".join(f"{percent(rate)} of '{label}'" for label, rate in shares.items())
        strength = "almost perfectly predictable from" if auc > 0.95 else "tied to"
        message = (
            f"In {name}, the source is {strength} the label (AUC {auc:.2f}, "
            f"Cramér's V {tie:.2f}): {shown} also "
            "occur in another data set. A model can win by telling sources apart instead of "
            "disease: test every label on images of a source that has all of them."
        )
        facts: dict[str, Fact] = {"source": name, "cramers_v": tie, "auc": auc}
        facts |= {f"shared:{label}": rate for label, rate in rates.items()}
        severity: Severity = "error" if auc > 0.8 else "warning"
        title = f"Labels of {name} come from different sources"
        paths = shared.filter("borrowed")["path"]
        listed, told = sorted_paths(paths), _borrowed(name, auc=auc, tie=tie, shares=shares)
        issues.append(Issue("label_source", severity, title, message, listed, facts, told))
    return issues


def _borrowed(
    name: str, *, auc: float, tie: float, shares: Mapping[str, float]
) -> tuple[Said, ...]:
    return (
        *of_set(name),
        said(f"label_source.{'predictable' if auc > 0.95 else 'tied'}", auc=auc, tie=tie),
        *(said("label_source.shared", label=label, share=rate) for label, rate in shares.items()),
        said("label_source.borrowed"),
    )


def patient_leakage(data: AuditData) -> list[Issue]:
    """Patients with images in several splits."""
    named = data.readable.filter(pl.col("patient_id").is_not_null() & pl.col("split").is_not_null())
    where = [pl.col("source").fill_null(""), pl.col("patient_id")]
    rows = named.filter(pl.col("split").n_unique().over(where) > 1)
    if rows.is_empty():
        return []
    number = rows.select(where).n_unique()
    message = (
        f"{count(number, 'patient')} with {count(rows.height, 'image')} have images in several "
        "splits: the model is examined on people it has seen. Draw the split by patient."
    )
    facts: dict[str, Fact] = {"patients": number, "images": rows.height, **_split_facts(rows)}
    title = "Patients cross splits"
    paths = sorted_paths(rows["path"])
    told = (said("patient_leakage", patients=number, images=rows.height),)
    return [Issue("patient_leakage", "error", title, message, paths, facts, told)]


def duplicate_leakage(data: AuditData) -> list[Issue]:
    """Groups of duplicates, linked directly or over others, that lie in several splits."""
    groups = duplicate_groups(data, links(data)).filter(pl.col("split").is_not_null())
    rows = groups.filter(pl.col("split").n_unique().over("duplicate_group") > 1)
    if rows.is_empty():
        return []
    number = rows["duplicate_group"].n_unique()
    message = (
        f"{count(number, 'group')} of duplicates with {count(rows.height, 'image')} lie in several "
        "splits, so test images were seen in training. Draw the split with groups kept together."
    )
    facts: dict[str, Fact] = {"groups": number, "images": rows.height, **_split_facts(rows)}
    title = "Groups of duplicates cross splits"
    paths = sorted_paths(rows["path"])
    told = (said("duplicate_leakage", groups=number, images=rows.height),)
    return [Issue("duplicate_leakage", "error", title, message, paths, facts, told)]


def _split_facts(rows: pl.DataFrame) -> dict[str, Fact]:
    return {f"split:{name}": n for name, n in rows.group_by("split").len().sort("split").rows()}


def _linked(
    check: str, severity: Severity, title: str, message: str, table: pl.DataFrame, column: str
) -> Issue:
    facts = {"pairs": table.height, **_combinations(table, column)}
    told = (said(check, pairs=table.height),)
    return Issue(check, severity, title, message, sorted_paths(both_paths(table)), facts, told)


def _combinations(table: pl.DataFrame, column: str) -> dict[str, Fact]:
    """How many pairs join which two values."""
    joined = table.select(
        pl.format(
            "{}:{}|{}", pl.lit(column), pl.min_horizontal(column, f"{column}_second"),
            pl.max_horizontal(column, f"{column}_second"),
        ).alias("both")
    )  # fmt: skip
    return dict(joined["both"].drop_nulls().value_counts().sort("both").iter_rows())
