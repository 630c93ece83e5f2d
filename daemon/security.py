"""Who may talk to the daemon over TCP, as pure questions: is this Host ours, this Origin known, this token right.

A page in a browser can send requests to loopback, and by DNS rebinding under a name of its own; so the Host must
be a name that only we answer to, whether or not a token is set. Nothing here resolves a name.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection


def host_allowed(host: str, *, bound: str, names: Collection[str]) -> bool:
    """Whether a Host header names this daemon: loopback, the address it was reached on, or a configured name."""
    name = _name_of(host)
    if name == "localhost" or name in {known.lower() for known in names}:
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or str(address) == bound


def origin_allowed(origin: str, *, host: str, names: Collection[str]) -> bool:
    """Whether a page of that origin may call: our own pages (the Host is checked before), or a configured one."""
    return origin in names or origin == f"http://{host}"


def token_matches(authorization: str, token: str) -> bool:
    """Whether an Authorization header carries the token; takes as long for a near miss as for a far one."""
    scheme, _, given = authorization.partition(" ")
    right = hmac.compare_digest(given.strip().encode(), token.encode())
    return scheme.lower() == "bearer" and right


def _name_of(host: str) -> str:
    """The name in `name:port`, lower case; brackets of an IPv6 address removed."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")
