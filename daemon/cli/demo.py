"""`make demo`: a private daemon on the embedded model, real completions over LSP and HTTP with their times, and its end.

Everything happens in a folder of its own that is removed afterwards; a daemon that runs already is not touched.
The exit code is 1 if any completion is missing.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from daemon.cli.client import get_json
from daemon.cli.editor import Editor
from daemon.cli.show import colour, milliseconds
from daemon.errors import HearthError
from daemon.lifecycle import COMMAND
from daemon.paths import find_home

MARK = "<|>"
SNIPPETS = {
    "a method": """\
class Point:
    def __init__(self, x, y):
        self.x = x
        self.y =<|>

    def distance(self, other):
        return ((self.x - other.x) ** 2 + (self.y - other.y) ** 2) ** 0.5
""",
    "a loop": """\
def total(numbers):
    result = 0
    for number in numbers:
        result += number
    return <|>
""",
    "an import": """\
import os
import sys


def main():
    path = os.path.<|>
    if not os.path.exists(path):
        sys.exit(1)
""",
    "a test": """\
def add(a, b):
    return a + b


def test_add():
    assert add(1, 2) == <|>
""",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One completion: its text, when its first token came (if the client could see that) and when it was whole."""

    text: str
    first_ms: float | None
    whole_ms: float


def main() -> int:
    """Run the demonstration."""
    with tempfile.TemporaryDirectory(prefix="hearth-demo-") as folder, _daemon(Path(folder)) as url:
        missing = _part("An editor, over `hearth lsp` (inline completion)", _by_lsp(Path(folder)))
        missing += _part(f"A client of llama.cpp's server, over {url}/infill", _by_http(url))
        print()
        _run("status")
    print(f"\n{missing} completions are missing." if missing else "\nEvery completion came.")
    return 1 if missing else 0


@contextmanager
def _daemon(folder: Path) -> Iterator[str]:
    """A daemon of our own on a free port; its URL."""
    os.environ["HEARTH_HOME"] = str(folder)
    (folder / "config.toml").write_text("[server]\nport = 0\n")
    _run("serve", "--detach")
    try:
        yield str(get_json(find_home(), "/status")["http"])
    finally:
        _run("stop")


def _run(*arguments: str) -> None:
    print(colour(f"$ hearth {' '.join(arguments)}", "bold"), flush=True)
    subprocess.run([*COMMAND, *arguments], check=True)  # noqa: S603 - our own command


def _part(title: str, shown: Iterator[tuple[str, Shown | None]]) -> int:
    """Show each completion as it comes; how many did not."""
    print("\n" + colour(title, "bold"))
    missing = 0
    for name, completion in shown:
        if completion is None or not completion.text:
            missing += 1
            print(f"\n  {name}: " + colour("no completion", "red"))
            continue
        first = (
            ""
            if completion.first_ms is None
            else f"first token {milliseconds(completion.first_ms)}, "
        )
        print(
            f"\n  {name}: "
            + colour(f"{first}whole answer {milliseconds(completion.whole_ms)}", "dim")
        )
        print(_in_place(SNIPPETS[name], completion.text))
    return missing


def _in_place(snippet: str, text: str) -> str:
    """The lines around the cursor with the completion in them, as an editor would show it."""
    before, _, after = snippet.partition(MARK)
    above, below = before.split("\n")[-3:], after.split("\n")[:2]
    lines = [_ghost(line) for line in text.rstrip("\n").split("\n")]
    ghost = "\n".join(lines)
    whole = "\n".join(above) + ghost + "\n".join(below)
    return "\n".join(f"    {colour('|', 'dim')} {line}" for line in whole.rstrip().split("\n"))


def _ghost(line: str) -> str:
    """Written by the model: in a colour, or between marks where there are none."""
    shown = colour(line, "green")
    return f"«{line}»" if shown == line else shown


def _by_lsp(folder: Path) -> Iterator[tuple[str, Shown | None]]:
    with subprocess.Popen(  # noqa: S603 - our own command
        [*COMMAND, "lsp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as pump:
        assert pump.stdin
        assert pump.stdout
        editor = Editor(pump.stdout, pump.stdin, name="hearth demo")
        editor.initialize(folder)
        for number, (name, snippet) in enumerate(SNIPPETS.items()):
            before, _, after = snippet.partition(MARK)
            path = folder / f"demo_{number}.py"
            text = before + after
            path.write_text(text)
            editor.open(path, text)
            column = len(before) - before.rfind("\n") - 1
            try:
                found = editor.complete(path, text, before.count("\n"), column)
            except HearthError as error:
                print(f"\n  {colour(str(error), 'red')}")
                found = None
            yield name, Shown(found.text, None, found.took_ms) if found else None
        editor.close()


def _by_http(url: str) -> Iterator[tuple[str, Shown | None]]:
    for name, snippet in SNIPPETS.items():
        before, _, after = snippet.partition(MARK)
        yield name, _infill(url, before, after)


def _infill(url: str, before: str, after: str) -> Shown | None:
    body = {
        "input_prefix": before,
        "input_suffix": after,
        "n_predict": 24,
        "stream": True,
        "stop": ["\n"],
    }
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    started = time.monotonic()
    connection.request("POST", "/infill", json.dumps(body), {"Content-Type": "application/json"})
    text, first_ms = "", None
    for line in connection.getresponse():
        if line.startswith(b"data: {"):
            piece = json.loads(line[6:]).get("content", "")
            if piece and first_ms is None:
                first_ms = (time.monotonic() - started) * 1000
            text += piece
    connection.close()
    return Shown(text, first_ms, (time.monotonic() - started) * 1000) if text.strip() else None


if __name__ == "__main__":
    sys.exit(main())
