"""What a file of tensors must be before anything loads it: safetensors, and no pickle."""

from __future__ import annotations

import json

from pneumoscope.core.errors import BundleError

_MAX_HEADER = 100_000_000
"""Bytes, as the safetensors library has it."""


def check_tensors(content: bytes, name: str) -> None:
    """Refuse what is no safetensors; its header is read, its tensors are not.

    The format (https://huggingface.co/docs/safetensors, "Format"): eight bytes with the header's
    length, little endian; the header, a JSON object of names to type, shape and offsets; the
    tensors, to the end of the file.

    Args:
        content: The file.
        name: How messages call it.

    Raises:
        BundleError: it is something else.
    """
    length = int.from_bytes(content[:8], "little")
    held = len(content) - 8 - length
    if held < 0 or length > _MAX_HEADER or _end(content[8 : 8 + length]) != held:
        raise BundleError(f"{name}: is no safetensors file. Export the bundle again.")


def _end(header: bytes) -> int | None:
    """Where the last tensor ends; None where the header is none."""
    try:
        found = json.loads(header)
        ends = [int(one["data_offsets"][1]) for key, one in found.items() if key != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None
    return max(ends, default=0)
