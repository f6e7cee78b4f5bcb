"""The catalogue: one row per image, what is unknown is null, what is unusable says why.

Building it reads each file at most once, ever: what was found is remembered under the file's
size and time of change, and its canvas goes to the pixel cache in the same pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from pneumoscope._version import __version__
from pneumoscope.core.errors import LabelError, RadiographError, StorageError
from pneumoscope.core.files import cache_folder, printable, sha256
from pneumoscope.core.progress import Reporter
from pneumoscope.core.tables import save_parquet
from pneumoscope.core.types import Canvas
from pneumoscope.data.cache import PixelCache, SegmentWriter
from pneumoscope.data.layouts import Entry, Listing
from pneumoscope.data.masks import NO_MASK, read_mask
from pneumoscope.data.sources import Source
from pneumoscope.imaging.radiograph import Radiograph

SCHEMA: dict[str, Any] = {
    "image_id": pl.String, "path": pl.String, "label": pl.String, "patient_id": pl.String,
    "study_id": pl.String, "source": pl.String, "view": pl.String, "sex": pl.String,
    "age": pl.Float64, "split": pl.String, "mask_path": pl.String, "width": pl.Int64,
    "height": pl.Int64, "bits": pl.Int64, "photometric": pl.String, "sha256": pl.String,
    "perceptual_hash": pl.String, "excluded": pl.String,
}  # fmt: skip

CONTRADICTING = "identical copies carry different labels"
"""Why all of them are left out, until a label patch settles which label is right."""

_WINDOW = 64
_UNKNOWN = -1
_MOST_LABELS, _LONGEST_LABEL = 1000, 200
_PART_ORDER = {"test": 0, "validation": 1, "train": 2, None: 3}


@dataclass(frozen=True, slots=True)
class Facts:
    """What reading a file told; `reason` is set where it could not be used."""

    path: str
    bytes: int
    changed_ns: int
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    bits: int | None = None
    photometric: str | None = None
    perceptual_hash: str | None = None
    format: str | None = None
    colour: float | None = None
    reason: str | None = None

    @property
    def image_id(self) -> str | None:
        """The first 16 hexadecimal digits of the content's SHA-256."""
        return self.sha256[:16] if self.sha256 else None


@dataclass(frozen=True, slots=True)
class _Examined:
    """What reading a file told, its canvas, and why it has none where that is the mask's fault."""

    facts: Facts
    canvas: Canvas | None = None
    refused: str | None = None


def build_catalogue(
    listing: Listing, *, pixels: PixelCache | None, reporter: Reporter
) -> pl.DataFrame:
    """The catalogue of a listing, in `SCHEMA`; `split` holds the part the layout gave, if any.

    Args:
        listing: The images and how they were understood.
        pixels: Where canvases go; None only looks.
        reporter: Shown the progress.

    Raises:
        StorageError: the cache cannot be written.
    """
    return assemble(listing, scan(listing, pixels=pixels, reporter=reporter))


def scan(listing: Listing, *, pixels: PixelCache | None, reporter: Reporter) -> list[Facts]:
    """What reading each entry told, in their order; files known from before are not opened.

    Where canvases are made with lung masks, an image without a usable one has that as its reason.
    It is not remembered: other canvases need no mask.
    """
    memory = _Memory.of(listing.source.root)
    facts = {known.path: known for known in memory.load()}
    new = [entry for entry in listing.entries if not _known(entry, facts, listing.source, pixels)]
    refused = {entry.path: NO_MASK for entry in listing.entries if _lacks_mask(entry, pixels)}
    if new:
        fresh = _examine_all(new, listing.source, pixels, reporter)
        facts |= {found.facts.path: found.facts for found in fresh}
        refused |= {found.facts.path: found.refused for found in fresh if found.refused}
        memory.save(list(facts.values()), reporter)
    told = [facts[printable(entry.path)] for entry in listing.entries]
    return [replace(found, reason=found.reason or refused.get(found.path)) for found in told]


def files_table(facts: Sequence[Facts]) -> pl.DataFrame:
    """What files are like outside their pixels: `path`, `bytes`, `format`, `colour`."""
    schema = {"path": pl.String, "bytes": pl.Int64, "format": pl.String, "colour": pl.Float64}
    rows = [{name: getattr(found, name) for name in schema} for found in facts]
    return pl.DataFrame(rows, schema=schema)


def assemble(listing: Listing, facts: Sequence[Facts]) -> pl.DataFrame:
    """The catalogue of the entries and what reading them told, copies excluded."""
    rows = [_row(entry, found) for entry, found in zip(listing.entries, facts, strict=True)]
    return validate(without_copies(pl.DataFrame(rows, schema=SCHEMA)))


