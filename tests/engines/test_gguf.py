"""The header of a model file is a stranger's: whatever is in it, there is an answer or a reason."""

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.gguf import GgufError, read_header
from tests.engines.hearing import EMBEDDED


@pytest.fixture(scope="module")
def data() -> bytes:
    return EMBEDDED.read_bytes()


def test_the_embedded_model():
    header = read_header(EMBEDDED)
    assert (header.architecture, header.quantisation) == ("qwen2", "Q8_0")
    assert header.context_tokens > 0
    assert header.data_bytes <= header.file_bytes == EMBEDDED.stat().st_size
    assert header.strings("no.such.key") == ()


def test_a_file_that_was_cut_short_is_known_before_it_is_loaded(data: bytes, tmp_path: Path):
    path = tmp_path / "cut.gguf"
    for twentieth in range(20):
        path.write_bytes(data[: len(data) * twentieth // 20])
        with pytest.raises(GgufError, match=r"cut short|is empty"):
            read_header(path)


def test_what_is_no_model_says_so(tmp_path: Path):
    text = tmp_path / "README.md"
    text.write_text("# A model\n" * 50)
    with pytest.raises(GgufError, match="is not a GGUF model"):
        read_header(text)
    with pytest.raises(OSError, match=r"README\.txt"):
        read_header(tmp_path / "README.txt")
    with pytest.raises(IsADirectoryError):
        read_header(tmp_path)


def test_an_unknown_version_says_which(tmp_path: Path):
    path = tmp_path / "old.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 1, 0, 0))
    with pytest.raises(GgufError, match="version 1"):
        read_header(path)


@pytest.mark.parametrize(
    "body",
    [
        struct.pack("<QQ", 0, 2**63),
        struct.pack("<QQ", 2**63, 0),
        struct.pack("<QQ", 0, 1) + struct.pack("<Q", 2**64 - 1) + b"key",
        struct.pack("<QQQ", 0, 1, 1) + b"k" + struct.pack("<IIQ", 9, 8, 2**62),
        struct.pack("<QQQ", 0, 1, 1)
        + b"k"
        + struct.pack("<IIQQ", 9, 8, 300, 2**64 - 9)
        + bytes(64),
        struct.pack("<QQQ", 0, 1, 1) + b"k" + struct.pack("<IIQ", 9, 9, 3),
        struct.pack("<QQQ", 0, 1, 1) + b"k" + struct.pack("<I", 99),
        struct.pack("<QQQ", 1, 0, 1) + b"t" + struct.pack("<I", 9),
    ],
    ids=["fields", "tensors", "key", "array", "skipped", "nested", "type", "dimensions"],
)
def test_counts_and_lengths_are_bounded_before_use(body: bytes, tmp_path: Path):
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + body)
    with pytest.raises(GgufError):
        read_header(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_are_refused_in_words(tmp_path: Path, body: bytes, magic: bool):
    path = tmp_path / "random.gguf"
    path.write_bytes((b"GGUF\3\0\0\0" if magic else b"") + body)
    with pytest.raises(GgufError, match=r"random\.gguf|damaged|version"):
        read_header(path)


def small() -> bytes:
    """A header with every kind of field, and no data."""

    def text(s: str) -> bytes:
        return struct.pack("<Q", len(s)) + s.encode()

    fields = [
        text("general.architecture") + struct.pack("<I", 8) + text("qwen2"),
        text("qwen2.context_length") + struct.pack("<II", 4, 4096),
        text("general.languages") + struct.pack("<IIQ", 9, 8, 2) + text("python") + text("c"),
        text("tokens") + struct.pack("<IIQ", 9, 8, 300) + text("ab") * 300,
        text("scores") + struct.pack("<IIQ", 9, 6, 300) + bytes(1200),
    ]
    tensor = text("t") + struct.pack("<IQQIQ", 2, 32, 0, 8, 0)
    return b"GGUF" + struct.pack("<IQQ", 3, 1, len(fields)) + b"".join(fields) + tensor + bytes(64)


def test_the_small_header_is_a_good_one(tmp_path: Path):
    path = tmp_path / "small.gguf"
    path.write_bytes(small())
    header = read_header(path)
    assert header.context_tokens == 4096
    assert header.strings("general.languages") == ("python", "c")
    assert "tokens" not in header.fields


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(4, 260), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_header_raises_nothing_but_its_own_error(tmp_path: Path, edits):
    damaged = bytearray(small())
    for at, value in edits:
        damaged[at] = value
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damaged)
    try:
        header = read_header(path)
    except GgufError:
        return
    assert isinstance(header.architecture + header.quantisation, str)
    assert isinstance(header.strings("general.languages"), tuple)
