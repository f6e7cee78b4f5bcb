"""What the app makes of an upload: the predictor's answer, small pictures, files to take."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from pneumoscope.app.answer import told
from pneumoscope.app.examine import Examined, examine, example
from pneumoscope.app.launch import check, server_options
from pneumoscope.app.pictures import coloured, grey, on_picture, themed
from pneumoscope.app.settings import Settings
from pneumoscope.app.summary import summary
from pneumoscope.app.viewer import viewer_data
from pneumoscope.bundle.prediction import GateStage, GateVerdict, Prediction
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.errors import InputError
from pneumoscope.imaging.overlay import overlay
from pneumoscope.imaging.radiograph import read_radiograph

if TYPE_CHECKING:
    from pathlib import Path

    from pneumoscope.workflows.results import TrainResult


@pytest.fixture(scope="module")
def predictor(trained: TrainResult) -> Predictor:
    return Predictor.open(trained.bundle)


@pytest.fixture(scope="module")
def answered(predictor: Predictor) -> Examined:
    return examine(predictor, example("PNEUMONIA"), "phantom.png")


def bomb() -> bytes:
    """A PNG whose header promises 200 megapixels, and nothing else."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")


def test_the_answer_is_the_predictors_own(predictor: Predictor, answered: Examined) -> None:
    alone = predictor.predict(example("PNEUMONIA"), saliency=True)
    found = answered.prediction
    assert found.probabilities == pytest.approx(alone.probabilities)
    assert (found.label, found.decision, found.label_set) == (
        alone.label,
        alone.decision,
        alone.label_set,
    )
    assert found.radiograph is None
    assert found.saliency is None
    assert set(answered.maps) == set(predictor.labels)
    assert alone.saliency is not None
    assert found.most_probable is not None
    shown = answered.maps[found.most_probable]
    whole = Image.fromarray(alone.saliency).resize(shown.shape[::-1], Image.Resampling.BOX)
    assert np.abs(np.asarray(whole) - shown).max() < 0.05 * max(1e-6, float(shown.max()))


def test_steps_are_told_in_order(predictor: Predictor) -> None:
    steps: list[str] = []
    examine(predictor, example("NORMAL"), "phantom.png", told=steps.append)
    assert steps == ["read", "answer", "draw"]


@pytest.mark.parametrize(
    ("content", "words", "french"),
    [
        (b"", "is empty", "Ce cliché est vide"),
        (b"no picture at all", "supported: PNG, JPEG, DICOM", "n\u2019est pas une image lue ici"),
        (example("NORMAL")[:900], "ends too early", "le fichier est tronqué"),
        (bomb(), "allowed: 100,000,000 pixels", "20000 \u00d7 10000 pixels"),
    ],
    ids=["empty", "text", "truncated", "bomb"],
)
def test_what_cannot_be_read_says_why(
    predictor: Predictor, content: bytes, words: str, french: str
) -> None:
    found = examine(predictor, content, "upload.png")
    assert found.prediction.decision == "unreadable"
    assert words in str(found.prediction.reason)
    assert found.picture is None
    assert not found.maps
    said = told(found.prediction, "fr")
    assert said.title == "Illisible"
    assert french in said.text


def test_large_pictures_are_shown_small() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.tile(np.arange(2000, dtype=np.uint8), (1500, 1))).save(buffer, "PNG")
    radiograph = read_radiograph(buffer.getvalue())
    assert grey(radiograph).shape == (768, 1024)


def test_a_map_on_the_page_keeps_its_place() -> None:
    from pneumoscope.core.recipe import PreprocessRecipe
    from pneumoscope.imaging.preprocess import Preprocess

    buffer = io.BytesIO()
    Image.fromarray(np.tile(np.arange(900, dtype=np.uint16), (2000, 1)).astype(np.uint8)).save(
        buffer, "PNG"
    )
    _, geometry = Preprocess(PreprocessRecipe(size=64)).apply(read_radiograph(buffer.getvalue()))
    saliency = np.zeros((8, 8), np.float32)
    saliency[1, 4] = 1
    whole, small = geometry.restore(saliency), on_picture(saliency, geometry)
    for axis in (0, 1):
        place = (np.argmax(whole.sum(1 - axis)) / whole.shape[axis],
                 np.argmax(small.sum(1 - axis)) / small.shape[axis])  # fmt: skip
        assert place[0] == pytest.approx(place[1], abs=0.03)


def test_colours_are_those_of_the_overlay() -> None:
    saliency = np.linspace(-1, 4, 64, dtype=np.float32).reshape(8, 8)
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), 90, np.uint8)).save(buffer, "PNG")
    radiograph = read_radiograph(buffer.getvalue())
    layer = coloured(saliency).astype(np.float64)
    strength = layer[:, :, 3:] / 255 * 0.45
    mixed = 90 + strength * (layer[:, :, :3] - 90)
    assert np.abs(mixed - overlay(radiograph, saliency)).max() <= 2


def test_the_page_to_take_along_opens(answered: Examined) -> None:
    pdf = summary(answered, "fr", model="small", kind="pdf")
    assert pdf.startswith(b"%PDF-1.")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert b"/Count 1" in pdf
    picture = Image.open(io.BytesIO(summary(answered, "en", model="small", kind="png")))
    assert picture.size == (1240, 1753)


def test_the_viewer_is_given_data_and_no_address(answered: Examined) -> None:
    data = viewer_data(answered, "fr")
    assert data["grey"].startswith("data:image/png;base64,")
    assert all(one.startswith("data:") for one in data["maps"].values())
    assert data["words"]["original"] == "Cliché"
    assert data["label"] in data["maps"]


def test_every_decision_has_words() -> None:
    from pathlib import Path

    gate = GateVerdict(
        modality=GateStage("refused", 0.1, "is no chest radiograph (probability 0.100)")
    )
    refused = Prediction("a", Path("a"), None, "refused", gate.refusal, {}, 1.0, "id", gate=gate)
    said = told(refused, "fr")
    assert said.title == "Écarté par le filtre"
    assert "0,100" in said.stages[0].text
    sets = Prediction(
        "a", Path("a"), None, "set", None, {"A": 0.5, "B": 0.4}, 1.0, "id", label_set=("A", "B")
    )
    assert told(sets, "en").title == "One of: A, B"


def test_figures_take_the_pages_colours_and_words() -> None:
    svg = '<svg viewBox="0 0 1 1"><path style="fill: #0072b2"/><text>Recall</text></svg>'
    dark = themed(svg, "dark", {"Recall": "Rappel"})
    assert "#66b7e6" in dark
    assert ">Rappel<" in dark
    assert 'xmlns="http' in dark


def test_the_server_is_local_and_tells_nobody() -> None:
    options = server_options(port=8501, headless=True)
    assert options["browser.gatherUsageStats"] is False
    assert options["server.address"] == "127.0.0.1"
    assert not any("http" in str(value) for value in options.values())


def test_what_is_not_there_is_said_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--bundle .*does not exist"):
        check(Settings(bundle=tmp_path / "none"), 1)
    with pytest.raises(InputError, match=r"--runs .*does not exist"):
        check(Settings(runs=str(tmp_path / "none")), 1)
