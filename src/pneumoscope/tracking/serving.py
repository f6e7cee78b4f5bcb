"""The bundle as an MLflow model: `mlflow models predict` loads this module, and no pickle.

Input: a table with a column `image` (the bytes of a radiograph file in base64) and/or `path` (a
file the serving process can read). Output: a row per row, as the contract of `predict` says.

MLflow's own binary type is not used for `image`: it allows no row without one.
"""

from __future__ import annotations

import base64
import binascii
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.bundle.predictor import Predictor
from pneumoscope.bundle.reading import Reading

if TYPE_CHECKING:
    import pandas as pd

IMAGE, PATH = "image", "path"
BATCH = 8
"""Rows answered together."""
TEXTS = ("label", "decision", "reason")
"""Columns of the answer before the probabilities."""


class RadiographModel:
    """Answers tables of radiographs.

    Args:
        bundle: Its folder.
    """

    def __init__(self, bundle: Path) -> None:
        self.predictor = Predictor.open(bundle)

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """`label`, `decision`, `reason` and `probability:<label>` of every row."""
        import pandas as pd

        del params
        labels = self.predictor.labels
        columns = [*TEXTS, *(f"probability:{label}" for label in labels)]
        records = iter(model_input.to_dict("records"))
        rows: list[dict[str, object]] = []
        while batch := list(islice(records, BATCH)):
            readings = [self._read(row) for row in batch]
            rows += [answer.row(labels) for answer in self.predictor.answer(readings)]
        table = pd.DataFrame([{name: row[name] for name in columns} for row in rows])
        return table.reindex(columns=columns)

    def _read(self, row: dict[str, Any]) -> Reading:
        """One row's image; a row without one, or not in base64, is answered as unreadable."""
        content, path = row.get(IMAGE), row.get(PATH)
        if isinstance(content, str) and content:
            try:
                content = base64.b64decode("".join(content.split()), validate=True)
            except (binascii.Error, ValueError):
                content = b"not base64"
        if isinstance(content, bytes | bytearray):
            return self.predictor.read(bytes(content))
        return self.predictor.read(Path(path) if isinstance(path, str) and path else b"")


def _load_pyfunc(data_path: str) -> RadiographModel:
    """The model of the bundle at `data_path`, as MLflow's pyfunc flavour asks for it."""
    return RadiographModel(Path(data_path))
