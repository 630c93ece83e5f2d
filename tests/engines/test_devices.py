"""Devices are found in the file system alone; here in one of our own making."""

from pathlib import Path

import pytest

from engines import devices
from engines.devices import Gpu


def _file(root: Path, name: str, text: str = "") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_nothing_is_found_on_an_empty_machine(tmp_path: Path) -> None:
    assert devices.find_gpus(tmp_path) == ()


def test_nvidia_by_its_driver(tmp_path: Path) -> None:
    _file(
        tmp_path,
        "proc/driver/nvidia/gpus/0000:01:00.0/information",
        "Model: \t\t NVIDIA H200\nIRQ:  1",
    )
    assert devices.find_gpus(tmp_path) == (Gpu("NVIDIA H200", "cuda"),)


def test_nvidia_in_a_container_that_shows_only_its_device_file(tmp_path: Path) -> None:
    _file(tmp_path, "dev/nvidia0")
    _file(tmp_path, "dev/nvidiactl")
    assert devices.find_gpus(tmp_path) == (Gpu("NVIDIA GPU", "cuda"),)


def test_what_nvidia_smi_says_is_read() -> None:
    gpu = devices._from_smi("NVIDIA H200, 143771, 143158")
    assert gpu == Gpu("NVIDIA H200", "cuda", 143771 * 2**20, 143158 * 2**20)
    assert devices._from_smi("GB10, [N/A], [N/A]") == Gpu("GB10", "cuda")


def test_a_card_counts_only_with_a_vulkan_driver(tmp_path: Path) -> None:
    _file(tmp_path, "sys/class/drm/card0/device/vendor", "0x1002\n")
    assert devices.find_gpus(tmp_path) == ()
    _file(tmp_path, "usr/share/vulkan/icd.d/lvp_icd.x86_64.json")
    assert devices.find_gpus(tmp_path) == (), "a driver that draws on the processor is none"
    _file(tmp_path, "usr/share/vulkan/icd.d/radeon_icd.x86_64.json")
    assert devices.find_gpus(tmp_path) == (Gpu("AMD GPU", "vulkan"),)


@pytest.mark.parametrize(
    ("gpus", "backends", "said"),
    [
        ((), (), False),
        ((Gpu("NVIDIA H200", "cuda"),), ("cuda",), False),
        ((Gpu("NVIDIA H200", "cuda"),), None, False),
        ((Gpu("NVIDIA H200", "cuda"),), (), True),
    ],
)
def test_advice_is_given_only_where_a_gpu_lies_idle(gpus, backends, said: bool) -> None:
    text = devices.advice(gpus, backends)
    assert bool(text) is said
    if said:
        assert "a GPU is present" in text
        assert "make setup BACKEND=cuda" in text


def test_the_processor_is_known_by_its_flags(tmp_path: Path) -> None:
    _file(
        tmp_path / "a", "proc/cpuinfo", "processor: 0\nflags\t\t: sse avx2\n\nflags\t: sse avx2\n"
    )
    _file(tmp_path / "b", "proc/cpuinfo", "processor: 0\nflags\t\t: avx2 sse\n")
    _file(tmp_path / "c", "proc/cpuinfo", "Features\t: asimd sve\n")
    assert devices.processor_flags(tmp_path / "a") == ("avx2", "sse")
    assert devices.processor_flags(tmp_path / "c") == ("asimd", "sve")
    keys = [devices.processor_key(tmp_path / name) for name in "abc"]
    assert keys[0] == keys[1] != keys[2]


def test_this_machine() -> None:
    total, available = devices.memory_bytes()
    assert total >= available > 0
    assert 1 <= devices.thread_count() <= devices.processor_count()
    assert devices.build_backends() is not None, "llama.cpp is installed where tests run"
    assert "llama-cpp-python" in devices.build_name()
