"""What one streamed token costs the daemon: microseconds of its processor time, from the worker's frame to the socket.

The cores belong to the worker's threads: what the daemon takes, generation loses. The daemon runs in a process of
its own over a worker that computes nothing; this process is its clients. What requests cost beside their tokens is
taken off: every figure is the difference between long answers and short ones.

    python -m tests.bench.streaming [--tokens 2000] [--rounds 5] [--profile FILE]
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys

BODIES = {
    "/completion": {"prompt": "a"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "a"}]},
}
TOKENS_SHORT = 4


class StreamedDaemon:
    """The daemon that is measured, and its clients."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._port = int(process.stdout.readline())

    async def stream(self, path: str, tokens: int) -> int:
        """One streamed request, read to its end; how many tokens came."""
        body = json.dumps(BODIES[path] | {"stream": True, "max_tokens": tokens}).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(head.encode() + body)
        came = 0
        while data := await reader.read(1 << 16):
            came += data.count(b" token")
        writer.close()
        await writer.wait_closed()
        return came

    async def token_us(self, path: str, streams: int, tokens: int) -> float:
        """Microseconds of the daemon's processor time for one token, of so many streams of so many tokens."""
        long_s = await self._streams_s(path, streams, tokens)
        short_s = await self._streams_s(path, streams, TOKENS_SHORT)
        return (long_s - short_s) / (streams * (tokens - TOKENS_SHORT)) * 1e6

    async def _streams_s(self, path: str, streams: int, tokens: int) -> float:
        before_s = self._spent_s()
        came = await asyncio.gather(*(self.stream(path, tokens) for _ in range(streams)))
        assert came == [tokens] * streams
        return self._spent_s() - before_s

    def _spent_s(self) -> float:
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


async def measure(daemon: StreamedDaemon, arguments: argparse.Namespace) -> None:
    await daemon.stream("/completion", 1)  # loads the model
    for path in arguments.paths:
        for streams in arguments.streams:
            tokens = round(arguments.tokens / streams**0.5)
            values = [await daemon.token_us(path, streams, tokens) for _ in range(arguments.rounds)]
            print(
                f"{path:<22} {streams:>2} streams: {statistics.median(values):6.1f} us a token "
                f"(least {min(values):.1f}, most {max(values):.1f})",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--tokens", type=int, default=2000, help="of one stream; of each of 16 a quarter"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--paths", nargs="*", default=list(BODIES))
    parser.add_argument("--profile", help="write what cProfile saw in the daemon to this file")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "tests.bench.streamed_daemon"]
    with subprocess.Popen(
        [*command, arguments.profile] if arguments.profile else command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        asyncio.run(measure(StreamedDaemon(process), arguments))
        process.stdin.close()


if __name__ == "__main__":
    main()
