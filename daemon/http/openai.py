"""`/v1/completions`, with `suffix`, and `/v1/chat/completions`: what most other editors and plugins call."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from daemon.http.answering import answer
from daemon.http.asks import chat_ask, text_ask
from daemon.http.caller import Caller, body_of, read_caller
from daemon.http.endings import Judge
from daemon.http.openai_answers import ChatAnswer, Heading, TextAnswer
from daemon.http.schemas_openai import ChatBody, OpenAiBody, TextBody
from daemon.http.settings import HttpSettings, Submitter
from daemon.tickets import Ticket


def openai_routes(desk: Submitter, judge: Judge, settings: HttpSettings) -> APIRouter:
    """The OpenAI endpoints that generate."""
    router = APIRouter()

    @router.post("/v1/completions")
    async def completions(
        request: Request,
        body: Annotated[TextBody, Depends(body_of(TextBody))],
        caller: Annotated[Caller, Depends(read_caller)],
    ) -> Response:
        ask = text_ask(body, caller, tokens_max=settings.tokens_max)
        judge.admit(ask)
        ticket = desk.submit(ask)
        words = TextAnswer(_heading(ticket, body))
        return await answer(request, ticket, words, partial(judge.text, ask), stream=body.stream)

    @router.post("/v1/chat/completions")
    @router.post("/chat/completions")
    async def chat_completions(
        request: Request,
        body: Annotated[ChatBody, Depends(body_of(ChatBody))],
        caller: Annotated[Caller, Depends(read_caller)],
    ) -> Response:
        ask = chat_ask(body, caller, tokens_max=settings.tokens_max)
        judge.admit(ask)
        ticket = desk.submit(ask)
        words = ChatAnswer(_heading(ticket, body))
        return await answer(request, ticket, words, partial(judge.text, ask), stream=body.stream)

    return router


def _heading(ticket: Ticket, body: OpenAiBody) -> Heading:
    return Heading(
        number=ticket.id,
        model=ticket.model,
        include_usage=body.stream_options.include_usage,
        response_fields=body.response_fields,
        scored=body.tops is not None,
    )