def usable(catalogue: pl.DataFrame) -> pl.DataFrame:
    """The rows that are not excluded."""
    return catalogue.filter(pl.col("excluded").is_null())


def labels_of(catalogue: pl.DataFrame) -> tuple[str, ...]:
    """The label set: every label with a usable image, sorted."""
    return tuple(sorted(usable(catalogue)["label"].unique().to_list()))


def require_labels(catalogue: pl.DataFrame, *, least: int = 10) -> tuple[str, ...]:
    """The label set, checked to be learnable.

    Raises:
        LabelError: fewer than two labels, or a label with fewer than `least` usable images.
    """
    labels = labels_of(catalogue)
    if len(labels) < 2:
        shown = ", ".join(labels) or "none"
        raise LabelError(
            f"labels with usable images: {shown}; two or more are needed. Add a label."
        )
    if len(labels) > _MOST_LABELS or (longest := max(labels, key=len))[_LONGEST_LABEL:]:
        what = f"{len(labels)} labels" if len(labels) > _MOST_LABELS else f"'{longest[:40]}...'"
        raise LabelError(
            f"{what}: at most {_MOST_LABELS} labels of {_LONGEST_LABEL} characters. Rename folders."
        )
    counts = dict(usable(catalogue)["label"].value_counts().iter_rows())
    for label in labels:
        if counts[label] < least:
            raise LabelError(
                f"label '{label}': {counts[label]} usable images; at least {least} are needed. "
                "Add images or remove the label's folder."
            )
    return labels


def fingerprint(catalogue: pl.DataFrame) -> str:
    """16 hexadecimal digits fixed by the usable images and their labels, in any order."""
    rows = usable(catalogue).select("image_id", "label").sort("image_id").iter_rows()
    return sha256("\n".join(f"{image_id}\t{label}" for image_id, label in rows).encode())[:16]


def counts_table(catalogue: pl.DataFrame) -> pl.DataFrame:
    """Usable images per split and label: `split`, `label`, `images`, `patients`, `unknown`.

    A patient whose identity is unknown counts with the image; `unknown` is how many images those
    are.
    """
    return (
        usable(catalogue)
        .group_by("split", "label")
        .agg(
            pl.len().alias("images"),
            pl.coalesce("patient_id", "image_id").n_unique().alias("patients"),
            pl.col("patient_id").null_count().cast(pl.UInt32).alias("unknown"),
        )
        .sort("split", "label")
    )


def validate(catalogue: pl.DataFrame) -> pl.DataFrame:
    """The catalogue itself, after checking it against its contract.

    Raises:
        LabelError: a row breaks the contract; the check and the first value are named.
    """
    import pandera.polars as pa
    from pandera.errors import SchemaError

    required = {"path", "label"}
    columns = {
        name: pa.Column(kind, nullable=name not in required) for name, kind in SCHEMA.items()
    }
    try:
        pa.DataFrameSchema(columns, strict=True, ordered=True).validate(catalogue)
    except SchemaError as error:
        reason = " ".join(str(error).split())
        raise LabelError(f"catalogue: {reason}. Build it again with `pneumoscope`.") from error
    live = usable(catalogue)
    if live["image_id"].null_count() or live["image_id"].n_unique() != live.height:
        raise LabelError("catalogue: usable rows need distinct image_id values. Build it again.")
    return catalogue


def _examine_all(
    entries: Sequence[Entry], source: Source, pixels: PixelCache | None, reporter: Reporter
) -> list[_Examined]:
    done: list[_Examined] = []
    with ThreadPoolExecutor(max_workers=4) as pool, SegmentWriter.for_cache(pixels) as writer:
        work = _windowed(pool, entries, source, pixels)
        for found in reporter.track(work, "Reading radiographs", len(entries)):
            done.append(replace(found, canvas=None))
            if found.canvas is not None and found.facts.image_id:
                writer.add(found.facts.image_id, found.canvas)
    return done


def _windowed(
    pool: ThreadPoolExecutor, entries: Sequence[Entry], source: Source, pixels: PixelCache | None
) -> Iterator[_Examined]:
    """Decode in order, a bounded number at a time: memory does not grow with the folder."""
    remaining = iter(entries)
    while window := list(islice(remaining, _WINDOW)):
        yield from pool.map(lambda entry: _examine(entry, source, pixels), window)


