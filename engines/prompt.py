"""From a job's prompt to tokens: fill-in-the-middle by the model's own special tokens, chat by its own template.

How the gap and other files are laid out is data (`engines/fim_format.py`). What a document says is text, whatever it
looks like: only the layout puts special tokens in. Nothing is tokenised that surely does not fit.

The head of a prompt must not move with every key, or every cached prefix would be useless. So other files come first,
and both their room and the window's head change in steps, which the text before the cursor crosses rarely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from engines.engine import Chat, Embed, Fim, Message, Plain, Prompt
from engines.fim_format import NEUTRAL, QWEN, Where, format_of
from engines.literal import Literal, first_lines
from engines.template import ChatTemplate, ChatTemplateError

NO_TOKEN = -1
ANSWER_SHARE = 4
"""One part in so many of the context is kept for the answer, if it asks for that much."""
CUTS = 4
"""The head of a window that is too long is cut in steps of a quarter of the room, not token by token."""
SUFFIX_SHARE = 4
"""One part in so many of the document's own window is for what follows the cursor, at most."""
FILES_SHARE = 8
"""One part in so many of the room is kept for other files, where there are any. In all the rest the document's own
window comes first; what it leaves is for the files, too."""
FILES_STEPS = 32
"""The room that the window leaves for other files is counted in steps of one part in so many, and the cursor's line
counts as a whole step: only a line's end, and not every one, moves what stands before it."""
LINE_ENDS = ("Ċ", "\n", "<0x0A>")
"""How vocabularies write a line feed."""
FILE_TOKENS_MIN = 32
"""With less room no file is begun: so little of it would tell nothing."""
TOKEN_CHARS_MAX = 256
"""No vocabulary has longer tokens: what is longer than all of the context's tokens cannot fit."""
FIM_TOKEN_CHARS_MAX = 16
"""A window is cut to so many characters a token before it is tokenised: code has about 3."""
NAME_CHARS_MAX = 256
PROJECT, DOCUMENT, FILE = "workspace", "filename", "tmp"
"""What they are called where the caller names none."""

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
    """Lays prompts out for one model.

    `fim_order` is `psm`, `spm` or `spm-glued`; empty: as the model's family has it. `name` is what the file calls
    the model, for families that their tokens do not tell.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        context: int,
        fim_order: str = "",
        name: str = "",
        template: str | None = None,
    ) -> None:
        self._vocabulary = vocabulary
        self._context = context
        family = format_of(lambda written: self._find(written) != NO_TOKEN, name)
        # A file that names a separator itself says with it how files are separated.
        separated = family is NEUTRAL and vocabulary.fim.separator != NO_TOKEN
        self._format = QWEN if separated else family
        self._order = fim_order or self._format.order
        self._ids = self._fim_tokens()
        self._literal = self._literally()
        self._template = template and ChatTemplate(
            template, bos=vocabulary.written(vocabulary.bos), eos=vocabulary.written(vocabulary.eos)
        )

    @property
    def fills_middle(self) -> bool:
        """Whether the model has the tokens that its family marks a gap with."""
        needed = {self._ids.prefix, self._ids.suffix}
        if self._format.middle or self._format is NEUTRAL:
            needed.add(self._ids.middle)
        return NO_TOKEN not in needed

    @property
    def file_ends(self) -> frozenset[int]:
        """Tokens with which a model begins another file: what it has to say of this one has ended before them."""
        return frozenset({self._ids.repository, self._ids.separator} - {NO_TOKEN})

    def lay_out(self, prompt: Prompt, tokens_max: int) -> Layout:
        """Return the tokens of a prompt. PromptError where the model lacks what it takes, or it is too long.

        At least a share of the context is kept for the answer, if it asks for that much. More is not: clients ask
        for more tokens than they expect, and mean "until you are done". Who asks for less than none gets none.
        """
        if isinstance(prompt, Embed):
            raise PromptError(
                "this model writes text: it makes no vectors. Name an embedding model"
            )
        room = self._context - min(max(tokens_max, 0), self._context // ANSWER_SHARE)
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
        return min(max(tokens_max, 0), self._context - len(layout.tokens))

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

    # --- fill in the middle -------------------------------------------------------------------------

    def _fim(self, fim: Fim, room: int) -> tuple[list[int], str]:
        if not self.fills_middle:
            raise PromptError(
                "Infill is not supported by this model: it has no fill-in-the-middle tokens"
            )
        kept = fim.prefix.rstrip(" \t") if self._order == "spm-glued" else fim.prefix
        head = self._bos()
        room -= len(head) + 3
        if room < CUTS * 4:
            raise TooLongError(f"the context of {self._context} tokens leaves no room for a prompt")
        own_room = room - room // FILES_SHARE if fim.chunks else room
        prefix, suffix = self._window(kept, fim.suffix, own_room)
        taken = self._taken(prefix, len(suffix), room)
        ahead, inside = self._files(fim, room - min(taken, own_room))
        body = self._gap([*inside, *prefix], suffix)
        return [*head, *ahead, *body], fim.prefix[len(kept) :]

    def _gap(self, prefix: list[int], suffix: list[int]) -> list[int]:
        ids = self._ids
        middle = [ids.middle] if ids.middle != NO_TOKEN else []
        match self._order:
            case "spm-glued":
                return [ids.prefix, ids.suffix, *suffix, *middle, *prefix]
            case "spm":
                return [ids.suffix, *suffix, ids.prefix, *prefix, *middle]
            case _:
                return [ids.prefix, *prefix, ids.suffix, *suffix, *middle]

    def _window(self, before: str, after: str, room: int) -> tuple[list[int], list[int]]:
        """Tokenise both sides and cut them to the room."""
        tokens, share = self._literal.tokens, room // SUFFIX_SHARE
        suffix = tokens(after[: share * FIM_TOKEN_CHARS_MAX])[:share]
        chars = room * FIM_TOKEN_CHARS_MAX
        prefix = tokens(_tail(before, chars, chars // CUTS))
        return _tail(prefix, room - len(suffix), room // CUTS), suffix

    def _taken(self, prefix: list[int], suffix_tokens: int, room: int) -> int:
        """What the window takes of the files' room: the same for every key of the cursor's line.

        One that may have been cut takes all it may: it will soon have grown to that again.
        """
        step = max(1, room // FILES_STEPS)
        written = map(self._vocabulary.written, reversed(prefix))
        ends = (any(end in piece for end in LINE_ENDS) for piece in written)
        line = next((n for n, ends_line in enumerate(ends) if ends_line), len(prefix))
        above = len(prefix) - line + suffix_tokens
        taken = (-(-above // step) + max(1, -(-line // step))) * step
        return taken if taken <= room - room // FILES_SHARE - room // CUTS else room

    def _files(self, fim: Fim, room: int) -> tuple[list[int], list[int]]:
        """Lay other files out: what stands ahead of the gap, and what stands inside its prefix.

        The last ones matter most: they are nearest to the cursor, and the first ones have to do without room.
        """
        project, own_mark, own_name = self._project(fim), self._separator(), self._own_name(fim)
        left = room - len(project) - len(own_mark) - len(own_name)
        chars_left = left * FIM_TOKEN_CHARS_MAX
        files: list[int] = []
        for chunk in reversed(fim.chunks):
            if left < FILE_TOKENS_MIN:
                break
            text = first_lines(chunk.text, chars_left)
            chars_left -= len(text)
            file = self._file(chunk.filename or FILE, text, left)
            files[:0] = file
            left -= len(file)
        if not files:
            return [], []
        match self._format.where:
            case Where.AHEAD:
                return [*project, *files, *own_mark, *own_name], []
            case Where.PATH_INSIDE:
                return [*project, *files, *own_mark], own_name
            case Where.INSIDE:
                return [], [*files, *own_mark, *own_name]

    def _file(self, path: str, text: str, room: int) -> list[int]:
        """As many whole lines from its beginning as fit, under its heading; nothing where none does."""
        if not text.strip():
            return []
        mark, heading = self._separator(), self._heading(path)
        end = self._format.ending if text.endswith("\n") else "\n" + self._format.ending
        lines = self._literal.whole_lines(heading, text + end, room - len(mark))
        return [*mark, *lines] if lines else []

    def _project(self, fim: Fim) -> list[int]:
        ids, name = self._ids, (fim.repository or PROJECT)[-NAME_CHARS_MAX:]
        if NO_TOKEN in {ids.repository, ids.separator}:
            return []
        return [ids.repository, *self._literal.tokens(name + self._format.repository_end)]

    def _own_name(self, fim: Fim) -> list[int]:
        """The document's own heading, in families that name their files."""
        if self._format is NEUTRAL:
            return []
        return self._literal.tokens(self._heading(fim.filename or DOCUMENT))

    def _heading(self, path: str) -> str:
        return self._format.heading.format(path=path[-NAME_CHARS_MAX:])

    def _separator(self) -> list[int]:
        return [self._ids.separator] if self._ids.separator != NO_TOKEN else []

    # --- special tokens -----------------------------------------------------------------------------

    def _fim_tokens(self) -> FimTokens:
        """Those that the file or llama.cpp names; else those of the family."""
        form, known = self._format, self._vocabulary.fim

        def either(number: int, written: str) -> int:
            return self._find(written) if number == NO_TOKEN else number

        return FimTokens(
            prefix=either(known.prefix, form.prefix),
            suffix=either(known.suffix, form.suffix),
            middle=either(known.middle, form.middle),
            repository=either(known.repository, form.repository),
            separator=either(known.separator, form.separator),
        )

    def _find(self, written: str) -> int:
        """Return the one token that is written so; NO_TOKEN where there is none."""
        tokens = self._vocabulary.tokenize(written, special=True)
        one = len(tokens) == 1 and self._vocabulary.written(tokens[0]) == written
        return tokens[0] if one else NO_TOKEN

    def _literally(self) -> Literal:
        ids, vocabulary = self._ids, self._vocabulary
        special = {
            ids.prefix, ids.suffix, ids.middle, ids.repository, ids.separator,
            vocabulary.bos, vocabulary.eos,
        } - {NO_TOKEN}  # fmt: skip
        return Literal(vocabulary.tokenize, {token: vocabulary.written(token) for token in special})


def _tail(items: Items, most: int, step: int) -> Items:
    """Keep the end, cutting the head in whole steps."""
    over = len(items) - most
    return items[-(-over // step) * step :] if over > 0 else items
