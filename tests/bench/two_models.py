"""Two models on one machine: background work on one and somebody at the keyboard on the other.

    python -m tests.bench.two_models --server PATH/llama-server --model FILE.gguf [--streams 3] [--seconds 45]
        [--pairs 2] [--no-pause] [--json FILE]

1. Streams of background work on `chat`, a completion every 1.5 s on `code`: one Hearth, and two llama-servers.
2. A foreground answer on `code` while completions come on it: the pauses between its tokens, alone and beside typing.

Both models are the same file under two names. The servers take turns; who is not measured is idle.
"""

import argparse
import asyncio
import contextlib
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.daemon_under_test import daemon
from tests.bench.figures import percentile
from tests.bench.mixed_counting import Exchange, Figures, count, pool
from tests.bench.mixed_load import (
    EVERY_S,
    STREAM_WORDS,
    Streams,
    Target,
    Typist,
    measure,
)
from tests.bench.peer_server import Server, Shape, free_port, fresh, hearth_config, llama_server

SHAPE = Shape(sequences=4, context=1024, threads=2, sub_batch=128)
FOREGROUND_TOKENS = 300
GAP_MAX_MS = 250
"""What a foreground answer is promised: one pause in twenty may be longer."""


@dataclass
class Side:
    """One way to serve two models, and what it did."""

    name: str
    chat: Target
    code: Target
    idle: list[Figures] = field(default_factory=list)
    busy: list[Figures] = field(default_factory=list)
    gaps_alone_ms: list[float] = field(default_factory=list)
    gaps_typing_ms: list[float] = field(default_factory=list)
    first_beside_ms: list[float] = field(default_factory=list)
    """Time to the first token of the completions beside a foreground answer."""


async def compare(sides: Sequence[Side], arguments: argparse.Namespace) -> None:
    """All of it in turns, as often as there are pairs."""
    for side in sides:
        for target in (side.chat, side.code):
            await target.server.ready()
            await target.server.warm(target.model)
    for pair in range(arguments.pairs):
        for side in sides if pair % 2 else reversed(sides):
            side.idle.append(await completions_beside(side, 0, 1000 + pair, arguments.seconds / 2))
            side.busy.append(
                await completions_beside(side, arguments.streams, pair, arguments.seconds)
            )
            await foreground(side, pair, arguments.foreground_tokens)
            said = f"{side.busy[-1].first_percentile_ms(0.95):.0f} ms"
            print(f"pair {pair + 1}, {side.name}: first token p95 {said}", flush=True)


async def completions_beside(side: Side, streams: int, seed: int, seconds: float) -> Figures:
    """Completions on one model while so many streams run on the other."""
    window = await measure(
        Streams(side.chat, streams, seed), side.code, seconds=seconds, patience_s=30
    )
    return count(window)


async def foreground(side: Side, seed: int, tokens: int) -> None:
    """One foreground answer alone, and one while somebody types on the same model."""
    roll = random.Random(f"{seed} foreground")
    alone, beside = Exchange(tokens), Exchange(tokens)
    await side.code.ask(fresh(STREAM_WORDS, roll), alone, "foreground")
    side.gaps_alone_ms += alone.gaps_ms
    answer = asyncio.create_task(side.code.ask(fresh(STREAM_WORDS, roll), beside, "foreground"))
    typist = Typist(side.code, seed + 2000)
    while not answer.done():
        await typist.type(EVERY_S)
    await answer
    await typist.answered(30)
    assert not alone.error + beside.error, f"{side.name}: {alone.error} {beside.error}"
    side.gaps_typing_ms += beside.gaps_ms
    side.first_beside_ms += [1e3 * one.first_s for one in typist.exchanges if one.first_s]


def table(sides: Sequence[Side]) -> Iterator[str]:
    """Both sides beside each other."""
    idle = [pool(side.idle) for side in sides]
    busy = [pool(side.busy) for side in sides]
    yield f"\n{'':<48}" + "".join(f"{side.name:>18}" for side in sides)
    for name, done in (("idle", idle), ("beside streams on the other", busy)):
        for share in (0.5, 0.95):
            late = [one.first_percentile_ms(share) for one in done]
            yield row(f"first token {name}, p{100 * share:.0f} ms", late)
            ratios = [ms / one.first_percentile_ms(0.5) for ms, one in zip(late, idle, strict=True)]
            yield row("  over the idle p50", ratios, digits=2)
    yield row("completions served", [one.served for one in busy])
    yield row("background, tok/s", [one.background_rate for one in busy], digits=1)
    for name in ("alone", "typing"):
        gaps = [getattr(side, f"gaps_{name}_ms") for side in sides]
        yield row(f"foreground answer, {name}: gap p50 ms", [percentile(one, 0.5) for one in gaps])
        yield row(f"  gap p95 ms (promised {GAP_MAX_MS})", [percentile(one, 0.95) for one in gaps])
        yield row("  longest gap ms", [max(one) for one in gaps])
    for share in (0.5, 0.95):
        late = [percentile(side.first_beside_ms, share) for side in sides]
        yield row(f"completions beside it, first token p{100 * share:.0f} ms", late)
    for side, one in zip(sides, busy, strict=True):
        yield from (f"ERROR of {side.name}: {error}" for error in dict.fromkeys(one.errors))


def row(name: str, values: Sequence[float], *, digits: int = 0) -> str:
    return f"{name:<48}" + "".join(f"{value:>18.{digits}f}" for value in values)


def document(sides: Sequence[Side], arguments: argparse.Namespace) -> str:
    """All measurements, for other programs."""
    measured = [
        {
            "name": side.name,
            "idle": [asdict(one) for one in side.idle],
            "busy": [asdict(one) for one in side.busy],
            "gaps_alone_ms": side.gaps_alone_ms,
            "gaps_typing_ms": side.gaps_typing_ms,
            "first_beside_ms": side.first_beside_ms,
        }
        for side in sides
    ]
    asked = {name: str(value) for name, value in vars(arguments).items()}
    return json.dumps({"arguments": asked, "sides": measured}, indent=1)


@contextlib.contextmanager
def both_sides(arguments: argparse.Namespace) -> Iterator[tuple[Side, Side]]:
    """One Hearth with two models, and two llama-servers with one each."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        models = {name: Path(folder) / f"{name}.gguf" for name in ("chat", "code")}
        for link in models.values():
            link.symlink_to(arguments.model.resolve())
        chat, code = (
            Target(stack.enter_context(llama_server(arguments.server, link, SHAPE)))
            for link in models.values()
        )
        port = free_port()
        pause = "pause = false" if arguments.no_pause else ""
        stack.enter_context(daemon(hearth_config(port, models, SHAPE, scheduling=pause)))
        ours = Server("hearth", port)
        yield (
            Side("hearth", Target(ours, "chat"), Target(ours, "code")),
            Side("two llama-servers", chat, code),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--server", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--streams", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=45)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--foreground-tokens", type=int, default=FOREGROUND_TOKENS)
    parser.add_argument("--no-pause", action="store_true", help="Hearth without [scheduling] pause")
    parser.add_argument("--json", type=Path, help="write all measurements to this file")
    arguments = parser.parse_args()
    with both_sides(arguments) as sides:
        asyncio.run(compare(sides, arguments))
    print("\n".join(table(sides)))
    if arguments.json:
        arguments.json.write_text(document(sides, arguments))


if __name__ == "__main__":
    main()
