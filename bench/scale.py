"""How the audit grows: `python bench/scale.py COUNT FOLDER` audits COUNT made images, prints JSON.

Images are phantoms, each turned, scaled, shifted and exposed in its own way, so that all differ;
every hundredth also has a recompressed copy, which the audit has to find.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pneumoscope.core.recipe import AugmentRecipe
from pneumoscope.data.augmentation import apply, draw
from pneumoscope.data.phantoms import draw_phantom

SIDE, DRAWN, COPIED = 96, 400, 100
STRONG = AugmentRecipe(rotation=20, zoom=0.3, aspect=0.25, shift=0.1, gamma=0.5, contrast=0.4)


def make(count: int, folder: Path) -> int:
    """Write `count` images and their copies in two label folders; how many copies."""
    labels = ("NORMAL", "PNEUMONIA")
    drawn = [
        Image.fromarray(draw_phantom(seed=seed, label=labels[seed % 2])).resize((SIDE, SIDE))
        for seed in range(DRAWN)
    ]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in drawn]))[:, None]
    copies = 0
    for label in labels:
        (folder / label).mkdir(parents=True)
    for view in range(1, -(-count // DRAWN) + 1):
        ids = [f"{view}-{seed}" for seed in range(min(DRAWN, count - (view - 1) * DRAWN))]
        shown = apply(pixels[: len(ids)], draw(STRONG, ids, view=view, seed=0))
        for seed, image in enumerate(shown[:, 0].round().to(torch.uint8).numpy()):
            place = folder / labels[seed % 2] / ids[seed]
            Image.fromarray(image).save(place.with_suffix(".png"), compress_level=1)
            if seed % COPIED == 0:
                Image.fromarray(image).save(place.with_suffix(".jpg"), quality=60)
                copies += 1
    return copies


def main() -> None:
    """Make, audit and print."""
    from pneumoscope.workflows import audit

    count, folder = int(sys.argv[1]), Path(sys.argv[2])
    os.environ["PNEUMOSCOPE_CACHE"] = str(folder / "cache")
    copies = make(count, folder / "data")
    start = time.perf_counter()
    result = audit([folder / "data"], output=folder / "audit")
    seconds = time.perf_counter() - start
    facts = json.loads((result.output / "audit.json").read_text(encoding="utf8"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found = facts["duplicate_pairs"]
    print(json.dumps({"seconds": seconds, "gib": peak, "copies": copies, "pairs": found}))


if __name__ == "__main__":
    main()
