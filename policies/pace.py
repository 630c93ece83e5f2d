"""How far lesser work may run ahead where a running step can be aborted (ENGINE.md 11): no long wait and no livelock."""

from __future__ import annotations

from dataclasses import dataclass, replace

from policies.step import CHUNK_TOKENS_MIN


@dataclass(frozen=True, slots=True)
class Pace:
    """The next chunk of a prompt that a more urgent one may abort.

    It starts at the budget. After an abort it is short, so that something is finished before the next one comes,
    and doubles with each chunk that was.
    """

    budget_tokens: int
    chunk_tokens: int
    committed: bool = True
    """Whether lesser work has finished a step since the last abort."""

    @staticmethod
    def start(budget_tokens: int) -> Pace:
        """Nothing was aborted yet."""
        return Pace(budget_tokens, budget_tokens)

    def after_abort(self, quantum_tokens: int) -> Pace:
        """A lesser step was aborted; `quantum_tokens` is what fits into the quantum."""
        chunk = min(self.budget_tokens, max(CHUNK_TOKENS_MIN, quantum_tokens))
        return replace(self, chunk_tokens=chunk, committed=False)

    def after_chunk(self) -> Pace:
        """A chunk of a lesser prompt ran to its end."""
        chunk = min(self.budget_tokens, 2 * self.chunk_tokens)
        return replace(self, chunk_tokens=chunk, committed=True)

    def after_decode(self) -> Pace:
        """A decode step of lesser rows ran to its end."""
        return self if self.committed else replace(self, committed=True)


def worth_aborting(
    *,
    running_urgency: float,
    newcomer_urgency: float,
    elapsed_s: float,
    predicted_s: float,
    quantum_s: float,
    committed_since_abort: bool,
) -> bool:
    """Whether a running step gives way to a newcomer.

    1. Only to one that is more urgent than everybody in the step.
    2. Only if lesser work has finished a step since the last abort: otherwise it would never end.
    3. Only if the rest is longer than the quantum. A step that is overdue is expected to last as long again as it
       is overdue already.
    """
    if newcomer_urgency <= running_urgency or not committed_since_abort:
        return False
    return abs(predicted_s - elapsed_s) > quantum_s
