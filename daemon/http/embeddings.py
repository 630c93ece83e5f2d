"""`/v1/embeddings`, and `/embedding` and `/embeddings` as llama.cpp's server has them: vectors of texts.

Each text is a request of its own to the scheduler, of class background unless the caller says otherwise: what is
indexed waits for what is typed.
"""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from daemon.http.caller import Caller, body_of, read_caller
from daemon.http.endings import Judge
from daemon.http.errors import invalid
from daemon.http.gathering import gather
from daemon.http.schemas_embeddings import EmbeddingBody, NativeEmbeddingBody
from daemon.http.settings import Submitter
from daemon.tickets import Ask, Result
from engines.engine import Embed
from policies.request import Kind

NUMBER_BYTES = 4


def embedding_routes(desk: Submitter, judge: Judge) -> APIRouter:
    """The endpoints that make vectors."""
    router = APIRouter()

    async def embed(
        request: Request, texts: Sequence[str], model: str, caller: Caller
    ) -> list[Result]:
        asks = [embed_ask(text, model, caller) for text in texts]
        judge.admit(asks[0])
        return await gather(desk, asks, request.receive, judge.text)

    @router.post("/v1/embeddings")
    async def embeddings(
        request: Request,
        body: Annotated[EmbeddingBody, Depends(body_of(EmbeddingBody))],
        caller: Annotated[Caller, Depends(read_caller)],
    ) -> Response:
        results = await embed(request, body.input, body.model, caller)
        return await openai_answer(results, body)

    @router.post("/embedding")
    @router.post("/embeddings")
    async def embedding(
        request: Request,
        body: Annotated[NativeEmbeddingBody, Depends(body_of(NativeEmbeddingBody))],
        caller: Annotated[Caller, Depends(read_caller)],
    ) -> Response:
        results = await embed(request, body.texts, body.model, caller)
        return _json(await _entries(results, lambda vector: {"embedding": [numbers(vector)]}))

    return router


def embed_ask(text: str, model: str, caller: Caller) -> Ask:
    """What one text wants."""
    return Ask(
        kind=Kind.EMBED,
        prompt=Embed(text),
        tokens_max=0,
        client=caller.name,
        model=model,
        klass=caller.klass,
        expires_s=caller.expires_s(None),
    )


async def openai_answer(results: Sequence[Result], body: EmbeddingBody) -> Response:
    """OpenAI's document. ApiError where vectors of another length were asked for than the model makes."""
    length = len(results[0].vector) // NUMBER_BYTES
    if body.dimensions not in (None, length):
        raise invalid(
            f"dimensions: the vectors of {results[0].model} have {length} numbers, "
            "and nothing says that fewer would do"
        )
    in_words = in_base64 if body.encoding_format == "base64" else numbers
    tokens = sum(result.timings.prompt_tokens for result in results)
    document = {
        "object": "list",
        "data": await _entries(
            results, lambda vector: {"object": "embedding", "embedding": in_words(vector)}
        ),
        "model": results[0].model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return _json(document)


def numbers(vector: bytes) -> tuple[float, ...]:
    """A vector's float32 numbers, little-endian."""
    return struct.unpack(f"<{len(vector) // NUMBER_BYTES}f", vector)


def in_base64(vector: bytes) -> str:
    """A vector as OpenAI's own client asks for it."""
    return base64.b64encode(vector).decode()


async def _entries(
    results: Sequence[Result], entry: Callable[[bytes], dict[str, object]]
) -> list[msgspec.Raw]:
    """One entry a text, written already: a million numbers at once would hold up every key for 60 ms."""
    entries = []
    for index, result in enumerate(results):
        document = {"index": index, **entry(result.vector)}
        entries.append(msgspec.Raw(msgspec.json.encode(document)))
        await asyncio.sleep(0)
    return entries


def _json(document: object) -> Response:
    return Response(msgspec.json.encode(document), media_type="application/json")
