"""`/v1/completions`, `/v1/chat/completions` and `/completion`, with the bodies their clients send."""

import json

import pytest

from engines.engine import Chat, Fim, Message, Plain, StopType
from policies.messages import Outcome, Reason
from policies.request import Class, Kind

ZED = {
    "model": "qwen2.5-coder",
    "prompt": "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>",
    "max_tokens": 64,
    "stop": ["<|endoftext|>", "<|file_sep|>"],
}
MINUET = {
    "model": "tiny",
    "prompt": "def f():\n    ",
    "suffix": "\n",
    "max_tokens": 60,
    "stream": True,
    "stop": ["\n\n"],
}
CONTINUE = {
    "model": "tiny",
    "prompt": "<fim_prefix>a<fim_suffix>b<fim_middle>",
    "stream": True,
    "n_predict": 100,
    "temperature": 0.01,
    "top_k": None,
    "mirostat": None,
    "stop": ["</s>"],
    "frequency_penalty": None,
}
TWINNY = {
    "stream": True,
    "prompt": "x",
    "temperature": 0.2,
    "max_tokens": 77,
    "stop": ["<EOT>"],
}
VIM_INSTRUCT = {
    "id_slot": 3,
    "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
    "min_p": 0.1,
    "temperature": 0.1,
    "samplers": ["min_p", "temperature"],
    "stream": True,
    "cache_prompt": True,
}
VIM_INSTRUCT_WARM = {
    "id_slot": 3,
    "messages": [{"role": "user", "content": "u"}],
    "samplers": [],
    "n_predict": 0,
    "stream": False,
    "cache_prompt": True,
    "response_fields": [""],
}
CHAT = {"messages": [{"role": "user", "content": "u"}]}


def post(serving, path, body, **script):
    async def test(server):
        return await server.api.post(path, json=body), server.script

    return serving(test, **script)


def events(answer):
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_zed_lays_the_middle_out_itself_and_is_a_keystroke(serving):
    answer, script = post(serving, "/v1/completions", ZED)
    document = answer.json()
    assert document["choices"][0]["text"] == "two words"
    assert document["choices"][0]["finish_reason"] == "stop"
    assert document["id"]
    (ask,) = script.asks
    assert ask.prompt == Plain(ZED["prompt"])
    assert (ask.kind, ask.model, ask.tokens_max) == (Kind.COMPLETE, "qwen2.5-coder", 64)
    assert ask.stops == ("<|endoftext|>", "<|file_sep|>")


def test_usage_counts_cached_tokens_too(serving):
    usage = post(serving, "/v1/completions", ZED)[0].json()["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] == 14
    assert usage["prompt_tokens_details"] == {"cached_tokens": 8}


def test_a_suffix_fills_in_the_middle(serving):
    """What llama-server and vLLM refuse."""
    answer, script = post(serving, "/v1/completions", MINUET)
    texts = [event["choices"][0]["text"] for event in events(answer)]
    assert texts == ["two", " words", ""]
    (ask,) = script.asks
    assert ask.prompt == Fim("def f():\n    ", "\n")
    assert (ask.kind, ask.sampling.temperature, ask.place) == (Kind.COMPLETE, 0.0, None)


def test_an_empty_suffix_does_not_undo_a_laid_out_prompt(serving):
    _, script = post(serving, "/v1/completions", ZED | {"suffix": ""})
    assert isinstance(script.asks[0].prompt, Plain)
    _, script = post(serving, "/v1/completions", MINUET | {"suffix": ""})
    assert isinstance(script.asks[0].prompt, Fim)


def test_continue_and_twinny_stream_from_completion(serving):
    answer, script = post(serving, "/completion", CONTINUE)
    pieces = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line]
    assert "".join(piece["content"] for piece in pieces) == "two words"
    assert pieces[-1]["stop"] is True
    assert (script.asks[0].kind, script.asks[0].tokens_max) == (Kind.COMPLETE, 100)
    _, script = post(serving, "/completions", TWINNY)
    assert (script.asks[0].kind, script.asks[0].tokens_max) == (Kind.GENERATE, 77)


def test_llama_vim_instructs(serving):
    answer, script = post(serving, "/v1/chat/completions", VIM_INSTRUCT)
    first, *middle, last = events(answer)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [event["choices"][0]["delta"]["content"] for event in middle] == ["two", " words"]
    assert last["choices"][0]["delta"] == {}
    assert last["choices"][0]["finish_reason"] == "stop"
    (ask,) = script.asks
    assert ask.prompt == Chat((Message("system", "s"), Message("user", "u")))
    assert ask.kind is Kind.CHAT
    assert (ask.sampling.min_p, ask.sampling.temperature, ask.sampling.top_k) == (0.1, 0.1, 0)


