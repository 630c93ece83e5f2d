"""The worker: one process, one resident model. Run as `python -m engines.worker FD FD2`: frames, and descriptors.

Three threads. One reads frames and ends the process when the socket closes, also while a model loads or a step
runs, because the daemon may have been killed (ENGINE.md 1). Intake lays prompts out and answers `Prepared` while
a step runs: ctypes lets go of the interpreter (ENGINE.md 3). The main thread steps. What intake wants of the
batcher it puts into a mailbox that the main thread empties before each step: the batcher has one owner.
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
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec

from engines import ladder, llama, selftest
from engines.batcher import Batcher, Terms, Told
from engines.cache import Parking
from engines.constraint import ConstraintError, Constraints
from engines.engine import Job, Loaded, LoadFailed, Loading, Prepared, Stopped, Timings
from engines.gguf import GgufError, Header, read_header
from engines.needs import kept_bytes
from engines.parking import Geometry
from engines.pocket import Pocket
from engines.prompt import Layouter, PromptError, TooLongError
from engines.run import Arrival
from engines.selftest import Abilities
from engines.spec import ModelSpec
from engines.wire import (
    Aboard,
    Begin,
    Down,
    Hand,
    Lend,
    Park,
    Submit,
    Up,
    Withdraw,
    pack,
    reads_down,
)
from policies.messages import Halt

CONTEXT_DEFAULT = 8192
SUB_BATCH_CPU, SUB_BATCH_GPU = 128, 512
"""Tokens of one compute graph: on a processor small enough that a step ends soon, at the same speed (ENGINE.md 11)."""
SEQUENCES_MIN = 2
"""What the self-test tries."""
LOWER_PRIORITY = 5

Letter: TypeAlias = Callable[[Batcher], list[Told]]
"""What intake asks of the batcher."""


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


@dataclass(frozen=True, slots=True)
class Resident:
    """A model that is loaded and has passed its self-test."""

    model: llama.Model
    layouter: Layouter
    constraints: Constraints
    batcher: Batcher


class Worker:
    """Joins the three threads."""

    def __init__(self, sock: socket.socket, pocket: Pocket) -> None:
        self._sock = sock
        self._pocket = pocket
        self._reader = reads_down()
        self._inbox: queue.SimpleQueue[Down] = queue.SimpleQueue()
        self._mail: queue.SimpleQueue[Letter] = queue.SimpleQueue()

    def run(self) -> None:
        """Load what the first frame asks for, then step until the socket closes."""
        _in_thread(self._read)
        begin = self._inbox.get()
        assert isinstance(begin, Begin), "the first frame begins"
        line = Line(self._sock, begin.spec.name)
        try:
            resident = load(begin, line, self._pocket)
        except (llama.LoadError, selftest.SelfTestError, GgufError, OSError) as error:
            line.send(LoadFailed(str(error)))
            return
        _in_thread(self._intake, resident, line)
        self._step_for_ever(resident.batcher, line)

    def _read(self) -> None:
        """Take frames in, also while the model loads: the end of the daemon is noticed at any time."""
        while data := _receive(self._sock):
            for _, frame in self._reader.feed(data):
                if isinstance(frame, Hand | Lend):
                    self._pocket.receive(frame)
                else:
                    self._inbox.put(frame)
        os._exit(0)  # native code may be deep in a step: nothing gentler ends it now

    def _intake(self, resident: Resident, line: Line) -> None:
        while True:
            match self._inbox.get():
                case Submit(job=job):
                    self._prepare(job, resident, line)
                case Withdraw(request_id=request_id):
                    self._mail.put(_stop(request_id))
                case Park(request_id=request_id):
                    self._mail.put(_park(request_id))

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
        cached = resident.batcher.cached_tokens(layout.tokens)
        line.send(Prepared(job.request_id, len(layout.tokens), cached))
        tokens_max = resident.layouter.answer_tokens(layout, job.tokens_max)
        shortened = msgspec.structs.replace(job, tokens_max=tokens_max)
        self._mail.put(_submit(Arrival(shortened, layout, arrived_s, matcher)))
        resident.batcher.hurry(job.urgency)

    def _refuse(self, job: Job, stopped: Stopped, line: Line) -> None:
        """End a job that never was; what was lent for it is let go."""
        if job.parked is not None:
            self._pocket.forget(job.parked)
        line.send(stopped)

    def _step_for_ever(self, batcher: Batcher, line: Line) -> None:
        aboard: tuple[int, ...] = ()
        while True:
            self._open_mail(batcher, line)
            if (now_aboard := batcher.aboard()) != aboard:
                aboard = now_aboard
                line.send(Aboard(aboard))
            line.send(*batcher.step())

    def _open_mail(self, batcher: Batcher, line: Line) -> None:
        """Do what intake asked for; wait for it when there is nothing to step."""
        while True:
            try:
                letter = self._mail.get(block=not batcher.busy)
            except queue.Empty:
                return
            line.send(*letter(batcher))


def load(begin: Begin, line: Line, pocket: Pocket) -> Resident:
    """Load the model on the rung that was asked for, test it, and say so."""
    spec, rung = begin.spec, ladder.RUNGS[begin.rung]
    started = time.monotonic()
    header = read_header(Path(spec.path))
    if header.fields.get(f"{header.architecture}.pooling_type"):
        raise llama.LoadError(
            "this is an embedding model: it turns text into vectors and writes none. Configure a model that writes"
        )
    os.nice(LOWER_PRIORITY)
    llama.start()
    model = llama.Model(
        spec.path,
        gpu_layers=rung.gpu_layers(spec.gpu_layers),
        extra_buffers=rung.extra_buffers,
        progress=_reporter(line, rung.name),
    )
    context_tokens = spec.context or min(model.context_tokens or CONTEXT_DEFAULT, CONTEXT_DEFAULT)
    context = _make_context(model, spec, context_tokens, gpu=rung.gpu)
    if begin.self_test:
        line.send(selftest.run(model, context))
    abilities = selftest.probe(model, context)
    terms = Terms(
        running_max=spec.sequences,
        budget_tokens=_sub_batch(gpu=rung.gpu),
        abilities=abilities,
        quantum_s=spec.quantum_ms / 1e3,
        reuse_shifted=spec.reuse_shifted,
        kept_bytes=kept_bytes(header, spec.kv_type, context_tokens),
    )
    parking = Parking(pocket, _geometry(spec, header))
    batcher = Batcher(model, context, terms, parking=parking)
    layouter = Layouter(
        model,
        context=context_tokens,
        fim_order=model.meta("hearth.fim_order") or "",
        name=model.meta("general.name") or "",
        template=model.chat_template(),
    )
    model.end_tokens |= layouter.file_ends  # llama.cpp knows Qwen's, not every family's
    load_s = time.monotonic() - started
    loaded = _loaded(
        spec,
        rung.name,
        model,
        abilities,
        context_tokens,
        header,
        load_s,
        fills_middle=layouter.fills_middle,
    )
    line.send(loaded)
    return Resident(model, layouter, Constraints(model), batcher)


def _make_context(
    model: llama.Model, spec: ModelSpec, context_tokens: int, *, gpu: bool
) -> llama.Context:
    sub_batch = _sub_batch(gpu=gpu)
    return llama.Context(
        model,
        cells=context_tokens,
        batch=max(sub_batch, spec.sequences),
        sub_batch=sub_batch,
        sequences=max(SEQUENCES_MIN, spec.sequences),
        kv_type=spec.kv_type,
        threads=spec.threads or _processors(),
    )


def _loaded(
    spec: ModelSpec,
    rung: str,
    model: llama.Model,
    abilities: Abilities,
    context_tokens: int,
    header: Header,
    load_s: float,
    *,
    fills_middle: bool,
) -> Loaded:
    return Loaded(
        rung=rung,
        sequences=spec.sequences,
        context_tokens=context_tokens,
        load_s=load_s,
        used_bytes=header.file_bytes,
        fim=fills_middle,
        chat=model.chat_template() is not None,
        architecture=header.architecture,
        parameters=model.parameters,
        file_bytes=header.file_bytes,
        quantisation=header.quantisation,
        languages=header.strings("hearth.languages"),
        can_trim=abilities.trim,
        can_shift=abilities.shift,
        can_abort=abilities.abort,
    )


def _geometry(spec: ModelSpec, header: Header) -> Geometry:
    """What parked KV must match to be given back: the very file, and everything that lays its cells out."""
    stat = Path(spec.path).stat()
    layers = header.fields.get(f"{header.architecture}.block_count")
    return Geometry(
        architecture=header.architecture,
        path=spec.path,
        file_bytes=stat.st_size,
        file_mtime_ns=stat.st_mtime_ns,
        layers=layers if isinstance(layers, int) else 0,
        kv_type=spec.kv_type,
        flash_attention="auto",
        build=llama.build_id(),
    )


def _refusal(job: Job, error: PromptError | ConstraintError) -> Stopped:
    too_long = isinstance(error, TooLongError)
    timings = Timings(prompt_tokens=error.prompt_tokens if isinstance(error, TooLongError) else 0)
    return Stopped(
        job.request_id, Halt.INVALID, timings=timings, detail=str(error), too_long=too_long
    )


def _submit(arrival: Arrival) -> Letter:
    def letter(batcher: Batcher) -> list[Told]:
        batcher.submit(arrival)
        return []

    return letter


def _stop(request_id: int) -> Letter:
    return lambda batcher: batcher.stop(request_id)


def _park(request_id: int) -> Letter:
    return lambda batcher: batcher.park(request_id)


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


def _reporter(line: Line, rung: str) -> Callable[[float], bool]:
    """Return a progress callback that tells the daemon of every whole percent."""
    told = -1

    def report(done: float) -> bool:
        nonlocal told
        if int(done * 100) > told:
            told = int(done * 100)
            line.send(Loading(done, rung))
        return True

    return report


def _sub_batch(*, gpu: bool) -> int:
    return SUB_BATCH_GPU if gpu else SUB_BATCH_CPU


def _processors() -> int:
    """Return the processors this process may use, at most the physical cores: two threads on one core slow both."""
    import psutil

    usable = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min(usable, psutil.cpu_count(logical=False) or usable))


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
