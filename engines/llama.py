"""llama.cpp by its low-level bindings: the only file that imports llama_cpp.

`Model` is the weights and the vocabulary, `Context` the cache and the compute. Both are thin: no decision, no
bookkeeping. The high-level `Llama` class is not used: it has one sequence and hides the switches that the
ladder needs (ENGINE.md; `use_extra_bufts`).
"""

from __future__ import annotations

import collections
import ctypes
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import llama_cpp as lib
import numpy as np
import numpy.typing as npt

from engines.prompt import FimTokens

KV_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}
DECODED, NO_ROOM, ABORTED = 0, 1, 2
"""What `Context.decode` returns; anything negative: the batch was refused and nothing has changed."""

_log: collections.deque[str] = collections.deque(maxlen=400)


def _keep(_level: int, text: bytes, _data: ctypes.c_void_p) -> None:
    _log.append(text.decode("utf-8", "replace"))


_keep_log = lib.llama_log_callback(_keep)


def start() -> None:
    """Initialise the library and keep its log to ourselves. Once in a process, before anything else."""
    lib.llama_log_set(_keep_log, ctypes.c_void_p(0))
    lib.llama_backend_init()


def build_id() -> str:
    """Name the build: version of the bindings and what the library says it was compiled for."""
    return f"{lib.__version__} {lib.llama_print_system_info().decode()}"


def has_gpu() -> bool:
    """Whether this build can put layers on a device other than the processor."""
    return bool(lib.llama_supports_gpu_offload())


def log_tail(pattern: str = r"error|fail|invalid|unable|unknown|missing|cannot") -> str:
    """Return the last line of llama.cpp's log that looks like a reason."""
    lines = "".join(_log).splitlines()
    return next(
        (line.strip() for line in reversed(lines) if re.search(pattern, line, re.IGNORECASE)), ""
    )


class LoadError(Exception):
    """llama.cpp would not load the file or make the context; the message has its reason."""


class Model:
    """Weights and vocabulary. `progress` is called with 0..1 and may return False to give the load up."""

    def __init__(
        self,
        path: str,
        *,
        gpu_layers: int,
        extra_buffers: bool,
        progress: Callable[[float], bool] | None = None,
    ) -> None:
        params = lib.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.use_extra_bufts = extra_buffers
        # The callback object must live as long as the load: ctypes keeps no reference of its own.
        callback = lib.llama_progress_callback(lambda done, _: progress(done) if progress else True)
        params.progress_callback = callback
        self.handle = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not self.handle:
            raise LoadError(log_tail() or "llama.cpp gave no reason")
        self._vocab = lib.llama_model_get_vocab(self.handle)
        vocab = self._vocab
        self.n_vocab: int = lib.llama_vocab_n_tokens(vocab)
        self.context_tokens: int = lib.llama_model_n_ctx_train(self.handle)
        self.parameters: int = lib.llama_model_n_params(self.handle)
        self.weights_bytes: int = lib.llama_model_size(self.handle)
        self.adds_bos: bool = lib.llama_vocab_get_add_bos(vocab)
        self.bos: int = lib.llama_vocab_bos(vocab)
        self.eot: int = lib.llama_vocab_eot(vocab)
        self.eos: int = lib.llama_vocab_eos(vocab)
        self.fim = FimTokens(
            prefix=lib.llama_vocab_fim_pre(vocab),
            suffix=lib.llama_vocab_fim_suf(vocab),
            middle=lib.llama_vocab_fim_mid(vocab),
            repository=lib.llama_vocab_fim_rep(vocab),
            separator=lib.llama_vocab_fim_sep(vocab),
        )
        self.end_tokens = frozenset(
            token for token in range(self.n_vocab) if lib.llama_vocab_is_eog(vocab, token)
        )

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Tokenise; special tokens written in the text are parsed only if asked. Safe in any thread."""
        data = text.encode("utf-8", "replace")
        size = len(data) + 8
        while True:
            tokens = (lib.llama_token * size)()
            count = lib.llama_tokenize(
                self._vocab,
                data,
                len(data),
                tokens,
                size,
                0,
                special,
            )
            if count >= 0:
                return list(tokens[:count])
            size = -count

    def piece(self, token: int) -> bytes:
        """Return the bytes a token stands for; control tokens stand for none."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = lib.llama_token_to_piece(
                self._vocab,
                token,
                buffer,
                size,
                0,
                False,  # noqa: FBT003 -- C
            )
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def written(self, token: int) -> str:
        """Return how a token is written in a prompt, control tokens included; nothing for no token."""
        text = lib.llama_vocab_get_text(self._vocab, token) if token >= 0 else b""
        return text.decode("utf-8", "replace")

    def meta(self, key: str) -> str | None:
        """Return a value of the file's metadata as text."""
        size = 1 << 16
        buffer = ctypes.create_string_buffer(size)
        count = lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, size)
        return None if count < 0 else buffer.value.decode("utf-8", "replace")

    def chat_template(self) -> str | None:
        """Return the model's own chat template (Jinja), if it has one."""
        text = lib.llama_model_chat_template(self.handle, None)
        return text.decode("utf-8", "replace") if text else None


