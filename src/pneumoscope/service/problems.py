"""What can go wrong with a request, as RFC 9457 problem details; nothing of the request is quoted.

Each has a section in docs/serving.md, to which its `type` points.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

MEDIA_TYPE: Final = "application/problem+json"
_TYPES: Final = "https://github.com/pneumoscope/pneumoscope/blob/main/docs/serving.md#"


class Kind(NamedTuple):
    """A kind of problem: HTTP status, title, and what to do about it."""

    status: int
    title: str
    remedy: str


KINDS: Final[Mapping[str, Kind]] = {
    "bad-parameter": Kind(422, "A parameter is wrong", "See /openapi.json for what is allowed."),
    "bad-upload": Kind(
        400, "The upload is not multipart/form-data", "Send each image as a part named 'images'."
    ),
    "no-images": Kind(422, "No image was sent", "Send each image as a part named 'images'."),
    "wrong-type": Kind(
        415, "The upload has another content type", "Send multipart/form-data, not compressed."
    ),
    "too-large": Kind(413, "The upload is too large", "Send fewer or smaller images at a time."),
    "slow-upload": Kind(408, "The upload took too long", "Send fewer images, or send them faster."),
    "no-token": Kind(
        401, "A token is needed", "Send 'Authorization: Bearer TOKEN'; whoever runs this has one."
    ),
    "not-allowed": Kind(403, "This token may not do that", "Use a token made with --admin."),
    "wrong-host": Kind(
        421, "Without tokens only this machine is answered", "Start with --tokens FILE."
    ),
    "wrong-origin": Kind(
        403, "Pages of other web sites may not ask", "Start with --cors ORIGIN to allow one."
    ),
    "tokens-refused": Kind(
        409, "The file of tokens cannot be used; the present ones stay", "Repair it, reload again."
    ),
    "too-many-requests": Kind(429, "Too many requests", "Wait as long as Retry-After says."),
    "queue-full": Kind(429, "The queue is full", "Wait as long as Retry-After says."),
    "deadline": Kind(504, "No answer in time", "Send fewer images at a time, or try again later."),
    "no-label-sets": Kind(
        422, "This bundle cannot change its confidence", "Leave 'confidence' out."
    ),
    "bundle-refused": Kind(
        409, "The new bundle cannot be used; the present one goes on", "Repair it, reload again."
    ),
    "not-found": Kind(404, "There is nothing here", "See /openapi.json for what there is."),
    "wrong-method": Kind(405, "This method is not for here", "See /openapi.json."),
    "failed": Kind(
        500, "The service failed", "Tell whoever runs this the request id; the log has it."
    ),
}


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """A request that is not answered.

    Args:
        kind: Of `KINDS`.
        detail: What was found and what is allowed, without a word of the request.
        retry_after: Seconds after which it may go better.
    """

    def __init__(self, kind: str, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail
        self.status, self.title, self.remedy = KINDS[kind]
        self.headers: dict[str, str] = {}
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, round(retry_after + 0.5)))
        if self.status == 401:
            self.headers["WWW-Authenticate"] = 'Bearer realm="pneumoscope"'

    def body(self, request_id: str) -> bytes:
        """The problem as JSON."""
        content = {
            "type": f"{_TYPES}{self.kind}", "title": self.title, "status": self.status,
            "detail": self.detail, "remedy": self.remedy, "instance": f"urn:uuid:{request_id}",
        }  # fmt: skip
        return json.dumps(content).encode()
