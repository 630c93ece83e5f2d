"""`X-Hearth-Chain`: which call of which chain a request is."""

import pytest

from daemon.http.settings import HttpSettings
from policies.chain import Call, Chain
from policies.request import Kind

PORT = Chain("port", (Call("summarise", Kind.SUMMARISE), Call("fix")), within_s=20)
CHAT = {"messages": [{"role": "user", "content": "u"}]}


def ask_with(serving, *headers: str, path="/v1/chat/completions", body=CHAT, chains=(PORT,)):
    """The answers and the asks of one request a header."""

    async def test(server):
        answers = [
            await server.api.post(path, json=body, headers={"X-Hearth-Chain": header})
            for header in headers
        ]
        return answers, server.script.asks

    return serving(test, settings=HttpSettings(chains=chains))


def test_a_call_finds_its_place_in_its_chain(serving):
    """By the chain's name and the call's, in the form that other headers have too."""
    _, (ask,) = ask_with(serving, "port;call=fix ; run=8f 3a")
    assert (ask.link.chain, ask.link.call) == ("port", 1)


def test_a_run_is_known_by_its_id_alone_and_kept_as_a_hash(serving):
    """The same id is the same run, whichever call it is."""
    _, asks = ask_with(
        serving,
        "port; call=summarise; run=secret",
        "port; call=fix; run=secret",
        "port; call=fix; run=other",
    )
    first, second, other = (ask.link.run for ask in asks)
    assert first == second != other
    assert "secret" not in first


def test_the_chain_says_of_which_kind_its_call_is(serving):
    """A conversation cannot say that it is a summary; where its chain is silent it stays a chat."""
    _, asks = ask_with(serving, "port; call=summarise; run=1", "port; call=fix; run=1")
    assert [ask.kind for ask in asks] == [Kind.SUMMARISE, Kind.CHAT]


def test_a_gap_stays_a_gap(serving):
    """Only a model that fills in the middle can serve it."""
    body = {"prompt": "a", "suffix": "b"}
    header = "port; call=summarise; run=1"
    _, (ask,) = ask_with(serving, header, path="/v1/completions", body=body)
    assert ask.kind is Kind.COMPLETE
    assert ask.link.chain == "port"


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("port", "NAME; call=CALL; run=ID"),
        ("port; call=fix", "NAME; call=CALL; run=ID"),
        ("port; call=fix; run=", "NAME; call=CALL; run=ID"),
        ("port; call=fix; run=" + "x" * 201, "NAME; call=CALL; run=ID"),
        ("prot; call=fix; run=1", "no configured chain; there are port"),
        ("port; call=mend; run=1", "no such call of port; there are summarise, fix"),
    ],
)
def test_a_wrong_header_is_refused_in_words(serving, header, words):
    """Rather than served without the promise that was meant."""
    (answer,), asks = ask_with(serving, header)
    assert answer.status_code == 400
    assert words in answer.text
    assert asks == []


def test_without_chains_the_refusal_says_so(serving):
    (answer,), _ = ask_with(serving, "port; call=fix; run=1", chains=())
    assert answer.status_code == 400
    assert "there are none" in answer.text
