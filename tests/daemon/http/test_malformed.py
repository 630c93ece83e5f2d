"""Bodies from hostile or broken clients: numbers are clamped, and nothing is ever a 500."""

import json
import random

import pytest

PATHS = ("/infill", "/completion", "/v1/completions", "/v1/chat/completions")
GOOD = {
    "input_prefix": "a",
    "input_suffix": "b",
    "input_extra": [{"text": "t", "filename": "f"}],
    "prompt": "p",
    "suffix": "s",
    "messages": [{"role": "user", "content": "c"}],
    "n_predict": 5,
    "max_tokens": 5,
    "temperature": 0.5,
    "top_k": 4,
    "top_p": 0.5,
    "min_p": 0.1,
    "seed": 1,
    "samplers": ["top_k"],
    "stop": ["x"],
    "logit_bias": {"5": 1},
    "t_max_prompt_ms": 5,
    "t_max_predict_ms": 5,
    "response_fields": ["content"],
    "stream": False,
    "stream_options": {"include_usage": True},
    "model": "m",
}
STRANGE = (
    None, True, -1, 0, 2**31, 2**63, 2**200, -(2**70), 1e308, 1.5, "", "x" * 1000, "\u2028", [], {},
    [[]], [None], {"a": {"b": []}}, [1, "a", None], "NaN", [["a", "b"]], {"-5": 3}, [[5, False]],
)  # fmt: skip


def posted(serving, bodies, *, path=None):
    async def test(server):
        answers = []
        for number, body in enumerate(bodies):
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            where = path or PATHS[number % len(PATHS)]
            headers = {"content-type": "application/json"}
            answers.append(await server.api.post(where, content=content, headers=headers))
        return answers, server.script

    return serving(test)


@pytest.mark.slow
def test_a_thousand_strange_bodies(serving):
    """Never a 500, always our shape of error."""
    dice = random.Random(7)
    bodies = []
    for _ in range(1000):
        body = dict(GOOD)
        for field in dice.sample(sorted(GOOD), dice.randint(1, 4)):
            body[field] = dice.choice(STRANGE)
        text = json.dumps(body).encode()
        if dice.random() < 0.2:
            at = dice.randrange(len(text))
            text = text[:at] + bytes([dice.randrange(256)]) + text[at + dice.randint(0, 3) :]
        bodies.append(text)
    answers, _ = posted(serving, bodies)
    assert {answer.status_code for answer in answers} == {200, 400}
    for answer in answers:
        if answer.status_code == 400:
            error = answer.json()["error"]
            assert (error["code"], error["type"]) == (400, "invalid_request_error")
            assert "xxxx" not in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"secret"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"prompt":"\\ud800"}',
        b'{"prompt":"\xff"}',
        b'{"prompt":"a","temperature":NaN}',
        b'{"prompt":"a","temperature":1e999}',
        b'{"prompt":"a","n_predict":' + b"9" * 5000 + b"}",
        b'{"prompt":"a","n_predict":"secret"}',
        b'{"prompt":{"secret":1}}',
    ],
)
def test_broken_json_is_400_and_not_echoed(serving, body):
    (answer,), script = posted(serving, [body], path="/completion")
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "secret" not in answer.text
    assert not script.asks


def test_every_number_is_clamped(serving):
    """A negative number once was an out-of-bounds write in llama-server."""
    low = dict.fromkeys(
        (
            "n_predict", "top_k", "top_p", "min_p", "temperature", "seed", "repeat_penalty",
            "frequency_penalty", "presence_penalty", "repeat_last_n", "t_max_predict_ms",
        ),
        -(2**40),
    )  # fmt: skip
    low |= {"prompt": "p", "logit_bias": [[-5, -1e9], [7, False]]}
    high = {key: 2**40 if isinstance(value, int) else value for key, value in low.items()}
    high |= {"logit_bias": {"99999999999": 1e9}}
    _, script = posted(serving, [low, high], path="/completion")
    least, most = script.asks
    assert (least.tokens_max, most.tokens_max) == (4096, 4096)
    assert (least.sampling.top_k, most.sampling.top_k) == (0, 100_000)
    assert (least.sampling.top_p, most.sampling.top_p) == (0, 1)
    assert (least.sampling.temperature, most.sampling.temperature) == (0, 10)
    assert (least.sampling.repeat_penalty, most.sampling.repeat_penalty) == (0.1, 10)
    assert (least.sampling.penalty_tokens, most.sampling.penalty_tokens) == (0, 4096)
    assert 0 <= least.sampling.seed < 2**32
    assert most.sampling.seed == 2**32 - 1
    assert least.sampling.logit_bias == ((0, -1000), (7, -1000))
    assert most.sampling.logit_bias == ((2**31 - 1, 1000),)
    assert (least.predict_s_max, most.predict_s_max) == (None, 600)
