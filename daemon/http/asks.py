"""From what a client sent to what the daemon is asked: kind, class, limits, place.

A request that may write nothing is a warm-up, wherever it comes: it is evaluated into the cache when nothing else
is to be done.
"""

from __future__ import annotations

from typing import Any

from daemon.http.caller import Caller
from daemon.http.places import is_fim_layout, place_of
from daemon.http.schemas import Generation
from daemon.http.schemas_llamacpp import CompletionBody, InfillBody
from daemon.http.schemas_openai import ChatBody, TextBody
from daemon.tickets import Ask
from engines.engine import Chat, Fim, Plain, Prompt
from policies.request import Class, Kind

CODE_TEMPERATURE = 0.0
TEXT_TEMPERATURE = 0.8
INFILL_TOKENS = 256
TEXT_TOKENS = 512
CHAT_TOKENS = 2048
"""What requests get that name no limit. Whatever the limit is, room in the cache is kept for it."""


def infill_ask(body: InfillBody, caller: Caller, *, tokens_max: int, salt: bytes) -> Ask:
    """What an `/infill` wants."""
    fim = body.fim()
    warm = body.kind is Kind.WARM
    return _ask(
        body,
        caller,
        kind=body.kind,
        prompt=fim,
        tokens_max=body.limit(default=INFILL_TOKENS, most=tokens_max),
        place=None if warm else place_of(caller.name, fim.prefix, fim.suffix, salt=salt),
        expires_s=caller.expires_s(body.expires_s),
        predict_s_max=body.predict_s_max,
    )


def completion_ask(body: CompletionBody, caller: Caller, *, tokens_max: int) -> Ask:
    """What a `/completion` wants."""
    return _ask(
        body,
        caller,
        kind=_kind_of(body.prompt),
        prompt=Plain(body.prompt),
        tokens_max=body.limit(default=TEXT_TOKENS, most=tokens_max),
        expires_s=caller.expires_s(None),
        predict_s_max=body.predict_s_max,
    )


def text_ask(body: TextBody, caller: Caller, *, tokens_max: int) -> Ask:
    """What a `/v1/completions` wants.

    1. With a suffix: the middle, for somebody at a keyboard. It has no place: these clients drop what they no longer
       want, and some ask several times at once for the same one.
    2. With an empty one: likewise, unless its editor laid the prompt out itself.
    3. Without: more of the prompt.
    """
    suffix = body.suffix
    prompt: Prompt = Plain(body.prompt)
    if suffix or (suffix is not None and not is_fim_layout(body.prompt)):
        prompt = Fim(prefix=body.prompt, suffix=suffix)
    return _ask(
        body,
        caller,
        kind=Kind.COMPLETE if isinstance(prompt, Fim) else _kind_of(body.prompt),
        prompt=prompt,
        tokens_max=body.limit(default=TEXT_TOKENS, most=tokens_max),
        expires_s=caller.expires_s(None),
    )


def chat_ask(body: ChatBody, caller: Caller, *, tokens_max: int) -> Ask:
    """What a conversation wants."""
    return _ask(
        body,
        caller,
        kind=Kind.CHAT,
        prompt=Chat(body.turns()),
        tokens_max=body.limit(default=CHAT_TOKENS, most=tokens_max),
        expires_s=caller.expires_s(None),
    )


def _ask(
    body: Generation,
    caller: Caller,
    *,
    kind: Kind,
    prompt: Prompt,
    tokens_max: int,
    **particulars: Any,
) -> Ask:
    """What they have in common.

    A warm-up keeps its kind, which decides the model that is warmed; a gap stays one, whatever its chain calls it.
    """
    warm = tokens_max == 0 and caller.klass is None
    temperature = CODE_TEMPERATURE if isinstance(prompt, Fim) else TEXT_TEMPERATURE
    return Ask(
        kind=kind if caller.kind is None or isinstance(prompt, Fim) else caller.kind,
        prompt=prompt,
        tokens_max=tokens_max,
        client=caller.name,
        model=body.model,
        klass=Class.SPECULATIVE if warm else caller.klass,
        sampling=body.sampling(temperature=temperature),
        stops=body.stops,
        constraint=body.constraint,
        tops=body.tops,
        link=caller.link,
        **particulars,
    )


def _kind_of(prompt: str) -> Kind:
    """What a raw prompt is for: a keystroke, laid out by its editor, or any text."""
    return Kind.COMPLETE if is_fim_layout(prompt) else Kind.GENERATE
