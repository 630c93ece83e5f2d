"""Bodies of llama-server's own endpoints, `/infill` and `/completion`."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from daemon.http.schemas import Generation, Lenient, Milliseconds, Tops
from engines.engine import Chunk, Fim
from policies.request import Kind

INPUT_EXTRA_MAX = 256
INTERACTIVE_PREDICT_MS = 500.0


def _one_string(value: Any) -> Any:
    """A prompt is one string, or a list of just one."""
    if not isinstance(value, list):
        return value
    if len(value) == 1 and isinstance(value[0], str):
        return value[0]
    raise ValueError("lists of tokens or of prompts are not supported yet: send one string")


OneString = Annotated[str, BeforeValidator(_one_string)]


class Extra(Lenient):
    """A chunk of another file. Its `time` comes in as many types as there are clients, and is ignored."""

    text: str
    filename: str = ""


class NativeBody(Generation):
    """What both endpoints take.

    `id_slot`, `cache_prompt` and `lora` are accepted and have no effect. So has `n_cmpl`: an answer in one object
    is what llama.vscode can speculate on, and a person cycles through alternatives rarely.
    """

    t_max_predict_ms: Milliseconds | None = None
    n_probs: Tops = 0
    post_sampling_probs: bool = False

    @model_validator(mode="after")
    def _before_sampling(self) -> Self:
        if self.post_sampling_probs:
            raise ValueError("post_sampling_probs is not supported: n_probs gives the model's own")
        return self

    @property
    def tops(self) -> int | None:
        """0 asks for nothing here."""
        return self.n_probs or None

    @property
    def predict_s_max(self) -> float | None:
        """How long generating may take; 0 means no limit, as in llama-server."""
        return self.t_max_predict_ms / 1000 if self.t_max_predict_ms else None


class CompletionBody(NativeBody):
    """`/completion`: a raw prompt continued."""

    prompt: OneString


class InfillBody(NativeBody):
    """`/infill`: the middle between two texts."""

    input_prefix: str
    input_suffix: str
    input_extra: Annotated[tuple[Extra, ...], Field(max_length=INPUT_EXTRA_MAX)] = ()
    prompt: OneString = ""
    t_max_prompt_ms: Milliseconds | None = None

    @property
    def kind(self) -> Kind:
        """1. nothing to predict: a warm-up; 2. a long budget: speculation; 3. else a person waits."""
        if self.wished_tokens == 0:
            return Kind.WARM
        if (self.t_max_predict_ms or 0) > INTERACTIVE_PREDICT_MS:
            return Kind.AHEAD
        return Kind.COMPLETE

    @property
    def expires_s(self) -> float | None:
        """When the client has given up. A warm-up's limits of 1 ms are no wish to be dropped unread."""
        if self.kind is Kind.WARM or not self.t_max_prompt_ms:
            return None
        return (self.t_max_prompt_ms + (self.t_max_predict_ms or 0)) / 1000

    def fim(self) -> Fim:
        """The prompt, for the model's own special tokens."""
        return Fim(
            prefix=self.input_prefix + self.prompt,
            suffix=self.input_suffix,
            chunks=tuple(Chunk(extra.text, extra.filename) for extra in self.input_extra),
        )
