"""Bodies of the endpoints that make vectors."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from daemon.http.schemas import Lenient, Name

INPUTS_MAX = 1024
"""Texts of one request."""
DIMENSIONS_MAX = 1 << 16


def _texts(value: Any) -> Any:
    """One text or a list of them. Numbers of tokens are another vocabulary's: vectors of them would mean nothing."""
    if isinstance(value, list) and any(isinstance(item, (int, list)) for item in value):
        raise ValueError("lists of tokens are not supported: send texts")
    return [value] if isinstance(value, str) else value


Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[
    tuple[Text, ...], BeforeValidator(_texts), Field(min_length=1, max_length=INPUTS_MAX)
]


class EmbeddingBody(Lenient):
    """`/v1/embeddings`."""

    model: Name = ""
    input: Texts
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1, le=DIMENSIONS_MAX)] | None = None


class NativeEmbeddingBody(Lenient):
    """`/embedding` and `/embeddings` of llama.cpp's server, which take their texts by two names."""

    model: Name = ""
    content: Texts = ()
    input: Texts = ()
    embd_normalize: int = 2

    @model_validator(mode="after")
    def _something(self) -> Self:
        if bool(self.content) == bool(self.input):
            raise ValueError("send texts, in either content or input")
        return self

    @model_validator(mode="after")
    def _of_length_one(self) -> Self:
        if self.embd_normalize != 2:
            raise ValueError("embd_normalize: only 2 is supported, vectors of length 1")
        return self

    @property
    def texts(self) -> tuple[str, ...]:
        """What is to be embedded."""
        return self.content or self.input
