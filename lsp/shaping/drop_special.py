"""Cut at the first special token that leaked into the text; drop control characters; use line feeds."""

from __future__ import annotations

import re

from lsp.shaping.place import Place

_TOKEN = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|</?s>|<(?:fim|file|repo)_[a-z_]{1,20}>|<\uff5c[^\uff5c]{1,40}\uff5c>|<(?:PRE|SUF|MID|EOT|END)>"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufffd]")


def drop_special(text: str, place: Place) -> str:
    """The text up to its first special token, unless the document itself writes such tokens."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    match = _TOKEN.search(text)
    if match and match.group() not in place.prefix:
        text = text[: match.start()]
    return _CONTROL.sub("", text)
