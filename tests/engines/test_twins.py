"""Models of our own making: they load and compute as what they stand for."""

import asyncio
from pathlib import Path

import pytest

from engines import llama
from engines.engine import Fim, Job, Plain, Sampling
from policies.messages import Halt
from tests.engines.hearing import EMBEDDED, embedded_engine, running
from tests.engines.native import SOURCE, Bench, make_context
from tests.twins.make_twin import make_twin
from tests.twins.slow_twin import make_slow_twin
from tests.twins.vocabulary import byte_letters, make_vocabulary

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("twins") / "tiny.gguf"
    make_twin("tiny-15m", "q8_0", path, context=2048)
    return path


def test_the_vocabulary_is_whole():
    vocabulary = make_vocabulary(151_936)
    assert len(vocabulary.tokens) == len(set(vocabulary.tokens)) == len(vocabulary.kinds) == 151_936
    assert vocabulary.tokens[:256] == byte_letters()
    known = set(vocabulary.tokens)
    assert all({*merge.split(" "), merge.replace(" ", "")} <= known for merge in vocabulary.merges)


def test_a_shape_twin_serves(twin: Path, rungs_file: Path):
    """It is found to be what it stands for, and completes in every way that a published model does."""

    async def scene() -> None:
        async with running(embedded_engine, rungs_file, path=str(twin)) as hearing:
            loaded = await hearing.loaded()
            assert (loaded.architecture, loaded.quantisation, loaded.fim) == ("qwen2", "Q8_0", True)
            assert loaded.context_tokens == 2048
            for number, prompt in enumerate([Plain(SOURCE), Fim(SOURCE[:200], SOURCE[200:])]):
                answer = await hearing.ask(Job(number, prompt, 8, Sampling(ignore_eos=True)))
                assert answer.stopped.halt == Halt.DONE
                assert len(answer.tokens) == 8

    asyncio.run(scene())


def test_a_shape_twin_cuts_python_into_words(twin: Path, model: llama.Model):
    """At least 2.5 bytes a token, as a published tokenizer does, and every byte comes back."""
    twin_model = llama.Model(str(twin), gpu_layers=0, extra_buffers=False)
    for text in (SOURCE, Path(__file__).read_text(), "é☃ \t\r\n\x00x"):
        tokens = twin_model.tokenize(text)
        assert b"".join(map(twin_model.piece, tokens)).decode() == text
    source = Path(llama.__file__).read_text()
    assert len(source.encode()) / len(twin_model.tokenize(source)) >= 2.5
    assert twin_model.fim.usable
    assert twin_model.end_tokens >= {151_643, 151_645}


def test_a_slow_twin_writes_the_same_text(tmp_path: Path, model: llama.Model):
    path = tmp_path / "slow.gguf"
    make_slow_twin(EMBEDDED, 20, path)
    slow = llama.Model(str(path), gpu_layers=0, extra_buffers=False)
    benches = [Bench(each, make_context(each)) for each in (model, slow)]
    for bench in benches:
        bench.ask(1, SOURCE, tokens_max=16, sampling=Sampling(ignore_eos=True))
    assert benches[0].tokens(1) == benches[1].tokens(1)
    assert benches[0].text(1)
    with pytest.raises(ValueError, match="at most 512"):
        make_slow_twin(EMBEDDED, 513, path)
