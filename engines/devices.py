"""What this machine has: graphics processors, processor flags, memory; and what this build can use of it.

Standard library only and nothing is opened: no CUDA context is made to look (ENGINE.md 25), because the
command line, the builder and the daemon all ask.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BACKENDS = ("cuda", "metal", "vulkan", "hip", "sycl")
"""Those of llama.cpp's that compute on a graphics processor."""

_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
_NVIDIA_SMI = "--query-gpu=name,memory.total,memory.free --format=csv,noheader,nounits"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics processor; `backend` is the build of llama.cpp that would use it best."""

    name: str
    backend: str
    memory_bytes: int | None = None
    free_bytes: int | None = None


def find_gpus(root: Path = Path("/")) -> tuple[Gpu, ...]:
    """Every graphics processor worth computing on, without asking any driver."""
    if sys.platform == "darwin":
        return (Gpu("Apple GPU", "metal"),) if platform.machine() == "arm64" else ()
    return _nvidia(root) or _drm(root)


def measure_gpus() -> tuple[Gpu, ...]:
    """As `find_gpus`, with memory where `nvidia-smi` tells it: slower, for `hearth doctor`."""
    found = find_gpus()
    smi = shutil.which("nvidia-smi")
    if smi is None or not any(gpu.backend == "cuda" for gpu in found):
        return found
    try:
        said = subprocess.run(  # noqa: S603 - a fixed query
            [smi, *_NVIDIA_SMI.split()], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return found
    return tuple(_from_smi(line) for line in said.splitlines() if line.count(",") == 2) or found


def build_backends() -> tuple[str, ...] | None:
    """Which of them the installed llama.cpp was built with; None when it is not installed. Nothing is imported."""
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        return None
    names = [path.name for path in (Path(spec.origin).parent / "lib").glob("libggml-*")]
    return tuple(b for b in BACKENDS if any(n.startswith(f"libggml-{b}.") for n in names))


def build_name() -> str:
    """Which build of llama.cpp runs here: what worked with it holds for this name alone."""
    version = importlib.metadata.version("llama-cpp-python")
    names = {"cuda": "CUDA", "metal": "Metal", "vulkan": "Vulkan", "hip": "HIP", "sycl": "SYCL"}
    backends = "+".join(("CPU", *(names[b] for b in build_backends() or ())))
    return f"llama-cpp-python {version} {backends} {processor_key()}"


def advice(gpus: tuple[Gpu, ...], backends: tuple[str, ...] | None) -> str:
    """What to do when a graphics processor lies idle; empty when there is nothing to say."""
    if not gpus or backends is None or backends:
        return ""
    gpu = gpus[0]
    return f"a GPU is present ({gpu.name}), this build has none: run `make setup BACKEND={gpu.backend}`"


def processor_flags(root: Path = Path("/")) -> tuple[str, ...]:
    """What the processor can do, sorted: a native build, and what worked with it, holds for these alone."""
    try:
        text = (root / "proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return (platform.machine(), platform.processor())
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return tuple(sorted(set(found[1].split()))) if found else (platform.machine(),)


def processor_key(root: Path = Path("/")) -> str:
    """A short name for this kind of processor."""
    flags = " ".join(processor_flags(root))
    return f"{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:10]}"


def memory_bytes() -> tuple[int, int]:
    """Memory of the machine: all of it, and what is available now."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        rows = dict(re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE))
        return int(rows["MemTotal"]) * 1024, int(rows["MemAvailable"]) * 1024
    except (OSError, KeyError):
        import psutil

        memory = psutil.virtual_memory()
        return memory.total, memory.available


def processor_count() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_count() -> int:
    """Threads to compute with: the usable processors, at most the physical cores, since two on one core slow both."""
    import psutil

    usable = processor_count()
    return max(1, min(usable, psutil.cpu_count(logical=False) or usable))


def _nvidia(root: Path) -> tuple[Gpu, ...]:
    """What the kernel driver lists; in some containers only the device file is there."""
    found = []
    for file in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        model = re.search(r"^Model:\s*(.+)$", file.read_text(errors="replace"), re.MULTILINE)
        found.append(Gpu(model[1].strip() if model else "NVIDIA GPU", "cuda"))
    if not found:
        found = [Gpu("NVIDIA GPU", "cuda") for _ in (root / "dev").glob("nvidia[0-9]")]
    return tuple(found)


def _drm(root: Path) -> tuple[Gpu, ...]:
    """Other vendors' cards, where a Vulkan driver is installed for them."""
    folders = ("usr/share/vulkan/icd.d", "etc/vulkan/icd.d", "usr/local/share/vulkan/icd.d")
    drivers = [p for f in folders for p in (root / f).glob("*.json") if "lvp" not in p.name]
    if not drivers:
        return ()
    found = []
    for file in sorted((root / "sys/class/drm").glob("card[0-9]/device/vendor")):
        vendor = _VENDORS.get(file.read_text().strip())
        if vendor:
            found.append(Gpu(f"{vendor} GPU", "vulkan"))
    return tuple(found)


def _from_smi(line: str) -> Gpu:
    """A row such as `NVIDIA H200, 143771, 143158`; sizes are MiB, and some boards tell none."""
    name, *sizes = (cell.strip() for cell in line.split(","))
    total, free = (int(size) * 2**20 if size.isdigit() else None for size in sizes)
    return Gpu(name, "cuda", total, free)
