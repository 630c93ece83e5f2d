"""`hearth explain` on a real daemon: a request that was answered can be found and its life read."""

import contextlib
import json

import pytest

from daemon.cli.client import UnixConnection

pytestmark = pytest.mark.slow


def asked(hearth) -> str:
    """Have something answered; the number that the answer's header names."""
    body = json.dumps({"prompt": "def f(x):\n", "n_predict": 8, "ignore_eos": True})
    with contextlib.closing(UnixConnection(hearth.home.http_socket, timeout_s=60)) as connection:
        connection.request("POST", "/completion", body, {"Content-Type": "application/json"})
        with connection.getresponse() as answer:
            answer.read()
            return answer.headers["X-Hearth-Request"]


def test_an_answered_request_is_explained(hearth) -> None:
    """From the header of an answer to the story of its request, for people and for programs."""
    hearth.start()
    number = asked(hearth)
    (one,) = json.loads(hearth.run("explain", number, "--json").stdout)["requests"]
    whats = [moment["what"] for moment in one["moments"]]
    assert whats[0] == "arrived"
    assert whats[-1] == "done"
    assert {"started", "prepared", "first token"} <= set(whats)
    assert one["id"] == int(number)
    assert one["output_tokens"] == 8
    story = hearth.run("explain", f"cmpl-{number}").stdout
    assert f"Request {number}: generate, foreground" in story
    assert "prompt tokens" in story
    table = hearth.run("explain", "-n", "5").stdout
    assert table.splitlines()[0].startswith("id  kind")
    assert "\x1b" not in table + story


def test_what_cannot_be_explained(hearth) -> None:
    """One clear message and its exit code each."""
    assert hearth.run("explain").returncode == 3
    hearth.start()
    assert "no requests yet" in hearth.run("explain").stdout
    for given, code, word in (("99", 1, "journal_max"), ("frob", 2, "no request's number")):
        answer = hearth.run("explain", given)
        assert (answer.returncode, answer.stderr.count("\n")) == (code, 1)
        assert word in answer.stderr


def test_the_shell_completes_ids(hearth) -> None:
    """Of the latest requests; of none where no daemon runs."""

    def completed() -> str:
        asking = {
            "_HEARTH_COMPLETE": "complete_bash",
            "COMP_WORDS": "hearth explain ",
            "COMP_CWORD": "2",
        }
        hearth.environ.update(asking)
        try:
            return hearth.run().stdout
        finally:
            for name in asking:
                del hearth.environ[name]

    assert completed().split() == []
    hearth.start()
    number = asked(hearth)
    assert completed().split() == [number]
