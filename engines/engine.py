"""What an engine is to the rest of Hearth: jobs go in, frames come out, in order, through one callback.

An engine serves one model. `process.ProcessEngine` runs llama.cpp in a worker process, `fake.FakeEngine`
runs nothing; both pass `tests/engines/test_contract.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import msgspec

GAP_S_MAX = 60.0
"""The longest pause between tokens of a request that was promised none."""


class Chunk(msgspec.Struct, frozen=True):
    """A piece of another file, given to the model as context."""

    text: str
    filename: str = ""


class Fim(msgspec.Struct, frozen=True, tag="fim"):
    """Fill in the middle, laid out by the model's own special tokens."""

    prefix: str
    suffix: str
    chunks: tuple[Chunk, ...] = ()
    single_line: bool = False
    repository: str = ""
    """Name of the project, where the model was trained to see one; empty for an invented one."""
    filename: str = ""
    """Path of the document within the project, for models that were trained to see it."""


class Plain(msgspec.Struct, frozen=True, tag="plain"):
    """A raw prompt. Special tokens written in it are parsed only if `special`."""

    text: str
    special: bool = True


class Message(msgspec.Struct, frozen=True):
    """One turn of a conversation."""

    role: str
    content: str


class Chat(msgspec.Struct, frozen=True, tag="chat"):
    """A conversation, rendered with the model's own chat template."""

    messages: tuple[Message, ...]


class Embed(msgspec.Struct, frozen=True, tag="embed"):
    """A text of which a vector is wanted. What looks like a special token in it is text."""

    text: str


Prompt: TypeAlias = Fim | Plain | Chat | Embed


class Sampling(msgspec.Struct, frozen=True):
    """How the next token is chosen. The defaults are greedy; temperature 0 always is."""

    temperature: float = 0.0
    top_k: int = 40
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    penalty_tokens: int = 64
    infill: bool = False
    """Prefer ending the middle when the end tokens together outweigh the text (llama.cpp's infill sampler)."""
    ignore_eos: bool = False
    logit_bias: tuple[tuple[int, float], ...] = ()


class Constraint(msgspec.Struct, frozen=True):
    """What the answer must match: `kind` is "gbnf" (llama.cpp's grammars) or "json_schema"; `text` its source."""

    kind: str
    text: str


class Job(msgspec.Struct, frozen=True):
    """Everything a worker must know to serve one request. It does not know what a class is.

    `urgency` is larger for what should go first; `slack_s` is the time it can spare before its first token is
    late, `gap_s` the longest pause between two tokens it was promised. `sent` are the tokens
    that a former worker already emitted: generation goes on behind them and repeats none (ENGINE.md 19, 22).
    `tokens_max` counts from the very first token, `sent` included.
    """

    request_id: int
    prompt: Prompt
    tokens_max: int
    sampling: Sampling = Sampling()
    stops: tuple[str, ...] = ()
    urgency: float = 0.0
    slack_s: float = 0.0
    gap_s: float = GAP_S_MAX
    alone: bool = False
    sent: tuple[int, ...] = ()
    parked: int | None = None
    """Handle of the KV that was parked when it last stopped; restoring it may fail, and costs only time then."""
    constraint: Constraint | None = None
    logprobs: bool = False
    """Whether `Emitted.logprob` is computed: it takes a pass over the vocabulary for each token."""
    tops: int | None = None
    """How many likeliest tokens `Emitted.scores` names beside each token; None for no scores at all."""
    predict_s_max: float | None = None
    """Stop (as if by the token limit) when generating has taken this long, but never before a first token."""


class StopType(msgspec.Struct, frozen=True):
    """Why generation ended: `kind` is "eos", "limit" or "word"; `word` the stop string that was met."""

    kind: str
    word: str = ""


class Timings(msgspec.Struct, frozen=True):
    """What a finished request cost, in the worker's own monotonic time."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    emitted_tokens: int = 0
    queued_ms: float = 0.0
    """From the frame's arrival in the worker to the first step that held it."""
    prompt_ms: float = 0.0
    """From that step to the first token."""
    predict_ms: float = 0.0
    """From the first token to the last."""
    shifted_tokens: int = 0
    """Of the cached tokens, those whose cells were computed behind another prefix: an approximation (ENGINE.md 14)."""


class Prepared(msgspec.Struct, frozen=True, tag="prepared"):
    """The prompt was tokenised; `cached_tokens` of it are in the cache now (an estimate until it runs)."""

    request_id: int
    prompt_tokens: int
    cached_tokens: int


class Likely(msgspec.Struct, frozen=True):
    """A token, its bytes, and its natural log-probability before sampling's changes."""

    token: int
    piece: bytes
    logprob: float


class Score(msgspec.Struct, frozen=True):
    """How likely an emitted token was, and the likeliest ones in its place, best first."""

    chosen: Likely
    tops: tuple[Likely, ...] = ()


