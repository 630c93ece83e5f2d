"""Which files git ignores: they are no context for other files, because nobody meant them to be read.

Patterns are pathspec's (a maintained, typed reading of gitignore's rules); what is here finds the files they stand in.
"""

from __future__ import annotations

from pathlib import Path

from pathspec import GitIgnoreSpec

FILES_KEPT = 256
IGNORE_BYTES_MAX = 1 << 20


class GitIgnored:
    """Answers for paths; each `.gitignore` is read again when it has changed."""

    def __init__(self) -> None:
        self._specs: dict[Path, tuple[int, GitIgnoreSpec]] = {}

    def __call__(self, path: str) -> bool:
        """Whether git ignores the file; outside a repository nothing is ignored. The deepest rule decides."""
        file = Path(path)
        root = next((folder for folder in file.parents if (folder / ".git").exists()), None)
        if root is None:
            return False
        places = [(folder, folder / ".gitignore") for folder in _up_to(file, root)]
        for base, rules in (*places, (root, root / ".git" / "info" / "exclude")):
            verdict = self._spec(rules).check_file(file.relative_to(base).as_posix()).include
            if verdict is not None:
                return verdict
        return False

    def _spec(self, rules: Path) -> GitIgnoreSpec:
        try:
            stat = rules.stat()
            stamp = stat.st_mtime_ns if stat.st_size <= IGNORE_BYTES_MAX else 0
        except (OSError, ValueError):  # no file can have such a name
            stamp = 0
        known = self._specs.get(rules)
        if known is None or known[0] != stamp:
            known = self._specs[rules] = (stamp, _read(rules) if stamp else GitIgnoreSpec([]))
            while len(self._specs) > FILES_KEPT:
                del self._specs[next(iter(self._specs))]
        return known[1]


def _up_to(file: Path, root: Path) -> list[Path]:
    """The folders from the file's own up to the root of its repository."""
    parents = list(file.parents)
    return parents[: parents.index(root) + 1]


def _read(rules: Path) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(rules.read_text("utf-8", "replace").splitlines())
    except (OSError, ValueError):
        return GitIgnoreSpec([])
