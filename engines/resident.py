"""From the first frame to a model that takes jobs: loaded on its rung, tested, with all that lays out and steps.

What the file says decides what the model is for: one that pools makes vectors (`Embedder`), any other writes (`Batcher`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines import embedder, ladder, llama, selftest
from engines.batcher import Batcher, Terms
from engines.cache import Parking
from engines.constraint import Constraints
from engines.devices import thread_count
from engines.embedder import Embedder
from engines.engine import Loaded, Loading
from engines.framing import Framing
from engines.gguf import Header, Pooling, read_header
from engines.needs import context_tokens, kept_bytes
from engines.parking import Geometry
from engines.pocket import Pocket
from engines.prompt import Layouter
from engines.spec import ModelSpec
from engines.stepper import Stepper
from engines.wire import Begin, Up

SUB_BATCH_CPU, SUB_BATCH_GPU = 128, 512
"""Tokens of one compute graph: on a processor small enough that a step ends soon, at the same speed (ENGINE.md 11)."""
SEQUENCES_MIN = 2
"""What the self-test tries."""
LOWER_PRIORITY = 5


@dataclass(frozen=True, slots=True)
class Resident:
    """A model that is loaded and has passed its self-test."""

    model: llama.Model
    layouter: Layouter | Framing
    constraints: Constraints
    stepper: Stepper


def load(begin: Begin, tell: Callable[[Up], None], pocket: Pocket) -> Resident:
    """Load the model on the rung that was asked for, test it, and say so."""
    spec, rung = begin.spec, ladder.RUNGS[begin.rung]
    started = time.monotonic()
    header = read_header(Path(spec.path))
    _object(header)
    os.nice(LOWER_PRIORITY)
    llama.start()
    model = llama.Model(
        spec.path,
        gpu_layers=rung.gpu_layers(spec.gpu_layers),
        extra_buffers=rung.extra_buffers,
        progress=_reporter(tell, rung.name),
    )
    if header.embeds:
        resident, loaded = _embedding(begin, header, model, tell)
    else:
        resident, loaded = _writing(begin, header, model, tell, pocket)
    tell(msgspec.structs.replace(loaded, load_s=time.monotonic() - started))
    return resident


def _object(header: Header) -> None:
    """LoadError for a file that can do nothing here; llama.cpp would load it, and end the process in its first step."""
    if header.pooling in (Pooling.RANK, Pooling.UNKNOWN):
        raise llama.LoadError(
            "this model neither writes nor makes vectors: it pools in another way, as rerankers do, which Hearth does not "
            "offer. Configure another model"
        )
    if not header.causal and not header.embeds:
        raise llama.LoadError(
            "this model sees a text as a whole and so cannot write, and its file names no pooling that would make "
            "vectors. Convert it again with its pooling, or configure another model"
        )


def _writing(
    begin: Begin, header: Header, model: llama.Model, tell: Callable[[Up], None], pocket: Pocket
) -> tuple[Resident, Loaded]:
    """Make a context for a model that writes, and all that works in it."""
    spec, gpu = begin.spec, ladder.RUNGS[begin.rung].gpu
    cells = context_tokens(header, spec)
    context = _make_context(model, spec, cells, gpu=gpu)
    if begin.self_test:
        tell(selftest.run(model, context))
    abilities = selftest.probe(model, context)
    terms = Terms(
        running_max=spec.sequences,
        budget_tokens=_sub_batch(gpu=gpu),
        abilities=abilities,
        quantum_s=spec.quantum_ms / 1e3,
        reuse_shifted=spec.reuse_shifted,
        kept_bytes=kept_bytes(header, spec.kv_type, cells),
    )
    parking = Parking(pocket, _geometry(spec, header))
    batcher = Batcher(model, context, terms, parking=parking)
    layouter = Layouter(
        model,
        context=cells,
        fim_order=model.meta("hearth.fim_order") or "",
        name=model.meta("general.name") or "",
        template=model.chat_template(),
    )
    model.end_tokens |= layouter.file_ends  # llama.cpp knows Qwen's, not every family's
    loaded = msgspec.structs.replace(
        _loaded(begin, header, model, cells),
        fim=layouter.fills_middle,
        chat=model.chat_template() is not None,
        languages=header.strings("hearth.languages"),
        can_trim=abilities.trim,
        can_shift=abilities.shift,
        can_abort=abilities.abort,
    )
    return Resident(model, layouter, Constraints(model), batcher), loaded


def _embedding(
    begin: Begin, header: Header, model: llama.Model, tell: Callable[[Up], None]
) -> tuple[Resident, Loaded]:
    """Make a context for a model that makes vectors, and all that works in it."""
    spec, gpu = begin.spec, ladder.RUNGS[begin.rung].gpu
    tokens = context_tokens(header, spec)
    context = _make_context(model, spec, tokens, gpu=gpu, whole=header.whole)
    if begin.self_test:
        tell(selftest.run_pooled(model, context, whole=header.whole))
    terms = embedder.Terms(
        running_max=spec.sequences,
        budget_tokens=min(_sub_batch(gpu=gpu), tokens),
        whole=header.whole,
    )
    framing = Framing(model, context=tokens)
    loaded = msgspec.structs.replace(_loaded(begin, header, model, tokens), embeds=model.dimension)
    return Resident(model, framing, Constraints(model), Embedder(context, terms)), loaded


def _make_context(
    model: llama.Model, spec: ModelSpec, cells: int, *, gpu: bool, whole: bool = False
) -> llama.Context:
    sub_batch = cells if whole else _sub_batch(gpu=gpu)
    return llama.Context(
        model,
        cells=cells,
        batch=max(sub_batch, spec.sequences),
        sub_batch=sub_batch,
        sequences=max(SEQUENCES_MIN, spec.sequences),
        kv_type=spec.kv_type,
        threads=spec.threads or thread_count(),
        whole=whole,
    )


def _loaded(begin: Begin, header: Header, model: llama.Model, cells: int) -> Loaded:
    """What is true of any model; it can do nothing yet."""
    return Loaded(
        rung=begin.rung,
        sequences=begin.spec.sequences,
        context_tokens=cells,
        load_s=0.0,
        used_bytes=header.file_bytes,
        fim=False,
        chat=False,
        architecture=header.architecture,
        parameters=model.parameters,
        file_bytes=header.file_bytes,
        quantisation=header.quantisation,
        can_trim=False,
        can_shift=False,
        can_abort=False,
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


def _reporter(tell: Callable[[Up], None], rung: str) -> Callable[[float], bool]:
    """Return a progress callback that tells the daemon of every whole percent."""
    told = -1

    def report(done: float) -> bool:
        nonlocal told
        if int(done * 100) > told:
            told = int(done * 100)
            tell(Loading(done, rung))
        return True

    return report


def _sub_batch(*, gpu: bool) -> int:
    return SUB_BATCH_GPU if gpu else SUB_BATCH_CPU
