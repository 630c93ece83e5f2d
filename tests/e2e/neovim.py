"""A Neovim that a test types in, by its own remote interface. Nothing sleeps: Neovim says when."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

WAIT_S = 60.0

GHOST = """
local namespace = vim.api.nvim_create_namespace('nvim.lsp.inline_completion')
local text = ''
for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true })) do
  for _, chunk in ipairs(mark[4].virt_text or {}) do text = text .. chunk[1] end
  for _, line in ipairs(mark[4].virt_lines or {}) do
    text = text .. '\\n'
    for _, chunk in ipairs(line) do text = text .. chunk[1] end
  end
end
return text
"""

# Asks every 20 ms inside Neovim, so that its own loop runs on, and reports once.
WATCH = """
local source, limit_ms, channel = ...
local condition = assert(loadstring(source))
local began, timer = vim.uv.now(), vim.uv.new_timer()
timer:start(0, 20, vim.schedule_wrap(function()
  if timer:is_closing() then return end
  local value = condition()
  local found = value ~= nil and value ~= false and value ~= ''
  if found or vim.uv.now() - began > limit_ms then
    timer:close()
    vim.rpcnotify(channel, 'watched', found, value)
  end
end))
"""


class Neovim:
    """One headless Neovim with the plugin on its runtime path; ends when the block does."""

    def __init__(
        self, program: Path, packages: Path, *, plugin: Path, env: dict[str, str], setup: str = ""
    ) -> None:
        sys.path.append(str(packages))
        import pynvim

        variables = [f"{name}={value}" for name, value in env.items()]
        begin = f"lua vim.opt.runtimepath:prepend({str(plugin)!r})"
        # fmt: off
        argv = ["env", "-i", *variables, str(program), "--embed", "--headless", "--clean", "-n",
                "--cmd", begin]
        # fmt: on
        self.nvim = pynvim.attach("child", argv=argv)
        self.lua(f"require('hearth').setup({setup or '{}'})")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(EOFError, OSError):  # It ends before it can answer.
            self.nvim.command("qall!")
        self.nvim.close()

    def lua(self, source: str, *arguments: Any) -> Any:
        return self.nvim.exec_lua(source, *arguments)

    def keys(self, keys: str) -> None:
        self.nvim.input(keys)

    def text(self) -> str:
        return "\n".join(self.nvim.current.buffer[:])

    def until(self, condition: str, *, what: str, limit_s: float = WAIT_S) -> Any:
        """The first value of a piece of Lua that is neither nil, false nor empty."""
        self.nvim.exec_lua(WATCH, condition, limit_s * 1000, self.nvim.channel_id)
        while True:
            name, arguments = self.nvim.next_message()[1:]
            if name == "watched":
                break
        found, value = arguments
        if not found:
            messages = self.nvim.command_output("messages")
            raise AssertionError(f"waited {limit_s} s for {what}; messages: {messages}")
        return value

    def open(self, path: Path) -> None:
        """Open a file and wait until the server is attached and has said that it can answer."""
        self.nvim.command(f"edit {path}")
        attached = "return #vim.lsp.get_clients({ name = 'hearth', bufnr = 0 }) > 0"
        self.until(attached, what="the server")
        answering = (
            "local last = require('hearth.status').last()"
            "return last and (last.kind == 'ready' or last.kind == 'degraded') and last.kind"
        )
        self.until(answering, what="a status that says ready")

    def ghost(self) -> str:
        return self.until(GHOST, what="ghost text")

    def no_ghost(self) -> None:
        self.until(f"return (function() {GHOST} end)() == ''", what="the end of the ghost text")

    def wait_for_text(self, expected: str) -> None:
        condition = "return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, true), '\\n') == "
        self.until(condition + lua_string(expected), what=f"the text {expected!r}")

    def save(self) -> None:
        self.keys("<Esc>")
        self.until("return vim.api.nvim_get_mode().mode == 'n'", what="normal mode")
        self.nvim.command("write")


def lua_string(text: str) -> str:
    """A Lua string in long brackets, which drop one newline at their beginning."""
    return f"[==[\n{text}]==]"
