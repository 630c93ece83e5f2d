"""A whole daemon with a model that writes and one that makes vectors."""

from pathlib import Path

import httpx
import pytest

from daemon.config import EMBEDDED_MODEL, Model
from daemon.model_files import inspect, kinds_of
from policies.request import Kind
from tests.twins.make_twin import make_twin

pytestmark = pytest.mark.slow
TEXTS = ["def area(radius):", "    return 3.14 * radius ** 2", "SELECT name FROM users"]


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """An encoder of 512 positions."""
    path = tmp_path / "vectors.gguf"
    make_twin("tiny-encoder-mean", "f16", path, context=512)
    return path


def _configuration(vectors: Path, more: str = "") -> str:
    return (
        "[server]\nport = 0\n"
        f'[[model]]\nname = "coder"\npath = "{EMBEDDED_MODEL}"\nkinds = ["complete"]\n'
        f'[[model]]\nname = "vectors"\npath = "{vectors}"\n{more}'
    )


def _cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_texts_get_their_vectors_over_http(hearth, vectors: Path) -> None:
    """No name is needed; a list is as its texts one by one; mistakes are told, and the worker lives on."""
    hearth.configure(_configuration(vectors))
    hearth.start()
    transport = httpx.HTTPTransport(uds=str(hearth.home.http_socket))
    with httpx.Client(transport=transport, base_url="http://localhost", timeout=60) as api:
        answer = api.post("/v1/embeddings", json={"input": TEXTS * 10}).json()
        assert answer["model"] == "vectors"
        assert answer["usage"]["prompt_tokens"] > 30
        many = [entry["embedding"] for entry in answer["data"]]
        for number, text in enumerate(TEXTS):
            (own,) = api.post("/embedding", json={"content": text}).json()
            assert _cosine(own["embedding"][0], own["embedding"][0]) == pytest.approx(1, abs=1e-5)
            for at in range(number, 30, 3):
                assert _cosine(many[at], own["embedding"][0]) > 0.9999
        assert _cosine(many[0], many[2]) < 0.99
        long = api.post("/v1/embeddings", json={"input": "one two " * 2000})
        assert (long.status_code, long.json()["error"]["type"]) == (
            400,
            "exceed_context_size_error",
        )
        assert long.json()["error"]["n_ctx"] == 512
        wrong = api.post("/v1/embeddings", json={"model": "coder", "input": "x"})
        assert (wrong.status_code, "vectors" in wrong.json()["error"]["message"]) == (501, True)
        wrong = api.post("/v1/completions", json={"model": "vectors", "prompt": "x"})
        assert (wrong.status_code, "coder" in wrong.json()["error"]["message"]) == (501, True)
        assert api.post("/v1/embeddings", json={"input": "x"}).status_code == 200
    shown = {model["name"]: model for model in hearth.status()["models"]}
    assert (shown["vectors"]["kinds"], shown["vectors"]["embeds"]) == (["embed"], 128)
    assert shown["vectors"]["deaths"] == 0
    assert "embed" not in shown["coder"]["kinds"]


def test_its_file_says_that_it_makes_vectors(vectors: Path) -> None:
    """Whatever is configured: a mistake there must not send it what it cannot do."""
    for kinds in ((Kind.CHAT,), tuple(Kind)):
        embedding = Model(name="v", path=vectors, kinds=kinds)
        assert kinds_of(embedding, inspect(embedding)) == (Kind.EMBED,)
    coder = Model(name="c", path=EMBEDDED_MODEL, kinds=(Kind.COMPLETE, Kind.EMBED))
    assert kinds_of(coder, inspect(coder)) == (Kind.COMPLETE,)


def test_doctor_and_models_tell_of_it(hearth, vectors: Path) -> None:
    hearth.configure(_configuration(vectors, 'kinds = ["chat"]\n'))
    told = hearth.run("doctor").stdout
    assert "makes vectors of texts" in told
    assert 'kinds = ["embed"]' in told
    listed = hearth.run("models").stdout.splitlines()
    assert any(line.startswith("vectors") and "embed" in line for line in listed)
