"""What choosing a token costs beside llama.cpp's own samplers: processor time, 151,936 random logits.

Both get the same logits; theirs are copied into the list of candidates that llama.cpp's samplers work on. A schema
has no counterpart in llama.cpp's library. An answer is written token by token: the likeliest is the right one, or
(worst) always one that is refused. A constrained answer's share of compiling is counted.

    python -m tests.bench.sampling [--rounds 12] [--json]
"""

import argparse
import ctypes
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import llama_cpp as lib
import numpy as np

from engines import llama
from engines.constraint import Constraints
from engines.engine import Constraint, Sampling
from engines.sampling import Sampler
from tests.bench.figures import ratio_interval
from tests.twins.vocabulary import make_vocabulary

N_VOCAB = 151_936
ROWS = 40
"""Different logits, one a token."""
HISTORY = list(range(1000, 1100))
WARM = {"temperature": 0.8, "top_k": 40, "top_p": 0.95}
END = N_VOCAB - 1
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "summary": {"type": "string", "maxLength": 200},
        "line": {"type": "integer", "minimum": 1},
        "severity": {"enum": ["info", "warning", "error"]},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 8},
    },
    "required": ["name", "summary", "line", "severity", "tags"],
    "additionalProperties": False,
}
ANSWER = (
    '{"name": "parse_arguments", "summary": "Return the parsed arguments of the command line.", '
    '"line": 120, "severity": "warning", "tags": ["parser", "default value"]}'
)

GRAMMAR = r"""
root   ::= value
value  ::= object | array | string | [0-9]+ ws
object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}" ws
array  ::= "[" ws (value ("," ws value)*)? "]" ws
string ::= "\"" ([^"\\\x00-\x1F] | "\\" ["\\bfnrt])* "\"" ws
ws     ::= | " " | "\n" [ \t]{0,20}
"""


class Words:
    """The vocabulary of the twins: merges of real sources, then fillers, as `Constraints` wants it."""

    n_vocab = N_VOCAB
    end_tokens = frozenset({END})

    def __init__(self) -> None:
        unwritten = {character: byte for byte, character in enumerate(byte_characters())}
        self.pieces = [
            bytes(unwritten[character] for character in token if character in unwritten)
            for token in make_vocabulary(N_VOCAB).tokens
        ]

    def piece(self, token: int) -> bytes:
        return self.pieces[token]

    def tokens_of(self, text: bytes) -> list[int]:
        """Cut a text, at each place by the longest token."""
        known = {piece: token for token, piece in enumerate(self.pieces) if piece}
        tokens = []
        while text:
            length = next(n for n in range(min(30, len(text)), 0, -1) if text[:n] in known)
            tokens.append(known[text[:length]])
            text = text[length:]
        return tokens


def byte_characters() -> list[str]:
    """How byte-level BPE writes each byte: as itself if it can be seen, else as a character from 256 on."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = iter(range(256, 512))
    return [chr(byte if byte in seen else next(hidden)) for byte in range(256)]


class Chain:
    """llama.cpp's samplers in their usual order, and the list of candidates they work on."""

    def __init__(self, sampling: Sampling) -> None:
        self.chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        for sampler in self._samplers(sampling):
            lib.llama_sampler_chain_add(self.chain, sampler)
        for token in HISTORY:
            lib.llama_sampler_accept(self.chain, token)
        self.candidates = np.zeros(
            N_VOCAB, [("id", np.int32), ("logit", np.float32), ("p", np.float32)]
        )
        self.ids = np.arange(N_VOCAB)

    @staticmethod
    def _samplers(s: Sampling) -> list[object]:
        if not s.temperature > 0:
            return [lib.llama_sampler_init_greedy()]
        chain = [
            lib.llama_sampler_init_top_k(s.top_k),
            lib.llama_sampler_init_top_p(s.top_p, 1),
            lib.llama_sampler_init_temp(s.temperature),
            lib.llama_sampler_init_dist(s.seed),
        ]
        if s.repeat_penalty != 1:
            penalties = lib.llama_sampler_init_penalties(
                N_VOCAB, s.penalty_tokens, s.repeat_penalty, 0.0, 0.0
            )
            chain.insert(0, penalties)
        return chain

    def draw(self, logits: np.ndarray) -> int:
        self.candidates["id"], self.candidates["logit"] = self.ids, logits
        array = lib.llama_token_data_array(
            self.candidates.ctypes.data_as(ctypes.POINTER(lib.llama_token_data)),
            N_VOCAB,
            -1,
            False,
        )
        lib.llama_sampler_apply(self.chain, ctypes.byref(array))
        return int(array.data[array.selected].id)


