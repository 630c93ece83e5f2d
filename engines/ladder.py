"""The ladder of ways to load a model, and the memory of which rung works on this machine.

A build that loads is not a build that works: on some processors the fastest kernels crash in the first decode,
on some drivers they give wrong numbers. So at the first load of a file on a machine each rung is tried in a
worker that may die, its self-test is compared with the safest rung's, and the first that agrees is kept
(ENGINE.md 23). The answer is remembered under everything that could change it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.spec import ModelSpec
from engines.wire import Tested

ALL_LAYERS = 999
CLOSE_CALL = 0.35
"""Two tokens whose logits differ by less may change places between kernels that are both right."""
ALIKE = 0.99
"""Cosine of two vectors of one text, made by kernels that are both right."""
REMEMBERED_MAX = 500


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to load: how many layers go to the GPU, and whether CPU kernels may repack the weights."""

    name: str
    gpu: bool
    extra_buffers: bool

    def gpu_layers(self, asked: int | None) -> int:
        """Return the layers to offload, given what the configuration asked for (None: all)."""
        return (ALL_LAYERS if asked is None else asked) if self.gpu else 0


GPU = Rung("gpu", gpu=True, extra_buffers=True)
CPU = Rung("cpu", gpu=False, extra_buffers=True)
SAFE = Rung("cpu-safe", gpu=False, extra_buffers=False)
RUNGS = {rung.name: rung for rung in (GPU, CPU, SAFE)}


def rungs(*, gpu_build: bool, gpu_layers: int | None) -> list[Rung]:
    """Return the rungs to try, the best first; the last one is the safest."""
    return [GPU, CPU, SAFE] if gpu_build and gpu_layers != 0 else [CPU, SAFE]


def agrees(seen: Tested, safest: Tested) -> bool:
    """Tell whether a self-test saw what the safest rung saw, close calls aside."""
    if safest.vectors:
        return len(seen.vectors) == len(safest.vectors) and all(
            sum(a * b for a, b in zip(one, other, strict=True)) > ALIKE
            for one, other in zip(seen.vectors, safest.vectors, strict=True)
        )
    pairs = zip(seen.best, safest.best, safest.margin, strict=False)
    same_length = len(seen.best) == len(safest.best) > 0
    return same_length and all(a == b or margin < CLOSE_CALL for a, b, margin in pairs)


def fingerprint(spec: ModelSpec, build: str) -> str:
    """Name everything that the answer depends on: file, build, processor, and the modes that are used."""
    stat = Path(spec.path).stat()
    parts = (
        spec.path,
        stat.st_size,
        stat.st_mtime_ns,
        spec.kv_type,
        spec.gpu_layers,
        build,
        _processor(),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def recall(spec: ModelSpec, build: str) -> Rung | None:
    """Return the rung that is remembered for this file on this machine."""
    return RUNGS.get(_read(spec.rungs_file).get(fingerprint(spec, build), ""))


def remember(spec: ModelSpec, build: str, rung: Rung) -> None:
    """Keep the rung; a state folder that cannot be written only costs another self-test."""
    if not spec.rungs_file:
        return
    known = _read(spec.rungs_file) | {fingerprint(spec, build): rung.name}
    _write(spec.rungs_file, known)


def forget(spec: ModelSpec, build: str) -> None:
    """Drop what was remembered: the rung has failed after all."""
    known = _read(spec.rungs_file)
    if spec.rungs_file and known.pop(fingerprint(spec, build), ""):
        _write(spec.rungs_file, known)


def _read(path: str) -> dict[str, str]:
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=dict[str, str]) if path else {}
    except (OSError, msgspec.MsgspecError):
        return {}


def _write(path: str, known: dict[str, str]) -> None:
    recent = dict(list(known.items())[-REMEMBERED_MAX:])
    target = Path(path)
    fresh = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(msgspec.json.encode(recent))
        fresh.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return " ".join(os.uname())
    wanted = ("model name", "flags", "Features")
    return "|".join(sorted({line for line in lines if line.startswith(wanted)}))
