"""Errors as clients read them: `{"error":{"code","message","type"}}`, with llama-server's types.

No message repeats what the caller sent: prompts are private, and logs keep messages.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from daemon.errors import HearthError, UsageError

TYPE_OF = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
    500: "server_error",
    501: "not_supported_error",
    503: "unavailable_error",
    504: "timeout_error",
}


class ApiError(Exception):
    """An answer that is an error. `extra` joins the error object."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        kind: str = "",
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.kind = kind or TYPE_OF.get(code, "server_error")
        self.extra = extra or {}
        self.headers = headers or {}

    def document(self) -> dict[str, Any]:
        """The error as a JSON value."""
        return {
            "error": {"code": self.code, "message": self.message, "type": self.kind, **self.extra}
        }

    def response(self) -> Response:
        """The error as an answer."""
        return JSONResponse(self.document(), status_code=self.code, headers=self.headers)


def invalid(message: str) -> ApiError:
    """The request itself is wrong."""
    return ApiError(400, message)


def explain(error: ValidationError) -> ApiError:
    """The first thing that is wrong with a body: field and rule, never the value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return invalid(
            f"the body is not valid JSON ({first['msg'].removeprefix('Invalid JSON: ')})"
        )
    where = ".".join(
        str(part) for place, part in enumerate(first["loc"]) if place == 0 or isinstance(part, int)
    )
    rule = first["msg"].removeprefix("Value error, ")
    return invalid(f"{where or 'the body'}: {rule}")


def install(app: FastAPI) -> None:
    """Make every error of the app, its own and the framework's, speak this language."""

    @app.exception_handler(ApiError)
    async def answer_api_error(_request: Request, error: ApiError) -> Response:
        return error.response()

    @app.exception_handler(HearthError)
    async def answer_hearth_error(_request: Request, error: HearthError) -> Response:
        return ApiError(400 if isinstance(error, UsageError) else 503, str(error)).response()

    @app.exception_handler(HTTPException)
    async def answer_http_error(_request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        return ApiError(error.status_code, str(error.detail), headers=headers).response()

    @app.exception_handler(Exception)
    async def answer_bug(_request: Request, _error: Exception) -> Response:
        return ApiError(500, "internal error: the daemon's log has the traceback").response()
