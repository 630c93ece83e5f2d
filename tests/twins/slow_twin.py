"""Make a slow twin: the very text of a small model at the cost of a large one.

    python tests/twins/slow_twin.py SMALL.gguf LAYERS OUT.gguf        # at most 512 layers: llama.cpp's limit

Layers are appended whose attention output and feed-forward output are zero. They add nothing to the residual
stream, so every logit stays as it was, but they are computed like any other layer. For architectures like llama
and qwen2. Use it where a measurement needs true text *and* the cost of a real CodeLLM.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter

SILENCED = ("attn_output.", "ffn_down.")
LAYERS_MAX = 512


def make_slow_twin(source: Path, layers: int, out: Path) -> None:
    """Write a twin of `source` with so many layers."""
    reader = GGUFReader(str(source))
    architecture = reader.fields["general.architecture"].contents()
    before = reader.fields[f"{architecture}.block_count"].contents()
    if not before < layers <= LAYERS_MAX:
        raise ValueError(f"layers must be above {before} and at most {LAYERS_MAX}")
    writer = GGUFWriter(str(out), architecture)
    _copy_fields(reader, writer, f"{architecture}.block_count", layers)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    _add_silent_layers(reader, writer, range(before, layers))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _copy_fields(reader: GGUFReader, writer: GGUFWriter, count_key: str, layers: int) -> None:
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind = field.types[0]
        if kind == GGUFValueType.ARRAY:
            writer.add_key_value(field.name, list(field.contents()), kind, sub_type=field.types[-1])
        else:
            value = layers if field.name == count_key else field.contents()
            writer.add_key_value(field.name, value, kind)


def _add_silent_layers(reader: GGUFReader, writer: GGUFWriter, layers: range) -> None:
    """Repeat the first layer with the two outputs zeroed; zero is zero in every quantisation."""
    first = [tensor for tensor in reader.tensors if tensor.name.startswith("blk.0.")]
    for layer in layers:
        for tensor in first:
            silent = any(part in tensor.name for part in SILENCED)
            data = np.zeros_like(tensor.data) if silent else tensor.data
            name = tensor.name.replace("blk.0.", f"blk.{layer}.")
            writer.add_tensor(name, data, raw_dtype=tensor.tensor_type)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Make a slow twin of a small model.")
    parser.add_argument("source", type=Path)
    parser.add_argument("layers", type=int)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    make_slow_twin(options.source, options.layers, options.out)


if __name__ == "__main__":
    main()
