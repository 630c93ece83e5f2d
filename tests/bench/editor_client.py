"""The editor's side of `editor_path`: a process that types nothing and asks for a completion at each of many places.

Prints one JSON list of [milliseconds, shown] on its standard output. One place more is asked first, and not counted:
the model may still be loading.
"""

import importlib.util
import json
import random
import subprocess
import sys
import time
from pathlib import Path

from daemon.cli.editor import Editor


def places(text: str, count: int) -> list[tuple[int, int]]:
    """Second halves of lines of code, spread over the file, always the same."""
    roll = random.Random(7)
    lines = text.split("\n")
    code = [n for n, line in enumerate(lines) if len(line.strip()) > 8 and n > 20]
    chosen = [roll.choice(code) for _ in range(count)]
    return [(n, roll.randrange(len(lines[n]) // 2, len(lines[n]))) for n in chosen]


def main() -> None:
    module, count, address = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    path = Path(importlib.util.find_spec(module).origin)
    text = path.read_text(encoding="utf-8")
    pump = subprocess.Popen(
        [sys.executable, "-m", "daemon.cli.entry", "lsp", "--connect", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    editor = Editor(pump.stdout, pump.stdin, name="bench")
    editor.initialize(path.parent)
    editor.open(path, text)
    seen = []
    for line, column in places(text, count + 1):
        began = time.perf_counter()
        shown = editor.complete(path, text, line, column)
        seen.append([(time.perf_counter() - began) * 1e3, shown is not None])
    editor.close()
    pump.communicate(timeout=10)
    print(json.dumps(seen[1:]))


if __name__ == "__main__":
    main()
