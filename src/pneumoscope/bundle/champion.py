"""The champion: the bundle that ships inside the package, pinned by the digest of its own seal.

Its specification holds the SHA-256 of every other file of it, so one digest fixes them all
(docs/decisions/0020-champion-by-name.md).
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

from pneumoscope.bundle.archive import seal_of
from pneumoscope.core.errors import BundleError, WeightsError
from pneumoscope.core.files import is_there

CHAMPION: Final = "champion"
"""What it is called wherever a bundle is asked for."""

CHAMPION_SHA256 = "45112d6882734dfc57ca91efd447249c7b6cc9466869fda6f833f75e4b7a1e8e"
"""Of its `bundle.json`, as its `bundle.sha256` has it; empty where no champion ships."""


def packaged_champion() -> Path:
    """The folder or zip of the champion, its specification being the pinned one.

    Raises:
        BundleError: none ships with this version.
        WeightsError: it was changed.
    """
    there = [place for place in _places() if is_there(place)]
    if not there:
        raise BundleError(
            f"{CHAMPION}: no bundle ships with this version. Train one (pneumoscope train DATA) "
            "and name its bundle."
        )
    found = seal_of(there[0])
    if found != CHAMPION_SHA256:
        raise WeightsError(
            f"{there[0].name}: SHA-256 of its bundle.json is {found[:12]}..., expected "
            f"{CHAMPION_SHA256[:12] or 'none'}...: the champion was changed. Install Pneumoscope "
            "again."
        )
    return there[0]


def _places() -> tuple[Path, ...]:
    """Where it may lie: as a folder, or as the same zipped."""
    folder = Path(str(resources.files("pneumoscope.models") / "weights_data"))
    return folder / CHAMPION, folder / f"{CHAMPION}.zip"
