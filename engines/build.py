"""Makes the virtual environment: `python3 engines/build.py --venv .venv [--backend auto|cpu|cuda|metal|vulkan]`.

Run by any plain Python 3.11, so it uses the standard library alone. llama.cpp is compiled once for each version,
backend, Python and kind of processor; its wheel is kept in the user's cache folder and used again by every
checkout. When nothing has changed it is done in the blink that reading `pyproject.toml` takes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this has not installed us yet
    sys.exit(f"setup: Python 3.11 or newer is needed, this is {sys.version.split()[0]}.")

ROOT = Path(__file__).resolve().parent.parent
if not __package__:  # run as a script, with this folder as the only one to import from
    sys.path.insert(0, str(ROOT))

from engines.devices import advice, find_gpus, processor_key  # noqa: E402

CMAKE_ARGS = {
    "cpu": "-DGGML_CUDA=off -DGGML_METAL=off -DGGML_VULKAN=off",
    "cuda": "-DGGML_CUDA=on -DGGML_METAL=off",
    "metal": "-DGGML_METAL=on",
    "vulkan": "-DGGML_VULKAN=on -DGGML_METAL=off",
}
STAMP = "hearth-setup"
PROGRESS_S = 15.0


class BuildError(Exception):
    """Something is missing; the message says what to install or to run."""


def main() -> int:
    """Make or renew the environment; 0 when it is ready."""
    parser = argparse.ArgumentParser(description="Make Hearth's virtual environment.")
    parser.add_argument("--venv", type=Path, default=Path(".venv"))
    parser.add_argument("--backend", choices=("auto", *CMAKE_ARGS), default="auto")
    options = parser.parse_args()
    try:
        set_up(options.venv.absolute(), options.backend)
    except BuildError as error:
        sys.stderr.write(f"setup: {error}\n")
        return 1
    return 0


def set_up(folder: Path, wanted: str) -> None:
    """Bring the environment to what `pyproject.toml` and the backend ask for."""
    made = _read_stamp(folder)
    backend = made.get("backend", "") if wanted == "auto" else wanted
    if made and made == _stamp(backend) and (folder / "bin" / "hearth").exists():
        return
    backend = backend or _best_backend()
    _make_venv(folder)
    if not (folder / STAMP).exists() or made.get("wheel") != wheel_key(backend):
        wheel = _cached_wheel(backend) or _build_wheel(folder, backend)
        _say(f"llama.cpp for {backend}: {wheel.name}")
        _pip_install(folder, "llama.cpp", "--force-reinstall", "--no-deps", str(wheel))
    _pip_install(folder, "Hearth", "--editable", f"{ROOT}[dev]")
    lines = [f"{key} = {value}\n" for key, value in _stamp(backend).items()]
    (folder / STAMP).write_text("".join(lines))
    _say(f"ready: {folder / 'bin' / 'hearth'}")
    if hint := advice(find_gpus(), () if backend == "cpu" else (backend,)):
        _say(hint)


def wheel_folder() -> Path:
    """Where compiled wheels are kept: `HEARTH_WHEELS`, or this user's cache folder."""
    if place := os.environ.get("HEARTH_WHEELS"):
        return Path(place).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "hearth" / "wheels"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "hearth" / "wheels"


def wheel_key(backend: str) -> str:
    """What a compiled wheel is good for."""
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    return f"{_requirement().replace('==', '-')}-{backend}-{python}-{processor_key()}"


def _stamp(backend: str) -> dict[str, str]:
    """What the environment was made of; a change in any of it makes it anew."""
    import tomllib

    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    install = json.dumps([pyproject["project"], pyproject["build-system"]])
    project = hashlib.sha256(install.encode()).hexdigest()[:16]
    return {"backend": backend, "wheel": wheel_key(backend), "project": project, "root": str(ROOT)}


def _read_stamp(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / STAMP).read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split(" = ", 1) for line in lines if " = " in line)


