"""A decoder that does what the first four bytes say, then decodes the rest."""

from __future__ import annotations

import os
import time

from pneumoscope.bundle.reading import Reading, read
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.imaging.radiograph import Limits
from pneumoscope.service import decoder


def odd(content: bytes, preprocess: Preprocess, limits: Limits) -> Reading:
    """The reading, if there is one."""
    if content.startswith(b"HANG"):
        time.sleep(60)
    elif content.startswith(b"DIES"):
        os.abort()
    elif content.startswith(b"EATS"):
        content = bytes(2**30)
    elif content.startswith(b"SLOW"):
        time.sleep(0.3)
        content = content[4:]
    return read(content, preprocess, limits=limits)


if __name__ == "__main__":
    decoder.main(odd)
