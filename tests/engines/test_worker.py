"""The worker's intake, in this process: whatever a prompt does to it, the others go on."""

import socket
from types import SimpleNamespace

import pytest

from engines.engine import Job, Plain, Prepared, Stopped
from engines.pocket import Pocket
from engines.prompt import Layout, PromptError, TooLongError
from engines.resident import Resident
from engines.wire import Down, Pause, Submit, Unpause, reads_up
from engines.worker import Line, Worker
from policies.messages import Halt

SUBMIT = Submit(Job(7, Plain("secret"), 4, urgency=2.0))


class Intake:
    """A worker that is never run, and the other end of its line."""

    def __init__(self, layout: Layout | Exception) -> None:
        def lay_out(_prompt, _tokens_max):
            if isinstance(layout, Exception):
                raise layout
            return layout

        self.hurried: list[float] = []
        """How urgent those were for whom a running step may be broken off."""
        batcher = SimpleNamespace(cached_tokens=lambda _tokens: 2, hurry=self.hurried.append)
        layouter = SimpleNamespace(lay_out=lay_out, answer_tokens=lambda _layout, most: most)
        self.resident = Resident(model=None, layouter=layouter, constraints=None, stepper=batcher)

    def take(self, frame: Down) -> tuple[list[object], int]:
        """Take one frame; return what the daemon is told, and how many letters the batcher gets."""
        ours, theirs = socket.socketpair()
        descriptors, _ = socket.socketpair()
        with ours, theirs, descriptors, _:
            worker = Worker(theirs, Pocket(descriptors))
            worker._stepper = self.resident.stepper
            worker._sort(frame)
            if worker._inbox.qsize():
                worker._take(worker._inbox.get(), self.resident, Line(theirs, "m"))
            theirs.shutdown(socket.SHUT_WR)
            told = [frame for _, frame in reads_up().feed(ours.recv(1 << 16))]
            return told, worker._mail.qsize()


def test_a_prompt_is_answered_before_it_runs():
    """ENGINE.md 3: `Prepared` says how long it is, and how much of it is in the cache now."""
    assert Intake(Layout((1, 2, 3))).take(SUBMIT) == ([Prepared(7, 3, 2)], 1)


@pytest.mark.parametrize("too_long", [True, False])
def test_a_prompt_that_cannot_be_laid_out_is_the_requests_own_fault(too_long: bool):
    error = (TooLongError if too_long else PromptError)("words")
    told = [Stopped(7, Halt.INVALID, detail="words", too_long=too_long)]
    assert Intake(error).take(SUBMIT) == (told, 0)


def test_what_nobody_expects_fails_the_request_and_tells_nothing_of_its_text():
    """ENGINE.md 8: the request that caused it ends `failed`, others go on."""
    (stopped,), letters = Intake(RuntimeError("secret")).take(SUBMIT)
    assert stopped.halt == Halt.FAILED
    assert "RuntimeError" in stopped.detail
    assert "secret" not in stopped.detail
    assert letters == 0


def test_a_newcomer_and_a_pause_hurry_the_step_that_runs():
    """ENGINE.md 12: it is asked for at once, and does not wait until the step thread opens its mail."""
    intake = Intake(Layout((1, 2, 3)))
    intake.take(SUBMIT)
    assert intake.take(Pause(3.0, 1.0)) == ([], 1)
    assert intake.take(Unpause()) == ([], 1)
    assert intake.hurried == [2.0, 3.0]
