"""The configuration: frozen, flat per section, fully defaulted, checked once.

Everything with a limit has its name here. `daemon/mistakes.py` turns what pydantic finds into one message.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from daemon.errors import ConfigError
from daemon.mistakes import explain
from policies import chain as chains
from policies.regimes import Policy
from policies.request import Kind

EMBEDDED_MODEL = Path(__file__).parents[1] / "engines" / "embedded" / "hearth-tiny-q8_0.gguf"
EMBEDDED_NAME = "hearth-tiny"
EMBEDDED_KINDS = (Kind.COMPLETE, Kind.POPUP, Kind.GENERATE, Kind.INDEX, Kind.WARM, Kind.AHEAD)
"""It writes code and was never taught to talk."""

_UNITS = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_UNITS |= {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_size(text: object) -> object:
    """`8GiB` and the like as bytes; anything else is left for pydantic to refuse."""
    if not isinstance(text, str):
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError('must be a size such as "8GiB" or "500MB"')
    try:
        return int(float(match[1]) * _UNITS[match[2].upper()])
    except OverflowError as error:
        raise ValueError("is more than any machine has") from error


def _auto_is_none(value: object) -> object:
    return None if value == "auto" else value


Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]
OrAuto = BeforeValidator(_auto_is_none)
Port = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    """What every section shares: no unknown keys, no changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Server(Section):
    """`[server]`: where HTTP is served, and to whom."""

    http: bool = True
    host: str = "127.0.0.1"
    port: Port = 8012
    token: str = ""
    """Asked from every HTTP client; needed where the host is not loopback."""
    allowed_hosts: tuple[str, ...] = ()
    """Names by which clients may address this server, beside loopback's own."""
    allowed_origins: tuple[str, ...] = ()
    """Web pages that may use this server, such as `https://editor.example`."""
    lsp_port: Port | None = None
    """A loopback TCP port for editors in containers, beside the socket."""

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if not is_loopback(self.host) and not self.token:
            raise ValueError(
                f'host "{self.host}" is open to the network: set `token` to a long random text, '
                'or `host = "127.0.0.1"`'
            )
        return self


class Model(Section):
    """One `[[model]]`."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    path: Path
    kinds: tuple[Kind, ...] = tuple(Kind)
    languages: tuple[str, ...] = ()
    context: Annotated[int, Field(ge=64, le=1_048_576)] | None = None
    sequences: Annotated[int, Field(ge=1, le=64)] = 4
    kv_type: Literal["f32", "f16", "q8_0", "q4_0"] = "f16"
    gpu_layers: Annotated[Annotated[int, Field(ge=0)] | None, OrAuto] = None
    threads: Annotated[Annotated[int, Field(ge=1, le=1024)] | None, OrAuto] = None
    quantum_ms: Annotated[float, Field(gt=0, le=10_000)] = 50.0
    """The longest that a completion may wait for lesser work which is already inside a step."""
    reuse_shifted: bool = True
    """Whether text that moved within the prompt is reused as it was computed: quicker, and an approximation."""
    pin: bool = False


class Call(Section):
    """One of a chain's `calls`."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$", max_length=100)]
    kind: Kind | None = None
    """What it is where its endpoint does not say; decides its class and its model."""
    weight: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    """Its part of the chain's time until that is learnt."""
    times: Annotated[float, Field(gt=0, le=100)] = 1.0
    """How often a run makes it until that is learnt: 0.3 for a repair that is seldom needed."""


class Chain(Section):
    """One `[[chain]]`: a task of several calls that is promised end to end."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$", max_length=100)]
    within_s: Annotated[float, Field(gt=0, le=3600)]
    until: Literal["whole", "first_token"] = "whole"
    """What keeps the promise: the last call's end, or its first token."""
    calls: Annotated[tuple[Call, ...], Field(max_length=32)]

    @model_validator(mode="after")
    def _has_calls(self) -> Self:
        if not self.calls:
            raise ValueError(
                '`calls` is empty: name at least one, as in calls = [{ name = "fix" }]'
            )
        _each_once([call.name for call in self.calls], "calls")
        return self


class Memory(Section):
    """`[memory]`: what all models together may use; by default what the machine can spare."""

    budget: Size | None = None
    parked: Size = 512 * 2**20
    """What requests that made way have computed is kept up to this; over it the oldest computes again."""


