"""What clients ask before they ask for text: `/health`, `/props`, `/v1/models`.

`/health` answers 200 and `"status":"ok"` as long as the daemon takes requests, whatever its engines do: a model that
is loading is waited for (llama-server, which has one model, answers 503 meanwhile). `ready` says whether one is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from daemon.http.endings import find, no_model
from daemon.http.settings import About, Submitter
from daemon.snapshot import ModelSnapshot
from policies.view import Phase

LOAD_STATE = {
    Phase.ABSENT: "unloaded",
    Phase.LOADING: "loading",
    Phase.READY: "loaded",
    Phase.DRAINING: "unloading",
    Phase.FAILED: "failed",
}
"""Our words for it, in those of llama-server's router."""


def discovery_routes(desk: Submitter, about: Callable[[], About]) -> APIRouter:
    """The endpoints that only tell. None of them loads a model."""
    router = APIRouter()

    @router.get("/health")
    @router.get("/v1/health")
    async def health() -> Response:
        phases = [model.phase for model in desk.snapshot().models]
        return JSONResponse(
            {
                "status": "ok",
                "ready": Phase.READY in phases,
                "loading": phases.count(Phase.LOADING),
            }
        )

    @router.get("/v1/models")
    @router.get("/models")
    async def models() -> Response:
        created = int(about().started_unix_s)
        entries = [entry(model, created) for model in desk.snapshot().models]
        return JSONResponse({"object": "list", "data": entries})

    @router.get("/props")
    async def props(model: str = "") -> Response:
        snapshot = desk.snapshot()
        shown = find(snapshot, model) if model else next(iter(snapshot.models), None)
        if shown is None:
            raise no_model(snapshot, model)
        return JSONResponse(properties(shown, about().version))

    return router


def entry(model: ModelSnapshot, created: int) -> dict[str, Any]:
    """A model in OpenAI's list, marked as llama.cpp's so that llama.vscode knows it."""
    return {
        "id": model.name,
        "object": "model",
        "created": created,
        "owned_by": "llamacpp",
        "status": {"value": LOAD_STATE[model.phase]},
        "meta": _meta(model),
    }


def properties(model: ModelSnapshot, version: str) -> dict[str, Any]:
    """A model as llama-server tells of its only one. `n_ctx` is 0 while it is not loaded."""
    loaded = model.loaded
    return {
        "default_generation_settings": {"n_ctx": loaded.context_tokens if loaded else 0},
        "total_slots": loaded.sequences if loaded else 0,
        "model_alias": model.name,
        "model_path": PurePath(model.path).name,
        "modalities": {"vision": False, "audio": False},
        "chat_template": "",
        "build_info": f"hearth {version}",
        "is_sleeping": loaded is None,
    }


def _meta(model: ModelSnapshot) -> dict[str, Any]:
    """Facts of the file; empty until it was loaded."""
    loaded = model.loaded
    if loaded is None:
        return {}
    return {
        "n_ctx": loaded.context_tokens,
        "n_params": loaded.parameters,
        "size": loaded.file_bytes,
        "quantisation": loaded.quantisation,
        "fim": loaded.fim,
        "chat": loaded.chat,
        "embeds": loaded.embeds,
    }
