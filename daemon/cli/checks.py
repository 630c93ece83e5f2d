"""What `hearth doctor` looks at: each check is a fact about this machine, with a remedy where it is a bad one."""

from __future__ import annotations

import importlib.metadata
import platform
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from daemon import __version__
from daemon.cli.client import get_json
from daemon.cli.show import size
from daemon.config import Config, Model, Server, load_config
from daemon.errors import BusyError, ConfigError, HearthError, ModelError
from daemon.lifecycle import answers, running_pid
from daemon.model_files import inspect
from daemon.paths import Home
from engines import devices
from engines.gguf import Header
from engines.needs import need_bytes
from engines.spec import ModelSpec
from policies.request import Kind

SPARE_BYTES = 2 * 2**30
"""Less available memory than this leaves no room for a model worth having."""
NOTABLE_FLAGS = ("avx2", "avx512f", "amx_tile", "asimd", "sve")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `state` is ok, warn or fail; `exit_code` is what a failure ends with."""

    name: str
    state: str
    detail: str
    remedy: str = ""
    exit_code: int = 0


def examine(home: Home, config_file: Path | None) -> list[Check]:
    """Look at everything, cheapest first; nothing is changed, but for the folders that every command makes."""
    checks = [_python(), _llama_cpp(), _processor(), _gpu(), _memory(), _state(home)]
    try:
        config = load_config(config_file or home.config_file, required=config_file is not None)
    except ConfigError as error:
        return [*checks, _failed("configuration", error)]
    checks.append(_configuration(home, config_file))
    checks.extend(_models(config))
    pid = running_pid(home)
    checks.append(_daemon(home, pid))
    checks.extend(_resident(home))
    checks.append(_port(config.server, running=pid is not None))
    return checks


def _python() -> Check:
    return Check(
        "Hearth",
        "ok",
        f"{__version__} on Python {platform.python_version()}, {platform.platform()}",
    )


def _llama_cpp() -> Check:
    backends = devices.build_backends()
    if backends is None:
        return Check(
            "llama.cpp", "fail", "is not installed", "run `make setup`", ModelError.exit_code
        )
    version = importlib.metadata.version("llama-cpp-python")
    return Check(
        "llama.cpp", "ok", f"llama-cpp-python {version}, built for {', '.join(('CPU', *backends))}"
    )


def _processor() -> Check:
    flags = [flag for flag in NOTABLE_FLAGS if flag in devices.processor_flags()]
    return Check(
        "processor",
        "ok",
        f"{platform.machine()}, {devices.processor_count()} usable, {' '.join(flags) or 'no notable flags'}",
    )


def _gpu() -> Check:
    gpus = devices.measure_gpus()
    if not gpus:
        return Check("GPU", "ok", "none found: models run on the processor")
    names = ", ".join(
        f"{gpu.name} ({gpu.memory_bytes / 2**30:.0f} GiB)" if gpu.memory_bytes else gpu.name
        for gpu in gpus
    )
    hint = devices.advice(gpus, devices.build_backends())
    return Check("GPU", "warn" if hint else "ok", names, hint)


def _memory() -> Check:
    total, available = devices.memory_bytes()
    detail = f"{total / 2**30:.1f} GiB, {available / 2**30:.1f} GiB of it available"
    if available < SPARE_BYTES:
        return Check("memory", "warn", detail, "close something, or set a smaller [memory] budget")
    return Check("memory", "ok", detail)


def _state(home: Home) -> Check:
    try:
        home.prepare()
    except ConfigError as error:
        return _failed("state", error)
    return Check("state", "ok", f"{home.state}, log in {home.log_file.name}")


def _configuration(home: Home, config_file: Path | None) -> Check:
    file = config_file or home.config_file
    return Check(
        "configuration", "ok", str(file) if file.exists() else f"defaults ({file} does not exist)"
    )


def _models(config: Config) -> Iterator[Check]:
    for model in config.models:
        try:
            header = inspect(model)
        except ModelError as error:
            yield _failed("model", error)
        else:
            what = ", makes vectors of texts" if header.embeds else ""
            detail = (
                f"{model.name}: {header.architecture} {header.quantisation}{what}, {model.path}"
            )
            yield Check("model", "ok", detail)
            yield from _settings(model, header, config.memory.budget)


def _settings(model: Model, header: Header, budget: int | None) -> Iterator[Check]:
    """Settings that are allowed and still will not do what their writer hopes for."""
    spec = ModelSpec(model.name, str(model.path), model.context, model.sequences, model.kv_type)
    need = need_bytes(header, spec, gpu=bool(devices.build_backends()))
    if budget is not None and need > budget:
        problem = f"{model.name} needs about {size(need)}; [memory] budget is {size(budget)}"
        remedy = "raise `budget`, or lower `context` or `sequences` of this [[model]]"
        yield Check("memory", "fail", problem, remedy, ModelError.exit_code)
    trained = header.context_tokens
    if model.context is not None and 0 < trained < model.context:
        problem = f"{model.name}: `context` is {model.context}; it was trained for {trained}"
        yield Check("model", "warn", problem, f"set `context` to {trained} or less")
    if "kinds" in model.model_fields_set:
        yield from _kinds(model, header)


def _kinds(model: Model, header: Header) -> Iterator[Check]:
    """Kinds that the file cannot serve."""
    if header.embeds and set(model.kinds) != {Kind.EMBED}:
        problem = f"{model.name} is an embedding model: it makes vectors of texts, and serves nothing else"
        yield Check("model", "warn", problem, 'set `kinds = ["embed"]` in this [[model]]')
        return
    if not header.embeds and Kind.EMBED in model.kinds:
        problem = f"{model.name} is no embedding model: it writes, and makes no vectors"
        yield Check("model", "warn", problem, 'take "embed" from its `kinds`, or name another file')
    if "tokenizer.chat_template" not in header.fields and Kind.CHAT in model.kinds:
        problem = f"{model.name} has no chat template: it cannot chat"
        yield Check("model", "warn", problem, 'take "chat" from its `kinds`, or name another file')


def _daemon(home: Home, pid: int | None) -> Check:
    if pid is None:
        return Check("daemon", "ok", "does not run; editors start it, or `hearth serve --detach`")
    for path in (home.lsp_socket, home.http_socket):
        if not answers(path):
            return Check(
                "daemon",
                "fail",
                f"process {pid} runs but {path} does not answer",
                f"look into {home.log_file}; `hearth stop` ends it",
                HearthError.exit_code,
            )
        if stat.S_IMODE(path.stat().st_mode) != 0o600:
            return Check("daemon", "warn", f"{path} is open to others", f"chmod 600 {path}")
    return Check("daemon", "ok", f"process {pid} answers in {home.sockets}")


def _resident(home: Home) -> Iterator[Check]:
    """What the running daemon says of its models and of itself."""
    try:
        document = get_json(home, "/status")
    except HearthError:
        return
    for model in document["models"]:
        if model["state"] == "failed":
            remedy = f"try other settings of this [[model]], or look into {home.log_file}"
            problem = f"{model['name']}: {model['detail']}"
            yield Check("loading", "fail", problem, remedy, ModelError.exit_code)
    for sentence in document["degraded"]:
        yield Check("daemon", "warn", sentence)


def _port(server: Server, *, running: bool) -> Check:
    if not server.http:
        return Check("port", "ok", "HTTP on TCP is switched off")
    place = f"{server.host}:{server.port}"
    if running:
        return Check("port", "ok", f"{place} (see `hearth status`)")
    with socket.socket(socket.AF_INET6 if ":" in server.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((server.host, server.port))
        except (OSError, UnicodeError) as error:
            return Check(
                "port",
                "fail",
                f"{place}: {getattr(error, 'strerror', 'no such address')}",
                "end what holds it (`ss -ltnp` shows it), or set another [server] port",
                BusyError.exit_code,
            )
    return Check("port", "ok", f"{place} is free")


def _failed(name: str, error: HearthError) -> Check:
    problem, _, remedy = str(error).partition(". ")
    return Check(name, "fail", problem, remedy, error.exit_code)
