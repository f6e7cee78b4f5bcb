"""What the app makes of an upload: the predictor's answer, small pictures, files to take."""

from __future__ import annotations

import asyncio
import io
import json
import re
import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pneumoscope.app.answer import told
from pneumoscope.app.card import read_card
from pneumoscope.app.examine import Examined, examine, example
from pneumoscope.app.launch import MOST_MEGABYTES, check, launch, server_options
from pneumoscope.app.markdown import to_html
from pneumoscope.app.pictures import coloured, grey, on_picture, themed
from pneumoscope.app.settings import Settings
from pneumoscope.app.summary import summary
from pneumoscope.app.viewer import viewer_data
from pneumoscope.bundle.archive import CARD
from pneumoscope.bundle.prediction import GateStage, GateVerdict, Prediction
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.errors import InputError
from pneumoscope.evaluation.verdict.judge import overall_colour
from pneumoscope.imaging.overlay import overlay
from pneumoscope.imaging.radiograph import read_radiograph
from pneumoscope.reporting.words import number

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


def test_the_page_to_take_along_tells_what_the_model_is_worth(
    answered: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    keep = Figure.savefig

    def noted(figure: Figure, *given: Any, **options: Any) -> None:
        written.extend(one.get_text() for one in figure.texts)
        keep(figure, *given, **options)

    monkeypatch.setattr(Figure, "savefig", noted)
    summary(answered, "en", model="small", kind="png", verdict="red")
    assert "Verdict on this model: Red. The figures do not stand" in " ".join(written)


def test_a_card_tells_verdict_and_figures_of_its_run(
    trained: TrainResult, predictor: Predictor
) -> None:
    card = read_card(predictor.bundle.files[CARD])
    judged = json.loads((trained.output / "assessment.json").read_text())["verdict"]
    assert [(one["item"], one["colour"]) for one in card.verdict] == [
        (one["item"], one["colour"]) for one in judged
    ]
    assert card.colour == overall_colour(judged)
    for key in ("auc", "ece", "sensitivity:PNEUMONIA", "specificity:PNEUMONIA"):
        for end in ("value", "low", "high"):
            measured = number(trained.metrics[key], end)
            assert card.metrics[key][end] == pytest.approx(measured, abs=6e-4)
    assert card.metrics["confidence_level"] == trained.metrics["confidence_level"]
    assert card.measured.startswith("Measured on the test split of")
    assert read_card(b"# Another\n\nno table").metrics == {}


def test_a_card_reaches_nothing_and_runs_nothing() -> None:
    shown = to_html(
        "# A <b>name</b>\n\n<script>alert(1)</script> ![x](http://a/b.png) [l](javascript:x)\n"
        "\n| a | b |\n|---|---:|\n| <img src=x> | \\*1\\* |\n\n- **one**\n\n```\n<i>\n```\n"
    )
    assert not re.search(r"<(?:script|img|a|b|i)\b", shown)
    assert "<strong>one</strong>" in shown
    assert '<td class="number">*1*</td>' in shown


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
    one = replace(sets, label="A", decision="answer", probabilities={"A": 0.99998, "B": 0.00002})
    assert "> 99.9%" in told(one, "en").text.replace("\u00a0", " ")


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
    assert options["logger.hideWelcomeMessage"], "an address of ours, no advertisement"
    assert not any("http" in str(value) for value in options.values())


def test_a_large_upload_is_never_on_disk(
    trained: TrainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    from starlette.datastructures import UploadFile
    from starlette.formparsers import MultiPartParser
    from starlette.requests import Request
    from streamlit.web import bootstrap

    monkeypatch.setattr(MultiPartParser, "spool_max_size", MultiPartParser.spool_max_size)
    for name in ("run", "load_config_options"):
        monkeypatch.setattr(bootstrap, name, lambda *_: None)
    launch(Settings(bundle=trained.bundle), port=1, headless=True)
    most = MOST_MEGABYTES * 2**20
    assert MultiPartParser.spool_max_size > most
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.dcm"\r\n\r\n'
    parts = iter([head, *[bytes(2**20)] * 3, b"\r\n--x--\r\n"])

    async def receive() -> dict[str, object]:
        body = next(parts, b"")
        return {"type": "http.request", "body": body, "more_body": bool(body)}

    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    request = Request({"type": "http", "method": "PUT", "headers": headers}, receive)

    # As Streamlit's route of uploads asks for it.
    async def parsed() -> object:
        return (await request.form())["file"]

    taken = asyncio.run(parsed())
    assert isinstance(taken, UploadFile)
    assert taken.size == 3 * 2**20
    assert not getattr(taken.file, "_rolled")  # noqa: B009 - of SpooledTemporaryFile
    taken.file.close()


def test_what_is_not_there_is_said_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--bundle .*does not exist"):
        check(Settings(bundle=tmp_path / "none"), 1)
    with pytest.raises(InputError, match=r"--runs .*does not exist"):
        check(Settings(runs=str(tmp_path / "none")), 1)
