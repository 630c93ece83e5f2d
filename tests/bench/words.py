"""Words of which prompts are made that nobody has seen: short ones, a token or two each in most vocabularies."""

WORDS = [
    "def",
    "class",
    "return",
    "import",
    "self",
    "for",
    "in",
    "range",
    "len",
    "print",
    "value",
    "index",
    "node",
    "list",
    "dict",
    "open",
    "read",
    "write",
    "data",
    "key",
]
