"""The HTTP edge on the real orchestrator and a fake engine: what only all of them together can show."""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest

from daemon.http.app import make_app
from daemon.http.listeners import start
from daemon.http.settings import HttpSettings
from daemon.orchestrator import ModelEntry, Orchestrator
from engines.fake import FakeEngine
from engines.fake_knobs import Knobs, steady
from policies.request import Kind
from policies.view import ModelView

FIM = {"input_prefix": "def f():\n", "input_suffix": "\n\nend\n", "prompt": "    "}
CHAT = {"messages": [{"role": "user", "content": "u"}]}


@asynccontextmanager
async def daemon(knobs: Knobs, about):
    view = ModelView("tiny", frozenset(Kind), frozenset(), need_bytes=1, sequences=4)
    orchestrator = Orchestrator(
        [ModelEntry(view, "/x/tiny.gguf")], lambda _name, receive: FakeEngine(receive, knobs)
    )
    running = asyncio.create_task(orchestrator.run())
    listeners = await start(make_app(orchestrator, about, HttpSettings()), port=0)
    base = f"http://127.0.0.1:{listeners.port}"
    try:
        async with httpx.AsyncClient(base_url=base, verify=False) as api:
            yield api, orchestrator
    finally:
        running.cancel()
        await asyncio.gather(orchestrator.close(), listeners.close())


@pytest.fixture
def whole(about):
    """Run a coroutine function against a whole daemon; keywords are the fake engine's knobs."""

    def run(test, **knobs):
        async def body():
            async with asyncio.timeout(20), daemon(Knobs(**knobs), about) as (api, orchestrator):
                return await test(api, orchestrator)

        return asyncio.run(body())

    return run


async def until(orchestrator, what):
    """Wait until a snapshot of the daemon looks like that."""
    changed = asyncio.Event()
    stop = orchestrator.watch(changed.set)
    while not what(orchestrator.snapshot()):
        await changed.wait()
        changed.clear()
    stop()


def test_a_completion_from_a_model_that_was_not_loaded(whole):
    async def test(api, _):
        return (await api.post("/infill", json=FIM)).json(), (await api.get("/status")).json()

    answer, status = whole(test)
    assert answer["content"].startswith(" word1_0 word1_1")
    assert answer["generation_settings"]["n_ctx"] == 8192
    assert answer["timings"]["predicted_n"] == 12
    (model,) = status["models"]
    assert (model["state"], model["rung"]) == ("ready", "fake")
    assert status["ended"]["done"] == 1
    assert status["latency"]["interactive"]["count"] == 1


def test_a_warm_up_answers_nothing(whole):
    async def test(api, _):
        body = FIM | {"n_predict": 0, "samplers": [], "response_fields": [""], "t_max_prompt_ms": 1}
        return await api.post("/infill", json=body)

    assert whole(test).content == b"{}"


def test_the_next_keystroke_supersedes_the_last(whole):
    """The answer that nobody needs comes at once, because llama.vim waits for it before it asks again."""

    async def test(api, orchestrator):
        first = asyncio.create_task(api.post("/infill", json=FIM))
        await until(orchestrator, lambda picture: sum(picture.running.values()))
        second = asyncio.create_task(api.post("/infill", json=FIM | {"prompt": "    r"}))
        answer = await first
        assert not second.done()
        second.cancel()
        return answer

    assert whole(test, step_s=steady(tokens_per_s=0.5)).content == b"{}"


def test_going_away_frees_the_engine(whole):
    async def test(api, orchestrator):
        async with api.stream("POST", "/v1/chat/completions", json=CHAT | {"stream": True}) as got:
            async for line in got.aiter_lines():
                if "word1_0" in line:
                    break
        await until(orchestrator, lambda picture: not sum(picture.running.values()))
        return orchestrator.snapshot().ended

    assert whole(test, step_s=steady(tokens_per_s=20.0)) == {"cancelled": 1}


def test_a_stream_adds_up_to_the_whole(whole):
    async def test(api, _):
        whole_text = (await api.post("/completion", json={"prompt": "p"})).json()["content"]
        streamed = await api.post("/completion", json={"prompt": "p", "stream": True})
        events = [json.loads(line[6:]) for line in streamed.text.split("\n\n") if line]
        return whole_text, "".join(event["content"] for event in events)

    whole_text, streamed_text = whole(test, script=lambda _job: "a b\n\nc é 日本")
    assert whole_text == streamed_text == "a b\n\nc é 日本"


@pytest.mark.parametrize("path", ["/completion", "/v1/completions"])
def test_a_stop_string_and_a_limit(whole, path):
    async def test(api, _):
        stopped = await api.post(path, json={"prompt": "p", "stop": "_3"})
        cut = await api.post(path, json={"prompt": "p", "max_tokens": 2})
        return stopped.json(), cut.json()

    stopped, cut = whole(test)
    if path == "/completion":
        assert (stopped["stop_type"], stopped["stopping_word"]) == ("word", "_3")
        assert cut["stop_type"] == "limit"
    else:
        assert stopped["choices"][0]["finish_reason"] == "stop"
        assert cut["choices"][0]["finish_reason"] == "length"


def test_too_long_and_unknown_and_broken(whole):
    async def test(api, _):
        long = await api.post("/completion", json={"prompt": "w " * 200})
        unknown = await api.post("/completion", json={"prompt": "p", "model": "gpt-4"})
        return long, unknown

    long, unknown = whole(test, context_tokens=100)
    assert long.json()["error"]["type"] == "exceed_context_size_error"
    assert long.json()["error"]["n_ctx"] == 100
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "not_found_error")


def test_a_load_that_fails_says_why(whole):
    async def test(api, _):
        return await api.post("/infill", json=FIM), await api.get("/health")

    answer, health = whole(test, load_fails=True)
    assert answer.status_code == 503
    assert "told to fail" in answer.json()["error"]["message"]
    assert health.status_code == 200


def test_late_is_nothing_and_not_an_error(whole):
    async def test(api, _):
        body = FIM | {"t_max_prompt_ms": 10, "t_max_predict_ms": 10}
        return await api.post("/infill", json=body)

    answer = whole(test, load_s=5.0)
    assert (answer.status_code, answer.content) == (200, b"{}")


def test_closing_answers_everybody(whole, about):
    async def test():
        knobs = Knobs(step_s=steady(tokens_per_s=0.5))
        async with daemon(knobs, about) as (api, orchestrator):
            asked = asyncio.create_task(api.post("/completion", json={"prompt": "p"}))
            await until(orchestrator, lambda picture: sum(picture.running.values()))
            closing = asyncio.create_task(orchestrator.close())
            answer = await asked
            await closing
            return answer

    answer = asyncio.run(test())
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "unavailable_error")
