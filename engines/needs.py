"""What a model will need in memory, told from its header before it is loaded (ENGINE.md 24). An estimate, on the safe side."""

from __future__ import annotations

from engines.gguf import Header, Value
from engines.spec import ModelSpec

CONTEXT_DEFAULT = 8192
"""Cells of one request where neither the model nor the user asks for less."""
OUTPUTS_BYTES = 512 * 2**20
"""Where texts must be evaluated in one piece, llama.cpp keeps (and clears) room for the logits of every token, needed or
not: with the large vocabularies of some embedding models a long text would take gigabytes. By default texts are short
enough for this."""
PROCESS_BYTES = 96 * 2**20
"""An interpreter, llama.cpp, its compute buffers on a small model."""
CUDA_CONTEXT_BYTES = 512 * 2**20
KEPT_SEQUENCES = 1
"""Prompts that lost their sequence are kept in the host's memory: as much of it as so many more sequences would take."""

_CELL_BYTES = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}


def need_bytes(header: Header, spec: ModelSpec, *, gpu: bool = False) -> int:
    """Weights, KV cache, kept prompts, compute buffers and the process itself."""
    context = context_tokens(header, spec)
    sequences = 1 if header.whole else spec.sequences + KEPT_SEQUENCES
    cache = kv_bytes_per_token(header, spec.kv_type) * context * sequences
    buffers = header.file_bytes // 10
    if header.whole:
        copies = 2 if header.causal else 1  # a decoder computes the logits that nobody wants
        buffers += context * (copies * _output_bytes(header) + _computed_bytes(header, context))
    process = PROCESS_BYTES + (CUDA_CONTEXT_BYTES if gpu else 0)
    return header.file_bytes + int(cache) + buffers + process


def context_tokens(header: Header, spec: ModelSpec) -> int:
    """Cells of one request: those asked for, or what the model was trained for, within what is sensible.

    Where texts are evaluated in one piece never more than trained: past their table of positions encoders end the process.
    """
    trained = header.context_tokens or CONTEXT_DEFAULT
    if not header.whole:
        return spec.context or min(trained, CONTEXT_DEFAULT)
    return min(
        trained, spec.context or min(CONTEXT_DEFAULT, OUTPUTS_BYTES // _output_bytes(header))
    )


def _output_bytes(header: Header) -> int:
    """What the logits of one token take."""
    return 4 * max(1, header.vocabulary)


def _computed_bytes(header: Header, context: int) -> int:
    """What one token of a text takes while all of the text is computed: its activations, its row of the mask."""
    fields, name = header.fields, header.architecture
    width = _largest(fields.get(f"{name}.embedding_length"), 0)
    hidden = _largest(fields.get(f"{name}.feed_forward_length"), 4 * width)
    return 4 * (8 * width + 2 * hidden) + 6 * context


def kept_bytes(header: Header, kv_type: str, context_tokens: int) -> int:
    """The host memory that kept prompts may take."""
    return int(kv_bytes_per_token(header, kv_type) * context_tokens * KEPT_SEQUENCES)


def kv_bytes_per_token(header: Header, kv_type: str) -> float:
    """Bytes of the cache that one token takes: keys and values of every layer that has them."""
    fields, name = header.fields, header.architecture
    heads = _largest(fields.get(f"{name}.attention.head_count"), 1)
    width = _largest(fields.get(f"{name}.embedding_length"), 0) // heads
    key = _largest(fields.get(f"{name}.attention.key_length"), width)
    value = _largest(fields.get(f"{name}.attention.value_length"), width)
    layers = _largest(fields.get(f"{name}.block_count"), 0)
    kv_heads = fields.get(f"{name}.attention.head_count_kv", heads)
    per_layer = _mean(kv_heads, heads) * (key + value)
    return layers * per_layer * _CELL_BYTES[kv_type]


def _largest(value: Value | None, default: int) -> int:
    """A number, or the largest of one for each layer."""
    numbers = value if isinstance(value, tuple) else (value,)
    return max((n for n in numbers if isinstance(n, int)), default=default) or default


def _mean(value: Value | None, default: int) -> float:
    """Hybrid models give a number for each layer, 0 where a layer keeps no cache."""
    numbers = [n for n in (value if isinstance(value, tuple) else (value,)) if isinstance(n, int)]
    return sum(numbers) / len(numbers) if numbers else default
