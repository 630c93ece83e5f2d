"""What a user may do to the processes, over real sockets: nothing hangs, nothing is said twice, nothing is left."""

import contextlib
import http.client
import json
import os
import signal
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from daemon.lifecycle import wait_until

pytestmark = pytest.mark.slow

PROMPT = "def total(items):\n    result = 0\n    for item in items:\n"
LONG = {"prompt": PROMPT, "n_predict": 800, "ignore_eos": True, "temperature": 0, "stream": True}


def port_of(hearth) -> int:
    return int(hearth.status()["http"].rpartition(":")[2])


def workers(pid: int) -> list[psutil.Process]:
    """Workers that run; one that was killed may not be reaped yet."""
    return [child for child in psutil.Process(pid).children() if is_worker(child)]


def is_worker(process: psutil.Process) -> bool:
    try:
        return "engines.worker" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def stream(port: int, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Events of one streamed /completion."""
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    ) as connection:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/completion", json.dumps(body), headers)
        with connection.getresponse() as answer:
            assert answer.status == 200, answer.read()
            for line in answer:
                if line.startswith(b"data:"):
                    yield json.loads(line[5:])


def healthy(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
        return answer.status == 200 and json.load(answer)["status"] == "ok"


def text_of(port: int, body: dict[str, Any], disturb: Callable[[], None] = lambda: None) -> str:
    """The whole text; `disturb` is called once some of it has come."""
    text, calm = "", True
    for event in stream(port, body):
        text += event.get("content", "")
        if calm and len(text) > 40:
            calm = False
            disturb()
    return text


def test_a_killed_worker_costs_a_stream_no_text_and_repeats_none(hearth):
    """ENGINE.md 22: the request is taken up behind the tokens that were sent; /health and the next one work."""
    pid = hearth.start()
    port = port_of(hearth)
    undisturbed = text_of(port, LONG)
    victim = workers(pid)[0]
    healths: list[bool] = []

    def disturb() -> None:
        victim.kill()
        healths.append(healthy(port))

    assert text_of(port, LONG, disturb) == undisturbed
    assert healths == [True]
    assert workers(pid)[0].pid != victim.pid
    assert text_of(port, LONG | {"n_predict": 5})
    assert hearth.status()["models"][0]["deaths"] == 1
    assert "died once" in hearth.run("status").stdout
    assert "SIGKILL" in hearth.home.log_file.read_text()


def test_a_request_whose_workers_keep_dying_ends_with_a_reason(hearth):
    """ENGINE.md 22: it is taken up once, alone; dying again ends it in words. The daemon serves the next one."""
    pid = hearth.start()
    port = port_of(hearth)
    text_of(port, LONG | {"n_predict": 2})
    killed: set[int] = set()
    events = []
    for event in stream(port, LONG):
        events.append(event)
        for worker in workers(pid):
            if worker.pid not in killed:
                killed.add(worker.pid)
                worker.kill()
    assert len(killed) >= 2
    assert events[-1]["error"]["message"]
    assert healthy(port)
    assert text_of(port, LONG | {"n_predict": 5})


def test_a_killed_daemon_leaves_no_process_behind(hearth):
    """ENGINE.md 1: a worker ends when its socket closes, within two seconds."""
    pid = hearth.start()
    text_of(port_of(hearth), LONG | {"n_predict": 2})
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    assert len(family) == 2
    os.kill(pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=2)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


def test_a_client_that_goes_away_frees_its_sequence(hearth):
    """Its request is withdrawn within a step: nothing runs afterwards."""
    hearth.start()
    port = port_of(hearth)
    events = stream(port, LONG)
    next(events)
    events.close()
    assert wait_until(lambda: hearth.status()["models"][0]["sequences_in_use"] == 0, 10)
