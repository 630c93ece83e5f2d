"""Hostile prompts, stop strings and sampling numbers."""

from random import Random

from engines.engine import Chat, Chunk, Fim, Job, Message, Plain, Prompt, Sampling
from tests.fuzz.mutations import ODD, mutated

NUMBERS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    float("nan"),
    float("inf"),
    -float("inf"),
    1e308,
    -1e308,
    5e-324,
    1e-30,
    1e30,
    0.7,
]
INTEGERS = [0, 1, -1, 40, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**64 - 1, 2**64, -(2**70)]
SPECIAL = ["<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<s>", "</s>", "<unk>", "<|im_start|>",
           "<|file_sep|>", "<0x00>", "<|", "|>", "\u2581", "\u0120", "\u010a"]  # fmt: skip
CODE = "def area(r):\n    return 3.14 * r ** 2\n\n\nclass A:\n    def f(self):\n        "
TOKENS_MAX = 16


def text(rng: Random) -> str:
    character = rng.choice(
        [
            *ODD,
            *SPECIAL,
            "a",
            " ",
            "\n",
            "\t",
            "\U0001d518",
            "e\u0301",
            "\u05e9\u05dc\u05d5\u05dd",
            "\U0001f469\u200d\U0001f469\u200d\U0001f467",
            "%s",
            "{}",
        ]
    )
    match rng.randrange(5):
        case 0:
            return character * (
                rng.choice([10, 1000, 20_000, 200_000, 1_000_000]) // len(character)
            )
        case 1:
            return mutated(rng, CODE)
        case 2:
            return "".join(chr(rng.randrange(0x110000)) for _ in range(rng.choice([1, 30, 2000])))
        case 3:
            return "".join(rng.choices([*SPECIAL, *ODD, "x", CODE], k=rng.choice([1, 5, 200])))
        case _:
            return rng.choice(["", CODE, CODE + character, character])


def prompt(rng: Random) -> Prompt:
    match rng.randrange(4):
        case 0:
            return Chat(tuple(Message(text(rng), text(rng)) for _ in range(rng.randint(0, 3))))
        case 1:
            return Plain(text(rng), special=rng.random() < 0.5)
        case _:
            chunks = tuple(Chunk(text(rng), text(rng)) for _ in range(rng.choice([0, 0, 1, 30])))
            return Fim(
                text(rng), text(rng), chunks, rng.random() < 0.5, text(rng)[:9000], text(rng)[:9000]
            )


def sampling(rng: Random) -> Sampling:
    def number(usual: float) -> float:
        return rng.choice(NUMBERS) if rng.random() < 0.4 else usual

    def integer(usual: int) -> int:
        return rng.choice(INTEGERS) if rng.random() < 0.1 else usual

    biases = [
        (rng.choice([*INTEGERS[:-2], rng.randrange(4000)]), rng.choice(NUMBERS))
        for _ in range(rng.choice([1, 9, 5000]))
    ]
    return Sampling(
        temperature=number(0.8),
        top_k=integer(40),
        top_p=number(0.95),
        min_p=number(0.05),
        seed=integer(7),
        repeat_penalty=number(1.0),
        frequency_penalty=number(0.0),
        presence_penalty=number(0.0),
        penalty_tokens=integer(64),
        infill=rng.random() < 0.3,
        ignore_eos=rng.random() < 0.3,
        logit_bias=tuple(biases) if rng.random() < 0.3 else (),
    )


def stops(rng: Random) -> tuple[str, ...]:
    many = rng.choice([0, 0, 1, 4, 2000])
    return tuple(
        rng.choice(["", "\n", " ", "zzz", "\ud800", "a" * 5000, f"s{n}", text(rng)[:50]])
        for n in range(many)
    )


def job(rng: Random, request_id: int) -> Job:
    """One hostile request without a constraint. One that asks for endless tokens has little time for them."""
    endless = rng.random() < 0.1
    return Job(
        request_id,
        prompt(rng),
        rng.choice(INTEGERS) if endless else rng.randint(1, TOKENS_MAX),
        sampling(rng),
        stops=stops(rng),
        logprobs=rng.random() < 0.3,
        tops=rng.choice([None, None, None, 0, 5, -1, 2**31]),
        predict_s_max=0.1
        if endless
        else rng.choice([None, None, 0.0, -1.0, float("nan"), float("inf")]),
    )