@dataclass
class Case:
    """A name, and functions that choose `tokens` tokens each: ours, and theirs where there is one."""

    name: str
    tokens: int
    ours: Callable[[], None]
    theirs: Callable[[], None] | None = None


def free_cases(rows: np.ndarray) -> list[Case]:
    """Without a constraint, beside llama.cpp's chain."""
    settings = {
        "greedy": Sampling(),
        "top-k, top-p, temperature": Sampling(**WARM),
        "the same with penalties": Sampling(**WARM, repeat_penalty=1.1),
    }
    cases = []
    for name, sampling in settings.items():
        ours, theirs = Sampler(sampling, frozenset({END}), lambda _: b""), Chain(sampling)
        if name == "greedy":
            assert [ours.draw(row, HISTORY) for row in rows] == [theirs.draw(row) for row in rows]
        cases.append(
            Case(
                name,
                len(rows),
                lambda one=ours: [one.draw(row, HISTORY) for row in rows],
                lambda one=theirs: [one.draw(row) for row in rows],
            )
        )
    return cases


def constrained_cases(rows: np.ndarray) -> list[Case]:
    """Under a schema or a grammar: greedy and warm, the likeliest right or refused."""
    words = Words()
    began = time.process_time()
    constraints = Constraints(words)
    schema, grammar = Constraint("json_schema", json.dumps(SCHEMA)), Constraint("gbnf", GRAMMAR)
    constraints.compile(schema)
    table_ms = (time.process_time() - began) * 1e3
    print(f"first constraint (table of tokens) {table_ms:.0f} ms", file=sys.stderr)
    answer = words.tokens_of(ANSWER.encode())
    refused = words.tokens_of(b"\x00")[0]

    def case(
        name: str, constraint: Constraint, sampling: Sampling, boosts: dict[int, float]
    ) -> Case:
        logits = [rows[n % len(rows)].copy() for n in range(len(answer))]
        for row, token in zip(logits, answer, strict=True):
            for other, boost in boosts.items():
                row[other] += boost
            row[token] += 60

        def ours() -> None:
            sampler = Sampler(
                sampling, words.end_tokens, words.piece, constraints.compile(constraint)
            )
            for row, token in zip(logits, answer, strict=True):
                assert sampler.draw(row, HISTORY) == token
                sampler.accept(token)

        return Case(name, len(answer), ours)

    warm, worst = Sampling(**WARM), {refused: 90}
    return [
        case("schema, greedy", schema, Sampling(), {}),
        case("schema, greedy, worst", schema, Sampling(), worst),
        case("schema, warm", schema, warm, {}),
        case("schema, warm, worst", schema, warm, worst),
        case("grammar, greedy", grammar, Sampling(), {}),
        case("grammar, warm", grammar, warm, {}),
    ]


def measure(case: Case, rounds: int) -> dict[str, object]:
    """Milliseconds of processor time a token, in turns with theirs."""
    ours: list[float] = []
    theirs: list[float] = []
    for turn in range(rounds + 1):
        for work, into in ((case.ours, ours), (case.theirs, theirs)):
            if work is None:
                continue
            began = time.process_time()
            work()
            if turn:  # the first warms up
                into.append((time.process_time() - began) * 1e3 / case.tokens)
    found: dict[str, object] = {"case": case.name, "ours_ms": statistics.median(ours)}
    if theirs:
        found |= {"theirs_ms": statistics.median(theirs), "ratio": ratio_interval(theirs, ours)}
    return found


def line(found: dict[str, object]) -> str:
    text = f"{found['case']:<28} {found['ours_ms']:7.3f} ms"
    if "ratio" in found:
        mean, low, high = found["ratio"]
        text += (
            f" / {found['theirs_ms']:7.3f} ms: ratio of speeds {mean:.1f} [{low:.1f}, {high:.1f}]"
        )
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    llama.start()
    rows = np.random.default_rng(1).normal(scale=3, size=(ROWS, N_VOCAB)).astype(np.float32)
    for case in [*free_cases(rows), *constrained_cases(rows)]:
        found = measure(case, arguments.rounds)
        print(json.dumps(found) if arguments.json else line(found), flush=True)


if __name__ == "__main__":
    main()
