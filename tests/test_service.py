from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pneumoscope.bundle.confidence import conformal_at
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.errors import InputError
from pneumoscope.data.phantoms import draw_phantom
from pneumoscope.evaluation.conformal import Conformal
from pneumoscope.imaging.overlay import overlay
from pneumoscope.service import service as drawing
from pneumoscope.service.schemas import Result
from pneumoscope.service.serving import Live
from pneumoscope.workflows.results import TrainResult
from service_example import Running, problem, running


@pytest.fixture(scope="module")
def live(trained: TrainResult) -> Live:
    return Live(trained.bundle, max_batch=2)


@pytest.fixture(scope="module")
def service(live: Live) -> Iterator[Running]:
    with running(live, max_bytes=2**20, max_images=4, max_pixels=250_000) as found:
        yield found


@pytest.fixture(scope="module")
def predictor(trained: TrainResult) -> Predictor:
    return Predictor.open(trained.bundle)


def encoded(pixels: Any, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    drawn = [draw_phantom(seed=seed, label="PNEUMONIA", size=96) for seed in range(3)]
    kinds = ("PNG", "JPEG", "PNG")
    return [encoded(pixels[:, : 96 - 9 * n], kinds[n]) for n, pixels in enumerate(drawn)]


def plain(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what differs from call to call."""
    return {
        name: value
        for name, value in result.items()
        if name not in ("milliseconds", "timings", "path", "probabilities", "saliency_png")
    }


def test_an_answer_is_the_predictors_own(
    service: Running, predictor: Predictor, images: list[bytes]
) -> None:
    results = service.results(*images)
    for content, result in zip(images, results, strict=True):
        own = predictor.predict(content).to_json()
        assert plain(result) == plain(json.loads(json.dumps(own)))
        assert result["probabilities"] == pytest.approx(own["probabilities"], abs=1e-6)


def test_a_result_says_all_that_a_prediction_does(
    predictor: Predictor, images: list[bytes]
) -> None:
    said = predictor.predict(images[0]).to_json()
    assert set(Result.model_fields) == {*said, "saliency_png"}


def test_a_reading_is_the_same_from_another_process(
    service: Running, predictor: Predictor, images: list[bytes]
) -> None:
    deep = draw_phantom(seed=5, label="NORMAL", size=70).astype(np.uint16) * 200
    for content in (*images, encoded(deep)):
        own = predictor.read(content).seen
        far = service.service.pool.read(content, service.service.live.current.header).seen
        assert own is not None
        assert far is not None
        assert far.geometry == own.geometry
        np.testing.assert_array_equal(far.canvas, own.canvas)
        for name in ("pixels", "bits", "photometric", "format", "colour"):
            near, there = getattr(own.radiograph, name), getattr(far.radiograph, name)
            np.testing.assert_array_equal(there, near)
        assert far.radiograph.pixels.dtype == own.radiograph.pixels.dtype


def test_saliency_is_drawn_on_the_image_itself(
    service: Running, predictor: Predictor, images: list[bytes]
) -> None:
    (result,) = service.results(images[1], saliency="png")
    own = predictor.predict(images[1], saliency=True)
    assert own.radiograph is not None
    assert own.saliency is not None
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(result["saliency_png"]))))
    np.testing.assert_array_equal(drawn, overlay(own.radiograph, own.saliency))
    assert service.results(images[1])[0]["saliency_png"] is None


def test_the_pictures_in_one_answer_are_bounded(
    service: Running, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = service.service.settings.max_pictures
    monkeypatch.setattr(drawing, "saliency_png", lambda _: "A" * (allowed // 2))
    assert len(service.results(*images[:2], saliency="png")) == 2
    problem(service.ask(*images, params={"saliency": "png"}), 413, "too-large")
    assert len(service.results(*images)) == 3
    assert service.service.room.images == service.service.room.size == 0


def test_another_confidence_gives_the_label_sets_of_that_level(
    service: Running, predictor: Predictor, images: list[bytes]
) -> None:
    for level in (0.5, 0.999):
        own = predictor.at_confidence(level).predict(images[0])
        (result,) = service.results(images[0], confidence=level)
        assert result["label_set"] == list(own.label_set or ())
        assert result["decision"] == own.decision
    assert len(service.results(images[0], confidence=0.999)[0]["label_set"]) == 2
    for wrong in ("0", "1", "nan", "much"):
        problem(service.ask(images[0], params={"confidence": wrong}), 422, "bad-parameter")


def test_label_sets_at_a_level_come_from_the_calibration_split(
    predictor: Predictor, images: list[bytes]
) -> None:
    own = Conformal.from_json(predictor.bundle.spec.conformal or {})
    near = conformal_at(predictor.bundle, own.confidence_level + 1e-9)
    assert near.quantiles == pytest.approx(own.quantiles, abs=1e-6)
    assert near.support == own.support
    few, all_ = (predictor.at_confidence(level).predict(images[0]) for level in (1e-6, 1 - 1e-6))
    assert len(few.label_set or ()) < len(all_.label_set or ()) == 2
    assert predictor.at_confidence(own.confidence_level).predict(images[0]).label_set == (
        predictor.predict(images[0]).label_set
    )
    with pytest.raises(InputError, match="makes no label sets"):
        conformal_at(predictor.bundle.revised(conformal=None), 0.5)


def test_what_cannot_be_read_is_an_entry(service: Running, images: list[bytes]) -> None:
    bomb = encoded(np.zeros((2000, 2000), np.uint8))
    bad = [b"", b"%PDF-1.7", images[0][:-40], bomb]
    for content in bad:
        first, second = service.results(content, images[0])
        assert first["decision"] == "unreadable"
        assert first["reason"]
        assert not first["probabilities"]
        assert second["probabilities"]


def test_the_name_goes_back_to_who_sent_it_and_nowhere_else(
    service: Running, images: list[bytes]
) -> None:
    name = "M\u00fcller^Hans born 1950.png"
    results = service.results((name, images[0]), (name, b"nothing"))
    assert [result["path"] for result in results] == [name, name]
    assert results[1]["decision"] == "unreadable"
    problem(service.ask((name, images[0]), params={"saliency": name}), 422, "bad-parameter")
    problem(service.client.get(f"/{name}"), 404, "not-found")
    for letters in ("ller", "Hans", "born", "1950.png", "image.png"):
        assert letters not in service.log.getvalue()
        assert letters not in service.service.metrics.text().decode()
    assert service.journal()[-1]["route"] == "other"


def test_the_model_says_what_it_is_and_is_not(service: Running, predictor: Predictor) -> None:
    facts = service.client.get("/v1/model").json()
    assert facts["labels"] == list(predictor.labels)
    assert facts["model_id"] == predictor.model_id
    assert facts["calibration"]["method"] == predictor.calibrator.method
    assert len(facts["operating_points"]) == len(predictor.bundle.spec.operating_points)
    assert facts["label_sets"]["confidence_level"] > 0
    assert "ot a medical device" in facts["notice"]
    assert facts["card"].startswith("---")


def test_metrics_count(service: Running, images: list[bytes]) -> None:
    route = 'pneumoscope_requests_total{method="POST",route="/v1/predictions",status="200"}'
    unread = 'pneumoscope_decisions_total{decision="unreadable"}'
    before = service.counted(route), service.counted(unread)
    service.results(images[0], b"nothing")
    assert (service.counted(route), service.counted(unread)) == (before[0] + 1, before[1] + 1)
    assert service.counted("pneumoscope_queue_images") == 0
    assert service.counted('pneumoscope_request_seconds_count{route="/v1/predictions"}') > 0
    assert service.client.get("/metrics").text.startswith("# HELP pneumoscope_requests")


@pytest.mark.parametrize(
    ("headers", "body", "status", "kind"),
    [
        ({"content-type": "application/json"}, b"{}", 415, "wrong-type"),
        ({}, b"", 415, "wrong-type"),
        ({"content-type": "multipart/form-data"}, b"x", 400, "bad-upload"),
        ({"content-type": "multipart/form-data; boundary=" + 99 * "b"}, b"", 400, "bad-upload"),
        ({"content-type": "multipart/form-data; boundary=b"}, b"", 400, "bad-upload"),
        ({"content-type": "multipart/form-data; boundary=b"}, b"--b--\r\n", 422, "no-images"),
        ({"content-type": "multipart/form-data; boundary=b"}, b"--b\r\nx", 400, "bad-upload"),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b"--b\r\n\r\n\r\n--b--", 400, "bad-upload",
        ),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b"--b\r\nA: " + 9000 * b"a" + b"\r\n\r\nx\r\n--b--", 400, "bad-upload",
        ),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--',
            422, "bad-parameter",
        ),
        (
            {"content-type": "multipart/form-data; boundary=b", "content-encoding": "gzip"},
            b"", 415, "wrong-type",
        ),
        ({"content-type": "multipart/form-data; boundary=b"}, bytes(2**20 + 1), 413, "too-large"),
    ],
)  # fmt: skip
def test_odd_uploads_are_problems(
    service: Running, headers: dict[str, str], body: bytes, status: int, kind: str
) -> None:
    answer = service.client.post("/v1/predictions", content=body, headers=headers)
    problem(answer, status, kind)


def test_a_stream_without_a_length_is_cut_off(service: Running) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield bytes(2**16)

    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = service.client.post("/v1/predictions", content=endless(), headers=headers)
    problem(answer, 413, "too-large")


def test_too_many_images_are_refused(service: Running, images: list[bytes]) -> None:
    problem(service.ask(*[images[0]] * 5), 413, "too-large")
    assert len(service.results(*[images[0]] * 4)) == 4


def test_a_boundary_inside_an_image_is_only_content(service: Running, images: list[bytes]) -> None:
    body = (
        b'preamble\r\n--b\t\r\ncontent-disposition: form-data; filename=a; name=images\r\n\r\n'
        + images[0] + b"--b\r\n\r\n--b--\r\nepilogue"
    )  # fmt: skip
    headers = {"content-type": 'Multipart/Form-Data; charset=utf-8; boundary="b"'}
    answer = service.client.post("/v1/predictions", content=body, headers=headers)
    assert answer.json()["results"][0]["path"] == "a"
    assert answer.json()["results"][0]["probabilities"]


def test_other_methods_and_places_are_problems(service: Running) -> None:
    assert problem(service.client.delete("/v1/model"), 405, "wrong-method")
    assert service.client.delete("/v1/model").headers["allow"] == "GET"
    problem(service.client.get("/docs"), 404, "not-found")


def test_a_failure_is_a_problem_and_its_message_is_kept_back(
    service: Running, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("patient Hans")

    monkeypatch.setattr(service.service.live.current.predictor, "answer", broken)
    content = problem(service.ask(images[0], images[0]), 500, "failed")
    failure = next(one for one in service.journal() if one["event"] == "failure")
    assert failure["error"] == "RuntimeError"
    assert content["instance"].endswith(failure["request_id"])
    assert any("test_service.py" in place for place in failure["at"])
    assert "Hans" not in service.log.getvalue()
    monkeypatch.undo()
    assert service.results(images[0])[0]["probabilities"]


def test_dicom_is_answered(service: Running, predictor: Predictor) -> None:
    from test_dicom import dicom

    content = dicom(draw_phantom(seed=2, label="NORMAL", size=64).astype(np.uint16) << 4, bits=12)
    (result,) = service.results(("x.dcm", content))
    assert result["probabilities"] == predictor.predict(content).probabilities
    assert "SECRET" not in service.log.getvalue()


def test_the_description_is_valid_openapi_with_examples(service: Running) -> None:
    content = service.client.get("/openapi.json").json()
    assert content["openapi"].startswith("3.1")
    names = set(content["components"]["schemas"])
    text = json.dumps(content)
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in names
    examples = content["components"]["schemas"]["Answers"]["examples"]
    for example in examples[0]["results"]:
        Result.model_validate(example)
    posted = content["paths"]["/v1/predictions"]["post"]
    assert {"200", "400", "401", "413", "415", "422", "429", "504"} <= set(posted["responses"])


def test_every_kind_of_problem_is_explained() -> None:
    from pneumoscope.service.problems import KINDS

    page = Path(__file__).parents[1] / "docs" / "serving.md"
    headings = {line.lstrip("# ") for line in page.read_text().splitlines() if line.startswith("#")}
    assert set(KINDS) <= headings
