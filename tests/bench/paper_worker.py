"""A worker that computes nothing: it speaks real frames over the real socket and gives every job a token a step.

`engines.child` starts it in place of `engines.worker`, with the same arguments: `-m engines.worker FD ...`.
"""

import select
import socket
import sys

from engines.engine import Emitted, Job, Loaded, Prepared, Stepped, Stopped, StopType, Timings
from engines.wire import Aboard, Begin, Submit, Tested, Up, Withdraw, pack, reads_down
from policies.messages import Halt

SEQUENCES = 16
PROMPT_TOKENS = 10
STEP_S = 0.004
"""Time between two steps: long enough for all that one step causes to be done before the next."""


class PaperWorker:
    """The jobs it has, and how many tokens each was given."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = reads_down()
        self._jobs: dict[int, Job] = {}
        self._given: dict[int, int] = {}

    def run(self) -> None:
        """Step while there is a job, until the socket closes."""
        while True:
            while select.select([self._sock], [], [], STEP_S if self._jobs else None)[0]:
                data = self._sock.recv(1 << 20)
                if not data:
                    return
                for _, frame in self._reader.feed(data):
                    self._take(frame)
            if self._jobs:
                self._step()

    def _take(self, frame: object) -> None:
        match frame:
            case Begin():
                self._send(Tested((1,), (1.0,)))
                self._send(Loaded("paper", SEQUENCES, 1 << 20, 0.0, 0, fim=True, chat=True))
            case Submit(job=job):
                self._jobs[job.request_id], self._given[job.request_id] = job, 0
                self._send(Prepared(job.request_id, PROMPT_TOKENS, 0))
                self._send(Aboard(tuple(self._jobs)))
            case Withdraw(request_id=number):
                self._leave(number, Halt.STOPPED)

    def _step(self) -> None:
        emitted = tuple(Emitted(number, (1000 + number,), " token", 0.0) for number in self._jobs)
        self._send(Stepped(emitted, 0, STEP_S, 1000))
        for number, job in tuple(self._jobs.items()):
            self._given[number] += 1
            if self._given[number] >= job.tokens_max:
                self._leave(number, Halt.DONE)

    def _leave(self, number: int, halt: Halt) -> None:
        if self._jobs.pop(number, None):
            timings = Timings(prompt_tokens=PROMPT_TOKENS, emitted_tokens=self._given[number])
            self._send(Stopped(number, halt, StopType("limit"), timings=timings))

    def _send(self, frame: Up) -> None:
        self._sock.sendall(pack("paper", frame))


if __name__ == "__main__":
    PaperWorker(socket.socket(fileno=int(sys.argv[3]))).run()
