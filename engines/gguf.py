"""What a GGUF file says of itself, read from its header alone: nothing is loaded, arrays of tokens are skipped.

The format is described in ggml's docs/gguf.md. The reader trusts nothing: every count and length is bounded
before it is used, because the file comes from a stranger.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

MAGIC = b"GGUF"
ENTRIES_MAX = 100_000
ARRAY_MAX = 4_000_000
KEPT_ARRAY_MAX = 256
"""Longer arrays (tokens, merges) are skipped; short ones (languages) are kept."""

_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}

Scalar = bool | int | float | str
Value = Scalar | tuple[Scalar, ...]

QUANTISATIONS = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 32: "BF16",
    38: "MXFP4_MOE",
}  # fmt: skip

# (elements in a block, bytes of a block) by ggml type: enough to know where the data of a tensor ends.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 30: (1, 2), 39: (32, 17),
}  # fmt: skip


class Pooling(IntEnum):
    """How a model makes one vector of a text, as files number it. RANK makes a score of two texts."""

    UNKNOWN = -1
    NONE = 0
    MEAN = 1
    CLS = 2
    LAST = 3
    RANK = 4


class GgufError(Exception):
    """The file is not a GGUF model, or not a whole one; the message says which."""


@dataclass(frozen=True, slots=True)
class Header:
    """The facts of a model file."""

    path: Path
    file_bytes: int
    data_bytes: int
    """Where the last tensor ends, counted from the start of the file."""
    fields: dict[str, Value] = field(repr=False)
    lengths: dict[str, int] = field(default_factory=dict, repr=False)
    """How long the arrays are that were skipped."""

    @property
    def architecture(self) -> str:
        """The name of the architecture, such as `qwen2`."""
        return str(self.fields.get("general.architecture", ""))

    @property
    def quantisation(self) -> str:
        """The name of the file type, such as `Q8_0`; empty when unknown."""
        value = self.fields.get("general.file_type")
        return QUANTISATIONS.get(value, "") if isinstance(value, int) else ""

    @property
    def context_tokens(self) -> int:
        """The context that the model was trained for; 0 when the file does not say."""
        value = self.fields.get(f"{self.architecture}.context_length", 0)
        return value if isinstance(value, int) else 0

    @property
    def vocabulary(self) -> int:
        """Number of tokens; 0 when the file has no list of them."""
        key = "tokenizer.ggml.tokens"
        return self.lengths.get(key, len(self.strings(key)))

    @property
    def pooling(self) -> Pooling:
        """How it pools; NONE for a model that writes."""
        value = self.fields.get(f"{self.architecture}.pooling_type", Pooling.NONE)
        return next((pooling for pooling in Pooling if pooling == value), Pooling.UNKNOWN)

    @property
    def causal(self) -> bool:
        """Whether a token sees only those before it. An encoder says that it does not."""
        return self.fields.get(f"{self.architecture}.attention.causal") is not False

    @property
    def embeds(self) -> bool:
        """Whether it turns text into vectors, and writes none."""
        return self.pooling in (Pooling.MEAN, Pooling.CLS, Pooling.LAST)

    @property
    def whole(self) -> bool:
        """Whether a text must be evaluated in one piece to make its vector."""
        return self.embeds and not (self.pooling is Pooling.LAST and self.causal)

    def strings(self, key: str) -> tuple[str, ...]:
        """Return a short array of strings; empty when there is none."""
        value = self.fields.get(key, ())
        return tuple(str(x) for x in value) if isinstance(value, tuple) else ()


def read_header(path: Path) -> Header:
    """Read the header of a model file. GgufError says what is wrong with it, OSError that it cannot be read."""
    size = path.stat().st_size
    if size == 0:
        raise GgufError(f"{path} is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] != MAGIC:
            raise GgufError(f"{path} is not a GGUF model: it does not begin with 'GGUF'")
        try:
            cursor = _Cursor(data)
            fields, end = cursor.header()
        except (struct.error, IndexError, OverflowError) as error:
            raise GgufError(f"{path} is cut short or damaged: its header does not end") from error
    if end > size:
        raise GgufError(f"{path} is cut short: it has {size:,} bytes and needs {end:,}")
    return Header(path, size, end, fields, cursor.lengths)


@dataclass(frozen=True, slots=True)
class _Skipped:
    """An array that was too long to keep."""

    length: int


class _Cursor:
    """Walks through the header."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 4
        self.lengths: dict[str, int] = {}

    def header(self) -> tuple[dict[str, Value], int]:
        version = self._take("I")
        if version not in (2, 3):
            raise GgufError(f"GGUF version {version} is not supported (2 and 3 are)")
        n_tensors, n_fields = self._count(), self._count()
        fields: dict[str, Value] = {}
        for _ in range(n_fields):
            key = self._string()
            value = self._value(self._take("I"))
            if isinstance(value, _Skipped):
                self.lengths[key] = value.length
            else:
                fields[key] = value
        ends = [self._tensor_end() for _ in range(n_tensors)]
        alignment = fields.get("general.alignment", 32)
        align = alignment if isinstance(alignment, int) and 0 < alignment <= 65536 else 32
        start = (self._at + align - 1) // align * align
        return fields, start + max(ends, default=0)

    def _take(self, code: str) -> int:
        (value,) = struct.unpack_from("<" + code, self._data, self._at)
        self._at += struct.calcsize("<" + code)
        return value  # type: ignore[no-any-return]

    def _count(self) -> int:
        count = self._take("Q")
        if count > ENTRIES_MAX:
            raise GgufError(f"damaged header: it announces {count:,} entries")
        return count

    def _string(self) -> str:
        length = self._take("Q")
        if self._at + length > len(self._data):
            raise IndexError
        text = self._data[self._at : self._at + length].decode("utf-8", "replace")
        self._at += length
        return text

    def _value(self, kind: int) -> Value | _Skipped:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array()
        if kind not in _SCALARS:
            raise GgufError(f"damaged header: a value of unknown type {kind}")
        return self._take(_SCALARS[kind])

    def _array(self) -> tuple[Scalar, ...] | _Skipped:
        kind, length = self._take("I"), self._take("Q")
        if length > ARRAY_MAX or (kind != _STRING and kind not in _SCALARS):
            raise GgufError(f"damaged header: an array of {length:,} values of type {kind}")
        if length <= KEPT_ARRAY_MAX:
            return tuple(
                self._string() if kind == _STRING else self._take(_SCALARS[kind])
                for _ in range(length)
            )
        if kind == _STRING:
            self._skip_strings(length)
        else:
            self._at += length * struct.calcsize("<" + _SCALARS[kind])
        return _Skipped(length)

    def _skip_strings(self, length: int) -> None:
        data, at, unpack = self._data, self._at, struct.Struct("<Q").unpack_from
        for _ in range(length):
            at += 8 + unpack(data, at)[0]
        self._at = at

    def _tensor_end(self) -> int:
        self._string()
        n_dims = self._take("I")
        if n_dims > 8:
            raise GgufError(f"damaged header: a tensor of {n_dims} dimensions")
        elements = 1
        for _ in range(n_dims):
            elements *= self._take("Q")
        kind, offset = self._take("I"), self._take("Q")
        per_block, block_bytes = _BLOCKS.get(kind, (1, 0))
        return offset + elements // per_block * block_bytes
