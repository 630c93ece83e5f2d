"""What the HTTP edge is given: somebody who takes requests, what to say about the process, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from daemon.journal import Journal
from daemon.snapshot import Snapshot
from daemon.tickets import Ask, Ticket
from policies.chain import Chain


class Submitter(Protocol):
    """The daemon, seen from an HTTP request."""

    journal: Journal
    """What it decided lately."""

    def submit(self, ask: Ask) -> Ticket:
        """Take a request at once; a refusal is an end of its ticket."""

    def snapshot(self) -> Snapshot:
        """What the daemon looks like now."""


@dataclass(frozen=True, slots=True)
class About:
    """Facts of the process that no request changes, but for `uptime_s` and the lists."""

    version: str
    pid: int
    started_unix_s: float
    uptime_s: float
    http: str = ""
    """The address of the TCP port, as a URL; empty when there is none."""
    sockets: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()
    """What works less well than it could, one sentence each."""
    notices: tuple[str, ...] = ()
    """What the user could do about it, one sentence each."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Limits and rules. Without a token every caller that passes the Host and Origin checks is served."""

    allowed_hosts: tuple[str, ...] = ()
    """Names beside `localhost` and the loopback addresses."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of web pages that may call and read the answers; by default none but our own."""
    token: str | None = None
    """Asked for on TCP, never on the Unix socket, whose file only its owner can open."""
    body_bytes_max: int = 8 * 1024 * 1024
    tokens_max: int = 4096
    """Tokens that one answer may have, whatever limit the request names."""
    chains: tuple[Chain, ...] = ()
    """The tasks of several calls that requests may say they are part of."""
    retry_after_s: int = 1
    """What a caller is told to wait when the queue is full."""