def _requirement() -> str:
    """The one version of llama-cpp-python that the project is tested with."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'"(llama-cpp-python==[\w.]+)"', text)
    if found is None:
        raise BuildError("pyproject.toml names no llama-cpp-python version.")
    return found[1]


def _best_backend() -> str:
    """The one that this machine has the hardware and the compiler for."""
    for gpu in find_gpus():
        if gpu.backend == "metal":
            return "metal"
        if gpu.backend == "cuda" and _nvcc():
            return "cuda"
        if gpu.backend == "vulkan" and shutil.which("glslc"):
            return "vulkan"
    return "cpu"


def _nvcc() -> str | None:
    return shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")


def _make_venv(folder: Path) -> None:
    python = folder / "bin" / "python"
    if python.exists() and _same_python(python):
        return
    _say(f"making {folder}")
    try:
        venv.EnvBuilder(with_pip=True, clear=True, symlinks=True).create(folder)
    except (subprocess.CalledProcessError, ImportError) as error:
        raise BuildError(
            "Python has no `venv` with pip: on Debian and Ubuntu, `apt-get install python3-venv`."
        ) from error


def _same_python(python: Path) -> bool:
    asked = "import sys; print(*sys.version_info[:2])"
    said = subprocess.run(  # noqa: S603 - the environment's own interpreter
        [python, "-c", asked], capture_output=True, text=True, check=False
    )
    return said.returncode == 0 and said.stdout.split() == [str(n) for n in sys.version_info[:2]]


def _cached_wheel(backend: str) -> Path | None:
    return next(iter(sorted((wheel_folder() / wheel_key(backend)).glob("*.whl"))), None)


def _build_wheel(folder: Path, backend: str) -> Path:
    """Compile, then move the wheel into the cache in one step: a broken build leaves nothing behind."""
    _need_compilers(backend)
    kept = wheel_folder() / wheel_key(backend)
    kept.mkdir(parents=True, exist_ok=True)
    _say(f"compiling llama.cpp for {backend}: once on this machine, about 4 minutes on 2 cores")
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        # pip's own cache does not know CMAKE_ARGS: it would hand out another backend's wheel.
        command = [folder / "bin" / "pip", "wheel", "--no-cache-dir", "--no-deps"]
        command += ["--no-binary", "llama-cpp-python", "--wheel-dir", scratch, _requirement()]
        arguments = f"{CMAKE_ARGS[backend]} {os.environ.get('CMAKE_ARGS', '')}".strip()
        environ = {**os.environ, "CMAKE_ARGS": arguments, "FORCE_CMAKE": "1"}
        if backend == "cuda" and (nvcc := _nvcc()):
            environ["CUDACXX"] = nvcc
        _run([str(part) for part in command], environ, "compiling")
        built = next(Path(scratch).glob("*.whl"))
        return built.rename(kept / built.name)


def _need_compilers(backend: str) -> None:
    if not any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), "g++", "clang++")):
        remedy = "`xcode-select --install`" if sys.platform == "darwin" else "`apt-get install g++`"
        raise BuildError(f"a C++ compiler is needed to build llama.cpp: {remedy}.")
    if backend == "cuda" and not _nvcc():
        raise BuildError(
            "the CUDA compiler (nvcc) is needed for BACKEND=cuda: `apt-get install nvidia-cuda-toolkit`, "
            "or NVIDIA's own. `make setup BACKEND=cpu` builds without."
        )
    if backend == "vulkan" and not shutil.which("glslc"):
        raise BuildError(
            "glslc is needed for BACKEND=vulkan: `apt-get install glslc libvulkan-dev`."
        )


def _pip_install(folder: Path, what: str, *arguments: str) -> None:
    pip = [str(folder / "bin" / "pip"), "install", "--quiet"]
    _run([*pip, *arguments], dict(os.environ), f"installing {what}")


def _run(command: list[str], environ: dict[str, str], doing: str) -> None:
    """Run to the end and say every so often that it still runs; its output is shown only if it fails."""
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        child = subprocess.Popen(command, env=environ, stdout=output, stderr=output)  # noqa: S603
        while True:
            try:
                code = child.wait(timeout=PROGRESS_S)
                break
            except subprocess.TimeoutExpired:
                _say(f"{doing}: {time.monotonic() - started:.0f} s")
        if code != 0:
            output.seek(0)
            tail = "".join(output.readlines()[-40:])
            raise BuildError(f"{doing} failed (exit {code}):\n{tail}")


def _say(line: str) -> None:
    print(f"setup: {line}", flush=True)  # noqa: T201 - its user reads a terminal


if __name__ == "__main__":
    sys.exit(main())
