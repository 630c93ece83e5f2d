"""`/infill` and `/completion`: what llama.vim and llama.vscode call, unmodified.

Neither drops its connection, and both hold the next keystroke until this one is answered. So an `/infill` that was
superseded, came too late or gave way is answered `200 {}`: llama.vim ignores that without caching it, and
llama.vscode shows nothing. Text of one whose time ran out is sent as far as it came.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from daemon.http.caller import Caller, body_of, read_caller
from daemon.http.endings import Judge
from daemon.http.errors import invalid
from daemon.http.native_answers import NativeAnswer
from daemon.http.places import is_fim_layout, place_of
from daemon.http.schemas import stop_strings
from daemon.http.schemas_llamacpp import CompletionBody, InfillBody
from daemon.http.settings import HttpSettings, Submitter
from daemon.http.sse import EventStream
from daemon.http.waiting import result_for
from daemon.tickets import Ask, Result
from engines.engine import Plain
from policies.messages import Outcome, Reason
from policies.request import Kind

UNASKED = frozenset({Kind.WARM, Kind.AHEAD})
QUIET = frozenset({Reason.NEWER, Reason.STALE, Reason.YIELDED, Reason.EXPIRED, Reason.CLIENT})
CODE_TEMPERATURE = 0.0
TEXT_TEMPERATURE = 0.8
INFILL_TOKENS = 256
TEXT_TOKENS = 512
"""What a request gets that names no limit: a limit is room in the cache that is kept for it."""


def llamacpp_routes(desk: Submitter, judge: Judge, settings: HttpSettings) -> APIRouter:
    """The native endpoints."""
    router = APIRouter()
    salt = secrets.token_bytes(16)

    @router.post("/infill")
    async def infill(
        request: Request,
        body: Annotated[InfillBody, Depends(body_of(InfillBody))],
        caller: Annotated[Caller, Depends(read_caller)],
    ) -> Response:
        ask = infill_ask(body, caller, settings, salt)
        ticket = desk.submit(ask)
        answer = NativeAnswer(ask, body.prompt, judge.context_tokens, body.response_fields)
        if body.stream:
            return EventStream(ticket, answer, partial(judge, ask))
        result = await result_for(request, ticket)
        if nothing_to_show(ask, result):
            return JSONResponse({})
        if error := judge(ask, result):
            raise error
        return JSONResponse(answer.whole(result))

    @router.post("/completion")
    @router.post("/completions")
    async def completion(
        request: Request,
        body: Annotated[CompletionBody, Depends(body_of(CompletionBody))],
        caller: Annotated[Caller, Depends(read_caller)],
    ) -> Response:
        ask = completion_ask(body, caller, settings)
        ticket = desk.submit(ask)
        answer = NativeAnswer(ask, body.prompt, judge.context_tokens, body.response_fields)
        if body.stream:
            return EventStream(ticket, answer, partial(judge, ask))
        result = await result_for(request, ticket)
        if error := judge(ask, result):
            raise error
        return JSONResponse(answer.whole(result))

    return router


def infill_ask(body: InfillBody, caller: Caller, settings: HttpSettings, salt: bytes) -> Ask:
    """What an `/infill` wants."""
    fim = body.fim()
    warm = body.kind is Kind.WARM
    return Ask(
        kind=body.kind,
        prompt=fim,
        tokens_max=body.limit(default=INFILL_TOKENS, most=settings.tokens_max),
        client=caller.name,
        model=body.model,
        klass=caller.klass,
        place=None if warm else place_of(caller.name, fim.prefix, fim.suffix, salt=salt),
        sampling=body.sampling(temperature=CODE_TEMPERATURE),
        stops=stop_strings(body.stop),
        expires_s=caller.expires_s(body.expires_s),
        predict_s_max=body.predict_s_max,
    )


def completion_ask(body: CompletionBody, caller: Caller, settings: HttpSettings) -> Ask:
    """What a `/completion` wants."""
    if body.n_probs:
        raise invalid("n_probs: not supported yet: leave it out")
    tokens_max = body.limit(default=TEXT_TOKENS, most=settings.tokens_max)
    return Ask(
        kind=raw_kind(body.prompt, tokens_max),
        prompt=Plain(body.prompt),
        tokens_max=tokens_max,
        client=caller.name,
        model=body.model,
        klass=caller.klass,
        sampling=body.sampling(temperature=TEXT_TEMPERATURE),
        stops=stop_strings(body.stop),
        expires_s=caller.expires_s(None),
        predict_s_max=body.predict_s_max,
    )


def raw_kind(prompt: str, tokens_max: int) -> Kind:
    """What a raw prompt is for: a warm-up, a keystroke laid out by its editor, or any text."""
    if tokens_max == 0:
        return Kind.WARM
    return Kind.COMPLETE if is_fim_layout(prompt) else Kind.GENERATE


def nothing_to_show(ask: Ask, result: Result) -> bool:
    """Whether an `/infill` is best answered by `{}`.

    1. It ended well: no. 2. It ended for want of time: only if no text came. 3. It was overtaken: yes.
    4. Nobody waits for it (a warm-up, speculation) and the queue was full: yes.
    """
    if result.outcome is Outcome.DONE:  # 1.
        return False
    if result.reason is Reason.EXPIRED:  # 2.
        return not result.text
    if result.reason in QUIET:  # 3.
        return True
    return result.reason is Reason.QUEUE_FULL and ask.kind in UNASKED  # 4.
