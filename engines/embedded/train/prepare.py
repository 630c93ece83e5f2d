"""Collect installed Python sources under permissive licences, hold files out, write the corpus and its manifest.

Held out: files whose sha256 of the path within the package is 0 modulo 20, and some modules of the standard library
by name. What resembles a held-out file, or a package that measurements use, is not trained on.
"""

import argparse
import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from cleaning import line_hashes, python_files, read, shingles
from licences import Distribution, distributions
from tokenizers import Tokenizer

HELD_OUT_ONE_IN = 20
HELD_OUT_MODULES = {
    *("shlex", "textwrap", "sched", "csv", "fileinput", "queue", "statistics", "cookies", "json"),
    *("graphlib", "configparser", "imaplib", "getopt", "fractions", "trace"),
}
NEW_LINES_MIN = 0.35  # of a file, or it is a near duplicate
HELD_OUT_OVERLAP_MAX = 0.12
SKIPPED_STDLIB = re.compile(r"encodings/|idlelib/|ensurepip")
STDLIB_TEST = re.compile(r"(^|/)(test|tests)/")
PACKAGE_TEST = re.compile(r"(^|/)(test|tests|testing)/|(^|/)test_|conftest")


@dataclass(frozen=True)
class File:
    """One candidate: where it came from and whether it is held out."""

    pkg: str
    group: str  # "stdlib", "stdlib-test", "package", "package-test"
    path: str
    text: str
    held: bool


def stdlib_files(roots: list[Path]) -> Iterator[File]:
    """Yield the standard libraries' files; tests only from the first, the newest."""
    for index, root in enumerate(roots):
        for path, relative in python_files(root):
            is_test = bool(STDLIB_TEST.search(relative))
            if SKIPPED_STDLIB.match(relative) or (is_test and index):
                continue
            if (text := read(path)) is not None:
                group = "stdlib-test" if is_test else "stdlib"
                held = _is_held(relative) or _is_held_module(relative)
                yield File(f"CPython {root.name}", group, relative, text, held)


def package_files(distribution: Distribution, seen: set[Path]) -> Iterator[File]:
    """Yield the files of one distribution that no earlier one had."""
    for top in distribution.tops:
        if top.resolve() in seen:
            continue
        seen.add(top.resolve())
        for path, relative in python_files(top):
            if (text := read(path)) is not None:
                group = "package-test" if PACKAGE_TEST.search(relative) else "package"
                yield File(distribution.name, group, relative, text, _is_held(relative))


def hold_out(files: list[File]) -> tuple[list[File], set[int]]:
    """Return the held-out files without near duplicates, and the shingles of all that were meant to be."""
    newest = files[0].pkg
    chosen: list[File] = []
    known: set[int] = set()
    for file in files:
        if not file.held:
            continue
        own = shingles(file.text)
        old_stdlib = file.group == "stdlib" and file.pkg != newest
        if not file.group.endswith("test") and not old_stdlib:
            if len(own) > 5 and len(own & known) < 0.3 * len(own):
                chosen.append(file)
            known |= own
        elif file.group == "stdlib":
            known |= own
    return chosen, known


def training_files(
    files: list[File], unwanted: set[int], cap: int
) -> tuple[list[File], Counter[str]]:
    """Return what is trained on, and how many files were left out for which reason."""
    kept: list[File] = []
    dropped: Counter[str] = Counter()
    seen_lines: set[int] = set()
    size: Counter[str] = Counter()
    for file in files:
        lines, own = line_hashes(file.text), shingles(file.text)
        room = cap if file.group == "package" else cap // 2
        if file.held:
            dropped["held out"] += 1
        elif file.group.startswith("package") and size[file.pkg] > room:
            dropped["package cap"] += 1
        elif sum(line not in seen_lines for line in lines) < NEW_LINES_MIN * max(1, len(lines)):
            dropped["near duplicate"] += 1
        elif len(own & unwanted) > HELD_OUT_OVERLAP_MAX * len(own):
            dropped["like a held-out file"] += 1
        else:
            seen_lines.update(lines)
            size[file.pkg] += len(file.text)
            kept.append(file)
    return kept, dropped


def _is_held(relative: str) -> bool:
    return int(hashlib.sha256(relative.encode()).hexdigest(), 16) % HELD_OUT_ONE_IN == 0


def _is_held_module(relative: str) -> bool:
    parts = re.split(r"[/.]", relative)
    return any(part.removeprefix("test_") in HELD_OUT_MODULES for part in parts)


def _in_training_order(files: list[File]) -> list[File]:
    """Put the standard library first, then packages in a fixed random order, their tests last."""
    stdlib = [file for file in files if file.group.startswith("stdlib")]
    packages = [file for file in files if not file.group.startswith("stdlib")]
    Random(0).shuffle(packages)
    return stdlib + sorted(packages, key=lambda file: file.group == "package-test")


def _write_corpus(path: Path, train: list[File], held: list[File]) -> None:
    with path.open("w", encoding="utf-8") as corpus:
        for split, files in (("train", train), ("held", held)):
            for file in files:
                corpus.write(json.dumps({"split": split, **asdict(file)}) + "\n")


def _manifest(train: list[File], licences: dict[str, str], tokenizer: Tokenizer) -> str:
    rows: dict[tuple[str, str], list[int]] = {}
    for file in train:
        row = rows.setdefault((file.pkg, file.group), [0, 0])
        row[0] += 1
        row[1] += len(tokenizer.encode(file.text, add_special_tokens=False).ids)
    table = ["| package | part | licence | files | tokens |", "|---|---|---|---|---|"]
    for (pkg, group), (n_files, n_tokens) in sorted(rows.items(), key=lambda item: -item[1][1]):
        table.append(
            f"| {pkg} | {group} | {licences.get(pkg, 'PSF-2.0')} | {n_files} | {n_tokens:,} |"
        )
    return "\n".join(table) + "\n"


def main() -> None:
    """Read the command line and write corpus.jsonl, tokenizer.json and manifest.md."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stdlib", type=Path, action="append", default=[], help="newest first")
    parser.add_argument(
        "--site", type=Path, action="append", default=[], help="site-packages folder"
    )
    parser.add_argument("--omit", default="", help="packages that measurements use, with commas")
    parser.add_argument("--cap", type=int, default=8_000_000, help="most characters of one package")
    parser.add_argument("--tokenizer", type=Path, required=True)
    options = parser.parse_args()
    omitted = {name.lower().replace("-", "_") for name in options.omit.split(",") if name}
    options.out.mkdir(parents=True, exist_ok=True)

    files = list(stdlib_files(options.stdlib))
    measured: set[int] = set()
    licences: dict[str, str] = {}
    seen: set[Path] = set()
    for distribution in (d for site in options.site for d in distributions(site)):
        if distribution.is_named_in(omitted):
            for file in package_files(distribution, set()):
                measured |= shingles(file.text)
        elif distribution.is_permissive:
            licences[distribution.name] = re.sub(r"\s+", " ", distribution.licence)[:70]
            files += package_files(distribution, seen)

    held, unwanted = hold_out(files)
    train, dropped = training_files(_in_training_order(files), unwanted | measured, options.cap)
    _write_corpus(options.out / "corpus.jsonl", train, held)
    shutil.copy(options.tokenizer, options.out / "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(options.tokenizer))
    (options.out / "manifest.md").write_text(_manifest(train, licences, tokenizer), "utf-8")
    print(f"{len(train)} files to train on, {len(held)} held out; left out: {dict(dropped)}")


if __name__ == "__main__":
    main()
