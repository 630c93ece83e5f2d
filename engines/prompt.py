"""From a job's prompt to tokens: fill-in-the-middle by the model's own special tokens, chat by its own template.

Layouts are data, not code: the order of the parts is a word in the file's metadata (`hearth.fim_order`) and
prefix-suffix-middle where the file does not say. Nothing is tokenised that surely does not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from engines.engine import Chat, Chunk, Fim, Message, Plain, Prompt
from engines.template import ChatTemplate, ChatTemplateError

NO_TOKEN = -1
ANSWER_SHARE = 4
"""One part in so many of the context is kept for the answer, if it asks for that much."""
CUTS = 4
"""The head of a window that is too long is cut in steps of a quarter, not token by token: a head that moved with
every key would make every cached prefix useless."""
TOKEN_CHARS_MAX = 256
"""No vocabulary has longer tokens: what is longer than all of the context's tokens cannot fit."""
FIM_TOKEN_CHARS_MAX = 16
"""A window is cut to so many characters a token before it is tokenised: code has about 3."""

Items = TypeVar("Items", str, list[int])


@dataclass(frozen=True, slots=True)
class FimTokens:
    """Special tokens of fill-in-the-middle; NO_TOKEN where the model has none."""

    prefix: int
    suffix: int
    middle: int
    repository: int = NO_TOKEN
    separator: int = NO_TOKEN

    @property
    def usable(self) -> bool:
        """Whether the three that matter are there."""
        return NO_TOKEN not in {self.prefix, self.suffix, self.middle}


