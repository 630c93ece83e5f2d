"""The daemon's own estimator: what the worker knows of its steps, learnt again from the steps it reported.

Each size has its entry and all share the machine's pace (policies/step_time.py). The daemon sees neither idle rows that
went along nor how long each sequence is, so sizes are of requests and prompt tokens, and attention is in the averages.
"""

from __future__ import annotations

from bisect import bisect_right, insort

from policies.estimators import Drift
from policies.speed import Load
from policies.step_time import StepTimes


class StepModel:
    """Seconds of a step by its size. Conforms to `policies.speed.Estimator`."""

    def __init__(self) -> None:
        self._times = StepTimes()
        self._drift = Drift()
        self.steps = 0
        """Steps taken into account: what was asked before one more holds no longer."""
        self._widths: list[int] = []
        """Widths of decode steps that ran, sorted."""
        self._chunk_s: dict[int, float] = {}
        self._decode_s: dict[int, float] = {}
        """What was asked since the last observation, by prompt tokens and by sequences."""

    def observe(self, load: Load, duration_s: float) -> None:
        """Take one step into account; its pace follows a changed machine within some ten steps."""
        if duration_s <= 0 or not (load.prefill_tokens or load.sequences):
            return
        rows, each = (1, load.prefill_tokens) if load.prefill_tokens else (load.sequences, 1)
        if self.known:
            self._drift.note(duration_s / self._times.predict(rows=rows, tokens_each=each))
        self._times.observe(rows=rows, tokens_each=each, duration_s=duration_s)
        self.steps += 1
        if not load.prefill_tokens and load.sequences not in self._widths:
            insort(self._widths, load.sequences)
        self._chunk_s.clear()
        self._decode_s.clear()

    def step_s(self, load: Load) -> float:
        """Seconds of one step."""
        if tokens := load.prefill_tokens:
            if tokens not in self._chunk_s:
                self._chunk_s[tokens] = self._times.predict(rows=1, tokens_each=tokens)
            return self._chunk_s[tokens]
        return self._decode_step_s(max(1, load.sequences))

    @property
    def known(self) -> bool:
        """Whether a step was measured."""
        return self.steps > 0

    @property
    def drifted(self) -> bool:
        """Whether its predictions have lately been wrong in one direction."""
        return self._drift.drifted

    def _decode_step_s(self, sequences: int) -> float:
        """A decode step of so many or, where that is quicker, of more: a worker fills it with idle rows.

        So more requests never make a step shorter. Before any decode step, each row is thought to cost a prompt's token.
        """
        if sequences not in self._decode_s:
            self._decode_s[sequences] = self._padded_s(sequences)
        return self._decode_s[sequences]

    def _padded_s(self, sequences: int) -> float:
        if not self._widths:
            return sequences * self._times.predict(rows=1, tokens_each=1)
        own_s = self._times.predict(rows=sequences, tokens_each=1)
        wider = bisect_right(self._widths, sequences)
        if wider == len(self._widths):
            return own_s
        return min(own_s, self._decode_step_s(self._widths[wider]))
