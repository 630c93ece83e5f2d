"""Statistics of measurements: percentiles, and the ratio of interleaved pairs with its interval."""

import math
import statistics
from collections.abc import Sequence

T_95 = {
    2: 12.71,
    3: 4.30,
    4: 3.18,
    5: 2.78,
    6: 2.57,
    7: 2.45,
    8: 2.36,
    9: 2.31,
    10: 2.26,
    12: 2.20,
    15: 2.14,
    20: 2.09,
}


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share (0..1) of the values lies, by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def ratio_interval(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean of ours/theirs pair by pair, and its 95 % interval (Student's t on the logarithms)."""
    logs = [math.log(a / b) for a, b in zip(ours, theirs, strict=True)]
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return math.exp(mean), 0.0, math.inf
    t = T_95[max(n for n in T_95 if n <= len(logs))]
    half = t * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def row(name: str, values_ms: Sequence[float]) -> str:
    """One line: how many, median, p95, largest."""
    return (
        f"{name:<34} n={len(values_ms):<4} p50 {percentile(values_ms, 0.5):8.2f}  "
        f"p95 {percentile(values_ms, 0.95):8.2f}  max {max(values_ms):8.2f} ms"
    )


def spread(values_ms: Sequence[float]) -> dict[str, object]:
    """How many, median, p95 and largest, with names that tell the unit."""
    return {
        "count": len(values_ms),
        "p50_ms": percentile(values_ms, 0.5),
        "p95_ms": percentile(values_ms, 0.95),
        "max_ms": max(values_ms),
    }
