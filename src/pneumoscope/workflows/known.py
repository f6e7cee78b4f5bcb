"""Whether images are new to a bundle: an external test must hold none that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from pneumoscope.bundle.archive import Bundle
from pneumoscope.core.errors import InputError
from pneumoscope.core.files import printable
from pneumoscope.core.progress import Reporter
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.near_training import TrainingImages


@dataclass(frozen=True)
class Known:
    """Images that come back from training, exactly or nearly.

    Attributes:
        image_ids: Those of the data; None where the bundle does not remember its training images.
        total: Images compared.
    """

    image_ids: tuple[str, ...] | None
    total: int

    @property
    def words(self) -> str:
        """What may be said of the test."""
        if self.image_ids is None:
            return "not judged: the bundle does not remember its training images"
        if self.image_ids:
            return f"no: {len(self.image_ids)} of {self.total} images are (nearly) training images"
        return "no training image comes back; whether the hospital is another one, you know"

    def settle(self, rows: pl.DataFrame, wanted: str, *, reporter: Reporter) -> pl.DataFrame:
        """The rows to evaluate.

        Args:
            rows: Of a catalogue.
            wanted: `keep`, `drop` or `refuse` known images, as `evaluate.known_images` has it.
            reporter: Told what is done.

        Raises:
            InputError: asked for an external test, and training images are inside, or it cannot be
                told.
        """
        if wanted == "refuse" and self.image_ids is None:
            raise InputError(
                "--external: the bundle does not remember its training images. Export it again "
                "with this version, or leave --external out."
            )
        if not self.image_ids:
            return rows
        inside = rows.filter(pl.col("image_id").is_in(self.image_ids))
        found = (
            f"{len(self.image_ids)} of {self.total} images are, exactly or nearly, images the "
            f"bundle was trained on (for example {printable(inside['path'][0])})"
        )
        if wanted == "drop":
            left = rows.filter(~pl.col("image_id").is_in(self.image_ids))
            if left.is_empty():
                raise InputError(f"{found}: none is left. Give other data.")
            reporter.warn(f"{found}; they are left out.")
            return left
        if wanted == "refuse":
            raise InputError(
                f"this is no external test: {found}. Leave them out with --drop-known, or give "
                "other data."
            )
        reporter.warn(f"{found}: the figures are better than those of new images would be.")
        return rows


def find_known(
    bundle: Bundle, rows: pl.DataFrame, pixels: PixelCache, *, reporter: Reporter
) -> Known:
    """Which of these catalogue rows show what the bundle was trained on.

    Raises:
        BundleError: what the bundle remembers cannot be read.
    """
    remembered = TrainingImages.from_arrays(bundle.reference.training)
    if remembered is None:
        return Known(None, rows.height)
    ids = rows["image_id"].to_list()
    found = remembered.among(ids, pixels, reporter=reporter)
    return Known(tuple(found), rows.height)
