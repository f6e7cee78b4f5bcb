"""Options and arguments that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

BUNDLES = "Folder, zip, models:/NAME@alias, or champion, which ships"
"""What a bundle may be, in words."""


class RuntimeName(StrEnum):
    """What runs a bundle."""

    auto = "auto"
    fastest = "fastest"
    openvino = "openvino"
    onnxruntime = "onnxruntime"
    torch = "torch"


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Runtime = Annotated[RuntimeName, typer.Option(help="What runs the bundle.")]
Bundle = Annotated[str, typer.Argument(metavar="BUNDLE", help=f"{BUNDLES}.")]
