"""`hearth status`: the daemon's own document, as it is or as a page for people.

Standard library only: it should be as quick as looking.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from daemon.cli.client import get_json
from daemon.cli.show import colour, duration, milliseconds, print_json, size, table
from daemon.paths import find_home

HUES = {"ready": "green", "loading": "yellow", "draining": "yellow", "failed": "red"}


def run(arguments: list[str]) -> int:
    """Show it; the exit code."""
    document = get_json(find_home(), "/status")
    if arguments == ["--json"]:
        print_json(document)
    else:
        print(page(document))
    return 0


def page(document: dict[str, Any]) -> str:
    """The document for people."""
    parts = [_head(document), _models(document["models"]), _classes(document), _notes(document)]
    return "\n\n".join(part for part in parts if part)


def _head(document: dict[str, Any]) -> str:
    memory = document["memory"]
    first = (
        f"{colour('Hearth ' + document['version'], 'bold')}, process {document['pid']}, "
        f"up {duration(document['uptime_s'])}"
    )
    places = [document["http"] or "HTTP on TCP is off", *document["sockets"]]
    used = f"{size(memory['used_bytes'])} of {size(memory['budget_bytes'])} for models"
    return "\n  ".join([first, *places, used])


def _models(models: list[dict[str, Any]]) -> str:
    head = ["model", "state", "runs", "loaded as", "memory", "prefill", "decode"]
    return table([head, *(_model(model) for model in models)])


def _model(model: dict[str, Any]) -> list[str]:
    state, progress = model["state"], model["progress"]
    shown = f"loading {progress:.0%}" if state == "loading" and progress is not None else state
    return [
        model["name"],
        colour(shown, HUES[state]) if state in HUES else shown,
        f"{model['sequences_in_use']}/{model['sequences'] or '-'}",
        model["rung"] or "-",
        size(sum(model["memory"].values())),
        f"{model['prefill_tokens_per_s']:.0f} tok/s",
        f"{model['decode_tokens_per_s']:.0f} tok/s",
    ]


def _classes(document: dict[str, Any]) -> str:
    head = ["class", "waiting", "running", "ended", "TTFT p50", "p95", "E2E p50", "p95"]
    rows = []
    for name, waiting in document["queued"].items():
        latency = document["latency"].get(name, {})
        counts = [waiting, document["running"].get(name, 0), latency.get("count", 0)]
        times = [f"{what}_{rank}_ms" for what in ("ttft", "e2e") for rank in ("p50", "p95")]
        if any(counts):
            rows.append([name, *map(str, counts), *(milliseconds(latency.get(t)) for t in times)])
    return table([head, *rows]) if rows else colour("  no requests yet", "dim")


def _notes(document: dict[str, Any]) -> str:
    return "\n".join(_sentences(document))


def _sentences(document: dict[str, Any]) -> Iterator[str]:
    for model in document["models"]:
        if model["state"] == "failed":
            yield f"{colour('failed', 'red')}  {model['name']}: {model['detail']}"
        if model["deaths"]:
            times = "once" if model["deaths"] == 1 else f"{model['deaths']} times"
            yield f"{colour('note', 'yellow')}  {model['name']}: its worker died {times}; the log says how"
    for sentence in document["degraded"]:
        yield f"{colour('degraded', 'yellow')}  {sentence}"
    for sentence in document["notices"]:
        yield f"{colour('note', 'yellow')}  {sentence}"
