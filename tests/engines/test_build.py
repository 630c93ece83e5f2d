"""The builder, as far as it goes without compiling: what a wheel is kept under, and when nothing is to be done."""

import time
from pathlib import Path

import pytest

from engines import build


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEARTH_WHEELS", str(tmp_path / "wheels"))
    return tmp_path / "wheels"


def test_a_wheel_is_kept_for_what_it_was_compiled_for(wheels: Path) -> None:
    assert build.wheel_folder() == wheels
    keys = {build.wheel_key(backend) for backend in build.CMAKE_ARGS}
    assert len(keys) == len(build.CMAKE_ARGS)
    assert all(key.startswith("llama-cpp-python-0.") for key in keys)


def test_a_kept_wheel_is_found(wheels: Path) -> None:
    assert build._cached_wheel("cpu") is None
    kept = wheels / build.wheel_key("cpu") / "llama_cpp_python-1-py3-none-any.whl"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert build._cached_wheel("cpu") == kept
    assert build._cached_wheel("cuda") is None


def _ready(folder: Path, backend: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "hearth").touch()
    lines = [f"{key} = {value}\n" for key, value in build._stamp(backend).items()]
    (folder / build.STAMP).write_text("".join(lines))
    return folder


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_nothing_is_done_when_nothing_changed(tmp_path: Path, wanted: str) -> None:
    folder = _ready(tmp_path / "venv", "cuda")
    started = time.monotonic()
    build.set_up(folder, wanted)
    assert time.monotonic() - started < 1.0


def test_another_backend_is_another_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _ready(tmp_path / "venv", "cpu")
    made: list[Path] = []
    monkeypatch.setattr(build, "_make_venv", made.append)
    monkeypatch.setattr(build, "_cached_wheel", lambda _: tmp_path / "some.whl")
    monkeypatch.setattr(build, "_pip_install", lambda *_: None)
    build.set_up(folder, "vulkan")
    assert made == [folder]
    assert build._read_stamp(folder) == build._stamp("vulkan")


@pytest.mark.parametrize(
    ("backend", "word"), [("cpu", "g++"), ("cuda", "nvcc"), ("vulkan", "glslc")]
)
def test_a_missing_compiler_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, word: str
) -> None:
    if backend != "cpu":
        compiler = tmp_path / "c++"
        compiler.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(build, "_nvcc", lambda: None)
    with pytest.raises(build.BuildError, match=word.replace("+", r"\+")):
        build._need_compilers(backend)
