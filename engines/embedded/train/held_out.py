"""The loss of checkpoints and GGUF files on held-out files: nats a token, and bits a byte.

A GGUF file is read back dequantised, so that what quantisation costs is measured apart from whoever runs it.
"""

import argparse
import json
import math
from pathlib import Path
from random import Random

import model as models
import torch
from average import weights_of_gguf
from tokenizers import Tokenizer
from torch.nn import functional as F  # noqa: N812

ROW_TOKENS = 512
SEED = 4


def rows(data: Path, n_rows: int) -> tuple[torch.Tensor, float]:
    """Return the beginnings of held-out files in a random order, and the bytes that a token stands for."""
    tokenizer = Tokenizer.from_file(str(data / "tokenizer.json"))
    with (data / "corpus.jsonl").open(encoding="utf-8") as lines:
        texts = [
            record["text"] for line in lines if (record := json.loads(line))["split"] == "held"
        ]
    Random(SEED).shuffle(texts)
    chosen: list[list[int]] = []
    n_bytes = 0
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids[: ROW_TOKENS + 1]
        if len(ids) > ROW_TOKENS and len(chosen) < n_rows:
            chosen.append(ids)
            n_bytes += len(tokenizer.decode(ids).encode())
    return torch.tensor(chosen), n_bytes / (len(chosen) * (ROW_TOKENS + 1))


def read_model(path: Path) -> models.Model:
    """Read a checkpoint or a GGUF file."""
    if path.suffix != ".gguf":
        return models.load(path)[0]
    model = models.Model(models.Shape())
    model.load_state_dict(weights_of_gguf(path, model.shape))
    return model


@torch.no_grad()
def loss(model: models.Model, ids: torch.Tensor) -> float:
    """Return the mean loss over all tokens but the first of each row."""
    losses = []
    for row in ids:
        logits = model(row[None, :-1])[0]
        losses.append(F.cross_entropy(logits, row[1:]).item())
    return sum(losses) / len(losses)


def main() -> None:
    """Print the loss of each file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="what prepare.py wrote")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("files", type=Path, nargs="+")
    options = parser.parse_args()
    ids, bytes_per_token = rows(options.data, options.rows)
    for path in options.files:
        nats = loss(read_model(path), ids)
        bits_per_byte = nats / math.log(2) / bytes_per_token
        print(f"{path.name}: {nats:.4f} nats a token, {bits_per_byte:.3f} bits a byte")


if __name__ == "__main__":
    main()
