"""`hearth bench`: real daemons of its own under a real load; what it says is checked for its form, never for its times."""

import json
import signal
import tomllib
from pathlib import Path

import psutil
import pytest

from daemon.bench.figures import figures_of
from daemon.bench.plot import check_plot
from daemon.bench.private import variant
from daemon.bench.prompts import chance, code
from daemon.bench.turns import plan
from daemon.cli.bench import page
from daemon.config import load_config
from daemon.errors import UsageError
from daemon.life import Life
from daemon.lifecycle import wait_until
from policies.messages import Outcome
from policies.request import PROMISE_OF, Class, Kind, Request


def lived(
    klass: Class,
    *,
    first_s: float | None,
    whole_s: float,
    outcome: Outcome = Outcome.DONE,
) -> Life:
    kind = Kind.COMPLETE if klass is Class.INTERACTIVE else Kind.CHAT
    request = Request(0, kind, klass, "m", 400, 16, "bench", promise=PROMISE_OF[klass])
    life = Life(0, "m", request, 10.0, prompt_tokens=100)
    if first_s is not None:
        life.take_tokens(8, 10.0 + first_s)
    life.ended_s, life.outcome = 10.0 + whole_s, outcome
    return life


def cut_off(klass: Class, *, first_s: float | None, after_s: float) -> Life:
    return lived(klass, first_s=first_s, whole_s=after_s, outcome=Outcome.CANCELLED)


def test_figures_of_two_turns() -> None:
    """Percentiles are values that were measured; a prompt counts as soon as something came of it."""
    key = Class.INTERACTIVE
    turns = [
        (2.0, [lived(key, first_s=0.1, whole_s=0.5), lived(key, first_s=0.4, whole_s=0.6)]),
        (
            2.0,
            [
                cut_off(key, first_s=0.2, after_s=0.25),
                cut_off(key, first_s=None, after_s=0.25),
            ],
        ),
    ]
    found = figures_of("hearth", 4, turns)
    one = found.classes["interactive"]
    assert (one.requests, one.failed, one.judged, one.kept) == (4, 0, 2, 1)
    assert (one.first_p50_ms, one.first_p95_ms, one.whole_p95_ms) == (200, 400, 600)
    assert one.kept_share == 0.5
    assert found.tokens_per_s == (3 * 100 + 3 * 8) / 4


def test_who_answers_nothing_keeps_no_promise() -> None:
    """What was cut off is judged by how long it had waited then, and left out only while that is not too long."""
    key, chat, background = Class.INTERACTIVE, Class.FOREGROUND, Class.BACKGROUND
    lives = [
        cut_off(key, first_s=None, after_s=0.31),
        cut_off(key, first_s=None, after_s=0.29),
        cut_off(key, first_s=0.1, after_s=1.01),
        lived(key, first_s=None, whole_s=0.2, outcome=Outcome.SUPERSEDED),
        cut_off(chat, first_s=None, after_s=1.6),
        cut_off(chat, first_s=1.4, after_s=99.0),
        cut_off(background, first_s=None, after_s=99.0),
    ]
    found = figures_of("hearth", 4, [(2.0, lives)]).classes
    one = found["interactive"]
    assert (one.judged, one.kept, one.cut_off, one.cut_off_late, one.superseded) == (2, 0, 3, 2, 1)
    one = found["foreground"]
    assert (one.judged, one.kept, one.cut_off, one.cut_off_late) == (1, 0, 2, 1)
    one = found["background"]
    assert (one.judged, one.cut_off, one.cut_off_late) == (0, 1, 0)


def test_nothing_measured_is_no_figure() -> None:
    """A turn that was interrupted at once has a form too."""
    found = figures_of("hearth", 1, [(0.0, [])])
    assert (found.tokens_per_s, found.classes) == (0.0, {})
    assert "0" in page([found, found])


def test_a_table_says_how_many_times_as_much() -> None:
    """The ratio is the second's over the first's, and a dash where there is none."""
    sides = [
        figures_of(name, 1, [(1.0, [lived(Class.INTERACTIVE, first_s=s, whole_s=0.9)])])
        for name, s in (("hearth", 0.1), ("fcfs", 0.25))
    ]
    rows = {line.strip().split("  ")[0]: line.split() for line in page(sides).splitlines()}
    assert rows["first token p95"][-5:] == ["100", "ms", "250", "ms", "2.50"]
    assert "cut off" not in rows
    assert rows["promises kept"][-3:] == ["1/1", "1/1", "1.00"]


def test_a_table_says_what_was_cut_off() -> None:
    """And how much of that was late already."""
    late = cut_off(Class.INTERACTIVE, first_s=None, after_s=0.31)
    in_time = cut_off(Class.INTERACTIVE, first_s=None, after_s=0.1)
    sides = [figures_of("fcfs", 1, [(1.0, lives)]) for lives in ([late, in_time], [in_time])]
    said = next(line for line in page(sides).splitlines() if "cut off" in line)
    assert said.split() == ["cut", "off", "2", "(1", "late)", "1", "(0", "late)"]


