"""What the service allows and how long it waits: one frozen object, valid once built."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from pneumoscope.core.errors import InputError
from pneumoscope.imaging.decoded import Limits
from pneumoscope.imaging.dicom_codestream import memory_for

MEBIBYTE = 2**20
GRACE = 5.0
"""Seconds more than the deadline, or than an answer that came later, that sending it may take."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Limits of the service.

    Attributes:
        max_queue: images accepted and not yet answered.
        max_batch: images answered together.
        max_images: images in one request.
        max_bytes: of the body of one request.
        max_buffered: bytes of all uploads, pictures and unsent answers held at a time.
        max_connections: open at a time.
        max_pixels: of one image, refused before decoding.
        decoders: processes that decode.
        decode_seconds: that decoding one image may take.
        deadline: seconds from a request's first byte to its answer, which may take `GRACE` more
            to be sent.
        rate: requests per second and token, on average; None: no limit.
        drain_seconds: how long requests are still taken after SIGTERM, each told to reconnect.

    Raises:
        InputError: a value is not above 0 (`drain_seconds`: below 0), or not finite.
    """

    max_queue: int = 64
    max_batch: int = 8
    max_images: int = 16
    max_bytes: int = 64 * MEBIBYTE
    max_buffered: int = 512 * MEBIBYTE
    max_connections: int = 512
    max_pixels: int = 25_000_000
    decoders: int = 2
    decode_seconds: float = 15.0
    deadline: float = 30.0
    rate: float | None = None
    drain_seconds: float = 0.5

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            lowest = 0.0 if one.name == "drain_seconds" else math.ulp(0.0)
            if value is not None and not (math.isfinite(value) and value >= lowest):
                message = f"{one.name}={value}; allowed: finite, above 0. Give another value."
                raise InputError(message)

    @property
    def limits(self) -> Limits:
        """What is refused before decoding."""
        return Limits(max_bytes=self.max_bytes, max_pixels=self.max_pixels)

    @property
    def max_pictures(self) -> int:
        """Bytes that the pictures in one answer may have together.

        Never less than one of the largest image allowed: three bytes per pixel where PNG saves
        nothing, four of base64 for each three (RFC 4648 4).
        """
        return max(self.max_bytes, 4 * self.max_pixels + MEBIBYTE)

    @property
    def decoder_memory(self) -> int:
        """Bytes of address space that decoding the largest image allowed may take."""
        return memory_for(self.max_bytes, self.max_pixels)
