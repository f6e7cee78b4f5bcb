from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from pneumoscope.bundle.predictor import Predictor
from pneumoscope.tracking.serving import RadiographModel
from pneumoscope.workflows.results import TrainResult


def test_bytes_and_paths_are_answered_as_the_predictor_does_without_a_file(
    trained: TrainResult, phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pandas = pytest.importorskip("pandas")

    def refused(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a temporary file")

    monkeypatch.setattr(tempfile, "mkstemp", refused)
    monkeypatch.setattr(tempfile, "mkdtemp", refused)
    image = next((phantoms / "NORMAL").iterdir())
    text = base64.b64encode(image.read_bytes()).decode()
    rows = [{"image": text}, {"path": str(image)}, {"image": "no base64!"}, {}] * 3
    table = RadiographModel(trained.bundle).predict(pandas.DataFrame(rows))
    own = Predictor.open(trained.bundle).predict(image)
    assert list(table["decision"])[2:4] == ["unreadable", "unreadable"]
    for row in (0, 1, 8, 9):
        for label, probability in own.probabilities.items():
            found = table[f"probability:{label}"][row]
            assert found == pytest.approx(probability, abs=1e-6)
        assert table["decision"][row] == own.decision
