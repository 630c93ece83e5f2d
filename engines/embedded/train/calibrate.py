"""Fit the constants of `engines/lookup.py` and `engines/embedded/gate.py` to items, and print them.

The look-up's weights may be fitted to files that the model was trained on; the gate's must not be.
"""

import argparse
import math
from pathlib import Path

import numpy as np
from evaluate import Answers, answer_all
from items import Item, read_items

from engines import lookup
from engines.embedded import gate

RIDGE = 1.0
ROUNDS = 30


def fit(features: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Fit a logistic regression by Newton's method; return the weights, the bias last."""
    mean, spread = features.mean(0), features.std(0) + 1e-9
    inputs = np.c_[(features - mean) / spread, np.ones(len(features))]
    weights = np.zeros(inputs.shape[1])
    ridge = RIDGE * np.eye(len(weights))
    for _ in range(ROUNDS):
        expected = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (expected - right) + ridge @ weights
        curve = (inputs.T * (expected * (1 - expected))) @ inputs + ridge
        weights -= np.linalg.solve(curve, slope)
    scaled = weights[:-1] / spread
    return np.append(scaled, weights[-1] - scaled @ mean)


def fit_lookup(items: list[Item]) -> dict[str, float]:
    """Return the look-up's weights, fitted to all texts that it considered."""
    names = list(lookup.WEIGHTS)
    rows, right = [], []
    for item in items:
        for text, features in lookup.considered(item.prefix, item.suffix):
            rows.append([features[name] for name in names])
            right.append(text == item.middle.rstrip())
    weights = fit(np.array(rows), np.array(right, float))
    return dict(zip([*names, "bias"], weights.tolist(), strict=True))


def fit_model(answers: list[Answers]) -> dict[str, float]:
    """Return the constants of `gate.model_log_odds`."""
    rows, right = [], []
    for answer in answers:
        _, drafted = answer.fitting()
        if drafted and drafted.text.strip():
            length = math.log2(1 + len(drafted.text.strip()))
            bounded = max(drafted.summed_logprob, -30.0), max(drafted.mean_logprob, -5.0)
            rows.append((*bounded, length))
            right.append(drafted.text == answer.item.middle.rstrip())
    names = ["MODEL_SUMMED", "MODEL_MEAN", "MODEL_LENGTH", "MODEL_BIAS"]
    return dict(zip(names, fit(np.array(rows), np.array(right, float)).tolist(), strict=True))


def fit_scales(answers: list[Answers]) -> dict[str, list[float]]:
    """Return the three scales of the gate: both agree, look-up alone, model alone."""
    cases: dict[str, list[tuple[float, float, bool]]] = {}
    for answer in answers:
        found, drafted = answer.fitting()
        if not drafted or not drafted.text.strip():
            continue
        truth, model = answer.item.middle.rstrip(), gate.model_log_odds(drafted)
        odds = gate.log_odds(found.confidence) if found else gate.NOTHING_FOUND
        if found and found.text == drafted.text:
            cases.setdefault("BOTH_AGREE", []).append((odds, model, drafted.text == truth))
            continue
        cases.setdefault("MODEL_ALONE", []).append((odds, model, drafted.text == truth))
        if found:
            cases.setdefault("LOOKUP_ALONE", []).append((odds, model, found.text == truth))
    fitted = {}
    for name, case in cases.items():
        table = np.array(case, float)
        of_lookup, of_model, bias = fit(table[:, :2], table[:, 2])
        fitted[name] = [float(bias), float(of_lookup), float(of_model)]
    return fitted


def main() -> None:
    """Print constants fitted to all sets of a file of items."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="fit the gate; without it, the look-up")
    options = parser.parse_args()
    items = [item for items in read_items(options.items).values() for item in items]
    if options.model is None:
        print(fit_lookup(items))
        return
    answers = answer_all(options.model, items)
    print(fit_model(answers))
    print(fit_scales(answers), "(with the model's constants as they stand in gate.py)")


if __name__ == "__main__":
    main()
