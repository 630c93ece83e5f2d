"""`[[chain]]`: tasks of several calls, and what may be wrong with them."""

from pathlib import Path

import pytest

from daemon.config import load_config
from daemon.errors import ConfigError
from policies.chain import Call, Chain
from policies.request import Kind

PORT = '[[chain]]\nname = "port"\nwithin_s = 20\n'


def read(tmp_path: Path, text: str) -> tuple[Chain, ...]:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return load_config(file).chains


def test_a_whole_chain(tmp_path: Path) -> None:
    """All but names, calls and the time has a default."""
    (port, ask) = read(
        tmp_path,
        PORT
        + """calls = [{ name = "summarise", kind = "summarise", weight = 2 }, { name = "fix", times = 0.3 }]
        [[chain]]
        name = "ask"
        within_s = 3.5
        until = "first_token"
        [[chain.calls]]
        name = "answer"
        """,
    )
    calls = (Call("summarise", Kind.SUMMARISE, weight=2), Call("fix", times=0.3))
    assert port == Chain("port", calls, within_s=20)
    assert ask == Chain("ask", (Call("answer"),), within_s=3.5, first_token=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PORT, ["[[chain]] 1, calls", "is missing"]),
        (PORT + "calls = []", ["[[chain]] 1", "`calls` is empty"]),
        (PORT + 'calls = [{name="a"}, {name="b", wieght=1}]', ["calls 2", 'mean "weight"?']),
        (PORT + 'calls = [{name="a", weight=0}]', ["calls 1, weight", "more than 0"]),
        (PORT + 'calls = [{name="a", kind="x"}]', ["calls 1, kind", "'translate'"]),
        (PORT + 'calls = [{name="a;b"}]', ["calls 1, name", "letters, digits"]),
        (PORT + 'calls = [{name="a"}, {name="a"}]', ['two calls are named "a"']),
        ((PORT + 'calls = [{name="a"}]\n') * 2, ['two [[chain]] are named "port"']),
        (PORT.replace("20", "0"), [":3:", "within_s", "more than 0"]),
    ],
)
def test_a_mistake_is_told_in_words(tmp_path: Path, text: str, words: list[str]) -> None:
    """With its place, which is a call's number where it is within one."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    for word in words:
        assert word in str(caught.value)
