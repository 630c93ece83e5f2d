"""Which files a model never sees: those of the `exclude` globs, such as keys and `.env`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath


def exclusion(globs: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path is excluded: by the file's name or, where the glob has a slash, as a whole."""
    by_name = [glob.lower() for glob in globs if "/" not in glob]
    by_path = [glob.lower() for glob in globs if "/" in glob]

    def excluded(path: str) -> bool:
        lower = PurePosixPath(path.lower())
        return any(fnmatchcase(lower.name, glob) for glob in by_name) or any(
            fnmatchcase(str(lower), glob) for glob in by_path
        )

    return excluded
