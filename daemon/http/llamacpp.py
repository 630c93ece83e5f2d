"""`/infill` and `/completion`: what llama.vim and llama.vscode call, unmodified."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from daemon.http.answering import answer
from daemon.http.asks import completion_ask, infill_ask
from daemon.http.caller import Caller, body_of, read_caller
from daemon.http.endings import Judge
from daemon.http.native_answers import InfillAnswer, NativeAnswer
from daemon.http.schemas_llamacpp import CompletionBody, InfillBody
from daemon.http.settings import HttpSettings, Submitter


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
        ask = infill_ask(body, caller, tokens_max=settings.tokens_max, salt=salt)
        judge.admit(ask)
        words = InfillAnswer(ask, body.prompt, body.response_fields, judge.context_tokens)
        verdict = partial(judge.infill, ask)
        return await answer(request, desk.submit(ask), words, verdict, stream=body.stream)

    @router.post("/completion")
    @router.post("/completions")
    async def completion(
        request: Request,
        body: Annotated[CompletionBody, Depends(body_of(CompletionBody))],
        caller: Annotated[Caller, Depends(read_caller)],
    ) -> Response:
        ask = completion_ask(body, caller, tokens_max=settings.tokens_max)
        judge.admit(ask)
        words = NativeAnswer(ask, body.prompt, body.response_fields, judge.context_tokens)
        verdict = partial(judge.text, ask)
        return await answer(request, desk.submit(ask), words, verdict, stream=body.stream)

    return router
