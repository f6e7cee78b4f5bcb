"""Checks of how the chest lies in the picture: inverted, turned, mirrored, seen from the side."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from pneumoscope.core.types import FloatArray
from pneumoscope.data.audit.data import AuditData, thumbnails
from pneumoscope.data.audit.file_checks import found
from pneumoscope.data.audit.issues import Issue, Severity
from pneumoscope.data.audit.orientation import (
    LEAST_IMAGES,
    TURNS,
    coarse,
    inverted_scores,
    lateral_scores,
    mirrored_scores,
    turned_scores,
)
from pneumoscope.imaging.thumbnail import mediastinum_contrast, normalised, thumbnail

_TURNED = -0.15
"""Below: 0.3 % of upright radiographs of children and adults, and 98.5 % of turned ones."""
_INVERTED = -0.15
_MIRRORED = -0.55
"""Below: 0.5 % of radiographs as they should be, and about 85 % of mirrored ones."""
_LATERAL = -0.25
_RIDGE = 0.25
"""One of them is below in 0.1 to 0.4 % of frontal radiographs, and in 85 % of drawn lateral ones;
no real lateral ones were at hand."""
_TRUSTED = 0.9
"""A detector that finds fewer images as usual than this does not know what is usual."""


def inverted(data: AuditData) -> list[Issue]:
    """Pictures that look like the others only as negatives, and data sets wholly inverted."""
    issues = _whole_set(data, "inverted", {"inverted": np.negative})
    if not _enough(data):
        return issues
    pictures = data.pictures
    rows = _flagged(pictures, inverted_scores(thumbnails(pictures), _groups(pictures)), _INVERTED)
    return issues + found(
        "inverted",
        "error",
        rows,
        title="Likely inverted",
        message=(
            "look like negatives: bright surroundings, black bones, as MONOCHROME1 "
            "pixels do when stored without their tag. A model would learn it. Invert them "
            "back."
        ),
        threshold=_INVERTED,
    )


def rotated(data: AuditData) -> list[Issue]:
    """Pictures turned by a right angle or standing on their head, and whole data sets so."""
    issues = _whole_set(data, "rotated", dict(TURNS))
    if not _enough(data):
        return issues
    pictures = data.pictures
    images, groups = thumbnails(pictures), _groups(pictures)
    scores = {name: turned_scores(images, change, groups) for name, change in TURNS.items()}
    table = _trusted(scores)
    if not table:
        return issues
    names = list(table)
    lowest = np.argmin(list(table.values()), axis=0)
    rows = _flagged(pictures, np.min(list(table.values()), axis=0), _TURNED, trust=False)
    how = dict(zip(pictures["path"].to_list(), lowest.tolist(), strict=True))
    facts: dict[str, Any] = {
        name: sum(names[how[path]] == name for path in rows["path"]) for name in names
    }
    return issues + found(
        "rotated",
        "warning",
        rows,
        title="Likely turned",
        message=(
            "seem to lie on their side or stand on their head. Look at them and turn "
            "them back; tilted or badly centred ones may be among them."
        ),
        threshold=_TURNED,
        **facts,
    )


def mirrored(data: AuditData) -> list[Issue]:
    """Pictures with the heart on the other side: weak evidence, as the words say."""
    if not _enough(data):
        return []
    pictures = data.pictures
    rows = _flagged(pictures, mirrored_scores(thumbnails(pictures), _groups(pictures)), _MIRRORED)
    share = rows.height / max(1, pictures.height)
    severity: Severity = "warning" if share > 0.02 else "info"
    return found(
        "mirrored",
        severity,
        rows,
        title="Perhaps mirrored",
        message=(
            "seem to show the heart on the other side. The evidence is weak: about "
            "one image in 200 looks so because of an effusion, a collapsed lung, rotation of the "
            "patient or a situs inversus. Look for the side marker."
        ),
        threshold=_MIRRORED,
        share=share,
    )


def lateral(data: AuditData) -> list[Issue]:
    """Pictures that show no two lungs side by side."""
    declared = data.images.filter(pl.col("view").str.to_uppercase() == "LATERAL")
    frontal = data.images.filter(pl.col("view").str.to_uppercase().is_in(["PA", "AP"]))
    issues = found(
        "lateral",
        "warning",
        declared if frontal.height else declared.clear(),
        title="Lateral views among frontal ones",
        message=(
            "are lateral views by their own data, beside frontal ones. Train on one kind of view."
        ),
        key="lateral.declared",
    )
    if data.pictures.is_empty():
        return issues
    known = declared.select("path")
    rows = _without_two_lungs(data).join(known, on="path", how="anti")
    return issues + found(
        "lateral",
        "warning",
        rows,
        title="Likely lateral views",
        message=(
            "do not show two lungs side by side: lateral views, single lungs "
            "or chests far off the centre. Look at them; a lateral view teaches other signs."
        ),
        key="lateral.likely",
        threshold=_LATERAL,
    )


def _without_two_lungs(data: AuditData) -> pl.DataFrame:
    pictures = data.pictures
    images = thumbnails(pictures)
    flagged = [pictures.filter(pl.Series(mediastinum_contrast(images) < _RIDGE))]
    if _enough(data):
        flagged.append(_flagged(pictures, lateral_scores(images, _groups(pictures)), _LATERAL))
    return pl.concat(flagged).unique("path").sort("path")


def _enough(data: AuditData) -> bool:
    return data.pictures.height >= LEAST_IMAGES and data.pictures["group"].n_unique() >= 10


def _groups(pictures: pl.DataFrame) -> list[str]:
    return [str(group) for group in pictures["group"]]


def _trusted(scores: dict[str, FloatArray]) -> dict[str, FloatArray]:
    return {name: value for name, value in scores.items() if np.mean(value > 0) >= _TRUSTED}


def _flagged(
    pictures: pl.DataFrame, scores: FloatArray, threshold: float, *, trust: bool = True
) -> pl.DataFrame:
    if trust and np.mean(scores > 0) < _TRUSTED:
        return pictures.clear()
    return pictures.filter(pl.Series(scores < threshold))


def _whole_set(data: AuditData, check: str, changes: dict[str, object]) -> list[Issue]:
    """The issue that a whole data set is changed: its median against drawn chests."""
    issues = []
    for name, images in data.sources.items():
        shown = images.join(data.pictures.select("path"), on="path", how="semi")
        if shown.height < 5:
            continue
        how = _usual_change(thumbnails(shown))
        if how in changes:
            title = f"The data set {name or 'as a whole'} is likely {how}"
            message = (
                "looks like a chest only when undone. Check how they were exported, all of them."
            )
            said = f"are {how}, to judge by their median, which {message}"
            issues += found(
                check, "error", shown, title=title, message=said, key="changed_set", change=how
            )
    return issues


def _usual_change(images: FloatArray) -> str | None:
    """What brings the median of `images` clearly closer to a drawn chest, or None."""
    from pneumoscope.data.phantoms import draw_phantom

    drawn = [draw_phantom(seed=seed, label="NORMAL", size=64) for seed in range(24)]
    chest = _median(np.stack([thumbnail(image) for image in drawn]).astype(np.float32))
    usual = _median(images)
    changed = {"inverted": -usual, **{name: change(usual) for name, change in TURNS.items()}}
    alike = {name: float(np.mean(chest * image)) for name, image in changed.items()}
    best = max(alike, key=lambda name: alike[name])
    clearly = alike[best] > float(np.mean(chest * usual)) + 0.3 and alike[best] > 0.3
    return best if clearly else None


def _median(images: FloatArray) -> FloatArray:
    return normalised(np.median(normalised(coarse(images)), axis=0)[None])
