"""What Hearth costs while nobody types, and how fast its small commands answer.

python -m tests.bench.idle [--seconds 30]
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import psutil

from daemon.cli.editor import Editor
from daemon.lifecycle import wait_until
from tests.bench.daemon_under_test import Daemon, daemon
from tests.bench.figures import row

MIB = 1 << 20


def cpu_seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(p.cpu_times()[:2]) for p in processes)


def idle(one: Daemon, seconds: float) -> None:
    """Private memory and processor time of the daemon and its worker."""
    daemon_process = psutil.Process(one.pid)
    family = [daemon_process, *daemon_process.children(recursive=True)]
    for process in family:
        memory = process.memory_full_info()
        name = "worker" if "engines.worker" in " ".join(process.cmdline()) else "daemon"
        print(
            f"{name}: private {memory.uss / MIB:.1f} MiB, resident {memory.rss / MIB:.1f} MiB, "
            f"{process.num_threads()} threads"
        )
    before = cpu_seconds(family)
    time.sleep(seconds)
    used = cpu_seconds(family) - before
    print(
        f"idle: {used * 1e3:.0f} ms of processor time in {seconds:.0f} s ({used / seconds:.2%} of a core)"
    )


def status_times(one: Daemon, runs: int) -> list[float]:
    """Milliseconds of `hearth status`, as a whole process."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        assert one.hearth("status").returncode == 0
        times.append((time.perf_counter() - began) * 1e3)
    return times


def initialize_times(one: Daemon, runs: int) -> list[float]:
    """Milliseconds from the start of `hearth lsp` to the answer to `initialize`."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon.cli.entry", "lsp"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=one.environ,
        )
        editor = Editor(process.stdout, process.stdin, name="bench")
        editor.initialize(Path.cwd())
        times.append((time.perf_counter() - began) * 1e3)
        editor.close()
        process.stdin.close()
        process.wait(10)
        process.stdout.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--runs", type=int, default=20)
    arguments = parser.parse_args()
    with daemon() as one:
        assert wait_until(lambda: '"state": "ready"' in one.hearth("status", "--json").stdout, 60)
        one.hearth("complete", f"{__file__}:20:10")
        idle(one, arguments.seconds)
        print(row("hearth status", status_times(one, arguments.runs)))
        print(row("hearth lsp: initialize", initialize_times(one, arguments.runs)))


if __name__ == "__main__":
    main()