def test_llama_vim_warms_the_instruction_up(serving):
    """The model that will answer is warmed: the kind stays chat, only the class tells."""
    answer, script = post(serving, "/v1/chat/completions", VIM_INSTRUCT_WARM, pieces=())
    assert (answer.status_code, answer.content) == (200, b"{}")
    (ask,) = script.asks
    assert (ask.kind, ask.klass, ask.tokens_max) == (Kind.CHAT, Class.SPECULATIVE, 0)


def test_chat_in_one_piece(serving):
    answer, _ = post(serving, "/v1/chat/completions", CHAT, stop=StopType("limit"))
    choice = answer.json()["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "two words"}
    assert choice["finish_reason"] == "length"
    assert b'"content":"two words"' in answer.content


def test_usage_in_a_stream_for_who_asks(serving):
    body = CHAT | {"stream": True, "stream_options": {"include_usage": True}}
    *_, last = events(post(serving, "/v1/chat/completions", body)[0])
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 2


def test_text_parts_and_newer_names(serving):
    body = {
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "a"}, {"text": "b"}]},
            {"role": "assistant", "content": None},
            {"role": "user", "content": "c", "name": "me"},
        ],
        "max_completion_tokens": 9,
        "max_tokens": 5,
        "tools": [],
        "stop": None,
        "n": None,
    }
    _, script = post(serving, "/chat/completions", body)
    (ask,) = script.asks
    assert ask.tokens_max == 9
    assert ask.prompt == Chat(
        (Message("system", "a\nb"), Message("assistant", ""), Message("user", "c"))
    )


@pytest.mark.parametrize(
    "change",
    [
        {"messages": []},
        {"messages": [{"role": "secret", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "secret"}]}]},
        {"tools": [{"type": "function"}]},
        {"n": 2},
        {"top_logprobs": 2},
        {"response_format": {"type": "secret"}},
        {"stop": ["a"] * 17},
    ],
)
def test_chat_that_cannot_be_served_is_400(serving, change):
    answer, script = post(serving, "/v1/chat/completions", CHAT | change)
    assert (answer.status_code, script.asks) == (400, [])
    assert "secret" not in answer.text


def test_tools_that_may_not_be_used_are_no_obstacle(serving):
    body = CHAT | {"tools": [{"type": "function"}], "tool_choice": "none"}
    assert post(serving, "/v1/chat/completions", body)[0].status_code == 200


@pytest.mark.parametrize(
    "change", [{"echo": True}, {"best_of": 2}, {"n": 2}, {"logprobs": "secret"}]
)
def test_text_that_cannot_be_served_is_400(serving, change):
    assert post(serving, "/v1/completions", ZED | change)[0].status_code == 400


@pytest.mark.parametrize(
    ("reason", "code", "kind"),
    [
        (Reason.TOO_LONG, 400, "exceed_context_size_error"),
        (Reason.INVALID, 400, "invalid_request_error"),
        (Reason.NO_MODEL, 404, "not_found_error"),
        (Reason.QUEUE_FULL, 429, "rate_limit_error"),
        (Reason.NO_ROOM, 503, "unavailable_error"),
        (Reason.LOAD_FAILED, 503, "unavailable_error"),
        (Reason.SHUTDOWN, 503, "unavailable_error"),
        (Reason.EXPIRED, 504, "timeout_error"),
        (Reason.ENGINE, 500, "server_error"),
        (Reason.POISON, 500, "server_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_bad_ends_have_their_own_status_streamed_or_not(serving, reason, code, kind, stream):
    answer, _ = post(
        serving,
        "/v1/chat/completions",
        CHAT | {"stream": stream},
        outcome=Outcome.REFUSED,
        reason=reason,
        pieces=(),
        detail="why",
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (code, code, kind)
    if reason is Reason.TOO_LONG:
        assert (error["n_prompt_tokens"], error["n_ctx"]) == (12, 2048)
    if reason is Reason.NO_MODEL:
        assert "tiny" in error["message"]


def test_a_failure_behind_some_text_is_an_event(serving):
    answer, _ = post(
        serving, "/completion", TWINNY, outcome=Outcome.FAILED, reason=Reason.ENGINE, detail="why"
    )
    last = json.loads(answer.text.split("\n\n")[-2][6:])
    assert last == {"error": {"code": 500, "message": "why", "type": "server_error"}}


def test_events_are_ascii(serving):
    """Clients that split lines at U+2028 would break the event otherwise."""
    answer, _ = post(serving, "/completion", TWINNY, pieces=("é\u2028\r\n",))
    assert answer.content.isascii()
    assert json.loads(answer.text.split("\n\n")[0][6:])["content"] == "é\u2028\r\n"
