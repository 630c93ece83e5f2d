"""What goes into the next step. It sees urgency and slack as numbers, not classes.

A step is one rectangle: some sequences with the same number of tokens each. llama.cpp would cut anything else into
rectangles and stream all weights for each of them (ENGINE.md), so a decode step and a prompt's chunk are two steps.

1. Nothing shares a step with a sequence that must run alone (it may be the one that kills the worker).
2. Of the prompts, the most urgent is next, then the one with the least slack, then the lowest id.
3. A prompt that is more urgent than every decoding row goes before them, in chunks that leave each row time to
   decode before its pause (`gap_s`) is over; when a pause is used up, a decode step comes in between.
4. A prompt as urgent as they are alternates with them: a decode step, then a chunk that their pauses allow.
5. What is less urgent than a decoding row has its turns, once in `TURN_STEPS` steps without it: a chunk, and two
   steps later a decode step with the lesser rows. The chunk costs a more urgent row no more than its pause
   or, where it was promised none, the quantum. Lesser rows whose own pause would be over come every second step.
6. A chunk is never shorter than `CHUNK_TOKENS_MIN`, so that a prompt goes on whatever was promised. A chunk that
   something more urgent may meet fits the quantum, unless it can be broken off. Then it is as short as it may be at full
   speed (policies/chunk.py), but the whole budget where somebody waits for the prompt and nothing was broken off lately.
7. Equally urgent prompts of the same length go together if one step is clearly shorter than one for each.
8. Equally urgent decoding rows go in the width that gives most tokens a second by what was measured (policies/width.py):
   all together, or fewer in turns (who decoded longest ago, then the lowest id), or padded with idle rows.
9. Lesser rows come along where the step is not noticeably longer for it.

So, as long as no prompt is more urgent: every decoding row is served once in `2 * (TURN_STEPS + 1) * rows` steps,
the prompt that is next has a chunk once in `2 * (TURN_STEPS + 1)`, and the most urgent rows never wait for two lesser
steps in a row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from policies.baselines import SLACK_S_MAX, urgency
from policies.chunk import CALM_CHUNKS, short_chunk
from policies.request import Class
from policies.step_time import StepTimes
from policies.width import best_width, free_width

CHUNK_TOKENS_MIN = 8
TURN_STEPS = 12
"""Steps that more urgent rows have between two turns of lesser ones."""
PROMPT_TURN = TURN_STEPS - 2
"""A lesser prompt's turn is a step apart from the lesser rows': nobody waits for two lesser steps in a row."""
URGENCY_MAX = urgency(Class.INTERACTIVE)
"""Nothing is more urgent: a chunk of such a prompt is met by nobody it would have to make way for."""
LOOSE_S = 5.0
"""Nobody looks at the screen for the first token of a prompt that can spare more."""
SHARED_MAX = 0.75
"""Prompts go together if that takes at most this part of their time one by one: the first of them waits for it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One running sequence."""

    id: int
    waiting_tokens: int
    """Tokens that are not evaluated yet."""
    decoding: bool
    """Whether its one waiting token was drawn a step ago."""
    urgency: float = 0.0
    slack_s: float = 0.0
    """Seconds that it can spare before its first token is late."""
    gap_s: float = SLACK_S_MAX
    """The longest pause between two tokens that it was promised."""
    waited_s: float = 0.0
    """Since its last token, or since it was admitted."""
    alone: bool = False
    cells: int = 0
    """Tokens that are evaluated: the length of its cache."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many of its waiting tokens a sequence evaluates in this step."""

    id: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Turns:
    """What the next plan must know of the steps before it."""

    prefilled: bool = False
    """Whether the last step was a prompt's."""
    held_back: int = 0
    """Steps since the last turn of lesser rows; 0 where nothing less urgent is kept out."""
    decodes: int = 0
    """Decode steps so far."""
    chunks: int = CALM_CHUNKS
    """Chunks since a step was broken off."""
    broken: float = -math.inf
    """The urgency of that step."""
    owed: float = -math.inf
    """The same, until such work has made a step: that one is not broken off (ENGINE.md 11)."""
    order: tuple[int, ...] = ()
    """The decoding rows, who decoded longest ago first. Clocks cannot say it: rows of one step differ by their sampling."""

    def after_abort(self, urgency: float) -> Turns:
        """A step of that urgency was broken off."""
        return replace(self, chunks=0, broken=urgency, owed=urgency)

    def after_step(self, urgency: float) -> Turns:
        """A step of that urgency ran to its end."""
        return replace(self, owed=-math.inf) if urgency <= self.owed else self


