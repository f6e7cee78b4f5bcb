"""The audit's pictures: sheets per issue and label, mean images, pairs side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.core.randomness import unit_hash
from pneumoscope.data.audit.data import AuditData
from pneumoscope.data.audit.issues import Issue
from pneumoscope.data.audit.pictures import captioned_sheet, contact_sheet, mean_images
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import usable
from pneumoscope.reporting.audit_report import Picture

_COLUMNS, _SIDE = 8, 96
_PER_ISSUE, _PER_LABEL, _PAIRS = 16, 24, 16
_PAIR_COLUMNS, _SUSPECTS = 4, "label_suspects"
_OF_EVERYTHING = 0.5
"""An issue about more than half of the images is shown by no sheet: any sheet would do."""


def draw_pictures(found: AuditData, issues: Sequence[Issue], pixels: PixelCache) -> list[Picture]:
    """Every picture of the page, in its order."""
    return [
        *_issue_sheets(found, issues, pixels),
        *_mean_sheet(found, pixels),
        *_label_sheets(found, pixels),
        *_pair_sheet(found, pixels),
    ]


def _issue_sheets(found: AuditData, issues: Sequence[Issue], pixels: PixelCache) -> list[Picture]:
    ids = dict(found.catalogue.select("path", "image_id").iter_rows())
    drawn = []
    for issue in issues:
        shown = [ids[path] for path in issue.paths if ids.get(path) in pixels]
        if not shown or len(shown) > _OF_EVERYTHING * len(ids):
            continue
        chosen = shown[:_PER_ISSUE]
        caption = f"{len(chosen)} of {len(issue.paths)} images concerned"
        sheet = _sheet(chosen, pixels)
        if issue.check == _SUSPECTS:
            caption += ", the most suspect first: share of neighbours with another label, its own"
            sheet = _suspect_sheet(found, issue, chosen, pixels)
        drawn.append(Picture(section=f"issue:{issue.check}", caption=caption, png=sheet))
    return _one_per_section(drawn)


def _suspect_sheet(
    found: AuditData, issue: Issue, image_ids: Sequence[str], pixels: PixelCache
) -> bytes:
    rows = usable(found.catalogue).select("image_id", "path", "label").iter_rows()
    known = {image_id: (path, label) for image_id, path, label in rows}
    captions = [
        f"{float(issue.facts[path] or 0):.2f} {label}"
        for path, label in (known[image_id] for image_id in image_ids)
    ]
    canvases = pixels.pixels(list(image_ids))
    return _png(captioned_sheet(canvases, captions, columns=_COLUMNS, side=_SIDE))


def _one_per_section(pictures: Sequence[Picture]) -> list[Picture]:
    return list({picture.section: picture for picture in reversed(pictures)}.values())[::-1]


def _mean_sheet(found: AuditData, pixels: PixelCache) -> list[Picture]:
    means = mean_images(_by_label(found), pixels)
    if not means:
        return []
    canvases = np.stack(list(means.values()))[:, None]
    caption = f"From left to right: {', '.join(means)}"
    return [
        Picture(
            section="mean", caption=caption, png=_png(contact_sheet(canvases, columns=4, side=224))
        )
    ]


def _label_sheets(found: AuditData, pixels: PixelCache) -> list[Picture]:
    return [
        Picture(
            section="label",
            caption=f"{label}: {min(_PER_LABEL, len(ids))} of {len(ids)} images",
            png=_sheet(sorted(ids, key=lambda i: unit_hash(0, "sheet", i))[:_PER_LABEL], pixels),
        )
        for label, ids in _by_label(found).items()
    ]


def _pair_sheet(found: AuditData, pixels: PixelCache) -> list[Picture]:
    """The pairs of lowest similarity: where a false one would be."""
    near = sorted((p for p in found.pairs if p.kind == "near"), key=lambda p: p.similarity)
    chosen = near[:_PAIRS]
    if not chosen:
        return []
    ids = [image_id for pair in chosen for image_id in (pair.first, pair.second)]
    least, most = chosen[0].similarity, chosen[-1].similarity
    caption = (
        f"The {len(chosen)} least alike of {len(near)} near-duplicates, two by two "
        f"(similarity {least:.2f} to {most:.2f}): judge for yourself"
    )
    words = [f"{p.similarity:.2f}{' mirrored' if p.mirrored else ''}" for p in chosen]
    sheet = captioned_sheet(pixels.pixels(ids), words, columns=_PAIR_COLUMNS, side=_SIDE)
    return [Picture(section="pair", caption=caption, png=_png(sheet))]


def _by_label(found: AuditData) -> dict[str, list[str]]:
    live = usable(found.catalogue).sort("label", "image_id")
    groups = live.group_by("label", maintain_order=True).agg(pl.col("image_id"))
    return dict(groups.iter_rows())


def _sheet(image_ids: Sequence[str], pixels: PixelCache) -> bytes:
    return _png(contact_sheet(pixels.pixels(list(image_ids)), columns=_COLUMNS, side=_SIDE))


def _png(sheet: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, format="PNG")
    return buffer.getvalue()
