"""Checks of what names, folders and metadata files say against what is there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import polars as pl

from pneumoscope.data.audit.data import AuditData
from pneumoscope.data.audit.file_checks import found
from pneumoscope.data.audit.issues import Issue, count, said, sorted_paths

_WORDS = {
    "normal": ("normal", "healthy", "nofinding"),
    "covid": ("covid", "sarscov2"),
    "viral": ("viral", "virus"),
    "bacterial": ("bacterial", "bacteria"),
    "tuberculosis": ("tuberculosis",),
    "pneumonia": ("pneumonia",),
}
_MORE_OF = {"pneumonia": {"viral", "bacterial", "covid"}, "viral": {"covid"}}
"""Words that say the same less exactly: a viral pneumonia is a pneumonia."""
_KERMANY_NORMAL = re.compile(r"^(NORMAL2-)?IM-\d{4}-\d{4}", re.IGNORECASE)


def sizes(data: AuditData) -> list[Issue]:
    """Images of another size than their metadata say."""
    turned = (pl.col("width") == pl.col("height_declared")) & (
        pl.col("height") == pl.col("width_declared")
    )
    other = (pl.col("width") != pl.col("width_declared")) | (
        pl.col("height") != pl.col("height_declared")
    )
    rows = _declared(data, data.images).filter(other)
    return found(
        "declared_size",
        "warning",
        rows,
        title="Size differs from the metadata",
        message=(
            "have another size than the metadata file says: they "
            "were resized or replaced after it was written. Masks and boxes may no longer fit."
        ),
        sides_exchanged=rows.filter(turned).height,
    )


def formats(data: AuditData) -> list[Issue]:
    """Images of another format than their metadata say."""
    said = pl.col("format_declared").str.to_lowercase().str.strip_chars(" .")
    said = said.replace({"jpg": "jpeg", "dcm": "dicom"})
    rows = _declared(data, data.files).filter(said != pl.col("format"))
    return found(
        "declared_format",
        "warning",
        rows,
        title="Format differs from the metadata",
        message=(
            "are stored in another format than the metadata file "
            "says: they were converted after it was written, perhaps with loss."
        ),
    )


def declared_labels(data: AuditData) -> list[Issue]:
    """Images whose folder and metadata name different labels."""
    own, said = (_plain(pl.col(name)) for name in ("label", "label_declared"))
    rows = _declared(data, data.catalogue).filter(own != said)
    return found(
        "declared_label",
        "error",
        rows,
        title="Label differs from the metadata",
        message=(
            "carry another label than the metadata file gives "
            "them. One of the two is wrong: settle it before training."
        ),
    )


def named_labels(data: AuditData) -> list[Issue]:
    """Images whose file name speaks of another label than the one they carry."""
    labels = sorted(set(data.catalogue["label"].drop_nulls()))
    wrong = [
        (path, label)
        for path, label in data.catalogue.select("path", "label").iter_rows()
        if label is not None and disagrees(path, label, labels)
    ]
    rows = pl.DataFrame(wrong, schema={"path": pl.String, "label": pl.String}, orient="row")
    facts = {f"label:{name}": n for name, n in rows["label"].value_counts().sort("label").rows()}
    return found(
        "named_label",
        "error",
        rows,
        title="Label differs from the file name",
        message=(
            "have a name that speaks of another label than they "
            "carry: probably moved into the wrong folder. Check them."
        ),
        **facts,
    )


def disagrees(path: str, label: str, labels: Sequence[str]) -> bool:
    """Whether the file's name speaks of another of the labels.

    >>> disagrees("Normal/COVID-12.jpg", "Normal", ["COVID", "Normal"])
    True
    >>> disagrees("PNEUMONIA/person3_virus_4.jpeg", "PNEUMONIA", ["NORMAL", "PNEUMONIA"])
    False
    """
    stem = PurePosixPath(path.rpartition("#")[2]).stem
    plain = _letters(stem)
    starts = [
        name for name in labels if len(_letters(name)) > 1 and plain.startswith(_letters(name))
    ]
    if starts:
        return _letters(max(starts, key=len)) not in (_letters(label), "") and not _compatible(
            _meanings(max(starts, key=len)), _meanings(label), default=False
        )
    meant = {"normal"} if _KERMANY_NORMAL.match(stem) else _meanings(stem)
    return not _compatible(meant, _meanings(label), default=True)


def missing_files(data: AuditData) -> list[Issue]:
    """Images that the metadata name and that are not there."""
    if not data.missing:
        return []
    many = count(len(data.missing), "file")
    message = f"{many} that the metadata name are not there. The download may be incomplete."
    return [
        Issue(
            "missing_files",
            "warning",
            "Missing files",
            message,
            sorted_paths(data.missing),
            {"files": len(data.missing)},
            (said("missing_files", files=len(data.missing)),),
        )
    ]


def surplus_files(data: AuditData) -> list[Issue]:
    """Images that are there and that the metadata do not name."""
    if not data.surplus:
        return []
    many = count(len(data.surplus), "image")
    message = f"{many} are not named by the metadata: where they come from is unknown."
    return [
        Issue(
            "surplus_files",
            "warning",
            "Surplus files",
            message,
            sorted_paths(data.surplus),
            {"files": len(data.surplus)},
            (said("surplus_files", files=len(data.surplus)),),
        )
    ]


def names(data: AuditData) -> list[Issue]:
    """Paths that differ in upper and lower case or in spaces only."""
    plain = pl.col("path").str.to_lowercase().str.replace_all(r"\s+", "")
    rows = data.catalogue.filter(pl.len().over(plain) > 1)
    return found(
        "names",
        "warning",
        rows,
        title="Names that differ in case or spaces only",
        message=(
            "have names that other systems cannot tell "
            "apart: on copying, one replaces the other. Rename them."
        ),
    )


def _declared(data: AuditData, table: pl.DataFrame) -> pl.DataFrame:
    """The table's rows that metadata speak of, with `..._declared` columns; none without them."""
    if data.declared is None:
        empty = {"width": pl.Int64, "height": pl.Int64, "format": pl.String, "label": pl.String}
        said = pl.DataFrame(schema={"path": pl.String, **empty})
    else:
        said = data.declared
    said = said.rename({name: f"{name}_declared" for name in said.columns if name != "path"})
    return table.join(said, on="path", how="inner")


def _plain(text: pl.Expr) -> pl.Expr:
    return text.str.to_lowercase().str.replace_all(r"[^a-z0-9]+", "")


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", text.lower())


def _meanings(text: str) -> set[str]:
    """The most exact words in the text: a viral pneumonia is viral."""
    plain = _letters(text)
    said = {name for name, words in _WORDS.items() if any(word in plain for word in words)}
    said -= {"normal"} if "abnormal" in plain else set()
    return said - {wide for wide, narrow in _MORE_OF.items() if narrow & said}


def _compatible(first: set[str], second: set[str], *, default: bool) -> bool:
    """Whether both may be true of one image; `default` where one of them says nothing."""
    if not first or not second:
        return default
    return bool(first & _widened(second) or second & _widened(first))


def _widened(words: set[str]) -> set[str]:
    return words | {wide for wide, narrow in _MORE_OF.items() if narrow & words}