class Emitted(msgspec.Struct, frozen=True):
    """What one step gave one request. `text` is whole characters and may be empty (held back)."""

    request_id: int
    tokens: tuple[int, ...]
    text: str
    logprob: float
    """Sum of the natural log-probabilities of these tokens before sampling's changes; 0 unless asked for."""
    scores: tuple[Score, ...] = ()
    """One for each token, where `Job.tops` asked for them."""


class Stepped(msgspec.Struct, frozen=True, tag="stepped"):
    """One step: all of its tokens in one frame (ENGINE.md 2)."""

    emitted: tuple[Emitted, ...]
    prefilled_tokens: int
    duration_s: float
    used_cells: int


class Parked(msgspec.Struct, frozen=True):
    """KV that left the cache and belongs to the daemon now: `handle` finds it on the shelf (ENGINE.md 18)."""

    handle: int
    tokens: int
    size_bytes: int


class Stopped(msgspec.Struct, frozen=True, tag="stopped"):
    """The engine no longer works on the request; its sequence is free.

    `halt` is a value of `policies.messages.Halt`; `detail` says what was wrong, in words for the caller,
    without any of the prompt's text. `text` is what was held back and turned out to be no stop string.
    """

    request_id: int
    halt: str
    stop: StopType | None = None
    text: str = ""
    timings: Timings = Timings()
    detail: str = ""
    too_long: bool = False
    vector: bytes = b""
    """Of an `Embed` that is done: float32 numbers, little-endian, of length 1 as a vector."""
    parked: Parked | None = None
    """What was saved of a request that was parked; None where nothing could be."""


class Loading(msgspec.Struct, frozen=True, tag="loading"):
    """Progress of a load, 0 to 1, and which rung of the ladder is being tried."""

    progress: float
    rung: str


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """The model takes jobs from now on."""

    rung: str
    sequences: int
    context_tokens: int
    """Cells one request may use."""
    load_s: float
    used_bytes: int
    fim: bool
    chat: bool
    embeds: int = 0
    """Numbers in the vectors it makes; 0 for a model that writes. No model does both."""
    architecture: str = ""
    parameters: int = 0
    file_bytes: int = 0
    quantisation: str = ""
    languages: tuple[str, ...] = ()
    can_trim: bool = True
    """Whether the end of a sequence can be dropped: not in recurrent models (ENGINE.md 17)."""
    can_shift: bool = True
    """Whether cells can change their position."""
    can_abort: bool = True
    """Whether a step can be broken off inside: on the processor only (ENGINE.md 9)."""


class LoadFailed(msgspec.Struct, frozen=True, tag="load_failed"):
    """The model cannot be loaded; `detail` says why and what to do."""

    detail: str


class Unloaded(msgspec.Struct, frozen=True, tag="unloaded"):
    """The engine has closed as it was asked to."""


class Died(msgspec.Struct, frozen=True, tag="died"):
    """The worker is gone unasked. `inside`: the requests of the step it died in; `detail`: exit code or signal."""

    inside: tuple[int, ...]
    detail: str


Frame: TypeAlias = Prepared | Stepped | Stopped | Loading | Loaded | LoadFailed | Unloaded | Died
Receive: TypeAlias = Callable[[Frame], None]


class Usage(msgspec.Struct, frozen=True):
    """Memory an engine uses now, bytes: private to its process, mapped weights, and on devices."""

    private_bytes: int = 0
    mapped_bytes: int = 0
    device_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """All of it; resident size alone would count page cache (ENGINE.md 25)."""
        return self.private_bytes + self.mapped_bytes + self.device_bytes


class Engine(Protocol):
    """One model's engine. Every method returns at once; what comes of it arrives as frames on the loop."""

    def load(self) -> None:
        """Begin to load: `Loading` frames, then one `Loaded`, `LoadFailed` or `Died`."""

    def submit(self, job: Job) -> None:
        """Take a job: `Prepared`, then frames that emit, then one `Stopped` (or `Died` for them all)."""

    def stop(self, request_id: int) -> None:
        """Take a job back: `Stopped` follows within one step, unless it crossed one already."""

    def park(self, request_id: int) -> None:
        """Take a job back and keep its KV on the shelf: `Stopped(parked)` follows, unless it crossed another."""

    def pause(self, below: float, progress_s: float) -> None:
        """Let work less urgent than `below` rest, for work in another engine; a step of it is broken off if that is worth it.

        What is held back still makes a step once in `progress_s`, should the pause last so long. A pause takes the
        place of the one before, and a load forgets it.
        """

    def unpause(self) -> None:
        """Let everything go on."""

    def unload(self) -> None:
        """End: `Unloaded` follows when the process has exited."""

    def usage(self) -> Usage:
        """What it uses now; zero when nothing is loaded."""

    def kill(self) -> None:
        """End at once, without a frame; for the last moments of the daemon."""