def test_turns_are_interleaved() -> None:
    """A B B A, and both sides of a round are asked the same."""
    turns = plan([1, 4], 24.0, 2)
    assert [(turn.streams, turn.side) for turn in turns] == [
        (1, 0), (1, 1), (1, 1), (1, 0), (4, 0), (4, 1), (4, 1), (4, 0),
    ]  # fmt: skip
    assert sum(turn.seconds for turn in turns) == 2 * 2 * 24.0


def test_prompts_are_the_same_for_a_seed() -> None:
    """And as long as was asked."""
    assert code(chance(1, "a"), 900) == code(chance(1, "a"), 900)
    assert code(chance(1, "a"), 900) != code(chance(2, "a"), 900)
    assert len(code(chance(1, "a"), 901)) == 901


def test_a_variant_differs_in_policy_and_doors_alone(tmp_path: Path) -> None:
    """Whatever the configuration holds survives being written again."""
    file = tmp_path / "config.toml"
    file.write_text(
        '[server]\nport = 1\ntoken = "t"\n[scheduling]\ncap = 3\n[memory]\nbudget = "1GiB"\n'
        '[log]\nlevel = "debug"\njournal = "/a/journal.jsonl"\n'
        '[[model]]\nname = "a \\"b\\" \\u00e9😀"\npath = "sub/m.gguf"\nkinds = ["chat", "popup"]\n'
        "quantum_ms = 12.5\npin = true\n"
    )
    private = tmp_path / "elsewhere" / "config.toml"
    private.parent.mkdir()
    private.write_text(variant(file, "saber"), "utf-8")
    before, after = load_config(file), load_config(private)
    assert (after.scheduling.policy, after.scheduling.cap) == ("saber", 3)
    assert not after.server.http
    assert (after.log.level, after.log.journal) == ("debug", None)
    assert (after.model, after.memory, after.limits) == (before.model, before.memory, before.limits)
    assert tomllib.loads(variant(tmp_path / "absent.toml", "fcfs")) == {
        "server": {"http": False},
        "scheduling": {"policy": "fcfs"},
    }


def test_a_plot_that_cannot_be_drawn_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before two minutes of measuring; without matplotlib it says how to get it."""
    monkeypatch.setattr("daemon.bench.plot.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"pip install matplotlib"):
        check_plot(tmp_path / "a.svg")
    monkeypatch.setattr("daemon.bench.plot.find_spec", lambda _name: object())
    with pytest.raises(UsageError, match="no such folder"):
        check_plot(tmp_path / "missing" / "a.svg")
    check_plot(tmp_path / "a.svg")


@pytest.mark.slow
def test_a_short_bench_beside_a_daemon_that_runs(hearth) -> None:
    """Every class is asked on both sides; the daemon of this home is asked nothing and goes on."""
    pid = hearth.start()
    answer = hearth.run(
        "bench", "--seconds", "6", "--streams", "1", "--against", "static", "--json", timeout=200
    )
    assert answer.returncode == 0, answer.stderr
    assert "your daemon runs" in answer.stderr
    document = json.loads(answer.stdout)
    assert (document["schema_version"], document["interrupted"]) == (1, False)
    assert [one["policy"] for one in document["figures"]] == ["hearth", "static"]
    for side in document["figures"]:
        assert (side["streams"], side["seconds"] >= 6) == (1, True)
        assert set(side["classes"]) == {"interactive", "foreground", "background"}
        for figures in side["classes"].values():
            assert figures["requests"] > 0
            assert figures["failed"] == 0
            assert figures["kept"] <= figures["judged"] <= figures["requests"]
        assert side["classes"]["interactive"]["first_p95_ms"] > 0
        assert side["tokens_per_s"] > 0
    status = hearth.status()
    assert (status["pid"], sum(status["ended"].values())) == (pid, 0)


def workers_of(pid: int) -> list[psutil.Process]:
    found = psutil.Process(pid).children(recursive=True)
    return [one for one in found if "engines.worker" in " ".join(one.cmdline())]


@pytest.mark.slow
def test_ctrl_c_shows_what_there_is_and_ends_its_daemons(hearth) -> None:
    """The interrupted turn counts too."""
    child = hearth.spawn("bench", "--seconds", "600", "--streams", "1", "--json")
    assert wait_until(lambda: workers_of(child.pid), 60)
    started = workers_of(child.pid)
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 0, said
    assert json.loads(said[said.index("{") :])["interrupted"] is True
    assert not [one for one in started if one.is_running()]


@pytest.mark.slow
def test_killed_it_leaves_no_daemon(hearth) -> None:
    """Nobody is asked to clean up: the kernel closes what the daemon's end hangs on."""
    child = hearth.spawn("bench", "--seconds", "600", "--streams", "1")
    assert wait_until(lambda: workers_of(child.pid), 60)
    started = psutil.Process(child.pid).children(recursive=True)
    child.kill()
    child.communicate(timeout=60)
    assert len(started) >= 3
    assert wait_until(lambda: not any(map(alive, started)), 20)


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE  # nobody may wait for an orphan here
    except psutil.NoSuchProcess:
        return False
