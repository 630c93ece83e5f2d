"""`hearth models`: what is configured, whether its file is sound, and where it is now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from daemon.cli.client import get_json
from daemon.cli.show import colour, print_json, size, table
from daemon.config import Model, load_config
from daemon.errors import HearthError, ModelError
from daemon.model_files import inspect, kinds_of
from daemon.paths import find_home


def command(
    config: Annotated[
        Path | None, typer.Option(help="Read this file instead of the usual one.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a document instead of a table.")
    ] = False,
) -> None:
    """List the configured models: file, size, quantisation, what they serve, and their state now.

    A model is added by a section of the configuration (`hearth doctor` says where that file is):

    \b
        [[model]]
        name = "coder"
        path = "~/models/qwen2.5-coder-1.5b-q8_0.gguf"
        kinds = ["complete", "popup"]
    """  # noqa: D301 - click wants a true backspace
    home = find_home()
    loaded = load_config(config or home.config_file, required=config is not None)
    states = _states(home)
    rows = [_describe(model, states.get(model.name, "")) for model in loaded.models]
    if as_json:
        print_json({"schema_version": 1, "models": rows})
    else:
        _print(rows)
    broken = [row["error"] for row in rows if row["error"]]
    if broken:
        raise ModelError(broken[0])


def _states(home: Any) -> dict[str, str]:
    """Where each model is, by the running daemon; nothing when none runs."""
    try:
        document = get_json(home, "/status")
    except HearthError:
        return {}
    return {m["name"]: m.get("state", "") for m in document.get("models", [])}


def _describe(model: Model, state: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": model.name,
        "path": str(model.path),
        "kinds": [kind.value for kind in model.kinds],
        "languages": list(model.languages),
        "pinned": model.pin,
        "state": state or None,
        "error": None,
    }
    try:
        header = inspect(model)
    except ModelError as error:
        return row | {"error": str(error)}
    return row | {
        "kinds": [kind.value for kind in kinds_of(model, header)],
        "languages": list(model.languages or header.strings("hearth.languages")),
        "file_bytes": header.file_bytes,
        "architecture": header.architecture,
        "quantisation": header.quantisation,
        "trained_context_tokens": header.context_tokens,
    }


def _print(rows: list[dict[str, Any]]) -> None:
    head = ["model", "size", "quantisation", "state", "serves", "languages"]
    lines = [
        [
            row["name"] + (" (pinned)" if row["pinned"] else ""),
            size(row.get("file_bytes")),
            row.get("quantisation") or "-",
            "broken" if row["error"] else row["state"] or "-",
            ", ".join(row["kinds"]),
            ", ".join(row["languages"]) or "all",
        ]
        for row in rows
    ]
    print(table([head, *lines], indent=0))
    for row in rows:
        print(colour(f"{row['name']}: {row['path']}", "dim"))
