"""Which of two texts is worth showing: the look-up's or the model's.

The embedded model is small: alone it is right less often than the look-up, and knows how sure it is. A real
model is asked unless the look-up is all but certain.
"""

from __future__ import annotations

from engines.lookup import SHOWN_ABOVE, Found

CERTAIN_ABOVE = 0.9
"""A look-up so sure is shown at once, whatever model there is."""
EMBEDDED_LOGPROB_MIN = -1.5
"""The embedded model's text is shown if the sum of its log-probabilities is above this."""


def is_worth_showing(found: Found) -> bool:
    """Whether the look-up's text can stand for itself."""
    return found.confidence >= SHOWN_ABOVE


def is_certain(found: Found) -> bool:
    """Whether nothing better can be expected of any model."""
    return found.confidence >= CERTAIN_ABOVE


def is_sure(logprob: float) -> bool:
    """Whether the embedded model means what it wrote."""
    return logprob >= EMBEDDED_LOGPROB_MIN
