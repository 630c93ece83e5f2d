"""The daemon's own estimator: what the worker knows of its steps, learnt again from the steps it reported.

Each size has its entry and all share the machine's pace (policies/step_time.py). The daemon sees neither idle rows that
went along nor how long each sequence is, so sizes are of requests and prompt tokens, and attention is in the averages.
"""

from __future__ import annotations

from policies.estimators import Drift
from policies.speed import Load
from policies.step_time import StepTimes


class StepModel:
    """Seconds of a step by its size. Conforms to `policies.speed.Estimator`."""

    def __init__(self) -> None:
        self._times = StepTimes()
        self._drift = Drift()
        self._seen = False
        self._widths: set[int] = set()
        self._decode_s: dict[int, float] = {}
        """What was asked since the last observation."""

    def observe(self, load: Load, duration_s: float) -> None:
        """Take one step into account; its pace follows a changed machine within some ten steps."""
        if duration_s <= 0 or not (load.prefill_tokens or load.sequences):
            return
        rows, each = (1, load.prefill_tokens) if load.prefill_tokens else (load.sequences, 1)
        if self._seen:
            self._drift.note(duration_s / self._times.predict(rows=rows, tokens_each=each))
        self._times.observe(rows=rows, tokens_each=each, duration_s=duration_s)
        self._seen = True
        if not load.prefill_tokens:
            self._widths.add(load.sequences)
        self._decode_s.clear()

    def step_s(self, load: Load) -> float:
        """Seconds of one step."""
        if load.prefill_tokens:
            return self._times.predict(rows=1, tokens_each=load.prefill_tokens)
        sequences = max(1, load.sequences)
        if sequences not in self._decode_s:
            self._decode_s[sequences] = self._padded_s(sequences)
        return self._decode_s[sequences]

    @property
    def known(self) -> bool:
        """Whether a step was measured."""
        return self._seen

    @property
    def drifted(self) -> bool:
        """Whether its predictions have lately been wrong in one direction."""
        return self._drift.drifted

    def _padded_s(self, sequences: int) -> float:
        """A decode step of so many or, where that is quicker, of more: a worker fills it with idle rows.

        So more requests never make a step shorter. Before any decode step, each row is thought to cost a prompt's token.
        """
        if not self._widths:
            return sequences * self._times.predict(rows=1, tokens_each=1)
        wider = [width for width in self._widths if width > sequences]
        return min(self._times.predict(rows=width, tokens_each=1) for width in [sequences, *wider])
