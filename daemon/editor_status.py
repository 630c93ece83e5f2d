"""What an editor's status line says, made of the daemon's snapshot."""

from __future__ import annotations

from collections.abc import Iterable

from daemon.snapshot import ModelSnapshot, Snapshot
from lsp.assistant import Status
from policies.placement import place
from policies.request import Class, Kind
from policies.view import ModelView, Phase


def status_of(snapshot: Snapshot, languages: Iterable[str], *, gpu: bool) -> Status:
    """One line for all; the first that holds.

    1. No model can complete: the look-up still does.
    2. One of them is loading, and none is ready.
    3. One could not be loaded.
    4. The machine has more to do than it can at once.
    5. A model runs without the graphics processor that this build is for (`gpu`).
    6. All is well; languages that no model serves are named.
    """
    models = [model for model in snapshot.models if Kind.COMPLETE in model.kinds]
    ready = [model.name for model in models if model.phase is Phase.READY]
    loading = [model for model in models if model.phase is Phase.LOADING]
    failed = [model for model in models if model.phase is Phase.FAILED]
    if not models:  # 1
        return Status("degraded", "No model completes code: look-up only")
    if loading and not ready:  # 2
        return Status("loading", f"Loading {loading[0].name}", loading[0].progress)
    if failed:  # 3
        kind = "degraded" if ready else "error"
        return Status(kind, f"{failed[0].name} cannot be loaded: {failed[0].detail}")
    if snapshot.queued.get(Class.INTERACTIVE) or snapshot.running.get(Class.FOREGROUND):  # 4
        return Status("busy", "Busy")
    if gpu and (name := _on_cpu(models)):  # 5
        return Status("degraded", f"{name}: CPU only")
    return Status("ready", _ready_message(ready, models, languages))  # 6


def _ready_message(ready: list[str], models: list[ModelSnapshot], languages: Iterable[str]) -> str:
    names = ", ".join(ready) or "Models load at the first key"
    alone = [language for language in languages if serving(models, language) is None]
    return f"{names}; look-up only for {', '.join(alone)}" if alone else names


def _on_cpu(models: list[ModelSnapshot]) -> str | None:
    loaded = [model for model in models if model.loaded]
    return next((m.name for m in loaded if m.loaded and m.loaded.rung.startswith("cpu")), None)


def serving(models: Iterable[ModelSnapshot], language: str) -> ModelSnapshot | None:
    """The model that a completion in this language would go to."""
    by_name = {model.name: model for model in models}
    views = [_view(model) for model in by_name.values()]
    name = place(views, kind=Kind.COMPLETE, language=language, name="")
    return None if name is None else by_name[name]


def _view(model: ModelSnapshot) -> ModelView:
    return ModelView(
        name=model.name,
        kinds=frozenset(map(Kind, model.kinds)),
        languages=frozenset(model.languages),
        need_bytes=0,
        sequences=1,
    )
