"""The application: routes behind the door, every error a problem, OpenAPI without a web page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException

from pneumoscope import __version__
from pneumoscope.service.access import REQUEST_ID, Access
from pneumoscope.service.guard import OPEN, Door, Guard
from pneumoscope.service.journal import Journal
from pneumoscope.service.problems import MEDIA_TYPE, Problem
from pneumoscope.service.reloading import Reloader
from pneumoscope.service.routes import router
from pneumoscope.service.schemas import NOTICE, Answers, ProblemDetails, Result
from pneumoscope.service.service import Service

_STATUSES = {404: "not-found", 405: "wrong-method"}


def create_app(service: Service, *, door: Door, journal: Journal, reloader: Reloader) -> FastAPI:
    """The ASGI application; its lifespan starts and ends the service.

    Args:
        service: What answers.
        door: Who is let in.
        journal: Where requests are written.
        reloader: Loads bundle and tokens again.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.close()

    app = FastAPI(
        title="Pneumoscope", version=__version__, description=NOTICE, lifespan=lifespan,
        docs_url=None, redoc_url=None, license_info={"name": "Apache-2.0"},
    )  # fmt: skip
    app.state.service, app.state.reloader = service, reloader
    app.include_router(router)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_middleware(Guard, door=door)
    if door.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(door.origins), allow_methods=["GET", "POST"],
            allow_headers=["Authorization", REQUEST_ID], expose_headers=[REQUEST_ID, "Retry-After"],
        )  # fmt: skip
    app.add_middleware(Access, service=service, journal=journal)
    _describe(app, tokens=door.holders is not None)
    return app


def _describe(app: FastAPI, *, tokens: bool) -> None:
    """Add what FastAPI cannot know: problems, tokens, and that they may not be needed."""
    schema = app.openapi()
    components = schema["components"]
    kept = components["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        kept.pop(name, None)
    kept["ProblemDetails"] = ProblemDetails.model_json_schema()
    for shown in (Answers, Result):  # FastAPI leaves nulls out of examples
        kept[shown.__name__]["examples"] = shown.model_json_schema()["examples"]
    if tokens:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                operation["security"] = [] if path in OPEN else [{"token": []}]
    app.openapi_schema = schema


async def _on_problem(request: Request, error: Exception) -> Response:
    problem = error if isinstance(error, Problem) else Problem("failed", "something unexpected.")
    return Response(
        problem.body(request.state.request_id), problem.status, problem.headers, MEDIA_TYPE
    )


async def _on_invalid(request: Request, error: Exception) -> Response:
    found: list[Any] = list(error.errors()) if isinstance(error, RequestValidationError) else []
    where = ".".join(str(part) for part in found[0]["loc"][1:]) if found else "request"
    detail = f"{where}: {found[0]['msg']}." if found else "it is not as expected."
    return await _on_problem(request, Problem("bad-parameter", detail))


async def _on_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    kind = _STATUSES.get(status, "bad-upload" if 400 <= status < 500 else "failed")
    response = await _on_problem(request, Problem(kind, "see /openapi.json for what is allowed."))
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response
