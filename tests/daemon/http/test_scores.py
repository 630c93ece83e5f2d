"""How likely tokens were: who is asked for it, and how each endpoint says it, whole and streamed."""

import json
import math

import pytest

from daemon.http.scores import LOGPROB_MIN, TOPS_MAX
from engines.engine import Likely, Score

EURO = "€".encode()
SCORES = (
    Score(Likely(5, b"two", -0.5), (Likely(5, b"two", -0.5), Likely(6, b"one", -1.5))),
    Score(Likely(7, EURO[:2], -0.25)),
    Score(Likely(8, EURO[2:], -math.inf)),
    Score(Likely(9, b" words", -2.0)),
)
PIECES = ("two", "", "€", " words")
"""The second token is half a character: its text comes with the third."""
FIRST = {
    "id": 5,
    "token": "two",
    "bytes": list(b"two"),
    "logprob": -0.5,
    "top_logprobs": [
        {"id": 5, "token": "two", "bytes": list(b"two"), "logprob": -0.5},
        {"id": 6, "token": "one", "bytes": list(b"one"), "logprob": -1.5},
    ],
}
CHAT = {"messages": [{"role": "user", "content": "a"}], "logprobs": True, "top_logprobs": 2}
BODIES = {
    "/infill": {"input_prefix": "a", "input_suffix": "b", "n_probs": 2},
    "/completion": {"prompt": "a", "n_probs": 2},
    "/v1/completions": {"prompt": "a", "logprobs": 2},
    "/v1/chat/completions": CHAT,
}


def post(serving, path, change):
    async def test(server):
        return await server.api.post(path, json=BODIES[path] | change), server.script.asks

    return serving(test, pieces=PIECES, scores=SCORES)


def events(answer):
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@pytest.mark.parametrize(
    ("path", "change", "tops"),
    [
        ("/infill", {}, 2),
        ("/completion", {"n_probs": 0}, None),
        ("/completion", {"n_probs": -1}, None),
        ("/completion", {"n_probs": 10**6}, TOPS_MAX),
        ("/v1/completions", {"logprobs": 0}, 0),
        ("/v1/completions", {"logprobs": False}, None),
        ("/v1/completions", {"logprobs": None}, None),
        ("/v1/chat/completions", {}, 2),
        ("/v1/chat/completions", {"top_logprobs": None}, 0),
        ("/v1/chat/completions", {"top_logprobs": 999}, TOPS_MAX),
        ("/v1/chat/completions", {"logprobs": False, "top_logprobs": 0}, None),
    ],
)
def test_the_engine_is_asked_for_as_many_as_the_client_wants(serving, path, change, tops):
    answer, (ask,) = post(serving, path, change)
    assert answer.status_code == 200
    assert ask.tops == tops


@pytest.mark.parametrize("path", ["/infill", "/completion"])
def test_llama_servers_shape(serving, path):
    """One entry a token, in the whole answer or in the event that brings its text; the last event repeats none."""
    whole = post(serving, path, {})[0].json()["completion_probabilities"]
    *pieces, last = events(post(serving, path, {"stream": True})[0])
    assert [score for piece in pieces for score in piece["completion_probabilities"]] == whole
    assert "completion_probabilities" not in last
    assert whole[0] == FIRST
    assert whole[1]["bytes"] == list(EURO[:2])
    assert [score["logprob"] for score in whole] == [-0.5, -0.25, LOGPROB_MIN, -2.0]


def test_the_shape_of_conversations(serving):
    whole = post(serving, "/v1/chat/completions", {})[0].json()["choices"][0]["logprobs"]
    opening, *pieces, last = events(post(serving, "/v1/chat/completions", {"stream": True})[0])
    choices = [piece["choices"][0] for piece in pieces]
    assert [entry for choice in choices for entry in choice["logprobs"]["content"]] == (
        whole["content"]
    )
    assert "".join(choice["delta"]["content"] for choice in choices) == "two€ words"
    assert whole["content"][0] == FIRST
    assert opening["choices"][0]["logprobs"] is last["choices"][0]["logprobs"] is None


def test_the_older_shape(serving):
    """Offsets count characters of the answer, and go on from event to event; half a character is none."""
    whole = post(serving, "/v1/completions", {})[0].json()["choices"][0]["logprobs"]
    *pieces, _ = events(post(serving, "/v1/completions", {"stream": True})[0])
    parts = [piece["choices"][0]["logprobs"] for piece in pieces]
    assert {key: [item for part in parts for item in part[key]] for key in whole} == whole
    assert whole["tokens"][0] == "two"
    assert whole["token_logprobs"] == [-0.5, -0.25, LOGPROB_MIN, -2.0]
    assert whole["top_logprobs"][0] == {"two": -0.5, "one": -1.5}
    assert whole["text_offset"] == [0, 3, 3, 4]


@pytest.mark.parametrize("path", BODIES)
def test_events_stay_ascii(serving, path):
    answer, _ = post(serving, path, {"stream": True})
    assert answer.content.isascii()
