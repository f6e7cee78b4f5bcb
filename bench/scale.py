"""How the audit grows: `python bench/scale.py COUNT FOLDER` audits COUNT phantoms, prints JSON.

Every hundredth also has a recompressed copy, which the audit has to find.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from multiprocessing import Pool
from pathlib import Path

from PIL import Image

from pneumoscope.data.phantoms import draw_phantom

SIDE, COPIED = 96, 100
LABELS = ("NORMAL", "PNEUMONIA")


def write(task: tuple[int, Path]) -> None:
    """One phantom of a patient of its own, and perhaps its copy."""
    seed, folder = task
    label = LABELS[seed % 2]
    image = Image.fromarray(draw_phantom(seed=seed, label=label, size=SIDE))
    image.save(folder / label / f"{seed:06d}.png", compress_level=1)
    if seed % COPIED == 0:
        image.save(folder / label / f"{seed:06d}.jpg", quality=60)


def main() -> None:
    """Draw, audit and print."""
    from pneumoscope import audit

    count, folder = int(sys.argv[1]), Path(sys.argv[2])
    os.environ["PNEUMOSCOPE_CACHE"] = str(folder / "cache")
    for label in LABELS:
        (folder / "data" / label).mkdir(parents=True)
    with Pool() as pool:
        tasks = ((seed, folder / "data") for seed in range(count))
        for _ in pool.imap_unordered(write, tasks, chunksize=100):
            pass
    start = time.perf_counter()
    result = audit([folder / "data"], output=folder / "audit")
    seconds = time.perf_counter() - start
    facts = json.loads((result.output / "audit.json").read_text(encoding="utf8"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    copies = -(-count // COPIED)
    pairs = facts["duplicate_pairs"]
    print(json.dumps({"seconds": seconds, "gib": peak, "copies": copies, "pairs": pairs}))


if __name__ == "__main__":
    main()
