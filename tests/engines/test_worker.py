"""The worker's intake, in this process: whatever a prompt does to it, the others go on."""

import socket
from types import SimpleNamespace

import pytest

from engines.engine import Job, Plain, Prepared, Stopped
from engines.pocket import Pocket
from engines.prompt import Layout, PromptError, TooLongError
from engines.wire import reads_up
from engines.worker import Line, Resident, Worker
from policies.messages import Halt


class Intake:
    """A worker that is never run, and the other end of its line."""

    def __init__(self, layout: Layout | Exception) -> None:
        def lay_out(_prompt, _tokens_max):
            if isinstance(layout, Exception):
                raise layout
            return layout

        batcher = SimpleNamespace(
            cached_tokens=lambda _tokens: 2, busy=True, hurry=lambda _urgency: False
        )
        layouter = SimpleNamespace(lay_out=lay_out, answer_tokens=lambda _layout, most: most)
        self.resident = Resident(model=None, layouter=layouter, constraints=None, batcher=batcher)

    def prepare(self) -> tuple[list[object], int]:
        """Lay one job out; return what the daemon is told, and how many letters the batcher gets."""
        ours, theirs = socket.socketpair()
        descriptors, _ = socket.socketpair()
        with ours, theirs, descriptors, _:
            worker = Worker(theirs, Pocket(descriptors))
            worker._prepare(Job(7, Plain("secret"), 4), self.resident, Line(theirs, "m"))
            return [frame for _, frame in reads_up().feed(ours.recv(1 << 16))], worker._mail.qsize()


def test_a_prompt_is_answered_before_it_runs():
    """ENGINE.md 3: `Prepared` says how long it is, and how much of it is in the cache now."""
    assert Intake(Layout((1, 2, 3))).prepare() == ([Prepared(7, 3, 2)], 1)


@pytest.mark.parametrize("too_long", [True, False])
def test_a_prompt_that_cannot_be_laid_out_is_the_requests_own_fault(too_long: bool):
    error = (TooLongError if too_long else PromptError)("words")
    told = [Stopped(7, Halt.INVALID, detail="words", too_long=too_long)]
    assert Intake(error).prepare() == (told, 0)


def test_what_nobody_expects_fails_the_request_and_tells_nothing_of_its_text():
    """ENGINE.md 8: the request that caused it ends `failed`, others go on."""
    (stopped,), letters = Intake(RuntimeError("secret")).prepare()
    assert stopped.halt == Halt.FAILED
    assert "RuntimeError" in stopped.detail
    assert "secret" not in stopped.detail
    assert letters == 0
