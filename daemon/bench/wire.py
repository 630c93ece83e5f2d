"""One streamed request over a plain socket, heard token by token: nothing between the daemon's bytes and the clock.

It reads no more of HTTP than the daemon writes: a status, then events that each lie whole in a chunk.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from daemon.life import Life
from policies.messages import Outcome
from policies.request import Request

HTTP_OK = 200


async def hear(socket: Path, request: Request, path: str, body: dict[str, Any], life: Life) -> None:
    """Send it and write into `life` what comes, as it comes: cancelled, it leaves what there was."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        writer.write(_written(request, path, body))
        status = _status_of(await reader.readline())
        async for line in reader:
            if status == HTTP_OK and line.startswith(b"data: {") and line.endswith(b"\n"):
                _take(json.loads(line[6:]), life)
    finally:
        writer.close()
    life.ended_s = time.monotonic()
    if status != HTTP_OK or life.outcome is None:
        life.outcome = Outcome.FAILED


def _written(request: Request, path: str, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"User-Agent: {request.client}\r\nX-Hearth-Class: {request.klass.label}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def _status_of(line: bytes) -> int:
    """The status that the first line of an answer names; a daemon that died says nothing."""
    if not line.endswith(b"\n"):
        raise ConnectionResetError("the connection ended before an answer")
    return int(line.split()[1])


def _take(event: dict[str, Any], life: Life) -> None:
    choice: dict[str, Any] = next(iter(event.get("choices", ())), {})
    if event.get("content") or choice.get("delta", {}).get("content"):
        life.take_tokens(1, time.monotonic())
    if usage := event.get("usage"):
        life.prompt_tokens, life.outcome = usage["prompt_tokens"], Outcome.DONE
    elif event.get("stop") and event["stop_type"] == "none":  # a newer one took its place
        life.outcome = Outcome.SUPERSEDED
    elif event.get("stop"):
        life.prompt_tokens, life.outcome = event["tokens_evaluated"], Outcome.DONE
