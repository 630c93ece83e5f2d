"""What loading a model again will take: measured, apart for files that are in the host's page cache and files that are not."""

from __future__ import annotations

from policies.spread import Spread

COLD_TO_WARM = 3.0
"""What a cold load takes beside a warm one, until both were seen of a model."""
UNSEEN_S = 5.0
"""What the load of a model takes that was never loaded."""


class Reloads:
    """Load times by model, and which files the host still has in memory: those read last, as many as it holds.

    The host is not asked. `host_bytes` is what it has to spare for files; bytes that others read are not seen.
    """

    def __init__(self, host_bytes: int) -> None:
        self._host_bytes = host_bytes
        self._files: dict[str, int] = {}
        """Every file read so far, the last one last."""
        self._took: dict[tuple[str, bool], Spread] = {}

    def loaded(self, model: str, *, file_bytes: int, load_s: float) -> None:
        """A load has ended. It counts as warm where the file was thought to be in the page cache before it."""
        key = (model, self.is_warm(model))
        self._took[key] = self._took.get(key, Spread()).after(load_s)
        self._files.pop(model, None)
        self._files[model] = file_bytes

    def is_warm(self, model: str) -> bool:
        """Whether its file and all that were read since fit the host together."""
        names = list(self._files)
        if model not in names:
            return False
        since = names[names.index(model) :]
        return sum(self._files[name] for name in since) <= self._host_bytes

    def expected_s(self, model: str) -> float:
        """Seconds of its next load, if that came now."""
        warm = self.is_warm(model)
        if own := self._took.get((model, warm)):
            return own.mean
        if other := self._took.get((model, not warm)):
            return other.mean / COLD_TO_WARM if warm else other.mean * COLD_TO_WARM
        return UNSEEN_S
