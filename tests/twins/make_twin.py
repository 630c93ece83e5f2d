"""Make a shape twin: architecture, size and quantisation of a published CodeLLM, or a tiny one, with random weights.

    python tests/twins/make_twin.py qwen2.5-coder-0.5b q8_0 OUT.gguf
    python tests/twins/make_twin.py --list

A twin loads, allocates and computes as the published model does, so load times, memory, prefill and decode speed
measured on it are those of the real one. What it writes is noise: never judge text on it. The tiny shapes are for
tests of what llama.cpp does with each kind of memory: each takes milliseconds.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import tempfile
from pathlib import Path

from gguf import GGUFWriter

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.twins.architectures import add_keys, tensors
from tests.twins.shapes import SHAPES
from tests.twins.vocabulary import END, IM_END, make_vocabulary

TYPES = {"f16": 1, "q4_0": 2, "q8_0": 7, "q4_k_m": 15, "q5_k_m": 17, "q6_k": 18}
CONTEXT = 32_768


def make_twin(shape: str, kind: str, out: Path, *, seed: int = 0, context: int = CONTEXT) -> None:
    """Write a twin of `SHAPES[shape]`, trained (it says) for `context` tokens. The same seed gives the same file."""
    if kind == "f16":
        _write_f16(shape, out, seed=seed, context=context)
        return
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        f16 = Path(scratch) / "f16.gguf"
        _write_f16(shape, f16, seed=seed, context=context)
        _quantise(f16, out, TYPES[kind])


def _write_f16(name: str, path: Path, *, seed: int, context: int) -> None:
    shape = SHAPES[name]
    writer = GGUFWriter(str(path), shape.architecture)
    writer.add_name(f"{name} shape twin (random weights)")
    writer.add_context_length(context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_file_type(TYPES["f16"])
    add_keys(writer, shape)
    _add_tokenizer(writer, shape.vocabulary)
    if shape.pooling is not None:
        writer.add_add_eos_token(
            value=True
        )  # as models have it whose vector is that of the last token
    for tensor, numbers in tensors(shape, context=context, seed=seed):
        writer.add_tensor(tensor, numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: GGUFWriter, size: int) -> None:
    vocabulary = make_vocabulary(size)
    end = vocabulary.tokens.index(END)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.kinds)
    writer.add_token_merges(vocabulary.merges)
    writer.add_eos_token_id(end)
    writer.add_pad_token_id(end)
    writer.add_eot_token_id(vocabulary.tokens.index(IM_END))
    writer.add_add_bos_token(value=False)


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
