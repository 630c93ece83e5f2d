"""`/infill`, with the bodies that llama.vim and llama.vscode send."""

import json

import pytest

from daemon.http.connection import Limits
from engines.engine import Chunk, Fim, StopType
from policies.messages import Outcome, Reason
from policies.request import Class, Kind

VIM_FIELDS = [
    "content",
    "timings/prompt_n",
    "timings/prompt_ms",
    "timings/prompt_per_token_ms",
    "timings/prompt_per_second",
    "timings/predicted_n",
    "timings/predicted_ms",
    "timings/predicted_per_token_ms",
    "timings/predicted_per_second",
    "truncated",
    "tokens_cached",
]
VIM = {
    "id_slot": 0,
    "input_prefix": "def add(a, b):\n",
    "input_suffix": "\n\nprint(add(1, 2))\n",
    "input_extra": [{"text": "x = 1\n", "time": [12, 345], "filename": "other.py"}],
    "prompt": "    ret",
    "n_predict": 128,
    "stop": [],
    "n_indent": 4,
    "top_k": 40,
    "top_p": 0.90,
    "samplers": ["top_k", "top_p", "infill"],
    "stream": False,
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 250,
    "response_fields": VIM_FIELDS,
    "model": "",
}
VIM_WARM = {
    "id_slot": 0,
    "input_prefix": "",
    "input_suffix": "",
    "input_extra": VIM["input_extra"],
    "prompt": "",
    "n_predict": 0,
    "temperature": 0.0,
    "samplers": [],
    "stream": False,
    "cache_prompt": True,
    "t_max_prompt_ms": 1,
    "t_max_predict_ms": 1,
    "response_fields": [""],
    "model": "",
}
VSCODE = {
    "id_slot": 0,
    "input_prefix": "def add(a, b):\n",
    "input_suffix": "\n",
    "input_extra": [{"text": "x", "time": 1732372863.5, "filename": "a.py"}],
    "prompt": "    ret",
    "n_predict": 128,
    "n_cmpl": 3,
    "top_k": 40,
    "top_p": 0.99,
    "stream": False,
    "samplers": ["top_k", "top_p", "infill"],
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 500,
    "lora": [{"id": 0, "scale": 0.5}],
}


def post(serving, body, path="/infill", headers=None, **script):
    async def test(server):
        return await server.api.post(path, json=body, headers=headers), server.script

    return serving(test, **script)


def test_llama_vim_gets_one_line_with_flat_fields(serving):
    """Its pattern is `"content"\\s*:"`: a space behind the colon and it drops the answer unsaid."""
    answer, script = post(serving, VIM)
    assert answer.status_code == 200
    assert answer.content.startswith(b'{"content":"two words"')
    assert b"\n" not in answer.content
    assert list(answer.json()) == VIM_FIELDS
    assert answer.json()["timings/prompt_n"] == 4
    assert answer.json()["timings/predicted_per_second"] == 333.333
    (ask,) = script.asks
    assert ask.prompt == Fim(
        "def add(a, b):\n    ret", "\n\nprint(add(1, 2))\n", (Chunk("x = 1\n", "other.py"),)
    )
    assert (ask.kind, ask.tokens_max, ask.model) == (Kind.COMPLETE, 128, "")
    assert (ask.expires_s, ask.predict_s_max) == (0.75, 0.25)


def test_samplers_are_those_listed(serving):
    _, script = post(serving, VIM)
    sampling = script.asks[0].sampling
    assert (sampling.top_k, sampling.top_p, sampling.min_p) == (40, 0.9, 0.0)
    assert sampling.infill
    assert sampling.temperature == 1.0
    assert post(serving, VIM | {"samplers": []})[1].asks[0].sampling.temperature == 0.0


def test_the_long_budget_of_llama_vim_is_speculation(serving):
    _, script = post(serving, VIM | {"t_max_predict_ms": 1000})
    assert script.asks[0].kind is Kind.AHEAD


def test_a_ring_warm_up_has_no_deadline_and_an_empty_answer(serving):
    """Its limits of 1 ms mean `answer at once`, not `do not do it`."""
    answer, script = post(serving, VIM_WARM, pieces=())
    assert (answer.status_code, answer.content) == (200, b"{}")
    (ask,) = script.asks
    assert (ask.kind, ask.tokens_max, ask.expires_s, ask.place) == (Kind.WARM, 0, None, None)


def test_llama_vscode_gets_everything_in_one_object(serving):
    """Its status bar reads `generation_settings.n_ctx` unguarded and calls `toFixed` on timings."""
    answer, _ = post(serving, VSCODE)
    document = answer.json()
    assert document["content"] == "two words"
    assert document["generation_settings"]["n_ctx"] == 2048
    assert all(isinstance(value, (int, float)) for value in document["timings"].values())
    assert document["tokens_cached"] == 14
    assert (document["stop"], document["stop_type"]) == (True, "eos")


