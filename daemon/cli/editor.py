"""The least of all editors: opens one document over LSP and asks for one completion, as `hearth complete` does.

Blocking and small on purpose: it is also what the demonstration and the tests speak with.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from daemon.errors import DeadlineError, HearthError, NoDaemonError

LANGUAGES = {
    "c": "c", "cc": "cpp", "cpp": "cpp", "cs": "csharp", "css": "css", "go": "go", "h": "c", "hpp": "cpp",
    "html": "html", "java": "java", "js": "javascript", "json": "json", "jsx": "javascriptreact", "kt": "kotlin",
    "lua": "lua", "md": "markdown", "php": "php", "py": "python", "rb": "ruby", "rs": "rust", "scala": "scala",
    "sh": "shellscript", "sql": "sql", "swift": "swift", "toml": "toml", "ts": "typescript",
    "tsx": "typescriptreact", "yaml": "yaml", "yml": "yaml", "zig": "zig",
}  # fmt: skip

CAPABILITIES = {
    "general": {"positionEncodings": ["utf-32", "utf-16"]},
    "textDocument": {
        "synchronization": {"didSave": True},
        "completion": {"completionItem": {"snippetSupport": False}},
        "inlineCompletion": {"dynamicRegistration": False},
    },
}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What the editor would show at the cursor."""

    text: str
    took_ms: float


def language_of(path: Path) -> str:
    """The language identifier that editors use for such a file."""
    suffix = path.suffix.lstrip(".").lower()
    return LANGUAGES.get(suffix, suffix or "plaintext")


class Editor:
    """One LSP connection, from `initialize` to `exit`. Not for use by two threads."""

    def __init__(
        self,
        reader: IO[bytes],
        writer: IO[bytes],
        *,
        name: str,
        before_read: Callable[[], None] = lambda: None,
    ) -> None:
        """`before_read` may set a time limit, or raise because there is no time left."""
        self._reader = reader
        self._writer = writer
        self._before_read = before_read
        self._next_id = 1
        self._encoding = "utf-16"
        self._name = name
        self.status: dict[str, Any] = {}
        """What the server last said of itself."""

    def initialize(self, root: Path, *, popup: bool = False) -> None:
        """Agree on what both sides can do; with `popup`, the completion menu too."""
        answer = self.request(
            "initialize",
            {
                "processId": None,
                "clientInfo": {"name": self._name},
                "rootUri": root.as_uri(),
                "workspaceFolders": [{"uri": root.as_uri(), "name": root.name}],
                "capabilities": CAPABILITIES,
                "initializationOptions": {"popup": popup},
            },
        )
        self._encoding = answer["capabilities"].get("positionEncoding", "utf-16")
        self.notify("initialized", {})

    def open(self, path: Path, text: str) -> None:
        """Tell the server of a document."""
        document = {
            "uri": path.as_uri(),
            "languageId": language_of(path),
            "version": 1,
            "text": text,
        }
        self.notify("textDocument/didOpen", {"textDocument": document})

    def complete(self, path: Path, text: str, line: int, column: int) -> Suggestion | None:
        """Ghost text at this place; both count from 0, in characters."""
        params = self._place(path, text, line, column) | {"context": {"triggerKind": 1}}
        return self._ask("textDocument/inlineCompletion", params)

    def popup(self, path: Path, text: str, line: int, column: int) -> Suggestion | None:
        """The first item of the completion menu at this place."""
        params = self._place(path, text, line, column) | {"context": {"triggerKind": 1}}
        return self._ask("textDocument/completion", params)

    def close(self) -> None:
        """Take leave as the protocol wants it."""
        self.request("shutdown", None)
        self.notify("exit", None)

    def request(self, method: str, params: object) -> Any:
        """Ask, and wait for the answer; what the server says meanwhile is answered or skipped."""
        number, self._next_id = self._next_id, self._next_id + 1
        self._send({"id": number, "method": method, "params": params})
        while True:
            self._before_read()
            message = self._receive()
            if message.get("id") == number and "method" not in message:
                if error := message.get("error"):
                    raise HearthError(f"{method}: {error.get('message', 'failed')}")
                return message.get("result")
            self._take(message)

    def notify(self, method: str, params: object) -> None:
        """Tell, and expect nothing."""
        self._send({"method": method, "params": params})

    def _take(self, message: dict[str, Any]) -> None:
        """What the server says unasked: keep its state, answer its questions with nothing."""
        if message.get("method") == "hearth/status":
            self.status = message["params"]
        elif "method" in message and "id" in message:
            self._send({"id": message["id"], "result": None})

    def _ask(self, method: str, params: dict[str, Any]) -> Suggestion | None:
        started = time.monotonic()
        text = _first_text(self.request(method, params))
        return Suggestion(text, (time.monotonic() - started) * 1000) if text else None

    def _place(self, path: Path, text: str, line: int, column: int) -> dict[str, Any]:
        before = text.split("\n")[line][:column]
        units = {"utf-32": len(before), "utf-8": len(before.encode())}
        character = units.get(self._encoding, len(before.encode("utf-16-le")) // 2)
        return {
            "textDocument": {"uri": path.as_uri()},
            "position": {"line": line, "character": character},
        }

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        try:
            self._writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            self._writer.flush()
        except TimeoutError as error:
            raise _late() from error
        except OSError as error:
            raise _gone() from error

    def _receive(self) -> dict[str, Any]:
        try:
            length = 0
            while (line := self._reader.readline()) != b"\r\n":
                if not line:
                    raise _gone()
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            message: dict[str, Any] = json.loads(self._reader.read(length))
        except TimeoutError as error:
            raise _late() from error
        except ConnectionError as error:
            raise _gone() from error
        return message


def _gone() -> NoDaemonError:
    return NoDaemonError("the daemon closed the connection. `hearth doctor` looks for the reason.")


def _late() -> DeadlineError:
    return DeadlineError("no completion came in time; --timeout sets how long to wait.")


def _first_text(result: Any) -> str:
    """The first item's text, of a list of items or an object that holds one."""
    items = result.get("items", []) if isinstance(result, dict) else result or []
    if not items:
        return ""
    item = items[0]
    text = (
        item.get("insertText") or item.get("textEdit", {}).get("newText") or item.get("label", "")
    )
    return str(text["value"] if isinstance(text, dict) else text)
