"""`X-Hearth-Chain: NAME; call=CALL; run=ID`: a request's place in a configured chain.

A client says which of the chain's calls this is, so calls may be left out, made again, or made at once; and an id of
its own choosing that all calls of one task share, and no other task at the same time. The id is kept as a salted hash.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from daemon.http.errors import invalid
from policies.chain import Chain
from policies.link import Link
from policies.request import Kind

_FORM = re.compile(r"([^;=]+);\s*call=([^;=]+);\s*run=([^;=]{1,200})")


class Links:
    """Reads the header against the chains that are configured."""

    def __init__(self, chains: Sequence[Chain]) -> None:
        self._chains = {chain.name: chain for chain in chains}
        self._salt = secrets.token_bytes(16)

    def read(self, header: str | None) -> tuple[Link | None, Kind | None]:
        """Where the request stands, and of which kind that call is. A header that is wrong is refused in words."""
        if header is None:
            return None, None
        form = _FORM.fullmatch(header)
        if form is None:
            raise invalid("X-Hearth-Chain must read NAME; call=CALL; run=ID")
        name, call, run = (part.strip() for part in form.groups())
        chain = self._chains.get(name)
        if chain is None:
            raise invalid(f"X-Hearth-Chain names no configured chain{_there_are(self._chains)}")
        calls = {call.name: number for number, call in enumerate(chain.calls)}
        if call not in calls:
            raise invalid(f"X-Hearth-Chain: no such call of {name}{_there_are(calls)}")
        number = calls[call]
        return Link(name, number, self._hashed(run)), chain.calls[number].kind

    def _hashed(self, run: str) -> str:
        return blake2b(run.encode(), key=self._salt, digest_size=16).hexdigest()


def _there_are(names: Iterable[str]) -> str:
    known = ", ".join(names)
    return f"; there are {known}" if known else "; there are none"
