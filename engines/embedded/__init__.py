"""The default model: a small fill-in-the-middle code model that is part of the repository.

The weights are `hearth-tiny-q8_0.gguf`; what they were trained on and what they can do is in `MODEL_CARD.md`,
the programs that made them are in `train/`. Importing this package loads nothing.
"""

from pathlib import Path
from typing import Final

MODEL_PATH: Final = Path(__file__).parent / "hearth-tiny-q8_0.gguf"
