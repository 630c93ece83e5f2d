"""What a model will need is told from its header."""

from pathlib import Path

from engines.gguf import Header
from engines.needs import (
    OUTPUTS_BYTES,
    PROCESS_BYTES,
    context_tokens,
    kv_bytes_per_token,
    need_bytes,
)
from engines.spec import ModelSpec

GIB = 2**30
QWEN = {
    "general.architecture": "qwen2",
    "qwen2.block_count": 24,
    "qwen2.embedding_length": 896,
    "qwen2.attention.head_count": 14,
    "qwen2.attention.head_count_kv": 2,
    "qwen2.context_length": 32768,
}


def _header(**changes) -> Header:
    return Header(Path("a.gguf"), GIB, GIB, QWEN | changes)


def test_a_cell_of_the_cache() -> None:
    assert kv_bytes_per_token(_header(), "f16") == 12 * 1024, "12 KiB a token, as measured"
    assert kv_bytes_per_token(_header(), "q8_0") == 12 * 1024 * 34 / 64


def test_layers_without_a_cache_count_for_nothing() -> None:
    hybrid = _header(**{"qwen2.attention.head_count_kv": (2, 0) * 12})
    assert kv_bytes_per_token(hybrid, "f16") == 6 * 1024


def test_the_whole_is_more_than_its_parts() -> None:
    spec = ModelSpec("a", "a.gguf", context=4096, sequences=4)
    need = need_bytes(_header(), spec)
    assert need > GIB + 4096 * 4 * 12 * 1024 + PROCESS_BYTES
    assert need_bytes(_header(), spec, gpu=True) - need == 512 * 2**20


def test_context_by_default() -> None:
    short = _header(**{"qwen2.context_length": 1024})
    assert need_bytes(short, ModelSpec("a", "a.gguf")) < need_bytes(
        _header(), ModelSpec("a", "a.gguf")
    )


def _pooled(vocabulary: int, **changes) -> Header:
    fields = QWEN | {"qwen2.pooling_type": 1} | changes
    return Header(Path("a.gguf"), GIB, GIB, fields, {"tokenizer.ggml.tokens": vocabulary})


def test_texts_in_one_piece_are_short_enough_for_the_logits_of_every_token() -> None:
    """llama.cpp makes room for them, needed or not; never is a text longer than the table of positions."""
    spec = ModelSpec("a", "a.gguf")
    assert context_tokens(_pooled(250_000), spec) == OUTPUTS_BYTES // 1_000_000
    assert context_tokens(_pooled(1_000), spec) == 8192
    wanting = ModelSpec("a", "a.gguf", context=100_000)
    assert context_tokens(_pooled(250_000), wanting) == 32_768
    assert context_tokens(_pooled(1_000, **{"qwen2.context_length": 512}), wanting) == 512
    assert need_bytes(_pooled(250_000), wanting) - need_bytes(_pooled(1), wanting) > 30 * GIB


def test_a_model_whose_last_token_counts_reads_texts_as_prompts() -> None:
    """The same cells as a model that writes, and no room for logits."""
    last = {"qwen2.pooling_type": 3}
    spec = ModelSpec("a", "a.gguf", context=100_000)
    assert context_tokens(_pooled(250_000, **last), spec) == 100_000
    assert need_bytes(_pooled(250_000, **last), spec) == need_bytes(_header(), spec)