@dataclass(frozen=True, slots=True)
class Entry:
    """One token of a batch."""

    token: int
    position: int
    sequence: int
    wants_logits: bool


class Context:
    """One llama_context with many sequences in a unified cache.

    `cells` are shared by all sequences; `batch` is the most tokens of one `decode`, `sub_batch` of one graph.
    At most one entry a sequence may want logits.
    """

    def __init__(
        self,
        model: Model,
        *,
        cells: int,
        batch: int,
        sub_batch: int,
        sequences: int,
        kv_type: str,
        threads: int,
    ) -> None:
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = cells, batch, sub_batch
        params.n_seq_max = params.n_outputs_max = (
            sequences  # logits for more would only take memory
        )
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified, params.no_perf = True, True
        params.type_k = params.type_v = KV_TYPES[kv_type]
        self._model = model
        self._handle = lib.llama_init_from_model(model.handle, params)
        if not self._handle:
            raise LoadError(log_tail() or "llama.cpp could not make a context")
        self.cells: int = lib.llama_n_ctx(self._handle)
        self._memory = lib.llama_get_memory(self._handle)
        self.can_shift: bool = lib.llama_memory_can_shift(self._memory)
        self._allocate(batch)

    def _allocate(self, batch: int) -> None:
        """Keep the arrays of a llama_batch as NumPy buffers: a step fills them by column, not by cell."""
        self._token = np.zeros(batch, np.int32)
        self._position = np.zeros(batch, np.int32)
        self._owner = np.zeros(batch, np.int32)
        self._owners = np.ones(batch, np.int32)
        self._wants = np.zeros(batch, np.int8)
        rows = self._owner.ctypes.data + 4 * np.arange(batch, dtype=np.uint64)
        self._rows = rows.astype(np.uintp)
        int32, int8 = ctypes.POINTER(ctypes.c_int32), ctypes.POINTER(ctypes.c_int8)
        self._batch = lib.llama_batch(
            n_tokens=0,
            token=self._token.ctypes.data_as(int32),
            embd=None,
            pos=self._position.ctypes.data_as(int32),
            n_seq_id=self._owners.ctypes.data_as(int32),
            seq_id=self._rows.ctypes.data_as(ctypes.POINTER(int32)),
            logits=self._wants.ctypes.data_as(int8),
        )

    def decode(self, entries: Sequence[Entry]) -> int:
        """Evaluate a batch; the answer is DECODED, NO_ROOM, ABORTED or negative (ENGINE.md 8)."""
        n = len(entries)
        self._token[:n] = [e.token for e in entries]
        self._position[:n] = [e.position for e in entries]
        self._owner[:n] = [e.sequence for e in entries]
        self._wants[:n] = [e.wants_logits for e in entries]
        self._batch.n_tokens = n
        return int(lib.llama_decode(self._handle, self._batch))

    def logits(self, index: int) -> npt.NDArray[np.float32]:
        """Return the logits behind entry `index` of the last batch: a view that the next decode overwrites."""
        pointer = lib.llama_get_logits_ith(self._handle, index)
        return np.ctypeslib.as_array(pointer, shape=(self._model.n_vocab,))

    def remove(self, sequence: int, start: int) -> bool:
        """Drop a sequence's cells from position `start` on; False where the architecture cannot."""
        return bool(lib.llama_memory_seq_rm(self._memory, sequence, start, -1))

    def copy(self, source: int, target: int, length: int) -> None:
        """Let `target` share the first `length` cells of `source`."""
        lib.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def length(self, sequence: int) -> int:
        """Return how many positions a sequence holds, by llama.cpp's own account."""
        return int(lib.llama_memory_seq_pos_max(self._memory, sequence)) + 1
