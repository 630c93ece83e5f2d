"""What all inference bodies share: leniency towards clients, hardness towards numbers, and how a token is chosen.

Unknown fields are ignored and null means absent. Every number is clamped, never trusted (a negative one once was
an out-of-bounds write in llama-server); only what is no number at all is an error.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from daemon.http.forms import FormatSchemaText, GrammarText, SchemaText
from daemon.http.scores import TOPS_MAX
from engines.engine import Constraint, Sampling

BIASES_MAX = 1024
STOPS_MAX = 64
STOP_CHARS_MAX = 512
LIMIT_MS_MAX = 600_000
TOKENS_LIMIT = 1_000_000
SEED_MAX = 2**32 - 1


def clamped(low: float, high: float) -> AfterValidator:
    """The nearest number that is allowed."""
    return AfterValidator(lambda value: type(value)(min(max(value, low), high)))


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_pairs(value: Any) -> Any:
    """`{"42": -1.5}` (OpenAI) and `[[42, -1.5], [7, false]]` (llama.cpp) alike; false forbids the token."""
    pairs = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, list):
        return pairs
    return [
        [pair[0], -1000.0 if pair[1] is False else pair[1]]
        if isinstance(pair, (list, tuple)) and len(pair) == 2
        else pair
        for pair in pairs
    ]


Count = Annotated[int, clamped(-1, TOKENS_LIMIT)]
Tops = Annotated[int, clamped(0, TOPS_MAX)]
Milliseconds = Annotated[float, clamped(0, LIMIT_MS_MAX)]
Name = Annotated[str, Field(max_length=256)]
StopString = Annotated[str, Field(max_length=STOP_CHARS_MAX)]
Stops = Annotated[tuple[StopString, ...], BeforeValidator(_listed), Field(max_length=STOPS_MAX)]
FewStops = Annotated[tuple[StopString, ...], BeforeValidator(_listed), Field(max_length=16)]
ResponseFields = Annotated[
    tuple[Annotated[str, Field(max_length=128)], ...],
    BeforeValidator(_listed),
    Field(max_length=128),
]
Bias = tuple[Annotated[int, clamped(0, 2**31 - 1)], Annotated[float, clamped(-1000, 1000)]]
Biases = Annotated[tuple[Bias, ...], BeforeValidator(_as_pairs), Field(max_length=BIASES_MAX)]


class Lenient(BaseModel):
    """A JSON object from somebody else's program."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data


class Generation(Lenient):
    """The fields of every request that generates text."""

    model: Name = ""
    stream: bool = False
    temperature: Annotated[float | None, clamped(0, 10)] = None
    top_k: Annotated[int, clamped(0, 100_000)] = 40
    top_p: Annotated[float, clamped(0, 1)] = 0.95
    min_p: Annotated[float, clamped(0, 1)] = 0.05
    seed: Annotated[int, clamped(-1, SEED_MAX)] = -1
    repeat_penalty: Annotated[float, clamped(0.1, 10)] = 1.0
    frequency_penalty: Annotated[float, clamped(-2, 2)] = 0.0
    presence_penalty: Annotated[float, clamped(-2, 2)] = 0.0
    repeat_last_n: Annotated[int, clamped(0, 4096)] = 64
    samplers: Annotated[tuple[Name, ...], Field(max_length=32)] | None = None
    logit_bias: Biases = ()
    stop: Stops = ()
    ignore_eos: bool = False
    n_predict: Count | None = None
    max_tokens: Count | None = None
    response_fields: ResponseFields = ()
    grammar: GrammarText = ""
    json_schema: SchemaText = ""
    response_format: FormatSchemaText = ""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if sum(map(bool, (self.grammar, self.json_schema, self.response_format))) > 1:
            raise ValueError("send only one of grammar, json_schema and response_format")
        return self

    @property
    def constraint(self) -> Constraint | None:
        """What the answer must match, if anything."""
        if self.grammar:
            return Constraint("gbnf", self.grammar)
        schema = self.json_schema or self.response_format
        return Constraint("json_schema", schema) if schema else None

    @property
    def tops(self) -> int | None:
        """How many likeliest tokens to name beside each token; None for no scores."""
        return None

    @property
    def wished_tokens(self) -> int | None:
        """The limit that the body names, whichever of its names it uses."""
        return self.n_predict if self.n_predict is not None else self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        """The strings that can stop anything."""
        return tuple(stop for stop in self.stop if stop)

    def limit(self, *, default: int, most: int) -> int:
        """How many tokens to generate at most; -1 wishes for no limit."""
        wished = self.wished_tokens
        if wished is None:
            return min(default, most)
        return most if wished < 0 else min(wished, most)

    def sampling(self, *, temperature: float) -> Sampling:
        """How tokens are chosen; `temperature` is for a body that names none.

        1. no list of samplers: all of them, as llama-server does;
        2. an empty list: greedy;
        3. a list: those in it, at temperature 1 unless `temperature` is in it too.
        """
        named = self.temperature if self.temperature is not None else temperature
        chain = self.samplers
        rest = self._whatever_the_chain()
        if chain is None:  # 1.
            return Sampling(
                temperature=named, top_k=self.top_k, top_p=self.top_p, min_p=self.min_p, **rest
            )
        if not chain:  # 2.
            return Sampling(temperature=0.0, **rest)
        return Sampling(  # 3.
            temperature=named if "temperature" in chain else 1.0,
            top_k=self.top_k if "top_k" in chain else 0,
            top_p=self.top_p if "top_p" in chain else 1.0,
            min_p=self.min_p if "min_p" in chain else 0.0,
            infill="infill" in chain,
            **rest,
        )

    def _whatever_the_chain(self) -> dict[str, Any]:
        return {
            "seed": self.seed if self.seed >= 0 else secrets.randbelow(SEED_MAX),
            "repeat_penalty": self.repeat_penalty,
            "frequency_penalty": self.frequency_penalty,
            "presence_penalty": self.presence_penalty,
            "penalty_tokens": self.repeat_last_n,
            "ignore_eos": self.ignore_eos,
            "logit_bias": self.logit_bias,
        }