class Vocabulary(Protocol):
    """What laying out needs of a model."""

    fim: FimTokens
    adds_bos: bool
    bos: int
    eos: int

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Tokenise text."""

    def written(self, token: int) -> str:
        """Return how a token is written in a prompt."""


class PromptError(Exception):
    """The prompt cannot be laid out for this model; the message is for the caller and holds none of its text."""


class TooLongError(PromptError):
    """The prompt leaves no room for an answer. `prompt_tokens` is 0 where it was not even counted."""

    def __init__(self, message: str, prompt_tokens: int = 0) -> None:
        super().__init__(message)
        self.prompt_tokens = prompt_tokens


@dataclass(frozen=True, slots=True)
class Layout:
    """A prompt as tokens, and the blanks that were dropped from its end (`TextStream` takes them off again)."""

    tokens: tuple[int, ...]
    healed: str = ""


class Layouter:
    """Lays prompts out for one model. `fim_order` is `psm`, `spm` or `spm-glued`."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        context: int,
        fim_order: str = "psm",
        template: str | None = None,
    ) -> None:
        self._vocabulary = vocabulary
        self._context = context
        self._order = fim_order
        self._template = template and ChatTemplate(
            template, bos=vocabulary.written(vocabulary.bos), eos=vocabulary.written(vocabulary.eos)
        )

    def lay_out(self, prompt: Prompt, tokens_max: int) -> Layout:
        """Return the tokens of a prompt. PromptError where the model lacks what it takes, or it is too long.

        At least a share of the context is kept for the answer, if it asks for that much. More is not: clients ask
        for more tokens than they expect, and mean "until you are done".
        """
        room = self._context - min(tokens_max, self._context // ANSWER_SHARE)
        healed = ""
        if isinstance(prompt, Fim):
            tokens, healed = self._fim(prompt, room)
        else:
            tokens = self._whole(prompt)
        if not tokens:
            raise PromptError("the prompt is empty")
        if len(tokens) > room:
            raise TooLongError(
                f"the prompt has {len(tokens)} tokens; the context is {self._context} with the answer",
                len(tokens),
            )
        return Layout(tuple(tokens), healed)

    def answer_tokens(self, layout: Layout, tokens_max: int) -> int:
        """Return how many tokens may follow a layout: those asked for, or what is left of the context."""
        return min(tokens_max, self._context - len(layout.tokens))

    def render(self, messages: Sequence[Message]) -> str:
        """Render a conversation with the model's own template."""
        if not self._template:
            raise PromptError(
                "this model has no chat template: ask it to complete, or configure a chat model"
            )
        try:
            return self._template.render(messages)
        except ChatTemplateError as error:
            raise PromptError(str(error)) from error

    def _whole(self, prompt: Plain | Chat) -> list[int]:
        """Tokenise a text that must fit as a whole; one that surely does not is not looked at."""
        text = prompt.text if isinstance(prompt, Plain) else self.render(prompt.messages)
        if len(text) > self._context * TOKEN_CHARS_MAX:
            raise TooLongError(
                f"the prompt has {len(text)} characters; the context is {self._context} tokens"
            )
        special = not isinstance(prompt, Plain) or prompt.special
        tokens = self._vocabulary.tokenize(text, special=special)
        begun = isinstance(prompt, Chat) and tokens[:1] == [self._vocabulary.bos]
        return tokens if begun else self._bos() + tokens

    def _bos(self) -> list[int]:
        return [self._vocabulary.bos] if self._vocabulary.adds_bos else []

    def _fim(self, fim: Fim, room: int) -> tuple[list[int], str]:
        ids = self._vocabulary.fim
        if not ids.usable:
            raise PromptError(
                "Infill is not supported by this model: it has no fill-in-the-middle tokens"
            )
        glued = self._order == "spm-glued"
        kept = fim.prefix.rstrip(" \t") if glued else fim.prefix
        healed = fim.prefix[len(kept) :]
        head = self._bos()
        prefix, suffix = self._windows(kept, fim.suffix, room - 3 - len(head))
        left = room - 3 - len(head) - len(prefix) - len(suffix)
        head += self._context_files(fim.chunks, left)
        match self._order:
            case "spm-glued":
                body = [ids.prefix, ids.suffix, *suffix, ids.middle, *prefix]
            case "spm":
                body = [ids.suffix, *suffix, ids.prefix, *prefix, ids.middle]
            case _:
                body = [ids.prefix, *prefix, ids.suffix, *suffix, ids.middle]
        return head + body, healed

    def _windows(
        self, prefix_text: str, suffix_text: str, room: int
    ) -> tuple[list[int], list[int]]:
        """Tokenise both sides and cut them to the room: a quarter at most for what follows the cursor."""
        if room < CUTS * 4:
            raise TooLongError(f"the context of {self._context} tokens leaves no room for a prompt")
        tokenize = self._vocabulary.tokenize
        suffix = tokenize(suffix_text[: room // 4 * FIM_TOKEN_CHARS_MAX])[: room // 4]
        prefix = tokenize(_tail(prefix_text, room * FIM_TOKEN_CHARS_MAX))
        return _tail(prefix, room - len(suffix)), suffix

    def _context_files(self, chunks: Sequence[Chunk], room: int) -> list[int]:
        """Put other files in front, as the model was trained to see them; the last ones matter most."""
        ids, tokenize = self._vocabulary.fim, self._vocabulary.tokenize
        marked = ids.separator != NO_TOKEN
        name = [ids.repository, *tokenize("workspace\n")] if ids.repository != NO_TOKEN else []
        own = [ids.separator, *tokenize("filename\n")]
        left = room - (len(name) + len(own) if marked else 0)
        out: list[int] = []
        for chunk in reversed(chunks):
            if len(chunk.text) > left * FIM_TOKEN_CHARS_MAX:
                break
            if marked:
                part = [ids.separator, *tokenize(f"{chunk.filename or 'tmp'}\n{chunk.text}\n")]
            else:
                part = tokenize(f"\n\n--- snippet ---\n\n{chunk.text}\n")
            if len(part) > left:
                break
            out = part + out
            left -= len(part)
        return [*name, *out, *own] if marked and out else out


def _tail(items: Items, most: int) -> Items:
    """Keep the end, cutting the head in whole steps."""
    step = most // CUTS
    over = len(items) - most
    return items[(over + step - 1) // step * step :] if over > 0 else items
