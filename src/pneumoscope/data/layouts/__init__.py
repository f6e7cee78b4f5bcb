"""How a folder says what its images are: one registry of layouts, recognised by looking.

One module per layout; `registry` chooses, `together` reads several folders as one, `listing` holds
what a layout answers with, `folders` looks at the disk.
"""

from __future__ import annotations

from pneumoscope.data.layouts.folders import EXTENSIONS, image_paths
from pneumoscope.data.layouts.listing import Entry, Layout, Listing
from pneumoscope.data.layouts.registry import LAYOUTS, recognise
from pneumoscope.data.layouts.together import recognise_folders, relabelled, require_labels_there

__all__ = [
    "EXTENSIONS", "LAYOUTS", "Entry", "Layout", "Listing", "image_paths", "recognise",
    "recognise_folders", "relabelled", "require_labels_there",
]  # fmt: skip
