"""Completions beside background work, Hearth and llama-server in turns: who is quick, and what it costs.

    python -m tests.bench.mixed_peer --server PATH/llama-server --model FILE.gguf [--background 0 3 6 12]
        [--seconds 45] [--pairs 2] [--patience 30] [--hearth-policy NAME] [--json FILE] [--journal FILE]

So many streams of background work always run (prompts of 300 words, answers of 200 tokens), and a completion (100
words, 8 tokens) comes every 1.5 s. Both servers are given the same requests and stay in memory; one is idle while
the other is measured. Without background it is the idle machine, which all else is held against.
"""

import argparse
import asyncio
import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench import mixed_counting, mixed_load
from tests.bench.daemon_under_test import daemon
from tests.bench.mixed_counting import Figures, background_due, count, pool
from tests.bench.mixed_load import Streams, Target, measure
from tests.bench.peer_server import Server, Shape, free_port, hearth_config, llama_server

SEQUENCES = 4
CONTEXT = 1024
LATENESS_MAX = 1.3
"""Aims: p95 of the first token over the idle median; useful tokens over the peer's; background over what is due."""
USEFUL_MIN = 0.95
BACKGROUND_MIN = 0.9


@dataclass(frozen=True)
class Level:
    """What both did with so many streams, measurement by measurement."""

    streams: int
    ours: list[Figures]
    theirs: list[Figures]


async def compare(ours: Server, theirs: Server, arguments: argparse.Namespace) -> list[Level]:
    """All levels in turns, as often as there are pairs; who goes first changes from pair to pair."""
    levels = [Level(streams, [], []) for streams in sorted({0, *arguments.background})]
    for server in (ours, theirs):
        await server.ready()
        await server.warm()
    for pair in range(arguments.pairs):
        for level in levels:
            turns = [(theirs, level.theirs), (ours, level.ours)]
            for server, into in turns if pair % 2 else reversed(turns):
                streams = Streams(Target(server), level.streams, seed=100 * pair + level.streams)
                window = await measure(
                    streams,
                    Target(server),
                    seconds=arguments.seconds,
                    patience_s=arguments.patience,
                )
                into.append(count(window))
                said = line(server.name, into[-1])
                print(f"pair {pair + 1}, {level.streams:>2} streams, {said}", flush=True)
    return levels


def line(name: str, done: Figures) -> str:
    """One measurement."""
    return (
        f"{name:<12}: first token p50 {done.first_percentile_ms(0.5):7.0f} p95 {done.first_percentile_ms(0.95):7.0f} ms,"
        f" served {done.served}, useful {done.useful_rate:6.1f} tok/s, background {done.background_rate:6.1f} tok/s,"
        f" errors {len(done.errors)}"
    )


def tables(levels: Sequence[Level]) -> Iterator[str]:
    """Each level beside the idle one."""
    idle = next((pool(level.ours), pool(level.theirs)) for level in levels if not level.streams)
    for level in levels:
        yield f"\n{level.streams} streams of background{'hearth':>12}{'llama-server':>16}"
        both = (pool(level.ours), pool(level.theirs))
        yield from speed_rows(both, idle)
        yield from work_rows(both)
        if level.streams:
            yield from aims(level, both, idle)
        for name, done in zip(("hearth", "llama-server"), both, strict=True):
            yield from (f"  ERROR of {name}: {error}" for error in dict.fromkeys(done.errors))


def speed_rows(both: tuple[Figures, Figures], idle: tuple[Figures, Figures]) -> Iterator[str]:
    """How soon completions were answered."""
    for share in (0.5, 0.95):
        name = f"p{100 * share:.0f}"
        late = [done.first_percentile_ms(share) for done in both]
        yield row(f"first token {name}", "ms", *late, digits=0)
        yield row(f"  {name} over the idle p50", "x", *over(late, idle, 0.5), digits=2)
    yield row("  p95 over the idle p95", "x", *over(late, idle, 0.95), digits=2)
    yield row(
        "whole completion p95", "ms", *(done.whole_percentile_ms(0.95) for done in both), digits=0
    )
    yield row("served in the window", "", *(done.served for done in both), digits=0)
    yield row("asked for", "", *(len(done.first_ms) for done in both), digits=0)
    yield row("never answered", "", *(done.unanswered for done in both), digits=0)


def over(late_ms: Sequence[float], idle: Sequence[Figures], share: float) -> list[float]:
    """Times over those of the same server on the idle machine."""
    return [ms / alone.first_percentile_ms(share) for ms, alone in zip(late_ms, idle, strict=True)]


