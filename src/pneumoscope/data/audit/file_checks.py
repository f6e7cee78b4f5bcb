"""Checks of single files: what cannot be read, shows nothing, or is not what its name says."""

from __future__ import annotations

from pathlib import PurePosixPath

import polars as pl

from pneumoscope.data.audit.data import AuditData
from pneumoscope.data.audit.issues import Fact, Issue, Severity, count, said, sorted_paths
from pneumoscope.data.audit.keys import KEYS
from pneumoscope.imaging.thumbnail import BLANK_DEVIATION, BLANK_RANGE

_TINY = 64
_EXTREME = 3.0
_COLOUR = 3.0
"""Grey levels between channels: JPEG's own rounding stays below."""
_FORMATS = {
    ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".jpe": "jpeg",
    ".dcm": "dicom", ".dicom": "dicom", ".dic": "dicom",
}  # fmt: skip


def found(
    check: str,
    severity: Severity,
    rows: pl.DataFrame,
    *,
    title: str,
    message: str,
    key: str | None = None,
    **facts: Fact,
) -> list[Issue]:
    """One issue about the paths of `rows`, or none where there are no rows.

    Args:
        check: the check's name.
        severity: of the issue.
        rows: a table with `path`.
        title: of the issue.
        message: what follows the number of images.
        key: of what the message says; the check's name unless given.
        facts: beside `images`.
    """
    paths = sorted_paths(rows["path"].to_list())
    if not paths:
        return []
    words, every = f"{count(len(paths), 'image')} {message}", {"images": len(paths), **facts}
    named = key or check
    told = said(named, **{name: every[name] for name in KEYS[named]})
    return [Issue(check, severity, title, words, paths, every, (told,))]


def unreadable(data: AuditData) -> list[Issue]:
    """Files that no decoder makes a picture of, empty ones apart."""
    broken = data.catalogue.filter(pl.col("excluded").str.starts_with("unreadable"))
    rows = broken.join(_empty(data), on="path", how="anti")
    issues = found(
        "unreadable",
        "error",
        rows,
        title="Unreadable files",
        message=(
            "cannot be read and will not be used: transfers that broke off, other "
            "formats, damaged data. Export them again or remove them."
        ),
    )
    reasons = rows.group_by("excluded").len().sort("len", "excluded", descending=[True, False])
    return [
        Issue(**{**vars(issue), "facts": {**issue.facts, **dict(reasons.head(5).iter_rows())}})
        for issue in issues
    ]


def empty_files(data: AuditData) -> list[Issue]:
    """Files of no bytes."""
    return found(
        "empty",
        "error",
        _empty(data),
        title="Empty files",
        message=("have no content at all: copying broke off. Copy them again."),
    )


def _empty(data: AuditData) -> pl.DataFrame:
    return data.files.filter(pl.col("bytes") == 0).select("path")


def blank(data: AuditData) -> list[Issue]:
    """Pictures of (nearly) one grey level."""
    span = pl.col("maximum") - pl.col("minimum")
    flat = (span < BLANK_RANGE) | (pl.col("standard_deviation") < BLANK_DEVIATION)
    return found(
        "blank",
        "error",
        data.images.filter(flat),
        title="Blank images",
        message=(
            "show one grey level only; nothing can be learnt from them, and a label "
            "learnt from them is wrong. Export them again or remove them."
        ),
    )


def tiny(data: AuditData) -> list[Issue]:
    """Pictures with a side below 64 pixels."""
    small = data.images.filter(pl.min_horizontal("width", "height") < _TINY)
    share = small.height / max(1, data.images.height)
    return found(
        "tiny",
        "info" if share > 0.5 else "warning",
        small,
        title="Tiny images",
        message=(
            f"have a side below {_TINY} pixels, too coarse for fine signs: often "
            "thumbnails. Find the originals or leave them out."
        ),
        least_side=_TINY,
    )


def extreme_aspect(data: AuditData) -> list[Issue]:
    """Pictures more than three times as long as wide."""
    ratio = pl.max_horizontal("width", "height") / pl.min_horizontal("width", "height")
    return found(
        "extreme_aspect",
        "warning",
        data.images.filter(ratio > _EXTREME),
        title="Extreme aspect ratio",
        message=(
            f"are more than {_EXTREME:.0f} times as long as wide: strips, "
            "collages or cut pictures rather than chests. Look at them."
        ),
        greatest_ratio=_EXTREME,
    )


def wrong_type(data: AuditData) -> list[Issue]:
    """Files whose content is another format than their extension says."""
    named = data.files.filter(pl.col("format").is_not_null()).with_columns(
        named=pl.col("path").map_elements(_format_of_name, return_dtype=pl.String)
    )
    rows = named.filter(pl.col("named") != pl.col("format"))
    return found(
        "wrong_type",
        "warning",
        rows,
        title="Wrong type for their extension",
        message=(
            "hold another format than their name says (the content "
            "was read as what it is). Other software may fail on them: rename them."
        ),
    )


def _format_of_name(path: str) -> str | None:
    return _FORMATS.get(PurePosixPath(path).suffix.lower())


def colour(data: AuditData) -> list[Issue]:
    """Pictures whose colour channels differ."""
    tinted = data.images.filter(pl.col("colour") > _COLOUR)
    return found(
        "colour",
        "warning",
        tinted,
        title="Colour that carries information",
        message=(
            "are coloured; radiographs are grey. Photographs of "
            "films, screenshots or drawn annotations look so, and their colour is lost when "
            "they are read as grey. Look at them."
        ),
        least_difference=_COLOUR,
    )
