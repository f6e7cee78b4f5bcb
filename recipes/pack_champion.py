"""Puts a trained bundle into the package as the champion: `python recipes/pack_champion.py RUN`.

The zip holds the bundle's files in a fixed order under a fixed date, so that the same bundle gives
the same bytes. The digest that has to be pinned is printed, with the sizes.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

from pneumoscope.bundle.archive import ONNX, WEIGHTS, open_bundle, seal_of
from pneumoscope.core.errors import InputError
from pneumoscope.core.files import replacing

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "src" / "pneumoscope" / "models" / "weights_data" / "champion.zip"
LIMIT = 12_000_000
"""Bytes that weights and graph may take in the package."""
_DATE = (1980, 1, 1, 0, 0, 0)


def pack(bundle: Path, place: Path) -> dict[str, int]:
    """Write the bundle as a zip; bytes of each file in it.

    Raises:
        BundleError: it is no bundle.
        InputError: weights and graph are larger than the package allows.
    """
    open_bundle(bundle)
    with replacing(place) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for file in sorted(bundle.iterdir()):
                info = zipfile.ZipInfo(file.name, _DATE)
                info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
                archive.writestr(info, file.read_bytes(), compresslevel=9)
            sizes = {info.filename: info.compress_size for info in archive.infolist()}
        if (both := sizes[ONNX] + sizes[WEIGHTS]) > LIMIT:
            raise InputError(
                f"{bundle}: weights and graph take {both} bytes zipped; at most {LIMIT}. Train a "
                "smaller backbone, or set model.rounding to bfloat16."
            )
    return sizes


def main() -> None:
    """Pack, and say what to pin."""
    run = Path(sys.argv[1])
    sizes = pack(run / "bundle", PLACE)
    metrics = json.loads((run / "metrics.json").read_text())
    print(json.dumps({"sizes": sizes, "auc": metrics["auc"], "accuracy": metrics["accuracy"]}))
    print(f'CHAMPION_SHA256 = "{seal_of(PLACE)}"')


if __name__ == "__main__":
    main()
