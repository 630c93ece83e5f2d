"""`hearth explain [ID]`: what happened to a request and why, or what the latest ones came to."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from daemon.cli.client import get_json
from daemon.cli.show import colour, milliseconds, print_json, table
from daemon.errors import HearthError, UsageError
from daemon.paths import find_home

DIGITS_MAX = 15
HUES = {"done": "green", "failed": "red", "refused": "red"}


def _ids(incomplete: str) -> list[tuple[str, str]]:
    """For the shell: the latest requests, each with what it was."""
    try:
        latest = get_json(find_home(), "/status/requests")["requests"]
    except HearthError:
        return []
    found = [(str(one["id"]), f"{one['kind']}, {_end(one)}") for one in reversed(latest)]
    return [pair for pair in found if pair[0].startswith(incomplete)]


def command(
    request_id: Annotated[
        str,
        typer.Argument(
            metavar="[ID]",
            help="A request's number, as in the header X-Hearth-Request or in an answer's `id`.",
            autocompletion=_ids,
        ),
    ] = "",
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, max=1000, help="How many of the latest to list.")
    ] = 20,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the document that /status/requests serves.")
    ] = False,
) -> None:
    """Tell what happened to a request: what it waited for, who went before it, and whether its promise was kept.

    Without an ID: the latest requests. Only sizes and times are kept, never text, and only of the last decisions.

    \b
        hearth explain
        hearth explain 17
        hearth explain cmpl-17
    """  # noqa: D301 - click wants a true backspace
    path = f"/{_number(request_id)}" if request_id else f"?count={count}"
    document = get_json(find_home(), f"/status/requests{path}")
    if as_json:
        print_json(document)
    elif request_id:
        print(story(document["requests"][0]))
    else:
        print(overview(document["requests"]))


def overview(requests: list[dict[str, Any]]) -> str:
    """A table of requests, a line each."""
    if not requests:
        return colour("no requests yet", "dim")
    head = ["id", "kind", "class", "model", "waited", "first token", "whole", "end", "promise"]
    rows = [
        [
            str(one["id"]),
            one["kind"] or "?",
            one["klass"] or "?",
            one["model"] or "?",
            milliseconds(one["waited_ms"]),
            milliseconds(one["first_token_ms"]),
            milliseconds(one["whole_ms"]),
            colour(_end(one), HUES.get(one["outcome"] or "", "dim")),
            _promise_kept(one),
        ]
        for one in requests
    ]
    return table([head, *rows], indent=0)


def story(one: dict[str, Any]) -> str:
    """One request from its arrival to its end."""
    moments = [_moment(moment) for moment in one["moments"]]
    parts = [_heading(one), table([["after", "what", ""], *moments]), _verdict(one)]
    return "\n\n".join(parts)


def _heading(one: dict[str, Any]) -> str:
    title = colour(f"Request {one['id']}", "bold")
    if one["arrived_ago_s"] is None:
        return f"{title}\n  it began before the journal: what is missing here is not known any more"
    sizes = f"{one['prompt_bytes']} bytes of prompt, at most {one['tokens_max']} tokens"
    return (
        f"{title}: {one['kind']}, {one['klass']}, {one['model']}, {one['arrived_ago_s']:.1f} s ago\n"
        f"  {sizes}, from {one['client']}\n  promised: {_promised(one['promise'])}"
    )


def _promised(promise: dict[str, float | None] | None) -> str:
    words = {
        "first_token_ms": "first token within",
        "whole_ms": "whole within",
        "gap_ms": "19 pauses in 20 up to",
    }
    made = [
        f"{says} {milliseconds(promise[name])}"
        for name, says in words.items()
        if promise and promise[name] is not None
    ]
    return ", ".join(made) or "nothing"


def _moment(moment: dict[str, Any]) -> list[str]:
    sake = "" if moment["by"] is None else f"for request {moment['by']}"
    return [milliseconds(moment["at_ms"]), moment["what"], moment["detail"] or sake]


def _verdict(one: dict[str, Any]) -> str:
    facts = [f"waited {milliseconds(one['waited_ms'])} in all", f"{one['output_tokens']} tokens"]
    if one["gap_max_ms"] is not None:
        facts.append(f"longest pause between them {milliseconds(one['gap_max_ms'])}")
    return f"  {', '.join(facts)}\n  promise: {_promise_kept(one)}"


def _promise_kept(one: dict[str, Any]) -> str:
    if one["kept"] is None:
        return "open" if one["promise"] and one["outcome"] is None else "-"
    return colour("kept", "green") if one["kept"] else colour("broken", "red")


def _end(one: dict[str, Any]) -> str:
    return one["outcome"] or "still at it"


def _number(request_id: str) -> str:
    """The number in an id: OpenAI's answers have a word before it."""
    number = request_id.rpartition("-")[2]
    if not (number.isascii() and number.isdecimal() and len(number) <= DIGITS_MAX):
        raise UsageError(f"{request_id!r} is no request's number. `hearth explain` lists them.")
    return number
