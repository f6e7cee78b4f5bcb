"""The fastest precision for a frozen backbone, found by timing, remembered per machine.

Remembering it is what makes a repeated run repeat to the last digit.
"""

from __future__ import annotations

import copy
import json
import math
import time
from pathlib import Path

import torch
from torch import Tensor

from pneumoscope.core.errors import StorageError
from pneumoscope.core.files import cache_folder, sha256, write_text
from pneumoscope.core.progress import Reporter
from pneumoscope.core.provenance import machine
from pneumoscope.models.classifier import evaluating
from pneumoscope.models.zoo import Backbone

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

# bfloat16 rounds, so it must be worth it: a close race also must not flip between machines.
_WORTH = 1.3
_STEPS = 3


def choose_precision(
    backbone: Backbone, *, size: int, batch_size: int, requested: str, reporter: Reporter
) -> str:
    """`float32` or `bfloat16`: what was requested, or for `auto` what was faster here."""
    if requested != "auto":
        return requested
    memory = _memory(backbone.name, size, batch_size)
    if (known := _recall(memory)) is not None:
        return known
    pixels = torch.zeros(batch_size, 1, size, size, dtype=torch.uint8)
    speed = {"float32": _images_per_second(backbone, pixels, "float32")}
    hopeless = 2 * batch_size / speed["float32"]
    speed["bfloat16"] = _images_per_second(backbone, pixels, "bfloat16", give_up_after=hopeless)
    chosen = "bfloat16" if speed["bfloat16"] > _WORTH * speed["float32"] else "float32"
    rates = ", ".join(f"{name} {rate:.0f} images/s" for name, rate in speed.items())
    reporter.say(f"Precision of the frozen backbone: {chosen} ({rates}).")
    try:
        write_text(memory, json.dumps({"precision": chosen, "images_per_second": speed}))
    except StorageError as error:
        reporter.warn(f"the precision will be timed again next time: {error}")
    return chosen


def in_precision(backbone: Backbone, precision: str) -> Backbone:
    """A copy of the backbone whose network computes in `precision`."""
    other = copy.deepcopy(backbone)
    other.network.to(dtype=DTYPES[precision], memory_format=torch.channels_last)  # type: ignore[call-overload]
    return other.eval()


def _images_per_second(
    backbone: Backbone, pixels: Tensor, precision: str, *, give_up_after: float = math.inf
) -> float:
    """Best of a few steps, after one to warm up; a warm-up that takes too long is the answer.

    Processors without bfloat16 emulate it, many times slower.
    """
    network = in_precision(backbone, precision)
    with evaluating(network):
        first = _seconds(network, pixels)
        if first > give_up_after:
            return len(pixels) / first
        return len(pixels) / min(_seconds(network, pixels) for _ in range(_STEPS))


def _seconds(network: Backbone, pixels: Tensor) -> float:
    start = time.perf_counter()
    network(pixels)
    return time.perf_counter() - start


def _memory(name: str, size: int, batch_size: int) -> Path:
    facts = [name, size, batch_size, torch.__version__, torch.get_num_threads(), machine()]
    return cache_folder() / "precision" / f"{sha256(json.dumps(facts).encode())[:16]}.json"


def _recall(memory: Path) -> str | None:
    try:
        known = json.loads(memory.read_text(encoding="utf8"))["precision"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return known if known in DTYPES else None
