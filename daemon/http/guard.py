"""The door: every request passes here before a byte of its body is read.

On TCP, in this order: 1. Host, 2. Origin, 3. token; on every socket: 4. JSON content type, 5. size of the body.
A form or text POST is refused because a browser sends those across origins without asking first.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.http.errors import ApiError
from daemon.http.settings import HttpSettings
from daemon.security import host_allowed, origin_allowed, token_matches

PUBLIC_PATHS = frozenset({"/health", "/v1/health"})

_SEND_JSON = (
    "send the body as JSON, with the header 'Content-Type: application/json' "
    "(curl: -H 'Content-Type: application/json')"
)


class Guard:
    """ASGI middleware that lets through what is allowed and bounded."""

    def __init__(self, app: ASGIApp, *, settings: HttpSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, answer a browser's preflight question, or pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        origin = headers.get("origin", "")
        if refusal := self._refusal(scope, headers):
            await refusal.response()(scope, receive, send)
        elif origin in self._settings.allowed_origins:
            await self._cross_origin(origin, scope, receive, send)
        else:
            await self._app(scope, self._bounded(receive), send)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> ApiError | None:
        if not _is_local(scope) and (refusal := self._stranger(scope, headers)):
            return refusal
        if scope["method"] == "POST" and not _is_json(headers.get("content-type", "")):  # 4.
            return ApiError(415, _SEND_JSON)
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._settings.body_bytes_max:  # 5.
            return self._too_large()
        return None

    def _stranger(self, scope: Scope, headers: dict[str, str]) -> ApiError | None:
        settings = self._settings
        host = headers.get("host", "")
        bound = scope["server"][0] if scope["server"] else ""
        if not host_allowed(host, bound=bound, names=settings.allowed_hosts):  # 1.
            return ApiError(
                403, "this Host is not allowed: use localhost, or add it to allowed_hosts"
            )
        origin = headers.get("origin")
        if origin is not None and not origin_allowed(
            origin, host=host, names=settings.allowed_origins
        ):  # 2.
            return ApiError(403, "this Origin is not allowed: add it to allowed_origins")
        if self._token_missing(scope, headers):  # 3.
            return ApiError(
                401,
                "a token is needed: send 'Authorization: Bearer <token>'",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return None

    def _token_missing(self, scope: Scope, headers: dict[str, str]) -> bool:
        token = self._settings.token
        if token is None or scope["path"] in PUBLIC_PATHS:
            return False
        if _is_preflight(scope, headers):  # a browser asks without credentials
            return False
        return not token_matches(headers.get("authorization", ""), token)

    def _bounded(self, receive: Receive) -> Receive:
        """The same body, refused once more of it came than is allowed (it may not name its length)."""
        left = self._settings.body_bytes_max

        async def receive_bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise self._too_large()
            return message

        return receive_bounded

    async def _cross_origin(self, origin: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a page of a configured origin: it may read the answer."""
        readable = [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"vary", b"Origin"),
        ]

        async def send_readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *readable]
            await send(message)

        if scope["method"] == "OPTIONS":
            allow = {
                "access-control-allow-methods": "GET, POST",
                "access-control-allow-headers": "authorization, content-type",
            }
            await Response(status_code=204, headers=allow)(scope, receive, send_readable)
        else:
            await self._app(scope, self._bounded(receive), send_readable)

    def _too_large(self) -> ApiError:
        return ApiError(413, f"the body is larger than {self._settings.body_bytes_max} bytes")


def _is_local(scope: Scope) -> bool:
    """Whether it came through the Unix socket: its address is a path, without a port."""
    return scope["server"] is not None and scope["server"][1] is None


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


def _is_preflight(scope: Scope, headers: dict[str, str]) -> bool:
    return scope["method"] == "OPTIONS" and "access-control-request-method" in headers
