"""Who sends a request and what it asked for in headers; and its body, parsed once and never echoed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from daemon.http.errors import explain, invalid
from daemon.http.links import Links
from policies.link import Link
from policies.request import Class, Kind

DEADLINE_MS_MAX = 3_600_000
_CLASSES = {klass.label: klass for klass in Class}

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Caller:
    """One client. Most open a connection a request, so neither port nor connection tells them apart."""

    name: str
    klass: Class | None
    deadline_s: float | None
    link: Link | None = None
    kind: Kind | None = None
    """What its place in a chain says of the request."""

    def expires_s(self, own_s: float | None) -> float | None:
        """The earlier of the header's deadline and the body's."""
        limits = [limit for limit in (self.deadline_s, own_s) if limit is not None]
        return min(limits, default=None)


async def read_caller(request: Request) -> Caller:
    """Address and program make the name; `X-Hearth-Class`, `-Deadline-Ms` and `-Chain` are honoured."""
    links: Links = request.app.state.links
    link, kind = links.read(request.headers.get("x-hearth-chain"))
    address = request.client.host if request.client else "unix"
    program = request.headers.get("user-agent", "")[:80]
    return Caller(
        name=f"{address} {program}",
        klass=_class_of(request.headers.get("x-hearth-class")),
        deadline_s=_deadline_s(request.headers.get("x-hearth-deadline-ms")),
        link=link,
        kind=kind,
    )


def body_of(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """A dependency that reads the body as that model."""

    async def read_body(request: Request) -> M:
        try:
            return model.model_validate_json(await request.body())
        except ClientDisconnect:
            raise invalid("the body never came whole") from None
        except ValidationError as error:
            raise explain(error) from None

    return read_body


def _class_of(label: str | None) -> Class | None:
    if label is None:
        return None
    try:
        return _CLASSES[label.strip().lower()]
    except KeyError:
        raise invalid(f"X-Hearth-Class must be one of {', '.join(_CLASSES)}") from None


def _deadline_s(text: str | None) -> float | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 12:
        raise invalid("X-Hearth-Deadline-Ms must be a whole number of milliseconds")
    return min(max(int(text), 1), DEADLINE_MS_MAX) / 1000