def work_rows(both: tuple[Figures, Figures]) -> Iterator[str]:
    """What was computed that somebody wanted."""
    yield row("useful, all", "tok/s", *(done.useful_rate for done in both))
    yield row("  of prompts", "tok/s", *(done.prompt_rate for done in both))
    yield row("  of answers", "tok/s", *(done.output_rate for done in both))
    yield row("  background, both", "tok/s", *(done.background_rate for done in both))
    yield row("prompt_n of prompts", "", *(done.evaluated_share for done in both), digits=2)


def aims(
    level: Level, both: tuple[Figures, Figures], idle: tuple[Figures, Figures]
) -> Iterator[str]:
    """The three aims, and the ratios of each pair."""
    late = both[0].first_percentile_ms(0.95) / idle[0].first_percentile_ms(0.5)
    yield verdict("first token p95 / idle", late, f"<= {LATENESS_MAX}", met=late <= LATENESS_MAX)
    pairs = list(zip(level.ours, level.theirs, strict=True))
    useful = both[0].useful_rate / both[1].useful_rate
    each = [ours.useful_rate / theirs.useful_rate for ours, theirs in pairs]
    yield verdict(
        "useful / llama-server's", useful, f">= {USEFUL_MIN}", met=useful >= USEFUL_MIN, each=each
    )
    due = background_due(*both, idle[1])
    each = [ours.background_rate / background_due(ours, theirs, idle[1]) for ours, theirs in pairs]
    share = both[0].background_rate / due
    yield verdict(
        f"background / {due:.1f} due",
        share,
        f">= {BACKGROUND_MIN}",
        met=share >= BACKGROUND_MIN,
        each=each,
    )


def row(name: str, unit: str, ours: float, theirs: float, *, digits: int = 1) -> str:
    return f"  {name:<26}{ours:>8.{digits}f}{theirs:>16.{digits}f} {unit}"


def verdict(name: str, value: float, aim: str, *, met: bool, each: Sequence[float] = ()) -> str:
    pairs = f"  ({' '.join(f'{one:.3f}' for one in each)})" if len(each) > 1 else ""
    return f"  AIM {name:<30}{value:6.3f} {aim:<9}{'met' if met else 'MISSED'}{pairs}"


def document(levels: Sequence[Level], arguments: argparse.Namespace) -> str:
    """All measurements, for other programs."""
    asked = {name: str(value) for name, value in vars(arguments).items()}
    return json.dumps({"arguments": asked, "levels": [asdict(level) for level in levels]}, indent=1)


@contextlib.contextmanager
def both_servers(arguments: argparse.Namespace) -> Iterator[tuple[Server, Server]]:
    """Hearth and its peer, with the same file and the same options."""
    shape = Shape(SEQUENCES, CONTEXT, arguments.threads, arguments.sub_batch)
    port = free_port()
    policy = f'policy = "{arguments.hearth_policy}"' if arguments.hearth_policy else ""
    models = {"twin": arguments.model.resolve()}
    config = hearth_config(port, models, shape, scheduling=policy, journal=arguments.journal)
    with llama_server(arguments.server, arguments.model, shape) as peer, daemon(config):
        yield Server("hearth", port), peer


def arguments_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--server", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--background", type=int, nargs="*", default=[0, 3, 6, 12])
    parser.add_argument("--seconds", type=float, default=45)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument(
        "--patience", type=float, default=30, help="seconds to wait for answers after the window"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sub-batch", type=int, default=128)
    parser.add_argument("--hearth-policy", default="", help="[scheduling] policy of the config")
    parser.add_argument("--json", type=Path, help="write all measurements to this file")
    parser.add_argument(
        "--journal", type=Path, help="keep Hearth's journal here, for tests.sim.against_live"
    )
    return parser.parse_args()


def main() -> None:
    arguments = arguments_of()
    print(mixed_counting.__doc__.split("\n\n", 1)[1])
    print(
        f"{SEQUENCES} sequences of {CONTEXT} tokens each; llama-server with its own choice of KV for -np "
        f"{SEQUENCES}: split, a sequence has cells of its own (so has Hearth's). Streams begin "
        f"{mixed_load.AHEAD_S:.0f} s ahead; completions overlap where they are slow, and none replaces another.",
        flush=True,
    )
    with both_servers(arguments) as (ours, theirs):
        levels = asyncio.run(compare(ours, theirs, arguments))
    print("\n".join(tables(levels)))
    if arguments.json:
        arguments.json.write_text(document(levels, arguments))


if __name__ == "__main__":
    main()
