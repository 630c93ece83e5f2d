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
        self.dimension: int = lib.llama_model_n_embd_out(self.handle)
        """Numbers in the vector of a text, where it pools."""
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

    def tokenize(self, text: str, *, special: bool = False, framed: bool = False) -> list[int]:
        """Tokenise; special tokens written in the text are parsed only if asked. Safe in any thread.

        `framed` puts around it what the model was trained to see around a text, such as [CLS] and [SEP].
        """
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
                framed,
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
class Feed:
    """Tokens that one sequence evaluates in a batch, from `position` on."""

    sequence: int
    position: int
    tokens: Sequence[int]
    wants_logits: bool
    """Whether the logits behind the last of them are wanted."""


class Context:
    """One llama_context with many sequences, each with cells of its own.

    `cells` are what one sequence has; `batch` is the most tokens of one `decode`, `sub_batch` of one graph.
    Sequences do not share cells (`kv_unified` is off): in one cache for all of them each token would attend over
    what every other sequence holds, and its result would depend on where its cells happen to lie.

    `whole` is for models that must see a text at once to make a vector of it: all sequences share the cells of one,
    and every token of a batch may be an output (llama.cpp ends the process over that limit).
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
        whole: bool = False,
    ) -> None:
        params = lib.llama_context_default_params()
        params.n_ctx = cells if whole else cells * sequences
        params.n_batch, params.n_ubatch, params.n_seq_max = batch, sub_batch, sequences
        params.n_outputs_max = batch if whole else sequences  # logits for more only take memory
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified, params.embeddings, params.no_perf = whole, whole, True
        params.type_k = params.type_v = KV_TYPES[kv_type]
        self._model, self._whole = model, whole
        self._handle = lib.llama_init_from_model(model.handle, params)
        if not self._handle:
            raise LoadError(log_tail() or "llama.cpp could not make a context")
        self.sequences = sequences
        self.cells: int = lib.llama_n_ctx_seq(self._handle)
        self._memory = lib.llama_get_memory(self._handle)
        self.keeps_cells = bool(self._memory)
        """Whether tokens of a former step can be seen by a later one: an encoder has no cache."""
        self.can_shift: bool = lib.llama_memory_can_shift(self._memory)
        """What llama.cpp says; it also says so where a shift gives nonsense: `selftest.probe` tries it."""
        self._window: int = lib.llama_model_n_swa(model.handle)
        self._allocate(batch)
        self._listen()

    def _allocate(self, batch: int) -> None:
        """Keep the arrays of a llama_batch as NumPy buffers: a step fills them by column, not by cell."""
        self._token = np.zeros(batch, np.int32)
        self._position = np.zeros(batch, np.int32)
        self._owner = np.zeros(batch, np.int32)
        self._owners = np.ones(batch, np.int32)
        self._wants = np.zeros(batch, np.int8)
        rows = self._owner.ctypes.data + 4 * np.arange(batch, dtype=np.uint64)
        self._rows = rows.astype(np.uintp)
        self._ends: list[int] = []
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

    def _listen(self) -> None:
        """Let `abort` reach a running step.

        llama.cpp asks a callback at every node of the graph, some 500 times a step: one in Python would take the
        interpreter's lock each time. The C library's own `strlen` is one: of the flag, a string of no or one
        character, it says 0 or 1.
        """
        self._flag = ctypes.create_string_buffer(2)
        ask = ctypes.cast(ctypes.CDLL(None).strlen, lib.ggml_abort_callback)
        lib.llama_set_abort_callback(self._handle, ask, ctypes.cast(self._flag, ctypes.c_void_p))

    def abort(self) -> None:
        """Break off the step that runs, where the backend can. Safe in any thread; `resume` ends it."""
        self._flag[0] = b"\x01"

    def resume(self) -> None:
        """Let steps run again."""
        self._flag[0] = b"\x00"

    def decode(self, feeds: Sequence[Feed]) -> int:
        """Evaluate a batch; the answer is DECODED, NO_ROOM, ABORTED or negative (ENGINE.md 8).

        One graph computes sequences whose numbers follow on each other, in this order; after a gap another begins.
        """
        end = 0
        self._ends = [0] * len(feeds)
        for index in sorted(range(len(feeds)), key=lambda index: feeds[index].sequence):
            feed = feeds[index]
            begin, end = end, end + len(feed.tokens)
            self._token[begin:end] = feed.tokens
            self._position[begin:end] = np.arange(feed.position, feed.position + end - begin)
            self._owner[begin:end] = feed.sequence
            self._wants[begin:end] = self._whole
            self._wants[end - 1] = feed.wants_logits
            self._ends[index] = end - 1
        self._batch.n_tokens = end
        return int(lib.llama_decode(self._handle, self._batch))

    def pool(self, feeds: Sequence[Feed]) -> int:
        """Evaluate the ends of texts and make vectors of them. The answer is that of `decode`.

        Every token of the batch is an output, and its logits are computed too where the model has any: give it no
        more than must be in it.
        """
        lib.llama_set_embeddings(self._handle, True)  # noqa: FBT003 -- C
        code = self.decode(feeds)
        lib.llama_set_embeddings(self._handle, False)  # noqa: FBT003 -- C
        return code

    def vector(self, sequence: int) -> npt.NDArray[np.float32]:
        """Return the vector that the last `pool` made of a sequence, as long as the model makes it."""
        pointer = lib.llama_get_embeddings_seq(self._handle, sequence)
        return np.ctypeslib.as_array(pointer, shape=(self._model.dimension,)).copy()

    def logits(self, index: int) -> npt.NDArray[np.float32]:
        """Return the logits behind feed `index` of the last batch: a view that the next decode overwrites."""
        pointer = lib.llama_get_logits_ith(self._handle, self._ends[index])
        return np.ctypeslib.as_array(pointer, shape=(self._model.n_vocab,))

    def remove(self, sequence: int, start: int, end: int = -1) -> bool:
        """Drop a sequence's cells from `start` to `end` (-1: all that follow); False where it cannot.

        Where a layer sees a window only, its older cells may be gone (after a restore they are): llama.cpp trims
        behind them all the same and computes on without them. Such a trim is refused here.
        """
        seen_from = max(0, start - self._window + 1)
        if (
            self._window
            and 0 < start < self.length(sequence)
            and self._oldest(sequence) > seen_from
        ):
            return False
        return bool(lib.llama_memory_seq_rm(self._memory, sequence, start, end))

    def _oldest(self, sequence: int) -> int:
        return int(lib.llama_memory_seq_pos_min(self._memory, sequence))

    def shift(self, sequence: int, start: int, by: int) -> None:
        """Move the cells from `start` on to other positions; their keys are turned before the next decode."""
        lib.llama_memory_seq_add(self._memory, sequence, start, -1, by)

    def length(self, sequence: int) -> int:
        """Return how many positions a sequence holds, by llama.cpp's own account."""
        return int(lib.llama_memory_seq_pos_max(self._memory, sequence)) + 1

    def state_bytes(self, sequence: int) -> int:
        """Return the size of what `save` would write."""
        return int(lib.llama_state_seq_get_size(self._handle, sequence))

    def save(self, sequence: int, address: int, size: int) -> int:
        """Copy a sequence's state to memory at `address`; return the bytes written, 0 where it failed."""
        return int(lib.llama_state_seq_get_data(self._handle, _bytes_at(address), size, sequence))

    def restore(self, sequence: int, address: int, size: int) -> bool:
        """Fill a sequence from a saved state; False, and it is empty, where llama.cpp would not have it."""
        return bool(lib.llama_state_seq_set_data(self._handle, _bytes_at(address), size, sequence))


def _bytes_at(address: int) -> ctypes._Pointer[ctypes.c_uint8]:
    return ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8))
