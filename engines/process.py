"""The parent's side of a worker: climbs the ladder, turns a worker's frames and its death into one stream.

    load() ──> remembered rung? ──yes──> Loaded
                     │no            ╰─ dies: forget the rung, climb
                     ▼
    climb: self-test on the safest rung (the reference, which then ends), then on each rung from the best down;
    the first worker that agrees with the reference is kept and serves, or else one on the safest rung.

1. There is one worker at a time: what is being measured never takes the memory of two.
2. Everything here runs on the daemon's loop; only starting a process and waiting for its end use a thread.
3. One task lives from `load` to the last frame and owns the worker. Whatever goes wrong in it ends in a frame.
4. Blame (ENGINE.md 22): who shares the step in which a worker dies is inside, and so is the first job that has
   not been laid out yet, because laying out is native code too.
5. A live worker has an empty descriptor of the shelf's for each job that may run, so that all can be parked at once
   and parking waits for nobody (ENGINE.md 18). What it has not filled when it ends is dropped; what it has filled stays.
6. A job uses up the parked state that it names: a worker that dies of restoring is not given the same again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from engines import ladder
from engines.child import Child
from engines.engine import (
    Died,
    Job,
    Loaded,
    LoadFailed,
    Loading,
    Prepared,
    Receive,
    Stepped,
    Stopped,
    Unloaded,
    Usage,
)
from engines.shelf import Shelf
from engines.spec import ModelSpec
from engines.wire import (
    Aboard,
    Begin,
    FrameError,
    Hand,
    Lend,
    Park,
    Pause,
    Submit,
    Tested,
    Unpause,
    Up,
    Withdraw,
)
from policies.messages import Halt


class ProcessEngine:
    """A llama.cpp model in a worker process of its own. Conforms to `engines.engine.Engine`.

    Without a `shelf` nothing can be parked.
    """

    def __init__(
        self,
        spec: ModelSpec,
        receive: Receive,
        build: Callable[[], str],
        shelf: Shelf | None = None,
    ) -> None:
        self._spec = spec
        self._receive = receive
        self._build = build
        self._shelf = shelf
        self._blanks: set[int] = set()
        """Handles of the empty descriptors in the worker's pocket."""
        self._child: Child | None = None
        self._task: asyncio.Task[None] | None = None
        self._unloading = False
        self._aboard: tuple[int, ...] = ()
        self._unprepared: dict[int, None] = {}
        """Jobs that were sent and not laid out yet, in the order in which the worker takes them."""

    def load(self) -> None:
        """Begin to load: `Loading` frames, then one `Loaded`, `LoadFailed` or `Died`."""
        self._unloading = False
        self._aboard, self._unprepared = (), {}
        self._task = asyncio.get_running_loop().create_task(self._live())

    def submit(self, job: Job) -> None:
        """Send a job to the worker; without one it is lost, and `Died` says so."""
        job = msgspec.structs.replace(job, parked=self._lend(job.parked))
        if self._child is None:
            return
        try:
            self._child.send(Submit(job))
        except FrameError as error:
            refusal = Stopped(job.request_id, Halt.INVALID, detail=str(error))
            asyncio.get_running_loop().call_soon(self._receive, refusal)
        else:
            self._unprepared[job.request_id] = None

    def stop(self, request_id: int) -> None:
        """Ask for a job back."""
        if self._child:
            self._child.send(Withdraw(request_id))

    def park(self, request_id: int) -> None:
        """Ask for a job back, and for its KV."""
        if self._child:
            self._child.send(Park(request_id))

    def pause(self, below: float, progress_s: float) -> None:
        """Ask for the cores."""
        if self._child:
            self._child.send(Pause(below, progress_s))

    def unpause(self) -> None:
        """Give the cores back."""
        if self._child:
            self._child.send(Unpause())

    def unload(self) -> None:
        """Close the worker's socket: it exits, and `Unloaded` follows."""
        self._unloading = True
        if self._child:
            self._child.hang_up()
        if self._task is None or self._task.done():
            asyncio.get_running_loop().call_soon(self._receive, Unloaded())

    def usage(self) -> Usage:
        """Measure the worker's memory now."""
        return self._child.usage(self._spec.path) if self._child else Usage()

    def kill(self) -> None:
        """End the worker at once; no frame follows."""
        self._unloading = True
        if self._task:
            self._task.cancel()
        self._bury()

    @property
    def pid(self) -> int | None:
        """The worker's process, if there is one."""
        return self._child.pid if self._child else None

    async def _live(self) -> None:
        """Load, then pass frames on until the worker is gone; say how it ended."""
        end: LoadFailed | Died
        loaded = False
        try:
            ready = await self._recalled() or await self._climbed()
            self._receive(ready)
            loaded = True
            end = await self._served(ready.sequences)
        except _Failed as failure:
            end = LoadFailed(str(failure))
        except Exception as error:  # noqa: BLE001 -- rule 3: nobody else would ever hear of it
            words = _words_of(error)
            end = Died(self._inside(), words) if loaded else LoadFailed(words)
        finally:
            self._bury()
        self._receive(Unloaded() if self._unloading else end)

    # --- a life ---------------------------------------------------------------------------------------

    async def _served(self, sequences: int) -> Died:
        """Pass frames on until the worker is gone."""
        assert self._child
        for _ in range(sequences):
            self._hand()
        self._child.listen(self._pass_on)
        async for frame in self._child.frames():
            self._pass_on(frame)
        return Died(self._inside(), await self._dismiss())

    def _pass_on(self, frame: Up) -> None:
        match frame:
            case Aboard(request_ids=aboard):
                self._aboard = aboard
                return
            case Stopped(request_id=over):
                self._aboard = tuple(i for i in self._aboard if i != over)
                self._unprepared.pop(over, None)
                frame = self._kept(frame)
            case Prepared(request_id=prepared):
                self._unprepared.pop(prepared, None)
            case Stepped():
                pass
            case _:
                return  # a frame of the load that came late
        self._receive(frame)

    def _inside(self) -> tuple[int, ...]:
        """Rule 4."""
        first = next(iter(self._unprepared), None)
        return self._aboard if first is None else (*self._aboard, first)

    # --- parking --------------------------------------------------------------------------------------

    def _hand(self) -> None:
        """Rule 5. Where no memory can be had the worker parks less, which costs time and nothing else."""
        if self._shelf is None or self._child is None:
            return
        with contextlib.suppress(OSError):
            blank, fd = self._shelf.blank()
            if self._child.pass_down(Hand(blank, self._shelf.bytes_max), fd):
                self._blanks.add(blank)
            else:
                self._shelf.drop(blank)

    def _drop_blanks(self) -> None:
        while self._shelf is not None and self._blanks:
            self._shelf.drop(self._blanks.pop())

    def _kept(self, stopped: Stopped) -> Stopped:
        """Put what a worker has parked on the shelf, as large as it really is, and give it another blank."""
        parked = stopped.parked
        if self._shelf is None or parked is None or parked.handle not in self._blanks:
            return msgspec.structs.replace(stopped, parked=None)
        self._blanks.remove(parked.handle)
        size_bytes = self._shelf.keep(parked.handle)
        self._hand()
        if size_bytes is None:
            return msgspec.structs.replace(stopped, parked=None)
        kept = msgspec.structs.replace(parked, size_bytes=size_bytes)
        return msgspec.structs.replace(stopped, parked=kept)

    def _lend(self, handle: int | None) -> int | None:
        """Rule 6. Send the worker what a job has parked; None where that is no longer kept."""
        if self._shelf is None or handle is None:
            return None
        fd = self._shelf.find(handle)
        lent = fd is not None and self._child and self._child.pass_down(Lend(handle), fd)
        self._shelf.drop(handle)
        return handle if lent else None

    # --- loading --------------------------------------------------------------------------------------

    async def _recalled(self) -> Loaded | None:
        """Load on the rung that worked before; None when there is none, or it has died now."""
        build = await asyncio.to_thread(self._build)
        rung = ladder.recall(self._spec, build)
        if rung is None:
            return None
        try:
            loaded, _ = await self._start(rung, self_test=False)
        except _Failed as failure:
            if self._unloading or not failure.crashed:
                raise
            ladder.forget(self._spec, build)
            return None
        return loaded

    async def _climbed(self) -> Loaded:
        """Load on the best rung that agrees with the safest one, and remember it."""
        build = await asyncio.to_thread(self._build)
        *better, safest = ladder.rungs(
            gpu_build="CUDA" in build or "Metal" in build or "Vulkan" in build,
            gpu_layers=self._spec.gpu_layers,
        )
        _, reference = await self._start(safest, self_test=True)
        for rung in better:
            await self._dismiss()
            try:
                loaded, seen = await self._start(rung, self_test=True)
            except _Failed:
                continue
            if reference and seen and ladder.agrees(seen, reference):
                ladder.remember(self._spec, build, rung)
                return loaded
        await self._dismiss()
        loaded, _ = await self._start(safest, self_test=False)
        ladder.remember(self._spec, build, safest)
        return loaded

    async def _start(self, rung: ladder.Rung, *, self_test: bool) -> tuple[Loaded, Tested | None]:
        """Spawn a worker and wait until it has loaded; _Failed says how it ended otherwise."""
        if not self._unloading:
            self._child = await Child.spawn(self._spec.name)
        if self._unloading or self._child is None:
            raise _Failed("unloaded before it had loaded", crashed=False)
        self._child.send(Begin(self._spec, rung.name, self_test))
        seen: Tested | None = None
        reason = ""
        async for frame in self._child.frames():
            match frame:
                case Loading():
                    self._receive(frame)
                case Tested():
                    seen = frame
                case LoadFailed(detail=detail):
                    reason = detail
                case Loaded() if not self._unloading:
                    return frame, seen
                case _:
                    pass
        last_words = await self._dismiss()
        raise _Failed(reason or last_words, crashed=not reason)

    async def _dismiss(self) -> str:
        """End the worker that there is; say how it went."""
        if self._child is None:
            return ""
        self._child.hang_up()
        words = await self._child.gone()
        self._child = None
        return words

    def _bury(self) -> None:
        self._drop_blanks()
        if self._child:
            self._child.bury()
            self._child = None


class _Failed(Exception):  # noqa: N818 -- an outcome, caught where it is raised
    def __init__(self, detail: str, *, crashed: bool) -> None:
        super().__init__(detail)
        self.crashed = crashed


def _words_of(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {error}"
