"""When lesser work inside a step gives way to a newcomer (ENGINE.md 11): no long wait and no livelock."""

from __future__ import annotations


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