def test_llama_vscode_warm_up(serving):
    body = {key: VSCODE[key] for key in ("id_slot", "input_extra", "cache_prompt", "lora")}
    body |= {"input_prefix": "", "input_suffix": "", "prompt": "", "n_predict": 0, "samplers": []}
    answer, script = post(serving, body | {"t_max_prompt_ms": 500, "t_max_predict_ms": 1})
    assert answer.status_code == 200
    assert script.asks[0].kind is Kind.WARM


@pytest.mark.parametrize("reason", [Reason.NEWER, Reason.STALE, Reason.YIELDED])
def test_overtaken_is_an_empty_object_even_with_text(serving, reason):
    """`{"content":""}` would poison llama.vim's cache, half a word would too, an error pops up in VS Code."""
    answer, _ = post(serving, VIM, outcome=Outcome.SUPERSEDED, reason=reason)
    assert (answer.status_code, answer.content) == (200, b"{}")


def test_expired_is_an_empty_object_or_the_text_there_is(serving):
    late = {"outcome": Outcome.CANCELLED, "reason": Reason.EXPIRED}
    assert post(serving, VIM, pieces=(), **late)[0].content == b"{}"
    assert post(serving, VIM, **late)[0].json()["content"] == "two words"


def test_full_queue_is_told_to_who_waits_only(serving):
    full = {"outcome": Outcome.REFUSED, "reason": Reason.QUEUE_FULL, "pieces": ()}
    told, _ = post(serving, VIM, **full)
    assert (told.status_code, told.headers["retry-after"]) == (429, "1")
    assert post(serving, VIM_WARM, **full)[0].content == b"{}"
    assert post(serving, VIM | {"t_max_predict_ms": 1000}, **full)[0].content == b"{}"


def test_two_cursors_in_one_place_share_it(serving):
    """Typing on moves the prefix; what is below the line stays."""

    async def test(server):
        for change in ({}, {"prompt": "    retu"}, {"input_suffix": ")\n\nprint(add(1, 2))\n"}):
            await server.api.post("/infill", json=VIM | change)
        await server.api.post("/infill", json=VIM | {"input_suffix": "\nother\n"})
        return [ask.place for ask in server.script.asks]

    first, typed, paired, elsewhere = serving(test)
    assert first == typed == paired
    assert first.line == 1
    assert elsewhere.document != first.document


def test_class_and_deadline_headers(serving):
    headers = {"X-Hearth-Class": "background", "X-Hearth-Deadline-Ms": "200"}
    _, script = post(serving, VIM, headers=headers)
    assert script.asks[0].klass is Class.BACKGROUND
    assert script.asks[0].expires_s == 0.2
    for wrong in ({"X-Hearth-Class": "urgent"}, {"X-Hearth-Deadline-Ms": "-1"}):
        assert post(serving, VIM, headers=wrong)[0].status_code == 400


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"input_prefix": None}, "input_prefix"),
        ({"input_suffix": None}, "input_suffix"),
        ({"input_extra": {"text": "x"}}, "input_extra"),
        ({"input_extra": [{"text": 5}]}, "input_extra.0"),
        ({"input_extra": [{"filename": "secret"}]}, "input_extra.0"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"stop": ["a"] * 65}, "stop"),
        ({"input_extra": [{"text": ""}] * 257}, "input_extra"),
        ({"json_schema": "secret"}, "json_schema"),
        ({"json_schema": {}, "grammar": "secret"}, "the body"),
        ({"n_probs": 1, "post_sampling_probs": True}, "the body"),
    ],
)
def test_wrong_bodies_are_400_and_say_where(serving, change, field):
    answer, script = post(serving, VIM | change)
    error = answer.json()["error"]
    assert answer.status_code == error["code"] == 400
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(f"{field}: ")
    assert "secret" not in answer.text
    assert not script.asks


def test_a_model_without_fim_is_501(serving, snapshot_of_model):
    chat_only = snapshot_of_model(fim=False)
    answer, _ = post(
        serving,
        VIM,
        models=(chat_only,),
        outcome=Outcome.FAILED,
        reason=Reason.INVALID,
        pieces=(),
    )
    assert answer.status_code == 501
    assert answer.json()["error"]["type"] == "not_supported_error"
    assert "prefix token is missing" in answer.json()["error"]["message"]


def test_streamed(serving):
    """Pieces, then everything but the text; no `[DONE]` in this protocol."""
    answer, _ = post(serving, VIM | {"stream": True, "response_fields": []}, stop=StopType("limit"))
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line]
    assert [event["content"] for event in events] == ["two", " words", ""]
    assert [event["stop"] for event in events] == [False, False, True]
    assert events[-1]["stop_type"] == "limit"


def test_connections_have_a_limit(serving):
    async def test(server):
        await server.api.get("/health")
        return await server.local.get("/health")

    answer = serving(test, limits=Limits(connections_max=1))
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "unavailable_error"
