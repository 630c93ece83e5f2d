"""From a job's prompt to tokens: fill-in-the-middle by the model's own special tokens, chat by its own template.

Layouts are data, not code: the order of the parts is a word in the file's metadata (`hearth.fim_order`) and
prefix-suffix-middle where the file does not say. A chat template is a program from a stranger: it runs in
Jinja's immutable sandbox, with bounds on its size and its output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engines.engine import Chat, Chunk, Fim, Message, Plain, Prompt

TEMPLATE_CHARS_MAX = 200_000
RENDERED_CHARS_MAX = 4_000_000
NO_TOKEN = -1
CUTS = 4
"""The head of a window that is too long is cut in steps of a quarter, not token by token: a head that moved with
every key would make every cached prefix useless."""


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

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Tokenise text."""

    def piece(self, token: int) -> bytes:
        """Return a token's bytes."""


class PromptError(Exception):
    """The prompt cannot be laid out for this model; the message is for the caller and holds none of its text."""


class TooLongError(PromptError):
    """The prompt and the tokens asked for do not fit the context."""


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
        self._template = template

    def lay_out(self, prompt: Prompt, tokens_max: int) -> Layout:
        """Return the tokens of a prompt. PromptError where the model lacks what it takes, or it is too long."""
        room = self._context - tokens_max
        match prompt:
            case Fim():
                return self._fim(prompt, room)
            case Plain():
                tokens = self._vocabulary.tokenize(prompt.text, special=prompt.special)
            case Chat():
                tokens = self._vocabulary.tokenize(self.render(prompt.messages), special=True)
        if not (isinstance(prompt, Chat) and tokens[:1] == [self._vocabulary.bos]):
            tokens = self._bos() + tokens
        if not tokens:
            raise PromptError("the prompt is empty")
        if len(tokens) > room:
            raise TooLongError(
                f"the prompt has {len(tokens)} tokens and asks for {tokens_max} more; the context is {self._context}"
            )
        return Layout(tuple(tokens))

    def render(self, messages: Sequence[Message]) -> str:
        """Render a conversation with the model's own template."""
        if not self._template or len(self._template) > TEMPLATE_CHARS_MAX:
            raise PromptError(
                "this model has no chat template: ask it to complete, or configure a chat model"
            )
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        bos = (
            self._vocabulary.piece(self._vocabulary.bos)
            if self._vocabulary.bos != NO_TOKEN
            else b""
        )
        try:
            text = environment.from_string(self._template).render(
                messages=[{"role": m.role, "content": m.content} for m in messages],
                add_generation_prompt=True,
                bos_token=bos.decode("utf-8", "replace"),
                eos_token="",
                tools=None,
            )
        except (
            TemplateError,
            ArithmeticError,
            TypeError,
            ValueError,
            LookupError,
            AttributeError,
        ) as error:
            raise PromptError(
                f"the model's chat template refused: {type(error).__name__}"
            ) from error
        if len(text) > RENDERED_CHARS_MAX:
            raise TooLongError("the rendered conversation is too long")
        return text

    def _bos(self) -> list[int]:
        return [self._vocabulary.bos] if self._vocabulary.adds_bos else []

    def _fim(self, fim: Fim, room: int) -> Layout:
        ids = self._vocabulary.fim
        if not ids.usable:
            raise PromptError(
                "Infill is not supported by this model: it has no fill-in-the-middle tokens"
            )
        glued = self._order == "spm-glued"
        kept = fim.prefix.rstrip(" \t") if glued else fim.prefix
        healed = fim.prefix[len(kept) :]
        prefix, suffix = self._windows(kept, fim.suffix, room - 8 - len(self._bos()))
        spent = len(prefix) + len(suffix) + 8
        head = self._bos() + self._context_files(fim.chunks, room - spent)
        match self._order:
            case "spm-glued":
                body = [ids.prefix, ids.suffix, *suffix, ids.middle, *prefix]
            case "spm":
                body = [ids.suffix, *suffix, ids.prefix, *prefix, ids.middle]
            case _:
                body = [ids.prefix, *prefix, ids.suffix, *suffix, ids.middle]
        return Layout(tuple(head + body), healed)

    def _windows(
        self, prefix_text: str, suffix_text: str, room: int
    ) -> tuple[list[int], list[int]]:
        """Tokenise both sides and cut them to the room: a quarter at most for what follows the cursor."""
        if room < CUTS * 4:
            raise TooLongError(f"the context of {self._context} tokens leaves no room for a prompt")
        suffix = self._vocabulary.tokenize(suffix_text)[: room // 4]
        prefix = self._vocabulary.tokenize(prefix_text)
        most = room - len(suffix)
        if len(prefix) > most:
            step = most // CUTS
            over = len(prefix) - most
            prefix = prefix[(over + step - 1) // step * step :]
        return prefix, suffix

    def _context_files(self, chunks: Sequence[Chunk], room: int) -> list[int]:
        """Put other files in front, as the model was trained to see them; the last ones matter most."""
        ids, tokenize = self._vocabulary.fim, self._vocabulary.tokenize
        if not chunks:
            return []
        out: list[int] = []
        for chunk in reversed(chunks):
            if ids.separator != NO_TOKEN:
                part = [ids.separator, *tokenize(f"{chunk.filename or 'tmp'}\n{chunk.text}\n")]
            else:
                part = tokenize(f"\n\n--- snippet ---\n\n{chunk.text}\n")
            if len(part) + len(out) > room - 16:
                break
            out = part + out
        if ids.separator == NO_TOKEN or not out:
            return out
        name = [] if ids.repository == NO_TOKEN else [ids.repository, *tokenize("workspace\n")]
        return [*name, *out, ids.separator, *tokenize("filename\n")]


def _refuse(message: str) -> None:
    raise TemplateError(message)
