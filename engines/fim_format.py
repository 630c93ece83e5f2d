"""How each family of models was trained to see a gap in a file, and other files around it. Data, and one choice.

Sources: the model cards and papers of the families (StarCoder 2: arXiv 2402.19173, section 5.1; Qwen2.5-Coder's and
DeepSeek-Coder's read-me files; Mellum's card), and for Codestral and Seed-Coder what Continue and Zed send.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto


class Where(Enum):
    """Where other files stand."""

    AHEAD = auto()
    """Before the gap, and the document's own path behind them."""
    PATH_INSIDE = auto()
    """Before the gap; the document's own path begins its prefix."""
    INSIDE = auto()
    """In the prefix, and the document's own path behind them."""


@dataclass(frozen=True, slots=True)
class FimFormat:
    """One family. Tokens are named as they are written; an empty name: the family has none."""

    prefix: str = ""
    suffix: str = ""
    middle: str = ""
    order: str = "psm"
    repository: str = ""
    """Token before the project's name, which only stands before files that are separated by a token."""
    repository_end: str = ""
    separator: str = ""
    """Token before each file."""
    heading: str = "{path}\n"
    """Text before each file, and before the document itself where it has a path in it."""
    ending: str = ""
    """Text behind each file's last line."""
    where: Where = Where.AHEAD
    model: str = ""
    """Part of the model's own name, for a family that its tokens do not tell from others."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """All that a vocabulary must have to be of this family."""
        named = (self.prefix, self.suffix, self.middle, self.repository, self.separator)
        return tuple(name for name in named if name)


_QWEN_GAP = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
_STARCODER_GAP = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")

QWEN = FimFormat(
    *_QWEN_GAP, repository="<|repo_name|>", repository_end="\n", separator="<|file_sep|>"
)
CODEGEMMA = FimFormat(*_QWEN_GAP, separator="<|file_separator|>")
MELLUM = FimFormat(*_STARCODER_GAP, order="spm", separator="<filename>", model="mellum")
STARCODER2 = FimFormat(
    *_STARCODER_GAP, repository="<repo_name>", separator="<file_sep>", where=Where.PATH_INSIDE
)
DEEPSEEK = FimFormat(
    "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>",  # noqa: RUF001 -- so they are written
    heading="#{path}\n", ending="\n", where=Where.INSIDE,
)  # fmt: skip
CODESTRAL = FimFormat(
    "[PREFIX]", "[SUFFIX]",
    order="spm", heading="+++++ {path}\n", ending="\n", where=Where.INSIDE,
)  # fmt: skip
SEED_CODER = FimFormat(
    "<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>",
    order="spm", separator="<filename>", ending="\n", where=Where.INSIDE,
)  # fmt: skip
NEUTRAL = FimFormat(heading="\n\n--- snippet ---\n\n")
"""For everybody else, as llama-server does it."""

FORMATS = (
    MELLUM,
    STARCODER2,
    CODEGEMMA,
    QWEN,
    DEEPSEEK,
    CODESTRAL,
    SEED_CODER,
)


def format_of(has: Callable[[str], bool], model: str) -> FimFormat:
    """The first format all of whose tokens the vocabulary has; `model` is the model's own name."""
    name = model.lower()
    fitting = (form for form in FORMATS if form.model in name and all(map(has, form.tokens)))
    return next(fitting, NEUTRAL)
