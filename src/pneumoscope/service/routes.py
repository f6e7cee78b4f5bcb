"""What can be asked."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from pneumoscope.bundle.predictor import Predictor
from pneumoscope.service import metrics, uploads
from pneumoscope.service.problems import KINDS, MEDIA_TYPE, Problem
from pneumoscope.service.reloading import Reloader
from pneumoscope.service.schemas import (
    Answers,
    Health,
    ModelFacts,
    ProblemDetails,
    Reloaded,
    Result,
)
from pneumoscope.service.service import Service
from pneumoscope.service.serving import Served

_JSON: Final = "application/json"
_BODY: Final = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [uploads.FIELD],
                "properties": {
                    uploads.FIELD: {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                        "description": "PNG, JPEG or DICOM, one part each.",
                    }
                },
            },
            "encoding": {
                uploads.FIELD: {"contentType": "image/png, image/jpeg, application/dicom"}
            },
        }
    },
}


def _problems(*kinds: str) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        status, title, _ = KINDS[kind]
        titles = [found[status]["description"], title] if status in found else [title]
        schema = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}
        found[status] = {
            "description": "; ".join(titles),
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
    return found


_GUARDED: Final = ("no-token", "wrong-host", "wrong-origin", "too-many-requests", "failed")
_PREDICTING: Final = (
    *_GUARDED, "bad-upload", "slow-upload", "too-large", "wrong-type", "bad-parameter",
    "no-images", "no-label-sets", "queue-full", "deadline",
)  # fmt: skip

_TEXT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}

router = APIRouter()


@router.post(
    "/v1/predictions",
    response_model=Answers,
    responses=_problems(*_PREDICTING),
    openapi_extra={"requestBody": _BODY},
    tags=["predictions"],
)
async def predictions(
    request: Request,
    saliency: Annotated[
        Literal["png", "none"], Query(description="With each result, a picture of the evidence.")
    ] = "none",
    confidence: Annotated[
        float | None,
        Query(gt=0, lt=1, description="Level of the label sets; default: the bundle's own."),
    ] = None,
) -> Response:
    """Answer images, PNG, JPEG or DICOM: one result for each, in order.

    What cannot be read is a result with decision `unreadable`. For research use; not a medical
    device.
    """
    service = _service(request)
    until = request.state.start + service.settings.deadline
    with service.room.visit() as visit:
        sent = await _uploads(request, service, visit, until)
        request.state.facts["images"] = len(sent)
        visit.take(images=len(sent) - 1)
        served = service.live.current
        try:
            async with asyncio.timeout_at(_on_loop(until)):
                predictor = await _predictor(served, confidence)
                drawing = visit if saliency == "png" else None
                found = await service.results(sent, served, predictor, drawing=drawing)
        except TimeoutError:
            detail = f"allowed: {service.settings.deadline:g} s from the request's first byte."
            raise Problem("deadline", detail) from None
        request.state.facts["decisions"] = _counted(found)
        answer = _answered(
            Answers(
                request_id=request.state.request_id, model_id=served.predictor.model_id,
                results=found,
            )
        )  # fmt: skip
        request.state.held.enter_context(service.room.unsent(len(answer.body)))
    return answer


@router.get("/v1/model", response_model=ModelFacts, responses=_problems(*_GUARDED), tags=["model"])
async def model(request: Request) -> Response:
    """What answers: labels, operating points, calibration, model card, and what it is not."""
    return _answered(_service(request).live.current.facts)


@router.post(
    "/v1/admin/reload",
    response_model=Reloaded,
    responses=_problems(*_GUARDED, "not-allowed", "tokens-refused", "bundle-refused"),
    tags=["operation"],
)
async def reload(request: Request) -> Response:
    """Answer from the bundle that now lies where the service was told to look; read tokens again.

    Requests go on meanwhile; one that cannot be used is refused and the present one stays.
    """
    reloader: Reloader = request.app.state.reloader
    facts = (await reloader.reload()).facts
    return _answered(Reloaded(model_id=facts.model_id, name=facts.name))


@router.get("/healthz", response_model=Health, tags=["operation"])
async def healthz() -> Response:
    """Whether the process runs."""
    return _answered(Health(status="ok"))


@router.get(
    "/readyz",
    response_model=Health,
    responses={503: {"model": Health, "description": "Starting, or about to stop"}},
    tags=["operation"],
)
async def readyz(request: Request) -> Response:
    """Whether requests should be sent here."""
    service = _service(request)
    if service.draining:
        return _answered(Health(status="draining"), status=503)
    if not service.running:
        return _answered(Health(status="starting"), status=503)
    return _answered(Health(status="ok"))


@router.get(
    "/metrics",
    response_class=Response,
    responses={**_TEXT, **_problems(*_GUARDED)},
    tags=["operation"],
)
async def prometheus(request: Request) -> Response:
    """Counters in Prometheus's text format."""
    return Response(
        _service(request).metrics.text(), headers={"Content-Type": metrics.CONTENT_TYPE}
    )


async def _uploads(
    request: Request, service: Service, visit: Any, until: float
) -> list[uploads.Upload]:
    headers, settings = request.headers, service.settings
    boundary = uploads.boundary_of(headers.get("content-type"), headers.get("content-encoding"))
    try:
        async with asyncio.timeout_at(_on_loop(until)):
            body = await uploads.read_body(
                request.stream(), headers.get("content-length"),
                max_bytes=settings.max_bytes, visit=visit,
            )  # fmt: skip
    except TimeoutError:
        raise Problem("slow-upload", f"allowed: {settings.deadline:g} s.") from None
    return uploads.split_body(body, boundary, max_images=settings.max_images)


async def _predictor(served: Served, confidence: float | None) -> Predictor:
    if confidence is None:
        return served.predictor
    return await asyncio.to_thread(served.at, confidence)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _on_loop(moment: float) -> float:
    """A moment of `time.monotonic` on the running loop's clock."""
    return moment - time.monotonic() + asyncio.get_running_loop().time()


def _counted(results: list[Result]) -> dict[str, int]:
    decisions = [result.decision for result in results]
    return {decision: decisions.count(decision) for decision in sorted(set(decisions))}


def _answered(content: BaseModel, *, status: int = 200) -> Response:
    return Response(content.model_dump_json(), status_code=status, media_type=_JSON)
