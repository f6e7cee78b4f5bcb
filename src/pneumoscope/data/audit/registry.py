"""Every check of the audit, by name: one explicit registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pneumoscope.core.errors import InputError
from pneumoscope.core.progress import Reporter
from pneumoscope.data.audit import (
    count_checks,
    duplicate_checks,
    file_checks,
    label_checks,
    metadata_checks,
    pixel_checks,
    shortcut_checks,
)
from pneumoscope.data.audit.data import AuditData
from pneumoscope.data.audit.issues import SEVERITIES, Issue


@dataclass(frozen=True)
class Check:
    """A named way to look for issues."""

    name: str
    """What the check's issues carry and what a gate may name."""
    title: str
    run: Callable[[AuditData], list[Issue]]


CHECKS: tuple[Check, ...] = (
    Check("counts", "What there is", count_checks.counts),
    Check("unreadable", "Unreadable files", file_checks.unreadable),
    Check("empty", "Empty files", file_checks.empty_files),
    Check("blank", "Blank images", file_checks.blank),
    Check("tiny", "Tiny images", file_checks.tiny),
    Check("extreme_aspect", "Extreme aspect ratios", file_checks.extreme_aspect),
    Check("wrong_type", "Type against extension", file_checks.wrong_type),
    Check("colour", "Colour that carries information", file_checks.colour),
    Check("inverted", "Inverted images", pixel_checks.inverted),
    Check("rotated", "Turned images", pixel_checks.rotated),
    Check("mirrored", "Mirrored images", pixel_checks.mirrored),
    Check("lateral", "Lateral views", pixel_checks.lateral),
    Check("declared_size", "Sizes against metadata", metadata_checks.sizes),
    Check("declared_format", "Formats against metadata", metadata_checks.formats),
    Check("declared_label", "Labels against metadata", metadata_checks.declared_labels),
    Check("named_label", "Labels against file names", metadata_checks.named_labels),
    Check("names", "Names that collide", metadata_checks.names),
    Check("missing_files", "Missing files", metadata_checks.missing_files),
    Check("surplus_files", "Surplus files", metadata_checks.surplus_files),
    Check("imbalance", "Unequal labels", count_checks.imbalance),
    Check("patients", "Patients", count_checks.patients),
    Check("split_labels", "Labels in every split", count_checks.split_labels),
    Check("exact_duplicates", "Exact duplicates", duplicate_checks.exact_duplicates),
    Check("near_duplicates", "Near-duplicates", duplicate_checks.near_duplicates),
    Check(
        "duplicates_across_labels",
        "Duplicates across labels",
        duplicate_checks.duplicates_across_labels,
    ),
    Check(
        "duplicates_across_splits",
        "Duplicates across splits",
        duplicate_checks.duplicates_across_splits,
    ),
    Check(
        "duplicates_across_sources",
        "Duplicates across data sets",
        duplicate_checks.duplicates_across_sources,
    ),
    Check("patient_leakage", "Patients across splits", duplicate_checks.patient_leakage),
    Check("duplicate_leakage", "Duplicates leaking", duplicate_checks.duplicate_leakage),
    Check("shortcuts", "Shortcuts", shortcut_checks.shortcuts),
    Check("label_source", "Sources behind labels", shortcut_checks.label_sources),
    Check("sources", "Sources", shortcut_checks.sources),
    Check("markers", "Corner text and markers", shortcut_checks.markers),
    Check("label_suspects", "Label-error suspects", label_checks.label_suspects),
)
"""In the order in which they are reported."""


def run_checks(data: AuditData, *, reporter: Reporter) -> list[Issue]:
    """The issues of every check, errors first, then in the registry's order."""
    found = [
        issue
        for check in reporter.track(CHECKS, "Checking", len(CHECKS))
        for issue in check.run(data)
    ]
    return sorted(found, key=lambda issue: -SEVERITIES.index(issue.severity))


def failed(issues: Iterable[Issue], fail_on: Sequence[str]) -> list[Issue]:
    """The issues that a gate does not let pass.

    Args:
        issues: what was found.
        fail_on: severities, each with all that are worse, and names of checks, whose issues of
            severity warning or error count.

    Raises:
        InputError: a name is neither.
    """
    names = [check.name for check in CHECKS]
    for name in fail_on:
        if name not in names and name not in SEVERITIES:
            allowed = ", ".join((*SEVERITIES, *names))
            raise InputError(
                f"--fail-on {name}: no severity and no check; allowed: {allowed}. Name one."
            )
    levels = [SEVERITIES.index(name) for name in SEVERITIES if name in fail_on]
    least = min(levels, default=len(SEVERITIES))
    return [
        issue
        for issue in issues
        if SEVERITIES.index(issue.severity) >= least
        or (issue.check in fail_on and issue.severity != "info")
    ]
