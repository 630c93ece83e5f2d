"""Frames between daemon and worker: typed, with their length and their model in front (ENGINE.md 2)."""

import contextlib
import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines import wire
from engines.engine import (
    Chat,
    Chunk,
    Died,
    Emitted,
    Fim,
    Job,
    Loaded,
    LoadFailed,
    Loading,
    Message,
    Parked,
    Plain,
    Prepared,
    Sampling,
    Stepped,
    Stopped,
    StopType,
    Timings,
)
from engines.spec import ModelSpec
from engines.wire import (
    FRAME_BYTES_MAX,
    Aboard,
    Begin,
    FrameError,
    Hand,
    Lend,
    Park,
    Pause,
    Submit,
    Unpause,
    Withdraw,
    pack,
    reads_down,
    reads_up,
)

FIM = Fim("def ☃(", ")\n", chunks=(Chunk("x = 1", "a.py"),), single_line=True)
SAMPLING = Sampling(0.7, 20, 0.9, 0.05, -5, 1.1, 0.1, 0.2, 32, infill=True, logit_bias=((3, -1.5),))
DOWN = [
    Begin(ModelSpec("m", "/m.gguf", context=512, gpu_layers=0), "cpu", self_test=True),
    Submit(Job(1, FIM, 16, SAMPLING, stops=("\n",), urgency=2.5, alone=True, sent=(1, 2))),
    Submit(Job(2, Plain("text", special=False), 0, predict_s_max=1.5)),
    Submit(Job(3, Chat((Message("user", "hi"), Message("assistant", ""))), 1, logprobs=True)),
    Withdraw(3),
    Park(3),
    Pause(3.0, 1.5),
    Unpause(),
    Hand(7, 2**33),
    Lend(7),
    Submit(Job(4, Plain("x"), 5, sent=(1,), parked=7)),
]
UP = [
    Prepared(1, 400, 380),
    Stepped((Emitted(1, (5, 6), "é", -0.25), Emitted(2, (), "", 0.0)), 17, 0.01, 300),
    Stopped(1, "done", StopType("word", "\n"), "rest", Timings(4, 3, 2, 0.5, 1.5, 2.5)),
    Stopped(2, "invalid", detail="too long", too_long=True),
    Stopped(3, "parked", parked=Parked(7, 4_000, 2**32)),
    Loading(0.5, "cpu"),
    Loaded("cpu", 4, 8192, 0.4, 10**10, fim=True, chat=False, languages=("python",)),
    LoadFailed("no such file"),
    Died((1,), "SIGSEGV"),
    wire.Tested((1, 2), (0.5, 3.0)),
    Aboard((1, 2)),
]


@pytest.mark.parametrize("frame", DOWN, ids=lambda f: type(f).__name__)
def test_what_goes_down_arrives(frame):
    assert list(reads_down().feed(pack("model", frame))) == [("model", frame)]


@pytest.mark.parametrize("frame", UP, ids=lambda f: type(f).__name__)
def test_what_goes_up_arrives(frame):
    assert list(reads_up().feed(pack("model", frame))) == [("model", frame)]


@given(st.sets(st.integers(0, 900), max_size=30))
def test_frames_may_be_split_at_any_byte(at: set[int]):
    stream = b"".join(pack("m", frame) for frame in UP)
    ends = sorted({min(cut, len(stream)) for cut in at} | {0, len(stream)})
    reader = reads_up()
    pieces = [stream[a:b] for a, b in itertools.pairwise(ends)]
    assert [frame for piece in pieces for _, frame in reader.feed(piece)] == UP


def test_a_frame_over_the_limit_is_refused_by_both_sides():
    """A length that is announced is bounded before anything is kept for it."""
    with pytest.raises(FrameError, match="limit"):
        list(reads_up().feed((FRAME_BYTES_MAX + 1).to_bytes(4, "little")))
    with pytest.raises(FrameError, match="limit"):
        pack("m", Submit(Job(1, Plain("x" * FRAME_BYTES_MAX), 1)))


def test_half_of_a_surrogate_pair_is_replaced():
    """Editors send such text (a document in UTF-16 cut within a pair): it must not stop the frame."""
    sent = pack("m", Submit(Job(1, Fim("a\ud83d", "\ude00b"), 4)))
    ((_, frame),) = reads_down().feed(sent)
    assert frame == Submit(Job(1, Fim("a?", "?b"), 4))


def test_a_number_beyond_the_format_is_refused():
    with pytest.raises(FrameError):
        pack("m", Submit(Job(1, Plain("x"), 1, Sampling(seed=10**30))))


@given(st.binary(max_size=200))
def test_garbage_is_a_frame_error_or_not_yet_a_frame(data: bytes):
    for reader in (reads_up(), reads_down()):
        with contextlib.suppress(FrameError):
            list(reader.feed(data))


def test_a_frame_of_the_other_direction_or_of_wrong_types_is_refused():
    with pytest.raises(FrameError):
        list(reads_up().feed(pack("m", Withdraw(1))))
    body = msgspec.msgpack.encode(("m", {"type": "withdraw", "request_id": "one"}))
    with pytest.raises(FrameError):
        list(reads_down().feed(len(body).to_bytes(4, "little") + body))
