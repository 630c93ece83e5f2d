"""The Neovim plugin in the real editor: ghost text in 0.12, the popup in 0.11, and what is on disk."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest
import sample
from conftest import REPOSITORY
from neovim import Neovim

PLUGIN = REPOSITORY / "editors/nvim"
SETUP = "run tests/e2e/setup_editors.py neovim"

# As it is typed where brackets close themselves.
CLOSED = sample.TYPED.replace("(res", "()<Left>res")


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "test_ledger.py"
    path.write_text(sample.BEFORE)
    return path


@pytest.fixture
def start(places, require, hearth):
    """Start a Neovim of one version with this plugin and this Hearth."""
    require(places.python_packages, SETUP)

    def start(program: Path, setup: str = "", **more: str) -> Neovim:
        require(program, SETUP)
        return Neovim(
            program,
            places.python_packages,
            plugin=PLUGIN,
            env=hearth.environment(**more),
            setup=setup,
        )

    return start


@pytest.fixture
def neovim(start, places):
    with start(places.neovim_012) as neovim:
        yield neovim


def at_end(neovim: Neovim, keys: str) -> None:
    neovim.keys("G$a" + keys)


def test_tab_accepts_the_ghost_and_the_file_is_right(neovim: Neovim, ledger: Path) -> None:
    neovim.open(ledger)
    neovim.lua(
        "vim.api.nvim_create_autocmd('LspRequest', { callback = function(event)"
        " local request = event.data.request"
        " if request.method == 'workspace/executeCommand' and request.type == 'complete' then"
        " vim.g.told = true end end })"
    )
    at_end(neovim, sample.TYPED)
    assert neovim.ghost() == sample.GHOST
    neovim.keys("<Tab>")
    neovim.wait_for_text(sample.AFTER.removesuffix("\n"))
    neovim.until("return vim.g.told", what="the server to hear of the acceptance")
    neovim.save()
    saved = ledger.read_text()
    assert saved == sample.AFTER
    ast.parse(saved)


def test_what_is_typed_into_the_ghost_is_not_saved_twice(neovim: Neovim, ledger: Path) -> None:
    """Tab right behind two fitting characters: no newer answer can have come by then."""
    neovim.open(ledger)
    at_end(neovim, sample.TYPED)
    neovim.ghost()
    neovim.keys("ul<Tab>")
    neovim.wait_for_text(sample.AFTER.removesuffix("\n"))
    neovim.save()
    assert ledger.read_text() == sample.AFTER


def test_a_contradicted_ghost_is_hidden_and_tab_is_a_tab(neovim: Neovim, ledger: Path) -> None:
    neovim.open(ledger)
    at_end(neovim, sample.TYPED)
    neovim.ghost()
    neovim.keys("Zq<Tab>")
    neovim.until(
        "return vim.api.nvim_get_current_line():find('resZq%s+$')", what="the tab in the text"
    )
    neovim.no_ghost()


def test_without_a_ghost_tab_is_a_tab(neovim: Neovim, ledger: Path) -> None:
    neovim.open(ledger)
    neovim.keys("ggO<Tab>x")
    neovim.until("return vim.api.nvim_get_current_line():find('^%s+x$')", what="the tab")


def test_a_word_and_then_the_line_are_accepted(neovim: Neovim, ledger: Path) -> None:
    neovim.open(ledger)
    at_end(neovim, sample.TYPED)
    neovim.ghost()
    neovim.keys("<C-Right>")
    neovim.wait_for_text(sample.BEFORE + sample.TYPED + "ult")
    assert neovim.ghost() == sample.GHOST.removeprefix("ult")
    neovim.keys("<C-l>")
    neovim.wait_for_text(sample.AFTER.removesuffix("\n"))


def test_without_a_ghost_tab_is_what_the_user_mapped(neovim: Neovim, ledger: Path) -> None:
    neovim.lua("vim.keymap.set('i', '<Tab>', function() return 'mine' end, { expr = true })")
    neovim.open(ledger)
    neovim.keys("ggO<Tab>x")
    neovim.until("return vim.api.nvim_get_current_line() == 'minex'", what="the user's text")


@pytest.mark.parametrize("keys", ["<Tab>", "ul<Tab>", "<C-l>"])
def test_a_bracket_that_was_closed_already_is_not_doubled(
    neovim: Neovim, ledger: Path, keys: str
) -> None:
    neovim.open(ledger)
    at_end(neovim, CLOSED)
    assert neovim.ghost() in sample.ghosts(sample.GHOST)
    neovim.keys(keys)
    neovim.wait_for_text(sample.AFTER.removesuffix("\n"))
    neovim.save()
    assert ledger.read_text() == sample.AFTER


def test_text_beyond_ascii_is_placed_right(neovim: Neovim, tmp_path: Path) -> None:
    path = tmp_path / "test_waage.py"
    path.write_text(sample.NON_ASCII_BEFORE)
    neovim.open(path)
    at_end(neovim, sample.NON_ASCII_TYPED)
    assert neovim.ghost() == sample.NON_ASCII_GHOST
    neovim.keys("<Tab>")
    neovim.wait_for_text(sample.NON_ASCII_AFTER.removesuffix("\n"))
    neovim.save()
    assert path.read_text() == sample.NON_ASCII_AFTER


def test_toggle_silences_a_buffer(neovim: Neovim, ledger: Path) -> None:
    neovim.open(ledger)
    assert neovim.lua("return require('hearth').toggle()") is False
    assert neovim.lua("return require('hearth').toggle()") is True
    at_end(neovim, sample.TYPED)
    assert neovim.ghost() == sample.GHOST


def test_status_stop_and_start(neovim: Neovim, ledger: Path) -> None:
    neovim.open(ledger)
    assert neovim.lua("return require('hearth').status()").startswith("hearth: ")
    assert neovim.lua("return vim.fn.getcompletion('Hearth st', 'cmdline')") == [
        "start",
        "status",
        "stop",
    ]
    neovim.nvim.command("Hearth stop")
    neovim.until("return #vim.lsp.get_clients({ name = 'hearth' }) == 0", what="the client's end")
    neovim.until("return require('hearth').status() == ''", what="the end of the status")
    neovim.nvim.command("Hearth start")
    neovim.until("return require('hearth').status() ~= ''", what="a new status")
    assert "ended" not in neovim.nvim.command_output("messages")


def test_buffers_that_are_no_files_are_left_alone(neovim: Neovim, ledger: Path) -> None:
    neovim.open(ledger)
    neovim.nvim.command("new | setlocal buftype=nofile filetype=python")
    neovim.nvim.command("new foo://bar | setlocal filetype=python")
    attached = neovim.lua(
        "return vim.tbl_count(vim.lsp.get_clients({ name = 'hearth' })[1].attached_buffers)"
    )
    assert attached == 1


def test_a_missing_program_is_said_with_its_remedy(start, places) -> None:
    with start(places.neovim_012, "{ cmd = { 'no-such-hearth', 'lsp' } }") as neovim:
        messages = neovim.nvim.command_output("messages")
    assert "cannot run `no-such-hearth`" in messages
    assert ":Hearth start" in messages


def test_a_wrong_option_is_named(start, places) -> None:
    with start(places.neovim_012) as neovim:
        failed, message = neovim.lua("return { pcall(require('hearth').setup, { keys = {} }) }")
    assert not failed
    assert "no option `keys`" in message


def test_checkhealth_finds_nothing_wrong(neovim: Neovim, ledger: Path) -> None:
    neovim.open(ledger)
    neovim.nvim.command("checkhealth hearth")
    report = neovim.text()
    assert "this Neovim draws ghost text" in report
    assert "<Tab> accepts" in report
    assert "ERROR" not in report


def test_help_names_every_option_and_command(neovim: Neovim) -> None:
    manual = (PLUGIN / "doc/hearth.txt").read_text()
    options = neovim.lua(
        "local config = require('hearth.config').get()"
        "return vim.list_extend(vim.tbl_keys(config), vim.tbl_keys(config.keymaps))"
    )
    commands = neovim.lua("return require('hearth.command').names()")
    tags = [f"*hearth.{option}*" for option in options]
    tags += [f"*:Hearth-{command}*" for command in commands]
    assert [tag for tag in tags if tag not in manual] == []


def test_the_popup_of_neovim_011(start, places, ledger: Path) -> None:
    with start(places.neovim_011) as neovim:
        neovim.open(ledger)
        at_end(neovim, sample.TYPED)
        neovim.until("return vim.fn.pumvisible() == 1", what="the popup")
        neovim.keys("<Tab>")
        neovim.wait_for_text(sample.AFTER.removesuffix("\n"))
        neovim.save()
    assert ledger.read_text() == sample.AFTER


def test_a_terminal_shows_the_ghost(places, require, hearth, ledger, captures, tmp_path) -> None:
    """Neovim's own screen in tmux, kept to be looked at."""
    require(places.neovim_012, SETUP)
    tmux = require(Path(shutil.which("tmux") or "/usr/bin/tmux"), "install tmux")
    from terminal import Terminal

    init = tmp_path / "init.lua"
    init.write_text(
        f"vim.opt.runtimepath:prepend({str(PLUGIN)!r})\n"
        "vim.o.termguicolors, vim.o.swapfile = true, false\n"
        "vim.o.laststatus = 2\n"
        "vim.o.statusline = \"%f %m%=%{v:lua.require'hearth'.status()}\"\n"
        "require('hearth').setup {}\n"
    )
    command = [str(places.neovim_012), "-u", str(init), str(ledger)]
    with Terminal(tmux, tmp_path / "tmux", env=hearth.environment()) as terminal:
        terminal.run(command)
        terminal.until("hearth: ready")
        terminal.keys("G", "A", sample.TYPED)
        screen = terminal.until(sample.TYPED + sample.GHOST, times=4)
        (captures / "neovim-0.12-ghost.txt").write_text(screen)
        (captures / "neovim-0.12-ghost.ansi").write_text(terminal.screen_with_colours())
        terminal.keys("Tab", "Escape", ":w", "Enter")
        screen = terminal.until("written")
        (captures / "neovim-0.12-accepted.txt").write_text(screen)
    assert ledger.read_text() == sample.AFTER