class Limits(Section):
    """`[limits]`: over each of them the caller is told."""

    queue_max: Annotated[int, Field(ge=1)] = 512
    """Requests that may wait, of all classes."""
    queue_class_max: Annotated[int, Field(ge=1)] = 256
    """Requests that may wait in one class."""
    tokens_max: Annotated[int, Field(ge=1)] = 4096
    body_max: Size = 8 * 2**20
    connections_max: Annotated[int, Field(ge=1)] = 1024
    editors_max: Annotated[int, Field(ge=1)] = 64
    journal_max: Annotated[int, Field(ge=1, le=10_000_000)] = 20_000


class Scheduling(Section):
    """`[scheduling]`: who of those that wait runs next, and how many run at once."""

    policy: Policy = Policy.HEARTH
    """All but the first are there to compare it with: `hearth bench --against`."""
    cap: Annotated[int, Field(ge=1, le=64)] | None = None
    """The most requests that one model runs at once, where that is fewer than its sequences."""
    pause: bool = True
    """Whether other models' lesser work rests while one serves a keystroke; not needed where each has a device of its own."""


class Completion(Section):
    """`[completion]`: what an editor's completion is made of."""

    prefix_lines: Annotated[int, Field(ge=1, le=10_000)] = 256
    suffix_lines: Annotated[int, Field(ge=0, le=10_000)] = 64
    tokens_max: Annotated[int, Field(ge=1, le=4096)] = 64
    exclude: tuple[str, ...] = (
        ".env",
        ".env.*",
        "*.pem",
        "*.key",
        "*.p12",
        "*.pfx",
        "*.kdbx",
        "id_rsa*",
        "id_dsa*",
        "id_ecdsa*",
        "id_ed25519*",
        ".netrc",
        ".npmrc",
        ".pypirc",
        ".git-credentials",
        "credentials",
        "credentials.json",
        "secrets.json",
        "secrets.toml",
        "secrets.y*ml",
        "*.tfvars",
        "*/.ssh/*",
        "*/.gnupg/*",
        "*/.aws/*",
    )
    """Files that no model ever sees, by name or, with a slash, by path: not completed, and no context of others."""


class Log(Section):
    """`[log]`: what the daemon writes about itself; never a user's text."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    file_max: Size = 5 * 2**20
    files: Annotated[int, Field(ge=1, le=100)] = 3
    journal: Path | None = None
    """A file that keeps what was decided and why, in sizes, kinds and times: two of 64 MiB at most."""


class Config(Section):
    """The whole of it."""

    server: Server = Server()
    model: tuple[Model, ...] = ()
    chain: Annotated[tuple[Chain, ...], Field(max_length=64)] = ()
    memory: Memory = Memory()
    limits: Limits = Limits()
    scheduling: Scheduling = Scheduling()
    completion: Completion = Completion()
    log: Log = Log()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        _each_once([model.name for model in self.model], "[[model]]")
        _each_once([chain.name for chain in self.chain], "[[chain]]")
        return self

    @property
    def models(self) -> tuple[Model, ...]:
        """The configured models; the embedded one where there is none."""
        return self.model or (embedded_model(),)

    @property
    def chains(self) -> tuple[chains.Chain, ...]:
        """The configured chains, as policies know them."""
        return tuple(
            chains.Chain(
                chain.name,
                tuple(chains.Call(**call.model_dump()) for call in chain.calls),
                chain.within_s,
                first_token=chain.until == "first_token",
            )
            for chain in self.chain
        )


def _each_once(names: list[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f'two {what} are named "{name}": give each a name of its own')


def embedded_model() -> Model:
    """The small model that comes with Hearth."""
    return Model(name=EMBEDDED_NAME, path=EMBEDDED_MODEL, kinds=EMBEDDED_KINDS, pin=True)


def load_config(file: Path, *, required: bool = False) -> Config:
    """Read and check the file; where it is absent (and not `required`), the defaults."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if not required:
            return Config()
        raise ConfigError(f"{file}: no such file. Name another with --config.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}.") from error
    try:
        config = Config.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise ConfigError(explain(error, Config, file, text)) from error
    except (ValueError, RecursionError) as error:  # also of numbers and lists past any measure
        raise ConfigError(f"{file}: not valid TOML: {error}.") from error
    models = tuple(m.model_copy(update={"path": _placed(m.path, file)}) for m in config.model)
    journal = config.log.journal and _placed(config.log.journal, file)
    log = config.log.model_copy(update={"journal": journal})
    return config.model_copy(update={"model": models, "log": log})


def _placed(path: Path, file: Path) -> Path:
    """A path without `~`, and taken from the configuration's own folder where it is relative."""
    try:
        return file.absolute().parent / path.expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{file}: {path}: there is no such user; did you mean ~/?") from error
