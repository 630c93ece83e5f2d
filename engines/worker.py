"""The worker: one process, one resident model. Run as `python -m engines.worker FD FD2`: frames, and descriptors.

Three threads. One reads frames and ends the process when the socket closes, also while a model loads or a step
runs, because the daemon may have been killed (ENGINE.md 1). Intake lays prompts out and answers `Prepared` while
a step runs: ctypes lets go of the interpreter (ENGINE.md 3). The main thread steps. What the others want of the
stepper they put into a mailbox that the main thread empties before each step: the stepper has one owner.
Nothing but prompts waits for a prompt that takes long to lay out.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from engines.constraint import ConstraintError
from engines.engine import Job, LoadFailed, Prepared, Stopped, Timings
from engines.gguf import GgufError
from engines.llama import LoadError
from engines.pocket import Pocket
from engines.prompt import PromptError, TooLongError
from engines.resident import Resident, load
from engines.run import Arrival
from engines.selftest import SelfTestError
from engines.stepper import Stepper, Told
from engines.wire import (
    Aboard,
    Begin,
    Down,
    Hand,
    Lend,
    Park,
    Pause,
    Submit,
    Unpause,
    Up,
    Withdraw,
    pack,
    reads_down,
)
from policies.messages import Halt

Letter: TypeAlias = Callable[[Stepper], list[Told]]
"""What is asked of the stepper."""


class Line:
    """The socket to the daemon. Both threads send; a frame is written whole."""

    def __init__(self, sock: socket.socket, model: str) -> None:
        self._sock = sock
        self._model = model
        self._whole = threading.Lock()

    def send(self, *frames: Up) -> None:
        """Write frames; a daemon that is gone ends the process."""
        data = b"".join(pack(self._model, frame) for frame in frames)
        try:
            with self._whole:
                self._sock.sendall(data)
        except OSError:
            os._exit(0)


class Worker:
    """Joins the three threads."""

    def __init__(self, sock: socket.socket, pocket: Pocket) -> None:
        self._sock = sock
        self._pocket = pocket
        self._reader = reads_down()
        self._inbox: queue.SimpleQueue[Down] = queue.SimpleQueue()
        self._mail: queue.SimpleQueue[Letter] = queue.SimpleQueue()
        self._stepper: Stepper | None = None
        """Once the model has loaded."""

    def run(self) -> None:
        """Load what the first frame asks for, then step until the socket closes."""
        _in_thread(self._read)
        begin = self._inbox.get()
        assert isinstance(begin, Begin), "the first frame begins"
        line = Line(self._sock, begin.spec.name)
        try:
            resident = load(begin, line.send, self._pocket)
        except (LoadError, SelfTestError, GgufError, OSError) as error:
            line.send(LoadFailed(str(error)))
            return
        self._stepper = resident.stepper
        _in_thread(self._intake, resident, line)
        self._step_for_ever(resident.stepper, line)

    def _read(self) -> None:
        """Take frames in, also while the model loads: the end of the daemon is noticed at any time."""
        while data := _receive(self._sock):
            for _, frame in self._reader.feed(data):
                self._sort(frame)
        os._exit(0)  # native code may be deep in a step: nothing gentler ends it now

    def _sort(self, frame: Down) -> None:
        """Do at once what needs no laying out."""
        match frame:
            case Hand() | Lend():
                self._pocket.receive(frame)
            case Pause(below=below, progress_s=progress_s):
                self._mail.put(_pause(below, progress_s))
                if self._stepper is not None:
                    self._stepper.hurry(below)
            case Unpause():
                self._mail.put(_unpause)
            case Begin() | Submit():
                self._inbox.put(frame)
            case Withdraw() | Park():
                self._mail.put(_leave(frame))
                self._inbox.put(frame)  # once more behind its prompt, which may wait there still

    def _intake(self, resident: Resident, line: Line) -> None:
        while True:
            self._take(self._inbox.get(), resident, line)

    def _take(self, frame: Down, resident: Resident, line: Line) -> None:
        match frame:
            case Submit(job=job):
                self._prepare(job, resident, line)
            case Withdraw() | Park():
                self._mail.put(_leave(frame))

    def _prepare(self, job: Job, resident: Resident, line: Line) -> None:
        arrived_s = time.monotonic()
        try:
            layout = resident.layouter.lay_out(job.prompt, job.tokens_max)
            matcher = None
            if job.constraint:
                matcher = resident.constraints.compile(job.constraint, healed=layout.healed)
        except (PromptError, ConstraintError) as error:
            self._refuse(job, _refusal(job, error), line)
            return
        except Exception as error:  # noqa: BLE001 -- one prompt is no reason to end the others' work
            detail = f"the prompt could not be laid out: {type(error).__name__}"
            self._refuse(job, Stopped(job.request_id, Halt.FAILED, detail=detail), line)
            return
        cached = resident.stepper.cached_tokens(layout.tokens)
        line.send(Prepared(job.request_id, len(layout.tokens), cached))
        tokens_max = resident.layouter.answer_tokens(layout, job.tokens_max)
        shortened = msgspec.structs.replace(job, tokens_max=tokens_max)
        self._mail.put(_submit(Arrival(shortened, layout, arrived_s, matcher)))
        resident.stepper.hurry(job.urgency)

    def _refuse(self, job: Job, stopped: Stopped, line: Line) -> None:
        """End a job that never was; what was lent for it is let go."""
        if job.parked is not None:
            self._pocket.forget(job.parked)
        line.send(stopped)

    def _step_for_ever(self, stepper: Stepper, line: Line) -> None:
        aboard: tuple[int, ...] = ()
        while True:
            self._open_mail(stepper, line)
            if (now_aboard := stepper.aboard()) != aboard:
                aboard = now_aboard
                line.send(Aboard(aboard))
            line.send(*stepper.step())

    def _open_mail(self, stepper: Stepper, line: Line) -> None:
        """Do what intake asked for; wait for it while there is nothing to step."""
        while True:
            try:
                letter = self._mail.get(timeout=stepper.rest_s)
            except queue.Empty:
                return
            line.send(*letter(stepper))


def _refusal(job: Job, error: PromptError | ConstraintError) -> Stopped:
    too_long = isinstance(error, TooLongError)
    timings = Timings(prompt_tokens=error.prompt_tokens if isinstance(error, TooLongError) else 0)
    return Stopped(
        job.request_id, Halt.INVALID, timings=timings, detail=str(error), too_long=too_long
    )


def _submit(arrival: Arrival) -> Letter:
    def letter(stepper: Stepper) -> list[Told]:
        stepper.submit(arrival)
        return []

    return letter


def _leave(frame: Withdraw | Park) -> Letter:
    """It does nothing where the job is not, or no longer, with the stepper."""
    if isinstance(frame, Park):
        return lambda stepper: stepper.park(frame.request_id)
    return lambda stepper: stepper.stop(frame.request_id)


def _pause(below: float, progress_s: float) -> Letter:
    def letter(stepper: Stepper) -> list[Told]:
        stepper.pause(below, progress_s)
        return []

    return letter


def _unpause(stepper: Stepper) -> list[Told]:
    stepper.unpause()
    return []


def _in_thread(work: Callable[..., None], *arguments: object) -> None:
    """Run something for ever. What it does not expect ends the process: half a worker would answer nobody."""

    def run() -> None:
        try:
            work(*arguments)
        except BaseException:  # noqa: BLE001 -- it ends the process
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)

    threading.Thread(target=run, daemon=True).start()


def _receive(sock: socket.socket) -> bytes:
    with contextlib.suppress(OSError):
        return sock.recv(1 << 18)
    return b""


def main() -> None:
    """Serve the sockets whose descriptors are the arguments."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is for the daemon, which then closes the socket
    sock, descriptors = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    Worker(sock, Pocket(descriptors)).run()


if __name__ == "__main__":
    main()
