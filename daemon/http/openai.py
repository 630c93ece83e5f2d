"""`/v1/completions`, with `suffix`, and `/v1/chat/completions`: what most other editors and plugins call."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from daemon.http.caller import Caller, body_of, read_caller
from daemon.http.endings import Judge
from daemon.http.llamacpp import CODE_TEMPERATURE, TEXT_TEMPERATURE, TEXT_TOKENS, raw_kind
from daemon.http.openai_answers import ChatAnswer, TextAnswer
from daemon.http.places import is_fim_layout
from daemon.http.schemas import stop_strings
from daemon.http.schemas_openai import ChatBody, OpenAiBody, TextBody
from daemon.http.settings import HttpSettings, Submitter
from daemon.http.sse import EventStream, Verdict
from daemon.http.waiting import result_for
from daemon.tickets import Ask, Ticket
from engines.engine import Chat, Fim, Plain, Prompt
from policies.request import Kind

CHAT_TOKENS = 2048


def openai_routes(desk: Submitter, judge: Judge, settings: HttpSettings) -> APIRouter:
    """The OpenAI endpoints that generate."""
    router = APIRouter()

    @router.post("/v1/completions")
    async def completions(
        request: Request,
        body: Annotated[TextBody, Depends(body_of(TextBody))],
        caller: Annotated[Caller, Depends(read_caller)],
    ) -> Response:
        ask = text_ask(body, caller, settings)
        ticket = desk.submit(ask)
        answer = TextAnswer(*_heading("cmpl", ticket, body))
        return await _answered(request, ticket, answer, partial(judge, ask), stream=body.stream)

    @router.post("/v1/chat/completions")
    @router.post("/chat/completions")
    async def chat_completions(
        request: Request,
        body: Annotated[ChatBody, Depends(body_of(ChatBody))],
        caller: Annotated[Caller, Depends(read_caller)],
    ) -> Response:
        ask = chat_ask(body, caller, settings)
        ticket = desk.submit(ask)
        answer = ChatAnswer(*_heading("chatcmpl", ticket, body))
        return await _answered(request, ticket, answer, partial(judge, ask), stream=body.stream)

    return router


def text_ask(body: TextBody, caller: Caller, settings: HttpSettings) -> Ask:
    """What a `/v1/completions` wants.

    1. No suffix: the prompt is continued. 2. An empty one beside a prompt that the editor laid out itself: likewise.
    3. Any other: the middle is filled in, for somebody at a keyboard. It has no place: these clients drop what they
    no longer want, and some ask several times at once for the same one.
    """
    prompt: Prompt = Plain(body.prompt)
    if body.suffix or (body.suffix is not None and not is_fim_layout(body.prompt)):  # 3.
        prompt = Fim(prefix=body.prompt, suffix=body.suffix)
    fim = isinstance(prompt, Fim)
    tokens_max = body.limit(default=TEXT_TOKENS, most=settings.tokens_max)
    kind = raw_kind(body.prompt, tokens_max)
    return _ask(
        body,
        caller,
        kind=Kind.COMPLETE if fim and kind is not Kind.WARM else kind,
        prompt=prompt,
        tokens_max=tokens_max,
        temperature=CODE_TEMPERATURE if fim else TEXT_TEMPERATURE,
    )


def chat_ask(body: ChatBody, caller: Caller, settings: HttpSettings) -> Ask:
    """What a conversation wants; one that may write nothing is a warm-up (llama.vim sends it while the user types)."""
    tokens_max = body.limit(default=CHAT_TOKENS, most=settings.tokens_max)
    return _ask(
        body,
        caller,
        kind=Kind.CHAT if tokens_max else Kind.WARM,
        prompt=Chat(body.turns()),
        tokens_max=tokens_max,
        temperature=TEXT_TEMPERATURE,
    )


def _ask(
    body: OpenAiBody,
    caller: Caller,
    *,
    kind: Kind,
    prompt: Prompt,
    tokens_max: int,
    temperature: float,
) -> Ask:
    return Ask(
        kind=kind,
        prompt=prompt,
        tokens_max=tokens_max,
        client=caller.name,
        model=body.model,
        klass=caller.klass,
        sampling=body.sampling(temperature=temperature),
        stops=stop_strings(body.stop),
        expires_s=caller.expires_s(None),
    )


def _heading(
    prefix: str, ticket: Ticket, body: OpenAiBody
) -> tuple[str, int, str, bool, tuple[str, ...]]:
    return (
        f"{prefix}-{ticket.id}",
        int(time.time()),
        ticket.model,
        body.stream_options.include_usage,
        body.response_fields,
    )


async def _answered(
    request: Request,
    ticket: Ticket,
    answer: TextAnswer | ChatAnswer,
    verdict: Verdict,
    *,
    stream: bool,
) -> Response:
    if stream:
        return EventStream(ticket, answer, verdict)
    result = await result_for(request, ticket)
    if error := verdict(result):
        raise error
    return JSONResponse(answer.whole(result))
