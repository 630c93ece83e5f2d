"""Turn a checkpoint into GGUF files: F32 first, then quantised by llama.cpp itself."""

import argparse
import ctypes
import json
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np
import torch

NAME = "hearth-tiny"
DESCRIPTION = "Fill-in-the-middle model for Python, trained on sources under permissive licences"
LICENCE = "Apache-2.0"
CONTEXT = 1024
FIM = {
    "pre": "<|fim_prefix|>",
    "suf": "<|fim_suffix|>",
    "mid": "<|fim_middle|>",
    "pad": "<|fim_pad|>",
    "rep": "<|repo_name|>",
    "sep": "<|file_sep|>",
}
ORDER = "spm-glued"  # suffix first; the middle goes on where the prefix ends
LANGUAGES = ["python"]


def write(checkpoint: Path, tokenizer: Path, out: Path) -> None:
    """Write the F32 file."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    weights = {name: value.float().numpy() for name, value in saved["model"].items()}
    writer = gguf.GGUFWriter(out, "qwen2")
    _add_shape(writer, saved["cfg"])
    _add_tokenizer(writer, json.loads(tokenizer.read_text("utf-8")))
    writer.add_name(NAME)
    writer.add_description(DESCRIPTION)
    writer.add_license(LICENCE.lower())
    writer.add_string("hearth.fim_order", ORDER)
    writer.add_array("hearth.languages", LANGUAGES)
    for name, array in _tensors(weights, saved["cfg"]).items():
        writer.add_tensor(name, np.ascontiguousarray(array, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantise(source: Path, target: Path, kind: str) -> None:
    """Quantise an F32 file; `kind` as llama.cpp names it, "Q8_0" for one."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    paths = str(source).encode(), str(target).encode()
    if llama_cpp.llama_model_quantize(*paths, ctypes.byref(params)):
        raise RuntimeError(f"llama.cpp could not quantise {source}")


def _add_shape(writer: gguf.GGUFWriter, shape: dict[str, Any]) -> None:
    writer.add_context_length(CONTEXT)
    writer.add_vocab_size(shape["V"])
    writer.add_embedding_length(shape["d"])
    writer.add_block_count(shape["L"])
    writer.add_feed_forward_length(shape["ff"])
    writer.add_head_count(shape["h"])
    writer.add_head_count_kv(shape["kv"])
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    writer.add_file_type(0)


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: dict[str, Any]) -> None:
    special = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    ids = tokenizer["model"]["vocab"]
    pieces = sorted(ids, key=ids.__getitem__)
    merges = tokenizer["model"]["merges"]
    kinds = gguf.TokenType
    end = special["<|endoftext|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(pieces)
    writer.add_token_types([kinds.CONTROL if p in special else kinds.NORMAL for p in pieces])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_eot_token_id(end)
    writer.add_pad_token_id(special[FIM["pad"]])
    writer.add_add_bos_token(value=False)
    for key, token in FIM.items():
        writer.add_uint32(f"tokenizer.ggml.fim_{key}_token_id", special[token])


def _tensors(weights: dict[str, np.ndarray], shape: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays under the names that llama.cpp knows them by."""
    width = shape["d"] // shape["h"]
    n_query, n_key = shape["h"] * width, shape["kv"] * width
    bounds = [n_query, n_query + n_key]
    named = {"token_embd.weight": weights["emb.weight"], "output_norm.weight": weights["nf.weight"]}
    for layer in range(shape["L"]):
        at = f"blk.{layer}."
        named[at + "attn_norm.weight"] = weights[at + "n1.weight"]
        named[at + "ffn_norm.weight"] = weights[at + "n2.weight"]
        for part in ("weight", "bias"):
            arrays = np.split(weights[f"{at}qkv.{part}"], bounds)
            named |= {f"{at}attn_{n}.{part}": a for n, a in zip("qkv", arrays, strict=True)}
        named[at + "attn_output.weight"] = weights[at + "o.weight"]
        gate, up = np.split(weights[at + "gu.weight"], 2)
        named[at + "ffn_gate.weight"], named[at + "ffn_up.weight"] = gate, up
        named[at + "ffn_down.weight"] = weights[at + "dn.weight"]
    return named


def main() -> None:
    """Write OUT-f32.gguf and one more file for each kind asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", required=True, help="beginning of the files' names")
    parser.add_argument("--kinds", nargs="*", default=["Q8_0"])
    options = parser.parse_args()
    plain = Path(f"{options.out}-f32.gguf")
    write(options.checkpoint, options.tokenizer, plain)
    llama_cpp.llama_backend_init()
    for kind in options.kinds:
        target = Path(f"{options.out}-{kind.lower()}.gguf")
        quantise(plain, target, kind)
        print(target, target.stat().st_size)


if __name__ == "__main__":
    main()
