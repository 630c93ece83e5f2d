"""Everything is put together here, once, and taken apart again: configuration in, a daemon that serves out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
from typing import Protocol

from daemon import __version__
from daemon.assistant import DaemonAssistant
from daemon.config import Config, Model
from daemon.doors import Doors
from daemon.errors import ConfigError
from daemon.exclusion import exclusion
from daemon.fim_window import Window
from daemon.journal import Journal, JournalFile
from daemon.model_files import kinds_of
from daemon.orchestrator import ModelEntry, Orchestrator
from daemon.paths import Home
from daemon.snapshot import ModelSnapshot
from engines import devices
from engines.engine import Engine, Receive
from engines.gguf import Header
from engines.needs import need_bytes
from engines.process import ProcessEngine
from engines.shelf import Shelf
from engines.spec import ModelSpec
from lsp.endpoint import Endpoint
from policies.limits import Limits
from policies.regimes import find_regime
from policies.request import Kind
from policies.view import ModelView, Phase

FILES_WANTED = 4096
MEMORY_SHARE = 0.8
"""Of the memory that is available at the start, when no budget is configured."""

IMPLIED = {
    Kind.COMPLETE: (Kind.POPUP, Kind.WARM, Kind.AHEAD, Kind.GENERATE),
    Kind.CHAT: (Kind.EXPLAIN, Kind.FIX, Kind.TRANSLATE, Kind.SUMMARISE, Kind.INDEX, Kind.GENERATE),
}
"""Who writes `kinds = ["complete", "chat"]` means what belongs to these as well."""

log = logging.getLogger(__name__)


class Console(Protocol):
    """Who is told how the daemon comes up."""

    def listening(self, doors: Doors) -> None:
        """Sockets and port are open."""

    def model(self, model: ModelSnapshot) -> None:
        """A model's phase or progress may have changed."""


async def serve(
    config: Config, headers: dict[str, Header], home: Home, console: Console, *, needs_ports: bool
) -> None:
    """Be the daemon until SIGTERM or SIGINT. BusyError where a port is taken and `needs_ports`."""
    _raise_file_limit()
    asked = _asked_to_stop()
    orchestrator = _orchestrator(config, headers, home)
    running = asyncio.create_task(orchestrator.run(), name="orchestrator")
    doors = Doors(config, home, orchestrator, _endpoint(config, orchestrator))
    first = _first_models(config, headers)
    for name in first:
        orchestrator.preload(name)
    try:
        await doors.open(needs_ports=needs_ports)
        log.info("hearth %s serves, process %d", __version__, os.getpid())
        console.listening(doors)
        _follow(orchestrator, first, console)
        await asyncio.wait({asked, running}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            # It never ends by itself: a bug, which must not leave a deaf daemon behind.
            running.result()
    finally:
        log.info("ending")
        running.cancel()
        # Callers are answered by the orchestrator's end, and doors close as soon as they are.
        await asyncio.gather(orchestrator.close(), doors.close())


def _asked_to_stop() -> asyncio.Future[None]:
    """Done at the first signal that means: end."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[None] = loop.create_future()

    def ask() -> None:
        if not asked.done():
            asked.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ask)
    return asked


def _endpoint(config: Config, orchestrator: Orchestrator) -> Endpoint:
    completion = config.completion
    gpu = bool(devices.build_backends())
    window = Window(completion.prefix_lines, completion.suffix_lines)
    return Endpoint(
        DaemonAssistant(orchestrator, tokens_max=completion.tokens_max, window=window, gpu=gpu),
        version=__version__,
        excluded=exclusion(completion.exclude),
        connections_max=config.limits.editors_max,
    )


def _follow(orchestrator: Orchestrator, names: list[str], console: Console) -> None:
    """Tell of the first loads until each has ended: a snapshot measures memory, too dear to take at every change."""

    def tell() -> None:
        models = [model for model in orchestrator.snapshot().models if model.name in names]
        for model in models:
            console.model(model)
        if all(model.phase in (Phase.READY, Phase.FAILED) for model in models):
            unwatch()

    unwatch = orchestrator.watch(tell)


# --- requests and models ------------------------------------------------------------------------------


def _orchestrator(config: Config, headers: dict[str, Header], home: Home) -> Orchestrator:
    gpu = bool(devices.build_backends())
    specs = {model.name: _spec(model, home) for model in config.models}
    shelf = Shelf(config.memory.parked)

    def make_engine(name: str, receive: Receive) -> Engine:
        return ProcessEngine(specs[name], receive, devices.build_name, shelf)

    entries = [
        ModelEntry(_view(m, headers[m.name], specs[m.name], gpu=gpu), str(m.path))
        for m in config.models
    ]
    limits = Limits(
        memory_bytes=config.memory.budget or _spare_memory(),
        queue_max=config.limits.queue_max,
        queue_class_max=config.limits.queue_class_max,
        rest_s=1.0 if config.scheduling.pause else 0.0,
    )
    return Orchestrator(
        entries,
        make_engine,
        limits=limits,
        regime=find_regime(config.scheduling.policy, cap=config.scheduling.cap),
        chains=config.chains,
        journal=_journal(config),
        shelf=shelf,
    )


def _journal(config: Config) -> Journal:
    """The record of decisions, and its file where one is asked for."""
    path = config.log.journal
    try:
        file = JournalFile(path) if path else None
    except OSError as error:
        raise ConfigError(
            f"[log] journal = {path}: cannot be written: {error.strerror}."
        ) from error
    return Journal(config.limits.journal_max, file)


def _spec(model: Model, home: Home) -> ModelSpec:
    return ModelSpec(
        name=model.name,
        path=str(model.path),
        context=model.context,
        sequences=model.sequences,
        kv_type=model.kv_type,
        gpu_layers=model.gpu_layers,
        threads=model.threads,
        quantum_ms=model.quantum_ms,
        reuse_shifted=model.reuse_shifted,
        rungs_file=str(home.rungs_file),
    )


def _view(model: Model, header: Header, spec: ModelSpec, *, gpu: bool) -> ModelView:
    """What policies know of a model. Its languages are those configured, or else those its file names."""
    given = kinds_of(model, header)
    kinds = {kind for each in given for kind in (each, *IMPLIED.get(each, ()))}
    return ModelView(
        name=model.name,
        kinds=frozenset(kinds),
        languages=frozenset(model.languages or header.strings("hearth.languages")),
        need_bytes=need_bytes(header, spec, gpu=gpu),
        sequences=model.sequences,
        pinned=model.pin,
    )


def _spare_memory() -> int:
    """What models may use when nobody says: of the devices' memory in a build that uses devices, else of the machine's."""
    _, available = devices.memory_bytes()
    if devices.build_backends():
        free = [gpu.free_bytes for gpu in devices.measure_gpus() if gpu.free_bytes is not None]
        available = sum(free) or available
    return int(available * MEMORY_SHARE)


def _first_models(config: Config, headers: dict[str, Header]) -> list[str]:
    """Pinned models, and the one that completes by default: a keystroke should find them warm."""
    models = config.models
    completing = [m.name for m in models if Kind.COMPLETE in kinds_of(m, headers[m.name])]
    pinned = [model.name for model in models if model.pin]
    return list(dict.fromkeys([*completing[:1], *pinned]))


def _raise_file_limit() -> None:
    """A thousand connections take a thousand files; the usual soft limit is 1,024, on macOS 256."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