def _examine(entry: Entry, source: Source, pixels: PixelCache | None) -> _Examined:
    path = entry.path
    if (shown := printable(path)) != path:
        reason = "unreadable: the file's name is not UTF-8 text. Rename the file."
        return _Examined(Facts(shown, _UNKNOWN, _UNKNOWN, reason=reason))
    size, changed = source.signature(path)
    try:
        content = source.read(path)
    except RadiographError as error:
        reason = printable(str(error).removeprefix(f"{path}: "))
        if _may_pass(error):
            size = changed = _UNKNOWN
        return _Examined(Facts(path, size, changed, reason=f"unreadable: {reason}"))
    image = content.radiograph
    facts = Facts(
        path, size, changed, content.sha256, image.width, image.height, image.bits,
        image.photometric, perceptual_hash(image), image.format, image.colour,
    )  # fmt: skip
    if pixels is None or _lacks_mask(entry, pixels):
        return _Examined(facts)
    needed = entry.mask_path if pixels.preprocess.recipe.lungs != "off" else None
    try:
        mask = read_mask(needed, source) if needed else None
    except RadiographError as error:
        return _Examined(facts, refused=f"no usable lung mask: {printable(str(error))}")
    return _Examined(facts, pixels.preprocess.apply(image, mask)[0])


def _lacks_mask(entry: Entry, pixels: PixelCache | None) -> bool:
    needed = pixels is not None and pixels.preprocess.recipe.lungs != "off"
    return needed and entry.mask_path is None


def _may_pass(error: RadiographError) -> bool:
    """Whether the next run may be luckier: the system refused, the content was not at fault."""
    cause = error.__cause__
    return isinstance(cause, MemoryError) or getattr(cause, "errno", None) is not None


def perceptual_hash(radiograph: Radiograph) -> str:
    """64-bit DCT hash (pHash, Zauner 2010) as 16 hexadecimal digits."""
    import imagehash
    from PIL import Image

    from pneumoscope.imaging.preprocess import to_uint8

    return str(imagehash.phash(Image.fromarray(to_uint8(radiograph))))


def _known(
    entry: Entry, facts: dict[str, Facts], source: Source, pixels: PixelCache | None
) -> bool:
    found = facts.get(entry.path)
    if not found or found.bytes == _UNKNOWN:
        return False
    if (found.bytes, found.changed_ns) != source.signature(entry.path):
        return False
    done = pixels is None or found.image_id in pixels
    return done or bool(found.reason) or _lacks_mask(entry, pixels)


def _row(entry: Entry, facts: Facts) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(SCHEMA)
    row |= {key: value for key, value in asdict(facts).items() if key in SCHEMA}
    row |= {key: value for key, value in asdict(entry).items() if key in SCHEMA}
    row |= {"path": facts.path, "label": printable(entry.label), "image_id": facts.image_id}
    row |= {"split": entry.part, "excluded": facts.reason}
    return row


def without_copies(catalogue: pl.DataFrame) -> pl.DataFrame:
    """Exclude byte-identical copies, keeping the one in test first; all, if labels disagree."""
    order = pl.col("split").replace_strict(_PART_ORDER, default=3, return_dtype=pl.Int64)
    keyed = catalogue.with_row_index("row").with_columns(order.alias("order"))
    live = keyed.filter(pl.col("excluded").is_null()).sort("order", "path")
    copies = live.with_columns(
        pl.col("path").first().over("image_id").alias("first"),
        pl.col("label").n_unique().over("image_id").alias("labels"),
    ).with_columns(
        pl.when(pl.col("labels") > 1)
        .then(pl.lit(CONTRADICTING))
        .when(pl.col("path") != pl.col("first"))
        .then(pl.lit("identical copy of ") + pl.col("first"))
        .alias("copy")
    )
    return (
        keyed.join(copies.select("row", "copy"), on="row", how="left")
        .sort("row")
        .with_columns(pl.coalesce("excluded", "copy").alias("excluded"))
        .select(list(SCHEMA))
    )


@dataclass(frozen=True)
class _Memory:
    """What was found in the files of one data folder, kept between runs."""

    file: Path

    @classmethod
    def of(cls, root: Path) -> _Memory:
        known_by = f"{__version__}\n{printable(root.resolve())}"
        key = sha256(known_by.encode())[:16]
        return cls(cache_folder() / "files" / f"{key}.parquet")

    def load(self) -> list[Facts]:
        try:
            return [Facts(**row) for row in pl.read_parquet(self.file).iter_rows(named=True)]
        except (OSError, pl.exceptions.PolarsError, TypeError):
            return []  # absent or of another version: it is only a memory

    def save(self, facts: list[Facts], reporter: Reporter) -> None:
        others = {"reason": pl.String, "format": pl.String, "colour": pl.Float64}
        schema = {key: (SCHEMA | others).get(key, pl.Int64) for key in Facts.__slots__}
        table = pl.DataFrame([asdict(found) for found in facts], schema=schema)
        try:
            save_parquet(table, self.file)
        except StorageError as error:
            reporter.warn(f"the next run will read the files again: {error}")