@dataclass(frozen=True, slots=True)
class Step:
    """One rectangle: shares of the same number of tokens, and so many throwaway rows of one token."""

    shares: tuple[Share, ...]
    pads: int = 0
    turns: Turns = Turns()
    """For the next plan, once this step has run."""


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a plan is made by."""

    budget_tokens: int
    times: StepTimes
    quantum_s: float
    can_abort: bool
    idle_rows: int
    turns: Turns


def plan(
    rows: Sequence[Row],
    *,
    budget_tokens: int,
    times: StepTimes,
    quantum_s: float,
    can_abort: bool,
    idle_rows: int,
    turns: Turns,
) -> Step:
    """Choose the next step; it is empty only where there are no rows.

    `can_abort`: whether the backend can break this step off. `idle_rows` are sequences that nobody uses, for padding. Pass `turns` of the last step that ran.
    """
    terms = _Terms(budget_tokens, times, quantum_s, can_abort, idle_rows, turns)
    rows = [row for row in rows if row.alone][:1] or rows  # 1
    if not rows:
        return Step((), turns=turns)
    decoding = _in_turn([row for row in rows if row.decoding], turns.order)
    prompts = sorted(
        (row for row in rows if not row.decoding),
        key=lambda row: (-row.urgency, row.slack_s, row.id),  # 2
    )
    if prompts and (limit := _chunk_max(prompts[0], decoding, terms)):
        return _prefill(prompts, decoding, limit, terms)
    return _decode(decoding, prompts, terms)


# --- prompts ----------------------------------------------------------------------------------------


def _chunk_max(first: Row, decoding: Sequence[Row], terms: _Terms) -> int:
    """The most tokens of a prefill step that may come now; 0 where a decode step comes before it."""
    own = _own_chunk_max(first, terms)
    if not decoding:
        return own
    top = max(row.urgency for row in decoding)
    turns = terms.turns
    if first.urgency == top and turns.prefilled:
        return 0  # 4
    if first.urgency < top and turns.held_back != PROMPT_TURN:
        return 0  # 5
    fits = _fitting_pauses(first, decoding, terms)
    least = _chunk_min(terms)
    if first.urgency > top and turns.prefilled and fits < min(least, first.waiting_tokens):
        return 0  # 3
    return min(own, max(fits, least))


def _own_chunk_max(first: Row, terms: _Terms) -> int:
    """Rule 6."""
    if first.urgency >= URGENCY_MAX:
        return terms.budget_tokens
    turns = terms.turns
    calm = turns.chunks >= CALM_CHUNKS or first.urgency > turns.broken
    may_abort = terms.can_abort and first.urgency > turns.owed
    if may_abort and calm and first.slack_s <= LOOSE_S:
        return terms.budget_tokens
    if may_abort:
        return short_chunk(
            terms.times,
            budget_tokens=terms.budget_tokens,
            cells=first.cells,
            calm=calm,
        )
    tokens = terms.times.tokens_within(
        terms.quantum_s, tokens_max=terms.budget_tokens, cells=first.cells
    )
    return min(terms.budget_tokens, max(tokens, _chunk_min(terms)))


def _chunk_min(terms: _Terms) -> int:
    return min(CHUNK_TOKENS_MIN, terms.budget_tokens)


def _fitting_pauses(first: Row, decoding: Sequence[Row], terms: _Terms) -> int:
    """The most tokens after which every decoding row still has its token in time."""
    decode_s = terms.times.predict(
        rows=len(decoding), tokens_each=1, longest_cells=_cells(decoding)
    )
    spare_s = min(_spare_s(row, first, decode_s, terms.quantum_s) for row in decoding)
    return terms.times.tokens_within(spare_s, tokens_max=terms.budget_tokens, cells=first.cells)


def _spare_s(row: Row, first: Row, decode_s: float, quantum_s: float) -> float:
    """How long a decoding row can wait for a prompt's chunk, so that its token comes in time behind it."""
    if row.urgency < first.urgency and row.gap_s <= decode_s:
        return SLACK_S_MAX  # no step could keep this promise: it does not bind what is more urgent
    left_s = row.gap_s - row.waited_s - decode_s
    promised = row.gap_s < SLACK_S_MAX
    return left_s if promised or row.urgency <= first.urgency else min(left_s, quantum_s)


