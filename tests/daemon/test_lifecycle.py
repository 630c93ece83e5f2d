"""One daemon per home: the lock, the start by clients, the end by signals, and nothing left behind."""

import signal
import socket
import stat
import subprocess
import sys
import time

import psutil
import pytest

from daemon.errors import BusyError, ConfigError, NoDaemonError
from daemon.lifecycle import answers, hold_lock, running_pid, start_if_absent, stop, wait_until

pytestmark = pytest.mark.slow

PATIENCE_S = 60.0
STARTER = "from daemon.lifecycle import *; from daemon.paths import find_home; h = find_home(); start_if_absent(h); print(running_pid(h))"


def _workers(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def _wait_for_workers(pid: int) -> list[psutil.Process]:
    assert wait_until(lambda: bool(_workers(pid)), PATIENCE_S)
    return _workers(pid)


def _gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_a_lock_is_held_once(hearth) -> None:
    with hold_lock(hearth.home):
        assert running_pid(hearth.home) == psutil.Process().pid
        with pytest.raises(BusyError, match="already runs"), hold_lock(hearth.home):
            pass
    assert running_pid(hearth.home) is None


def test_a_lock_of_the_dead_is_no_lock(hearth) -> None:
    hearth.home.prepare()
    hearth.home.lock_file.write_text("1\n")
    assert running_pid(hearth.home) is None
    with pytest.raises(NoDaemonError):
        stop(hearth.home)
    with hold_lock(hearth.home):
        assert running_pid(hearth.home) == psutil.Process().pid


def test_a_client_starts_the_daemon_once(hearth) -> None:
    pid = hearth.start()
    assert hearth.start() == pid
    assert answers(hearth.home.lsp_socket)
    assert answers(hearth.home.http_socket)


def test_two_clients_that_start_at_once_end_with_one_daemon(hearth) -> None:
    starters = [
        subprocess.Popen(
            [sys.executable, "-P", "-c", STARTER],
            env=hearth.environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    pids = {starter.communicate(timeout=PATIENCE_S)[0].strip() for starter in starters}
    assert pids == {str(running_pid(hearth.home))}


def test_sockets_are_for_their_owner_alone(hearth) -> None:
    hearth.start()
    for path in (hearth.home.lsp_socket, hearth.home.http_socket):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_sigterm_ends_everything_within_two_seconds(hearth) -> None:
    pid = hearth.start()
    workers = _wait_for_workers(pid)
    started = time.monotonic()
    assert stop(hearth.home) == pid
    assert time.monotonic() - started < 2.0
    assert wait_until(lambda: _gone(workers), PATIENCE_S)
    assert not hearth.home.lsp_socket.exists()
    assert not hearth.home.http_socket.exists()


def test_kill_9_leaves_no_worker_and_no_stale_lock(hearth) -> None:
    pid = hearth.start()
    workers = _wait_for_workers(pid)
    psutil.Process(pid).send_signal(signal.SIGKILL)
    assert wait_until(lambda: _gone(workers), PATIENCE_S)
    assert hearth.home.lsp_socket.exists(), "what a dead daemon leaves behind"
    assert hearth.start() != pid


def test_an_occupied_port_ends_serve_and_only_degrades_an_editors_daemon(hearth) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        hearth.configure(f"[server]\nport = {port}\n")
        refused = hearth.run("serve")
        assert refused.returncode == 5
        assert str(port) in refused.stderr
        assert "Traceback" not in refused.stderr
        hearth.start()
        document = hearth.status()
        assert document["http"] == ""
        assert any(str(port) in sentence for sentence in document["degraded"])


def test_editors_in_containers_come_by_tcp_where_it_is_asked_for(hearth) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        hearth.configure(f"[server]\nhttp = false\nlsp_port = {port}\n")
        refused = hearth.run("serve")
        assert refused.returncode == 5
        assert "lsp_port" in refused.stderr
    hearth.start()
    assert hearth.status()["http"] == "", "HTTP on TCP is switched off"
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.sendall(b"Content-Length: 2\r\n\r\n{}")
        assert connection.recv(1) == b"", "it hangs up on what is no message"


def test_a_start_that_fails_says_why(hearth) -> None:
    hearth.configure("[sever]\n")
    with pytest.raises(ConfigError, match="did you mean"):
        start_if_absent(hearth.home)


def test_a_long_home_works(hearth, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HEARTH_HOME", str(tmp_path / ("x" * 120)))
    from daemon.paths import find_home

    home = find_home()
    home.prepare()
    home.config_file.write_text("[server]\nport = 0\n")
    start_if_absent(home)
    assert answers(home.http_socket)
    stop(home)
    home.sockets.rmdir()
