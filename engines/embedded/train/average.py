"""Average the weights of two models that grew from one checkpoint.

Both know what the other has not seen, and the noise of their last steps cancels: the average was better on held-out
files than either (MODEL_CARD.md). The optimiser's state is that of the checkpoint, so that training can go on.
"""

import argparse
from pathlib import Path

import gguf
import model as models
import torch
from torch import Tensor


def weights_of_gguf(path: Path, shape: models.Shape) -> dict[str, Tensor]:
    """Read a GGUF file of `export.py` back, dequantised, under the names of a checkpoint."""
    arrays = {tensor.name: _dequantised(tensor) for tensor in gguf.GGUFReader(path).tensors}
    weights = {"emb.weight": arrays["token_embd.weight"], "nf.weight": arrays["output_norm.weight"]}
    for layer in range(shape.L):
        at = f"blk.{layer}."
        weights[f"{at}n1.weight"] = arrays[f"{at}attn_norm.weight"]
        weights[f"{at}n2.weight"] = arrays[f"{at}ffn_norm.weight"]
        for part in ("weight", "bias"):
            heads = [arrays[f"{at}attn_{name}.{part}"] for name in "qkv"]
            weights[f"{at}qkv.{part}"] = torch.cat(heads)
        weights[f"{at}o.weight"] = arrays[f"{at}attn_output.weight"]
        halves = [arrays[f"{at}ffn_{name}.weight"] for name in ("gate", "up")]
        weights[f"{at}gu.weight"] = torch.cat(halves)
        weights[f"{at}dn.weight"] = arrays[f"{at}ffn_down.weight"]
    return weights


def _dequantised(tensor: gguf.ReaderTensor) -> Tensor:
    flat = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    rows_first = [int(size) for size in reversed(tensor.shape)]
    return torch.tensor(flat, dtype=torch.float32).reshape(rows_first)


def main() -> None:
    """Write the average of a checkpoint and another checkpoint or GGUF file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--with", dest="other", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.5, help="of the other one")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model, saved = models.load(options.checkpoint)
    if options.other.suffix == ".gguf":
        other = weights_of_gguf(options.other, model.shape)
    else:
        other = models.load(options.other)[0].state_dict()
    own = model.state_dict()
    model.load_state_dict({name: torch.lerp(own[name], other[name], options.share) for name in own})
    rest = {name: value for name, value in saved.items() if name not in ("cfg", "model")}
    models.save(options.out, model, **rest)


if __name__ == "__main__":
    main()