def _prefill(prompts: Sequence[Row], decoding: Sequence[Row], limit: int, terms: _Terms) -> Step:
    """The first prompt's chunk, with others of its size beside it (rule 7)."""
    first = prompts[0]
    tokens = min(first.waiting_tokens, limit)
    peers = [
        row for row in prompts if row.urgency == first.urgency and row.waiting_tokens == tokens
    ][: limit // tokens]
    if len(peers) < 2 or not _shorter_together(peers, tokens, terms.times):
        peers = [first]
    shares = tuple(Share(row.id, tokens) for row in peers)
    turns = replace(
        terms.turns,
        prefilled=True,
        chunks=terms.turns.chunks + 1,
        held_back=_held_back(prompts, decoding, terms),
    )
    return Step(shares, turns=turns)


def _held_back(prompts: Sequence[Row], decoding: Sequence[Row], terms: _Terms) -> int:
    """The count after the first prompt's chunk: its turn is over, or nobody is kept out any more."""
    held_back, least = terms.turns.held_back, prompts[-1].urgency
    if decoding:
        return held_back + any(row.urgency > prompts[0].urgency for row in decoding)
    return held_back if least < prompts[0].urgency else 0


def _shorter_together(peers: Sequence[Row], tokens: int, times: StepTimes) -> bool:
    cells = max(row.cells for row in peers) + tokens
    together_s = times.predict(rows=len(peers), tokens_each=tokens, longest_cells=cells)
    one_s = times.predict(rows=1, tokens_each=tokens, longest_cells=cells)
    return together_s <= SHARED_MAX * len(peers) * one_s


# --- decoding ---------------------------------------------------------------------------------------


def _in_turn(decoding: Sequence[Row], order: tuple[int, ...]) -> list[Row]:
    """Who decoded longest ago first; before them who never did, by id."""
    place = {row_id: index for index, row_id in enumerate(order)}
    return sorted(decoding, key=lambda row: (place.get(row.id, -1), row.id))


def _decode(decoding: Sequence[Row], prompts: Sequence[Row], terms: _Terms) -> Step:
    """A decode step: of the most urgent rows, of lesser ones that would be late, or of all in the lesser ones' turn."""
    urgency_max = max(row.urgency for row in decoding)
    top = [row for row in decoding if row.urgency == urgency_max]
    lesser = [row for row in decoding if row.urgency < urgency_max]
    turn = terms.turns.held_back >= TURN_STEPS
    if turn:
        order, width = _turn(top, lesser, terms)
    else:
        order, width = _with_company(_late(top, lesser, terms) or top, decoding, terms)
    chosen, left = order[:width], order[width:]
    kept_out = any(row.urgency < urgency_max for row in (*left, *prompts))
    turns = replace(
        terms.turns,
        prefilled=False,
        held_back=terms.turns.held_back + 1 if kept_out and not turn else 0,
        decodes=terms.turns.decodes + 1,
        order=tuple(row.id for row in (*_in_turn(left, terms.turns.order), *chosen)),
    )
    return Step(tuple(Share(row.id, 1) for row in chosen), width - len(chosen), turns)


def _turn(top: list[Row], lesser: list[Row], terms: _Terms) -> tuple[list[Row], int]:
    """Rule 5: the best width of all; where that is too narrow for both, it is the lesser rows'."""
    everyone = [*top, *lesser]
    width = _width(everyone, terms.idle_rows, terms)
    return (everyone if width > len(top) else [*lesser, *top]), width


def _late(top: Sequence[Row], lesser: Sequence[Row], terms: _Terms) -> list[Row]:
    """Rule 5: lesser rows that would be late if they came not now but two steps later, when they may ask again."""
    promised = [row for row in lesser if row.gap_s < SLACK_S_MAX]
    held_back = terms.turns.held_back
    if not promised or held_back == 0 or held_back % 2:
        return []
    times = terms.times
    top_s = times.predict(rows=len(top), tokens_each=1, longest_cells=_cells(top))
    own_s = times.predict(rows=len(promised), tokens_each=1, longest_cells=_cells(promised))
    return [row for row in promised if row.waited_s + 2 * top_s + own_s > row.gap_s]


def _with_company(rows: list[Row], decoding: Sequence[Row], terms: _Terms) -> tuple[list[Row], int]:
    """These rows in their best width, with others that cost nothing beside them (rule 9)."""
    ids = {row.id for row in rows}
    others = [row for row in decoding if row.id not in ids]
    width = _width(rows, len(others) + terms.idle_rows, terms)
    if others and width >= len(rows):
        width = free_width(
            terms.times,
            width,
            _cells(rows),
            wider_max=min(len(decoding), terms.budget_tokens),
            wider_cells=_cells(decoding),
        )
    return [*rows, *others], width


def _width(rows: Sequence[Row], spare: int, terms: _Terms) -> int:
    """Rule 8."""
    return best_width(
        terms.times,
        count=len(rows),
        spare=spare,
        width_max=terms.budget_tokens,
        cells=_cells(rows),
        decodes=terms.turns.decodes,
    )


def _cells(rows: Sequence[Row]) -> int:
    """The longest cache of these rows when they have decoded a token."""
    return max(row.cells for row in rows) + 1
