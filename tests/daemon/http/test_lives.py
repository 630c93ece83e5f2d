"""What became of requests, over HTTP: the latest ones, one of them, and how an answer says which it was."""

import pytest

from daemon.http.schemas_lives import RequestsTold
from policies.messages import (
    Arrived,
    End,
    Halt,
    Outcome,
    Prepared,
    Reason,
    Start,
    Stepped,
    Stopped,
)
from policies.request import CLASS_OF, PROMISE_OF, Kind, Request

CHAT = CLASS_OF[Kind.CHAT]


def one_life(journal, number: int) -> None:
    """A conversation that kept its promise."""
    request = Request(
        number, Kind.CHAT, CHAT, "tiny", 400, 16, "unix curl", promise=PROMISE_OF[CHAT]
    )
    journal.append(1.0, Arrived(request), [Start(number, "tiny", 3.0, 1.5)])
    journal.append(1.1, Prepared(number, 80, 30), [])
    journal.append(1.25, Stepped("tiny", ((number, 1),), 0, 0.1, 0), [])
    done = End(number, Outcome.DONE, Reason.COMPLETE)
    journal.append(1.5, Stopped(number, Halt.DONE), [done])


def get(serving, path: str, *, requests: int = 3):
    async def test(server):
        for number in range(1, requests + 1):
            one_life(server.script.journal, number)
        return await server.api.get(path)

    return serving(test)


def test_the_latest_requests(serving):
    """The newest come last, as many as were asked for, without their moments."""
    answer = RequestsTold.model_validate_json(get(serving, "/status/requests?count=2").content)
    assert [one.id for one in answer.requests] == [2, 3]
    assert answer.decisions == 12
    one = answer.requests[0]
    assert (one.kind, one.klass, one.model) == ("chat", "foreground", "tiny")
    assert (one.waited_ms, one.first_token_ms, one.whole_ms) == (0, 250, 500)
    assert (one.outcome, one.kept, one.moments) == ("done", True, ())
    assert one.promise is not None
    assert one.promise.gap_ms == 250
    assert get(serving, "/status/requests", requests=0).json()["requests"] == []


def test_one_request(serving):
    """Its moments count from its arrival."""
    (one,) = RequestsTold.model_validate_json(get(serving, "/status/requests/2").content).requests
    assert [(moment.at_ms, moment.what) for moment in one.moments] == [
        (0, "arrived"),
        (0, "started"),
        (100, "prepared"),
        (250, "first token"),
        (500, "done"),
    ]
    assert (one.prompt_tokens, one.cached_tokens, one.output_tokens) == (80, 30, 1)


def test_a_request_that_nobody_knows(serving):
    """The answer says why it may be gone."""
    answer = get(serving, "/status/requests/99")
    assert answer.status_code == 404
    assert "journal_max" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path", ["/x", "/0", "/-1", "?count=x", "/" + "9" * 400, "?count=0", "?count=1001"]
)
def test_what_is_no_number(serving, path):
    """An error of ours, whatever was sent."""
    answer = get(serving, f"/status/requests{path}")
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/infill", {"input_prefix": "a", "input_suffix": "b"}),
        ("/completion", {"prompt": "a"}),
        ("/v1/completions", {"prompt": "a"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
    ],
)
@pytest.mark.parametrize("reason", [Reason.COMPLETE, Reason.QUEUE_FULL])
def test_every_answer_names_its_request(serving, path, body, stream, reason):
    """Good or bad, whole or streamed: the header is what `hearth explain` takes."""
    ended = {"outcome": Outcome.DONE if reason is Reason.COMPLETE else Outcome.REFUSED}

    async def test(server):
        first = await server.api.post(path, json=body | {"stream": stream})
        second = await server.api.post(path, json=body | {"stream": stream})
        return first, second

    answers = serving(
        test, reason=reason, pieces=("a",) if reason is Reason.COMPLETE else (), **ended
    )
    assert [answer.headers["x-hearth-request"] for answer in answers] == ["1", "2"]
