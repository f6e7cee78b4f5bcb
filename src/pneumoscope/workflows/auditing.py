"""Audit: what the data are like, before anything is believed of a model trained on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import polars as pl

from pneumoscope.core.errors import LabelError
from pneumoscope.core.files import staged_folder, write_text
from pneumoscope.core.progress import Noting, Reporter, Silent
from pneumoscope.core.provenance import provenance
from pneumoscope.core.recipe import PreprocessRecipe, SplitRecipe
from pneumoscope.core.tables import save_parquet
from pneumoscope.data.audit.data import AuditData
from pneumoscope.data.audit.issues import Issue
from pneumoscope.data.audit.registry import failed, run_checks
from pneumoscope.data.audit.statistics import image_statistics
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import (
    assemble,
    counts_table,
    files_table,
    fingerprint,
    scan,
    usable,
    without_copies,
)
from pneumoscope.data.duplicates import Pair, connected_groups, find_duplicates
from pneumoscope.data.layouts import Listing, recognise
from pneumoscope.data.split import assign_splits, save_split
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.reporting.audit_report import AuditPage, audit_json, write_audit_page
from pneumoscope.workflows.audit_pictures import draw_pictures


@dataclass(frozen=True)
class AuditResult:
    """An audit on disk.

    Attributes:
        output: The folder written.
        report: Its HTML report.
        issues: What was found, worst first.
        failed: The issues that `fail_on` names.
    """

    output: Path
    report: Path
    issues: tuple[Issue, ...]
    failed: tuple[Issue, ...]
    split: Path | None


def audit(
    data: Sequence[Path],
    *,
    output: Path | None = None,
    layout: str = "auto",
    columns: Mapping[str, str] | None = None,
    fail_on: Sequence[str] = (),
    fix: bool = False,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> AuditResult:
    """Read data folders, run every check, and write catalogue, `audit.json` and report.

    Args:
        data: One or more folders; given together, they are compared with each other.
        output: The folder to write; default `runs/<time>-audit`.
        layout: How to understand the folders.
        columns: Catalogue column to manifest column.
        fail_on: Severities or names of checks that make the audit fail.
        fix: Also write `split.parquet`: a split that keeps patients and duplicates together.
        seed: Of that split.
        reporter: Shown what happens.

    Raises:
        InputError: a folder does not say what its images are, or `fail_on` names nothing known.
    """
    noting = Noting(reporter or Silent())
    failed((), fail_on)  # a wrong name is said before the work
    folder = output or Path("runs") / f"{datetime.now(tz=UTC):%Y%m%d-%H%M%S}-audit"
    pixels = PixelCache(Preprocess(PreprocessRecipe()))
    with staged_folder(folder) as stage:
        found = _collect(data, pixels, layout=layout, columns=columns, reporter=noting)
        issues = tuple(run_checks(found, reporter=noting))
        _write(stage, found, issues, pixels, notices=noting.notices, names=_names(data))
        split = _fixed_split(found, seed=seed, reporter=noting) if fix else None
        if split is not None:
            save_split(split, stage / "split.parquet")
    return AuditResult(
        output=folder,
        report=folder / "audit.html",
        issues=issues,
        failed=tuple(failed(issues, fail_on)),
        split=folder / "split.parquet" if fix else None,
    )


def _collect(
    data: Sequence[Path],
    pixels: PixelCache,
    *,
    layout: str,
    columns: Mapping[str, str] | None,
    reporter: Reporter,
) -> AuditData:
    """Everything the checks look at; several folders become one catalogue."""
    names = _names(data)
    parts = [
        _read(path, name if len(data) > 1 else None, pixels, layout, columns, reporter)
        for path, name in zip(data, names, strict=True)
    ]
    catalogue = without_copies(_one_spelling(pl.concat([part.catalogue for part in parts])))
    ids = usable(catalogue)["image_id"].to_list()
    if not ids:
        raise LabelError(f"{', '.join(map(str, data))}: no usable image. See the reasons above.")
    sized = usable(catalogue).select("image_id", "width", "height").iter_rows()
    sizes = {image_id: (width, height) for image_id, width, height in sized}
    declared = [part.declared for part in parts if part.declared is not None]
    return AuditData(
        catalogue=catalogue,
        files=pl.concat([part.files for part in parts]),
        statistics=image_statistics(ids, pixels, sizes=sizes, reporter=reporter),
        pairs=find_duplicates(ids, pixels, reporter=reporter),
        missing=[path for part in parts for path in part.missing],
        surplus=[path for part in parts for path in part.surplus],
        declared=pl.concat(declared) if declared else None,
    )


def _one_spelling(catalogue: pl.DataFrame) -> pl.DataFrame:
    """`NORMAL` of one data set and `Normal` of another are one label; the first spelling stands."""
    spelling: dict[str, str] = {}
    for label in catalogue["label"].unique(maintain_order=True):
        spelling[label] = next((s for s in spelling.values() if s.lower() == label.lower()), label)
    return catalogue.with_columns(pl.col("label").replace(spelling))


@dataclass(frozen=True)
class _Part:
    catalogue: pl.DataFrame
    files: pl.DataFrame
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    declared: pl.DataFrame | None


def _read(
    path: Path,
    name: str | None,
    pixels: PixelCache,
    layout: str,
    columns: Mapping[str, str] | None,
    reporter: Reporter,
) -> _Part:
    """One folder; where there are several, its name starts every path and fills `source`."""
    listing: Listing = recognise(path, layout=layout, columns=columns)
    reporter.say(f"{path}: {listing.layout} ({listing.why}), {len(listing.entries)} images.")
    for note in listing.notes:
        reporter.warn(note)
    facts = scan(listing, pixels=pixels, reporter=reporter)
    catalogue, files = assemble(listing, facts), files_table(facts)
    if name is None:
        return _Part(catalogue, files, listing.missing, listing.surplus, listing.declared)
    inside = pl.lit(f"{name}/") + pl.col("path")
    copies = pl.col("excluded").str.replace("identical copy of ", f"identical copy of {name}/")
    catalogue = catalogue.with_columns(
        inside.alias("path"),
        pl.col("source").fill_null(name),
        (pl.lit(f"{name}/") + pl.col("patient_id")).alias("patient_id"),
        copies.alias("excluded"),
    )
    return _Part(
        catalogue,
        files.with_columns(inside.alias("path")),
        tuple(f"{name}/{missing}" for missing in listing.missing),
        tuple(f"{name}/{surplus}" for surplus in listing.surplus),
        None if listing.declared is None else listing.declared.with_columns(inside.alias("path")),
    )


def _names(data: Sequence[Path]) -> list[str]:
    """A name per folder: its own, numbered where two share it."""
    plain = [path.resolve().name for path in data]
    return [
        name if plain.count(name) == 1 else f"{name}-{index + 1}"
        for index, name in enumerate(plain)
    ]


def _fixed_split(found: AuditData, *, seed: int, reporter: Reporter) -> pl.DataFrame:
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
    # Parts given by several data sets are parts of different wholes.
    recipe = SplitRecipe(use_given=found.catalogue["source"].n_unique() < 2)
    return assign_splits(grouped, recipe, seed=seed, reporter=reporter)


def _write(
    stage: Path,
    found: AuditData,
    issues: Sequence[Issue],
    pixels: PixelCache,
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
    }
    origin = provenance()
    told = [issue.to_json() for issue in issues]
    write_text(stage / "audit.json", audit_json(facts, issues=told, provenance=origin))
    page = AuditPage(
        title=", ".join(names),
        facts=facts,
        issues=told,
        counts=counts_table(found.catalogue.with_columns(pl.col("split").fill_null("not split"))),
        pictures=draw_pictures(found, issues, pixels),
        notices=notices,
        provenance=origin,
    )
    write_audit_page(page, stage / "audit.html")
