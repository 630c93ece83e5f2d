"""Measure look-up, model and both on the same items: exact match, what the gate shows, whether the file still parses.

`cut` makes sets of items from a corpus; `score` asks both witnesses at each. README.md has the commands.
"""

import argparse
import ast
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from answers import Answerer
from items import Item, anywhere, make_items, read_items, write_items

from engines import lookup
from engines.embedded import gate
from engines.lookup import Found, look_up

SEED = 13


@dataclass(frozen=True)
class Answers:
    """What each witness says at one place, and what is made of it."""

    item: Item
    found: Found | None
    drafted: gate.Drafted

    def naive(self) -> str:
        """Answer as the plain look-up that everything is compared with."""
        return longest_match(self.item.prefix, self.item.suffix)

    def looked_up(self) -> str:
        """Answer from the file, however unsure."""
        return self.found.text if self.found else ""

    def written(self) -> str:
        """Answer with the model, however unsure."""
        return self.drafted.text

    def both(self) -> str:
        """Answer with the better of the two, however unsure."""
        best = gate.best_of(*self.fitting())
        return best.text if best else ""

    def shown_looked_up(self) -> str:
        """Show what is shown where no model serves."""
        found, _ = self.fitting()
        return found.text if found and found.confidence >= lookup.SHOWN_ABOVE else ""

    def shown_written(self) -> str:
        """Show what would be shown without a look-up."""
        _, drafted = self.fitting()
        return drafted.text if drafted and gate.model_log_odds(drafted) >= 0 else ""

    def shown_both(self) -> str:
        """Show what the gate lets through."""
        chosen = gate.choose(*self.fitting())
        return chosen.text if chosen else ""

    def fitting(self) -> tuple[Found | None, gate.Drafted | None]:
        """Return what is left of the two when misfits are dropped."""
        return gate.keep_fitting(
            self.found,
            self.drafted,
            prefix=self.item.prefix,
            suffix=self.item.suffix,
            language="python",
        )


ALWAYS: dict[str, Callable[[Answers], str]] = {
    "longest match": Answers.naive,
    "look-up": Answers.looked_up,
    "model": Answers.written,
    "both": Answers.both,
}
GATED: dict[str, Callable[[Answers], str]] = {
    "look-up": Answers.shown_looked_up,
    "model": Answers.shown_written,
    "both": Answers.shown_both,
}


def longest_match(prefix: str, suffix: str) -> str:
    """Return the answer of the plain look-up that everything is compared with: the longest match wins."""
    before, after = prefix[-20_000:], suffix[:20_000]
    candidates = [_follows(before[:-1], before), _follows(after, before)]
    return max(candidates, key=lambda candidate: candidate[1])[0]


def _follows(text: str, before: str) -> tuple[str, int]:
    best, known, limit = "", 0, min(80, len(before))
    low = 2
    while low <= limit:
        tried = (low + limit) // 2
        at = text.rfind(before[-tried:])
        if at < 0:
            limit = tried - 1
        else:
            known, low = tried, tried + 1
            best = text[at + tried :].partition("\n")[0].rstrip()
    return best, known


def score(name: str, answers: list[Answers]) -> None:
    """Print one set's figures, each share with its standard error."""
    truths = [answer.item.middle.rstrip() for answer in answers]
    print(f"{name}, n = {len(answers)}")
    for witness, ask in ALWAYS.items():
        texts = [ask(answer) for answer in answers]
        right = [text.rstrip() == truth for text, truth in zip(texts, truths, strict=True)]
        print(f"  always {witness:14} exact {_share(right)}")
    for witness, ask in GATED.items():
        shown = [(a, text, t) for a, t in zip(answers, truths, strict=True) if (text := ask(a))]
        right = [text.rstrip() == truth for _, text, truth in shown]
        parse = [_parses(a.item, text) for a, text, _ in shown if _parses(a.item, a.item.middle)]
        share = f"{len(shown) / len(answers):.1%}"
        print(f"  shown {witness:15} in {share}, exact {_share(right)}, parses {_share(parse)}")


def _share(hits: list[bool]) -> str:
    if not hits:
        return "-"
    mean = float(np.mean(hits))
    return f"{mean:.1%} ± {(mean * (1 - mean) / len(hits)) ** 0.5:.1%}"


def _parses(item: Item, text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(item.prefix + text + item.suffix)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def answer_all(model: Path, items: list[Item]) -> list[Answers]:
    """Ask both witnesses at every place."""
    answerer = Answerer(model)
    return [Answers(i, look_up(i.prefix, i.suffix), answerer.answer(i)) for i in items]


def _cut(options: argparse.Namespace) -> None:
    with options.corpus.open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    sets = {}
    for group in ("stdlib", "package"):
        chosen = [r for r in records if r["split"] == options.split and r["group"] == group]
        files = [(f"{r['pkg']}/{r['path']}", r["text"]) for r in chosen]
        sets[group] = make_items(files, options.n, SEED)
        sets[f"{group}, anywhere"] = make_items(files, options.n, SEED, anywhere)
    write_items(options.out, sets)


def _score(options: argparse.Namespace) -> None:
    for name, items in read_items(options.items).items():
        score(name, answer_all(options.model, items))


def main() -> None:
    """Cut items, or score a model on them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    verbs = parser.add_subparsers(required=True)
    cut = verbs.add_parser("cut")
    cut.add_argument("--corpus", type=Path, required=True)
    cut.add_argument("--out", type=Path, required=True)
    cut.add_argument("--split", choices=("train", "held"), default="held")
    cut.add_argument("--n", type=int, default=400)
    cut.set_defaults(run=_cut)
    scoring = verbs.add_parser("score")
    scoring.add_argument("--model", type=Path, required=True)
    scoring.add_argument("--items", type=Path, required=True)
    scoring.set_defaults(run=_score)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
