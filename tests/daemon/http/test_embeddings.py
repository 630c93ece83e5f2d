"""`/v1/embeddings`, `/embedding` and `/embeddings`, with the bodies their clients send."""

import asyncio
import base64
import struct
from dataclasses import replace

import pytest

from daemon.http.gathering import AT_ONCE
from daemon.http.schemas_embeddings import INPUTS_MAX
from engines.engine import Embed
from policies.messages import Outcome, Reason
from policies.request import Class, Kind

NUMBERS = (0.5, -0.25, 0.125, 1.0)
VECTOR = struct.pack("<4f", *NUMBERS)
CONTINUE = {"model": "tiny", "input": ["def a(): ...", "def b(): ..."], "encoding_format": "float"}


@pytest.fixture
def embedding(snapshot_of_model):
    """A script whose only model makes vectors."""
    models = (replace(snapshot_of_model(), kinds=("embed",)),)
    return {"pieces": (), "vector": VECTOR, "models": models}


@pytest.fixture
def writing(snapshot_of_model):
    return {"models": (snapshot_of_model(),)}


def test_each_text_is_a_request_of_its_own_in_the_background(serving, embedding):
    async def test(server):
        answer = (await server.api.post("/v1/embeddings", json=CONTINUE)).json()
        assert answer["object"] == "list"
        assert answer["model"] == "tiny"
        assert [(e["object"], e["index"]) for e in answer["data"]] == [
            ("embedding", 0),
            ("embedding", 1),
        ]
        assert [tuple(e["embedding"]) for e in answer["data"]] == [NUMBERS, NUMBERS]
        assert answer["usage"] == {"prompt_tokens": 24, "total_tokens": 24}
        assert [ask.prompt for ask in server.script.asks] == [Embed(t) for t in CONTINUE["input"]]
        assert {(ask.kind, ask.klass, ask.tokens_max) for ask in server.script.asks} == {
            (Kind.EMBED, None, 0)
        }

    serving(test, **embedding)


def test_one_text_base64_and_a_caller_who_waits(serving, embedding):
    """As OpenAI's own client asks for it; the header makes it foreground."""

    async def test(server):
        body = {"input": "text", "encoding_format": "base64", "dimensions": 4, "user": "u"}
        headers = {"X-Hearth-Class": "foreground"}
        answer = (await server.api.post("/v1/embeddings", json=body, headers=headers)).json()
        assert base64.b64decode(answer["data"][0]["embedding"]) == VECTOR
        assert server.script.asks[0].klass is Class.FOREGROUND

    serving(test, **embedding)


@pytest.mark.parametrize("path", ["/embedding", "/embeddings"])
@pytest.mark.parametrize("name", ["content", "input"])
def test_llama_cpps_own_form(serving, embedding, path: str, name: str):
    async def test(server):
        answer = (await server.api.post(path, json={name: ["a", "b"]})).json()
        vector = list(NUMBERS)
        assert answer == [{"index": 0, "embedding": [vector]}, {"index": 1, "embedding": [vector]}]

    serving(test, **embedding)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/embeddings", {}, "input"),
        ("/v1/embeddings", {"input": ""}, "input.0"),
        ("/v1/embeddings", {"input": ["a", ""]}, "input.1"),
        ("/v1/embeddings", {"input": []}, "input"),
        ("/v1/embeddings", {"input": [1, 2, 3]}, "lists of tokens"),
        ("/v1/embeddings", {"input": [[1, 2], [3]]}, "lists of tokens"),
        ("/v1/embeddings", {"input": {"a": 1}}, "input"),
        ("/v1/embeddings", {"input": ["x"] * (INPUTS_MAX + 1)}, str(INPUTS_MAX)),
        ("/v1/embeddings", {"input": "x", "encoding_format": "hex"}, "encoding_format"),
        ("/v1/embeddings", {"input": "x", "dimensions": 0}, "dimensions"),
        ("/v1/embeddings", {"input": "x", "dimensions": 3}, "have 4 numbers"),
        ("/embedding", {}, "either content or input"),
        ("/embedding", {"content": "a", "input": "b"}, "either content or input"),
        ("/embedding", {"content": "a", "embd_normalize": -1}, "embd_normalize"),
    ],
)
def test_what_is_wrong_is_told_in_words(serving, embedding, path: str, body: dict, words: str):
    async def test(server):
        answer = await server.api.post(path, json=body)
        assert answer.status_code == 400
        assert words in answer.json()["error"]["message"]

    serving(test, **embedding)


def test_a_model_that_writes_is_not_loaded_to_be_told_so(serving, writing, embedding):
    """The error names those that can; nothing is asked of the daemon."""

    async def test(server):
        answer = await server.api.post("/v1/embeddings", json=CONTINUE)
        assert answer.status_code == 501
        assert answer.json()["error"]["type"] == "not_supported_error"
        assert "vectors" in answer.json()["error"]["message"]
        assert server.script.asks == []

    serving(test, **writing)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "x"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
        ("/completion", {"prompt": "x"}),
        ("/infill", {"input_prefix": "x", "input_suffix": ""}),
    ],
)
def test_an_embedding_model_is_not_asked_to_write(
    serving, embedding, snapshot_of_model, path: str, body: dict
):
    models = (*embedding["models"], replace(snapshot_of_model(), name="coder"))

    async def test(server):
        answer = await server.api.post(path, json=body | {"model": "tiny"})
        assert answer.status_code == 501
        assert "coder" in answer.json()["error"]["message"]
        assert server.script.asks == []

    serving(test, models=models)


def test_a_long_list_leaves_room_in_the_queue(serving, embedding):
    """Only so many are open at once; the next one comes when one has ended."""

    async def test(server):
        body = {"input": ["x"] * (3 * AT_ONCE)}
        asking = asyncio.create_task(server.api.post("/v1/embeddings", json=body))
        await server.script.until(lambda: len(server.script.asks) == AT_ONCE)
        while len(server.script.ends) < 3 * AT_ONCE:
            assert len(server.script.asks) - len(server.script.ends) <= AT_ONCE
            before = len(server.script.asks)
            server.script.finish_all()
            if before < 3 * AT_ONCE:
                await server.script.until(lambda: len(server.script.asks) > before)  # noqa: B023
        assert len((await asking).json()["data"]) == 3 * AT_ONCE

    serving(test, open=True, **embedding)


def test_one_text_that_fails_is_the_error_of_all(serving, embedding):
    async def test(server):
        answer = await server.api.post("/v1/embeddings", json={"input": ["x"] * 100})
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == "the text has 9 tokens; the model takes 8"
        assert len(server.script.asks) <= AT_ONCE

    ends = {"outcome": Outcome.FAILED, "reason": Reason.TOO_LONG}
    serving(test, **ends, detail="the text has 9 tokens; the model takes 8", **embedding)


def test_a_client_that_goes_away_withdraws_all_of_it(serving, embedding):
    async def test(server):
        body = {"input": ["x"] * (2 * AT_ONCE)}
        asking = asyncio.create_task(server.api.post("/v1/embeddings", json=body))
        await server.script.until(lambda: len(server.script.asks) == AT_ONCE)
        asking.cancel()
        await server.script.until(lambda: len(server.script.ends) == AT_ONCE)
        assert set(server.script.ends) == {Reason.CLIENT}
        assert len(server.script.asks) == AT_ONCE

    serving(test, open=True, **embedding)
