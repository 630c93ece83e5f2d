"""Make a shape twin: the architecture, size and quantisation of a published CodeLLM, filled with random weights.

    python tests/twins/make_twin.py qwen2.5-coder-0.5b q8_0 OUT.gguf
    python tests/twins/make_twin.py --list

A twin loads, allocates and computes as the published model does, so load times, memory, prefill and decode speed
measured on it are those of the real one. What it writes is noise: never judge text on it.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.twins.vocabulary import END, IM_END, make_vocabulary


@dataclass(frozen=True, slots=True)
class Shape:
    """What a published configuration says."""

    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    tied: bool = True
    vocabulary: int = 151_936


SHAPES = {
    "tiny-15m": Shape(6, 256, 768, 4, 2),  # not a published model: for quick tests
    "qwen2.5-coder-0.5b": Shape(24, 896, 4864, 14, 2),
    "qwen2.5-coder-1.5b": Shape(28, 1536, 8960, 12, 2),
    "qwen2.5-coder-3b": Shape(36, 2048, 11008, 16, 2),
    "qwen2.5-coder-7b": Shape(28, 3584, 18944, 28, 4, tied=False, vocabulary=152_064),
}
TYPES = {"f16": 1, "q4_0": 2, "q8_0": 7, "q4_k_m": 15, "q5_k_m": 17, "q6_k": 18}
CONTEXT = 32_768


def make_twin(shape: str, kind: str, out: Path, *, seed: int = 0, context: int = CONTEXT) -> None:
    """Write a twin. The same seed gives the same file."""
    if kind == "f16":
        _write_f16(shape, out, seed=seed, context=context)
        return
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        f16 = Path(scratch) / "f16.gguf"
        _write_f16(shape, f16, seed=seed, context=context)
        _quantise(f16, out, TYPES[kind])


def _write_f16(name: str, path: Path, *, seed: int, context: int) -> None:
    shape = SHAPES[name]
    writer = GGUFWriter(str(path), "qwen2")
    writer.add_name(f"{name} shape twin (random weights)")
    writer.add_context_length(context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(TYPES["f16"])
    _add_tokenizer(writer, shape.vocabulary)
    _add_tensors(writer, shape, np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: GGUFWriter, size: int) -> None:
    vocabulary = make_vocabulary(size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.kinds)
    writer.add_token_merges(vocabulary.merges)
    writer.add_eos_token_id(END)
    writer.add_pad_token_id(END)
    writer.add_eot_token_id(IM_END)
    writer.add_add_bos_token(value=False)


def _add_tensors(writer: GGUFWriter, shape: Shape, rng: np.random.Generator) -> None:
    def normal(rows: int, columns: int) -> npt.NDArray[np.float16]:
        return (rng.standard_normal((rows, columns), dtype=np.float32) * 0.02).astype(np.float16)

    width, kv = shape.width, shape.kv_heads * (shape.width // shape.heads)
    ones = np.ones(width, dtype=np.float32)
    writer.add_tensor("token_embd.weight", normal(shape.vocabulary, width))
    writer.add_tensor("output_norm.weight", ones)
    if not shape.tied:
        writer.add_tensor("output.weight", normal(shape.vocabulary, width))
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        writer.add_tensor(block + "attn_norm.weight", ones)
        writer.add_tensor(block + "ffn_norm.weight", ones)
        for name, rows in (("q", width), ("k", kv), ("v", kv)):
            writer.add_tensor(f"{block}attn_{name}.weight", normal(rows, width))
            writer.add_tensor(f"{block}attn_{name}.bias", np.zeros(rows, dtype=np.float32))
        writer.add_tensor(block + "attn_output.weight", normal(width, width))
        writer.add_tensor(block + "ffn_gate.weight", normal(shape.hidden, width))
        writer.add_tensor(block + "ffn_up.weight", normal(shape.hidden, width))
        writer.add_tensor(block + "ffn_down.weight", normal(width, shape.hidden))


def _quantise(source: Path, target: Path, kind: int) -> None:
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = kind
    params.nthread = 0
    code = llama_cpp.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(params)
    )
    if code != 0:
        raise RuntimeError(f"llama.cpp could not quantise: code {code}")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Make a shape twin of a published CodeLLM.")
    parser.add_argument("shape", nargs="?", choices=sorted(SHAPES))
    parser.add_argument("kind", nargs="?", choices=sorted(TYPES))
    parser.add_argument("out", nargs="?", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--context", type=int, default=CONTEXT, help="written into the file")
    parser.add_argument("--list", action="store_true", help="what can be made")
    options = parser.parse_args()
    if options.list:
        print("shapes:", ", ".join(SHAPES), "\ntypes: ", ", ".join(TYPES))
    elif options.out is None:
        parser.error("a shape, a type and a file are needed")
    else:
        make_twin(
            options.shape, options.kind, options.out, seed=options.seed, context=options.context
        )


if __name__ == "__main__":
    main()
