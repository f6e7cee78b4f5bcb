"""Audit: what the data are like, before anything is believed of a model trained on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import polars as pl

from pneumoscope.core.files import paths_of, staged_folder, write_text
from pneumoscope.core.progress import Noting, Reporter, Silent
from pneumoscope.core.provenance import provenance
from pneumoscope.core.recipe import PreprocessRecipe, SplitRecipe
from pneumoscope.core.tables import save_parquet
from pneumoscope.data.audit.data import AuditData
from pneumoscope.data.audit.issues import Issue
from pneumoscope.data.audit.registry import failed, run_checks
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import counts_table, fingerprint, usable
from pneumoscope.data.duplicates import Pair, connected_groups
from pneumoscope.data.split import assign_splits, save_split
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.reporting.audit_report import AuditPage, audit_json, write_audit_page
from pneumoscope.workflows.audit_collect import Reading, collect, data_names
from pneumoscope.workflows.audit_pictures import draw_pictures
from pneumoscope.workflows.bundles import load_bundle


@dataclass(frozen=True)
class AuditResult:
    """An audit on disk.

    Attributes:
        output: The folder written.
        report: Its HTML report.
        issues: What was found, worst first.
        failed: The issues that `fail_on` names.
        split: The split without leaks; None where none was asked for.
    """

    output: Path
    report: Path
    issues: tuple[Issue, ...]
    failed: tuple[Issue, ...]
    split: Path | None


def audit(
    data: str | Path | Sequence[str | Path],
    *,
    output: str | Path | None = None,
    layout: str = "auto",
    columns: Mapping[str, str] | None = None,
    label_map: Mapping[str, str | None] | None = None,
    fail_on: Sequence[str] = (),
    fix: bool = False,
    bundle: str | Path | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> AuditResult:
    """Read data folders, run every check, and write catalogue, `audit.json` and report.

    Args:
        data: A folder, or several; given together, they are compared with each other.
        output: The folder to write; default `runs/<time>-audit`.
        layout: How to understand the folders.
        columns: Catalogue column to manifest column.
        label_map: From a label as it is found to the one it is called, as `data.labels` of a
            recipe; None leaves its images out.
        fail_on: Severities or names of checks that make the audit fail.
        fix: Also write `split.parquet`: a split that keeps patients and duplicates together.
        bundle: Folder, zip, `models:/NAME@alias` or `champion`; label errors are suspected by what
            its model sees as alike.
        seed: Of that split.
        reporter: Shown what happens.

    Raises:
        InputError: a folder does not say what its images are, `fail_on` names nothing known, or
            the bundle needs lung masks that a folder does not have.
        BundleError: the bundle is incomplete or changed.

    Example:
        result = ps.audit(["radiography", "chest_xray"], fix=True, fail_on=["error"])
        [issue.title for issue in result.issues], result.report, result.split
    """
    noting = Noting(reporter or Silent())
    failed((), fail_on)  # a wrong name is said before the work
    folder = Path(output or f"runs/{datetime.now(tz=UTC):%Y%m%d-%H%M%S}-audit")
    folders = paths_of(data)
    predictor = load_bundle(bundle) if bundle is not None else None
    pixels = PixelCache(Preprocess(PreprocessRecipe()))
    reading = Reading(layout, columns, label_map or {}, pixels, predictor, noting)
    with staged_folder(folder) as stage:
        found = collect(folders, reading)
        issues = tuple(run_checks(found, reporter=noting))
        _write(stage, found, issues, reading, notices=noting.notices, names=data_names(folders))
        split = _fixed_split(found, folders, seed=seed, reporter=noting) if fix else None
        if split is not None:
            save_split(split, stage / "split.parquet")
    return AuditResult(
        output=folder,
        report=folder / "audit.html",
        issues=issues,
        failed=tuple(failed(issues, fail_on)),
        split=folder / "split.parquet" if fix else None,
    )


def _fixed_split(
    found: AuditData, folders: Sequence[Path], *, seed: int, reporter: Reporter
) -> pl.DataFrame:
    """The catalogue under a split whose groups join patients and duplicates."""
    live = usable(found.catalogue)
    patients = live.filter(pl.col("patient_id").is_not_null())
    links = list(patients.select("image_id", "patient_id").iter_rows())
    groups = connected_groups(cast("Sequence[Pair]", found.pairs), links)
    grouped = found.catalogue.with_columns(
        pl.col("image_id").replace_strict(groups, default=None, return_dtype=pl.String)
        .fill_null(pl.col("image_id"))
        .alias("patient_id")
    )  # fmt: skip
    several = data_names(folders) if len(folders) > 1 else []
    # Parts that several sources in one table give are parts of different wholes.
    recipe = SplitRecipe(use_given=bool(several) or found.catalogue["source"].n_unique() < 2)
    return assign_splits(grouped, recipe, seed=seed, reporter=reporter, folders=several)


def _write(
    stage: Path,
    found: AuditData,
    issues: Sequence[Issue],
    reading: Reading,
    *,
    notices: Sequence[str],
    names: Sequence[str],
) -> None:
    save_parquet(found.catalogue, stage / "catalogue.parquet")
    facts: dict[str, object] = {
        "data": list(names),
        "fingerprint": fingerprint(found.catalogue),
        "images": found.catalogue.height,
        "usable": usable(found.catalogue).height,
        "duplicate_pairs": len(found.pairs),
        "bundle": None if reading.predictor is None else reading.predictor.model_id,
    }
    origin = provenance()
    told = [issue.to_json() for issue in issues]
    write_text(stage / "audit.json", audit_json(facts, issues=told, provenance=origin))
    page = AuditPage(
        title=", ".join(names),
        facts=facts,
        issues=told,
        counts=counts_table(found.catalogue.with_columns(pl.col("split").fill_null("not split"))),
        pictures=draw_pictures(found, issues, reading.pixels),
        notices=notices,
        provenance=origin,
    )
    write_audit_page(page, stage / "audit.html")
