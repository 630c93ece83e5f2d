"""`/status`: the daemon's snapshot and the facts of its process, as one document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath

from fastapi import APIRouter
from fastapi.responses import Response

from daemon.http.schemas_status import ClassLatency, Memory, ModelMemory, ModelStatus, Status
from daemon.http.settings import About, Submitter
from daemon.snapshot import LatencySnapshot, ModelSnapshot, Snapshot
from policies.messages import Outcome
from policies.request import Class


def status_routes(desk: Submitter, about: Callable[[], About]) -> APIRouter:
    """The endpoint of that document."""
    router = APIRouter()

    @router.get("/status")
    async def status() -> Response:
        document = status_of(desk.snapshot(), about())
        return Response(document.model_dump_json(), media_type="application/json")

    return router


def status_of(snapshot: Snapshot, about: About) -> Status:
    """The document. Every class and outcome is in it, with 0 where there was none."""
    return Status(
        version=about.version,
        pid=about.pid,
        uptime_s=round(about.uptime_s, 3),
        http=about.http,
        sockets=about.sockets,
        degraded=about.degraded,
        notices=about.notices,
        models=tuple(_model(model) for model in snapshot.models),
        memory=Memory(
            budget_bytes=snapshot.memory_budget_bytes, used_bytes=snapshot.memory_used_bytes
        ),
        queued=_by_class(snapshot.queued),
        running=_by_class(snapshot.running),
        latency={
            klass.label: _latency(latency) for klass, latency in sorted(snapshot.latency.items())
        },
        ended={outcome.value: snapshot.ended.get(outcome.value, 0) for outcome in Outcome},
    )


def _model(model: ModelSnapshot) -> ModelStatus:
    loaded = model.loaded
    return ModelStatus(
        name=model.name,
        file=PurePath(model.path).name,
        state=model.phase.value,
        progress=model.progress,
        detail=model.detail,
        kinds=model.kinds,
        languages=model.languages,
        rung=loaded.rung if loaded else None,
        architecture=loaded.architecture if loaded else None,
        quantisation=loaded.quantisation if loaded else None,
        parameters=loaded.parameters if loaded else None,
        fim=loaded.fim if loaded else None,
        chat=loaded.chat if loaded else None,
        embeds=loaded.embeds if loaded else None,
        load_ms=round(loaded.load_s * 1000, 1) if loaded else None,
        sequences=loaded.sequences if loaded else None,
        sequences_in_use=model.running,
        context_tokens=loaded.context_tokens if loaded else None,
        memory=ModelMemory(
            private_bytes=model.usage.private_bytes,
            mapped_bytes=model.usage.mapped_bytes,
            device_bytes=model.usage.device_bytes,
        ),
        prefill_tokens_per_s=round(model.prefill_tokens_per_s, 1),
        decode_tokens_per_s=round(model.decode_tokens_per_s, 1),
        deaths=model.deaths,
    )


def _latency(latency: LatencySnapshot) -> ClassLatency:
    return ClassLatency(
        count=latency.count,
        ttft_p50_ms=_rounded(latency.ttft_p50_ms),
        ttft_p95_ms=_rounded(latency.ttft_p95_ms),
        e2e_p50_ms=_rounded(latency.e2e_p50_ms),
        e2e_p95_ms=_rounded(latency.e2e_p95_ms),
    )


def _rounded(value_ms: float | None) -> float | None:
    return None if value_ms is None else round(value_ms, 1)


def _by_class(counts: Mapping[Class, int]) -> dict[str, int]:
    return {klass.label: counts.get(klass, 0) for klass in Class}
