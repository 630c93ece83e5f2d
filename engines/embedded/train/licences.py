"""Which installed distributions may be trained on: those whose own metadata names only permissive licences."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

PERMITTED = re.compile(
    r"\bMIT\b|\bBSD\b|BSD-\d|Apache|ASL 2|\bPSF|Python Software Foundation|\bISC\b", re.IGNORECASE
)
OTHER = re.compile(
    r"GPL|GNU |\bMPL|Mozilla|CC0|Zlib|CNRI|public domain|Eclipse|EUPL|MIT-0|BSL|proprietary"
    r"|creative commons",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Distribution:
    """One installed distribution, with the files and folders at its top."""

    name: str
    version: str
    licence: str
    tops: tuple[Path, ...]

    @property
    def is_permissive(self) -> bool:
        """Whether all that it names is permissive."""
        return bool(PERMITTED.search(self.licence)) and not OTHER.search(self.licence)

    def is_named_in(self, names: set[str]) -> bool:
        """Whether its own name, or what it is imported by, is one of `names`."""
        own = {self.name, *(top.stem for top in self.tops)}
        return any(name.lower().replace("-", "_") in names for name in own)


def distributions(site: Path) -> Iterator[Distribution]:
    """Read the metadata of every distribution in a site-packages folder."""
    for info in sorted(site.glob("*-info")):
        for name in ("METADATA", "PKG-INFO"):
            if (info / name).is_file():
                yield _read(site, info, (info / name).read_text("utf-8", "replace"))
                break


def _read(site: Path, info: Path, metadata: str) -> Distribution:
    fields = Parser().parsestr(metadata, headersonly=True)
    named = [fields.get("License-Expression") or "", fields.get("License") or ""]
    named += [c for c in fields.get_all("Classifier", []) if c.startswith("License")]
    licence = ", ".join(
        text.replace("License :: OSI Approved :: ", "")
        for text in named
        if text not in ("", "UNKNOWN")
    )
    tops = tuple(site / top for top in sorted(_tops(site, info)) if (site / top).exists())
    return Distribution(fields["Name"] or info.stem, fields["Version"] or "", licence, tops)


def _tops(site: Path, info: Path) -> set[str]:
    record, top_level = info / "RECORD", info / "top_level.txt"
    tops: set[str] = set()
    if record.is_file():
        with record.open(encoding="utf-8", errors="replace", newline="") as lines:
            files = [row[0] for row in csv.reader(lines) if row]
        tops = {f.split("/")[0] for f in files if f.endswith(".py") and not f.startswith("..")}
    if not tops and top_level.is_file():
        names = top_level.read_text("utf-8").split()
        tops = {name if (site / name).is_dir() else f"{name}.py" for name in names}
    return tops
