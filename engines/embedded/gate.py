"""Which of two answers is shown, the look-up's or the model's, or neither: never noise.

Two witnesses: each comes with a number of its own (the look-up's confidence, the model's log-probabilities), and
where both say the same it is worth more than either. The constants were fitted by `train/calibrate.py` on held-out
files of packages that none of the published measurements uses; MODEL_CARD.md states what they give on those.
"""

import math
from dataclasses import dataclass
from typing import Final

from engines.embedded.fits import fits
from engines.lookup import Found

SHOWN_ABOVE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Drafted:
    """The model's greedy answer, cut at the end of the line, and what it thought of it.

    The log-probabilities are those of all tokens drawn, the one that ended the line included.
    """

    text: str
    summed_logprob: float
    mean_logprob: float
    n_tokens: int


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What is shown; `confidence` is the estimated probability that it is exactly what the user wants."""

    text: str
    confidence: float
    source: str  # "file", "open file", "model", or "both"


@dataclass(frozen=True, slots=True)
class Scale:
    """How far each witness is believed, in log-odds."""

    bias: float
    of_lookup: float
    of_model: float


MODEL_BIAS: Final = 1.83
MODEL_SUMMED: Final = 0.96
MODEL_MEAN: Final = 0.54
MODEL_LENGTH: Final = -0.19

BOTH_AGREE: Final = Scale(1.08, 0.34, 0.61)
LOOKUP_ALONE: Final = Scale(-0.06, 0.69, 0.04)
MODEL_ALONE: Final = Scale(-1.42, -0.23, 0.78)
NOTHING_FOUND: Final = -5.0  # the log-odds of a look-up that came back empty


def choose(found: Found | None, drafted: Drafted | None) -> Suggestion | None:
    """Return the more probable answer if it is probable enough to be shown."""
    best = best_of(found, drafted)
    return best if best and best.confidence >= SHOWN_ABOVE else None


def best_of(found: Found | None, drafted: Drafted | None) -> Suggestion | None:
    """Return the more probable answer, however weak."""
    if drafted is not None and not drafted.text.strip():
        drafted = None
    if drafted is None:
        return Suggestion(found.text, found.confidence, found.source) if found else None
    model = model_log_odds(drafted)
    lookup = log_odds(found.confidence) if found else NOTHING_FOUND
    if found and found.text.rstrip() == drafted.text.rstrip():
        return Suggestion(found.text, _scaled(BOTH_AGREE, lookup, model), "both")
    from_model = Suggestion(drafted.text, _scaled(MODEL_ALONE, lookup, model), "model")
    if found is None:
        return from_model
    from_file = Suggestion(found.text, _scaled(LOOKUP_ALONE, lookup, model), found.source)
    return max(from_file, from_model, key=lambda suggestion: suggestion.confidence)


def keep_fitting(
    found: Found | None, drafted: Drafted | None, *, prefix: str, suffix: str, language: str
) -> tuple[Found | None, Drafted | None]:
    """Drop the answers that would leave the code around the cursor malformed."""
    if found and not fits(prefix, found.text, suffix, language=language):
        found = None
    if drafted and not fits(prefix, drafted.text, suffix, language=language):
        drafted = None
    return found, drafted


def model_log_odds(drafted: Drafted) -> float:
    """Return how probable it is, in log-odds, that the model is exactly right, by its own word."""
    return (
        MODEL_BIAS
        + MODEL_SUMMED * max(drafted.summed_logprob, -30.0)
        + MODEL_MEAN * max(drafted.mean_logprob, -5.0)
        + MODEL_LENGTH * math.log2(1 + len(drafted.text.strip()))
    )


def _scaled(scale: Scale, lookup: float, model: float) -> float:
    log_odds = scale.bias + scale.of_lookup * lookup + scale.of_model * model
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, log_odds))))


def log_odds(probability: float) -> float:
    """Return the logarithm of the odds, bounded."""
    bounded = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(bounded / (1 - bounded))
