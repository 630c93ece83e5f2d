"""The application: every endpoint behind the guard. It holds nothing but what it is given."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI

from daemon.http import errors
from daemon.http.discovery import discovery_routes
from daemon.http.embeddings import embedding_routes
from daemon.http.endings import Judge
from daemon.http.guard import Guard
from daemon.http.links import Links
from daemon.http.lives import lives_routes
from daemon.http.llamacpp import llamacpp_routes
from daemon.http.openai import openai_routes
from daemon.http.settings import About, HttpSettings, Submitter
from daemon.http.status import status_routes


def make_app(desk: Submitter, about: Callable[[], About], settings: HttpSettings) -> FastAPI:
    """Put it together.

    FastAPI's pages of documentation load scripts from outside the machine, and its telemetry follows the
    environment: nothing leaves this machine unless our own configuration says so, so both are off.
    """
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.links = Links(settings.chains)
    judge = Judge(desk, settings)
    app.include_router(llamacpp_routes(desk, judge, settings))
    app.include_router(openai_routes(desk, judge, settings))
    app.include_router(embedding_routes(desk, judge))
    app.include_router(discovery_routes(desk, about))
    app.include_router(status_routes(desk, about))
    app.include_router(lives_routes(desk))
    app.add_middleware(Guard, settings=settings)
    errors.install(app)
    return app
