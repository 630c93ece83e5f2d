"""Answers under a grammar or a schema: what comes out matches, what cannot be used is refused, nothing crashes."""

import functools
import json
import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.constraint import ConstraintError, Constraints, Matcher, MatcherError
from engines.engine import Constraint, Sampling
from engines.llama import Model
from engines.sampling import Sampler

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["red", "green"]}, "maxItems": 2},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
ARITHMETIC = r"""
# llama.cpp's own example: blanks may end in the newline that the next rule wants
root  ::= (expr "=" ws term "\n")+
expr  ::= term ([-+*/] term)*
term  ::= num | "(" ws expr ")" ws
num   ::= [0-9]+ ws
ws    ::= [ \t\n]*
"""
TOKENS_MAX = 400


@pytest.fixture(scope="module")
def constraints(model: Model) -> Constraints:
    return Constraints(model)


def gbnf(constraints: Constraints, source: str, healed: str = "") -> Matcher:
    return constraints.compile(Constraint("gbnf", source), healed=healed)


def schema(constraints: Constraints, value: object) -> Matcher:
    return constraints.compile(Constraint("json_schema", json.dumps(value)))


@functools.cache
def single_bytes(model: Model) -> dict[bytes, int]:
    return {model.piece(token): token for token in range(model.n_vocab)}


def tokens_of(model: Model, text: str) -> list[int]:
    """The text in tokens of one byte: every way through a grammar has them."""
    return [single_bytes(model)[bytes([byte])] for byte in text.encode()]


def accepts(model: Model, matcher: Matcher, text: str) -> bool:
    """Whether a whole text matches."""
    for token in tokens_of(model, text):
        if not matcher.allows(token):
            return False
        matcher.accept(token)
    return matcher.allows(min(model.end_tokens))


def written(model: Model, matcher: Matcher, chance: int, sampling: dict[str, object]) -> str:
    """An answer of a model that has no idea: its logits are chance, its ends a little likelier."""
    sampler = Sampler(Sampling(**sampling), model.end_tokens, model.piece, matcher)
    rng, history = np.random.default_rng(chance), [1]
    while len(history) < TOKENS_MAX:
        numbers = rng.normal(size=model.n_vocab).astype(np.float32)
        numbers[sorted(model.end_tokens)] += 4
        token = sampler.draw(numbers, history)
        if token in model.end_tokens:
            break
        sampler.accept(token)
        history.append(token)
    return b"".join(map(model.piece, history[1:])).decode()


SAMPLINGS = [
    {},
    {"temperature": 0.8, "top_p": 0.95, "seed": 3},
    {"temperature": 1.5, "top_k": 0},
    {"repeat_penalty": 1.3, "logit_bias": ((300, 9.0),)},
    {"infill": True, "temperature": 0.5},
]


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_an_answer_under_a_schema_is_valid(
    model: Model, constraints: Constraints, sampling: dict[str, object]
):
    """However a token is chosen, the finished text is JSON of that schema."""
    for chance in range(3):
        value = json.loads(written(model, schema(constraints, PERSON), chance, sampling))
        assert list(value) == ["name", "age", "tags"]
        assert isinstance(value["name"], str)
        assert 0 <= value["age"] <= 150
        assert set(value["tags"]) <= {"red", "green"}
        assert len(value["tags"]) <= 2


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_an_answer_under_a_grammar_matches_it(
    model: Model, constraints: Constraints, sampling: dict[str, object]
):
    for chance in range(3):
        matcher = gbnf(constraints, 'root ::= "v" [0-9]{1,3} ("." [0-9]{1,3}){2} "-rc"?')
        text = written(model, matcher, chance, sampling)
        assert re.fullmatch(r"v[0-9]{1,3}(\.[0-9]{1,3}){2}(-rc)?", text)


def test_a_replayed_answer_goes_on_alike(model: Model, constraints: Constraints):
    """ENGINE.md 19: a second worker that accepts the tokens sent has the very same followers."""
    first = schema(constraints, PERSON)
    sent = tokens_of(model, '{"name": "Ada", "ag')
    for token in sent:
        first.accept(token)
    second = schema(constraints, PERSON)
    for token in sent:
        second.accept(token)
    assert (first.followers() == second.followers()).all()
    assert 0 < first.followers().sum() < model.n_vocab


def test_restricting_and_asking_agree(model: Model, constraints: Constraints):
    """Every token that a pass leaves is allowed alone, and no other; where text is forced, in any tokens."""
    for source, before in (("hello world", "h"), ("def f(self):", "")):
        matcher = gbnf(constraints, f'root ::= "{source}"')
        for token in tokens_of(model, before):
            matcher.accept(token)
        rest = source.removeprefix(before).encode()
        expected = [
            bool(model.piece(token)) and rest.startswith(model.piece(token))
            for token in range(model.n_vocab)
        ]
        assert sum(expected) > 1
        assert matcher.followers().tolist() == expected
        assert [matcher.allows(token) for token in range(model.n_vocab)] == expected


def test_only_an_end_follows_a_complete_answer(model: Model, constraints: Constraints):
    """Even where ends are to be ignored: nothing else is left."""
    matcher = gbnf(constraints, 'root ::= "ab" "c"?')
    sampler = Sampler(Sampling(ignore_eos=True), model.end_tokens, model.piece, matcher)
    numbers = np.zeros(model.n_vocab, np.float32)
    numbers[sorted(model.end_tokens)] = 9
    drawn = []
    while not drawn or drawn[-1] not in model.end_tokens:
        drawn.append(sampler.draw(numbers, drawn))
        assert not sampler.ended or drawn[-1] in model.end_tokens
        sampler.accept(drawn[-1])
    assert b"".join(map(model.piece, drawn)) == b"abc"
    assert sampler.ended


def test_the_ends_are_allowed_as_soon_as_the_answer_is_complete(
    model: Model, constraints: Constraints
):
    matcher = gbnf(constraints, 'root ::= "a"+')
    ends = sorted(model.end_tokens)
    assert not matcher.followers()[ends].any()
    matcher.accept(tokens_of(model, "a")[0])
    assert matcher.followers()[ends].all()
    assert not matcher.ended


def test_healed_blanks_come_first(model: Model, constraints: Constraints):
    """The model writes the blanks of the prompt again; they are no part of what the grammar says."""
    assert accepts(model, gbnf(constraints, 'root ::= "a"', healed=" \t"), " \ta")
    assert not accepts(model, gbnf(constraints, 'root ::= "a"', healed=" \t"), "a")
    matcher = constraints.compile(Constraint("json_schema", '{"type":"null"}'), healed="  ")
    assert accepts(model, matcher, "  null")


@pytest.mark.parametrize("text", ["1=2\n", "1+2=3\n\n4 =5\n", "(1 *2)= 2\n"])
def test_blanks_do_not_swallow_what_the_next_rule_wants(
    model: Model, constraints: Constraints, text: str
):
    """A grammar is about characters: nothing in it is as long as it can be."""
    assert accepts(model, gbnf(constraints, ARITHMETIC), text)
    assert not accepts(model, gbnf(constraints, ARITHMETIC), text.rstrip("\n"))


def test_blanks_in_json_come_to_an_end(model: Model, constraints: Constraints):
    """A model that may write blanks for ever does."""
    assert accepts(model, schema(constraints, PERSON), '{\n  "name": "a", "age":1,"tags":[]\n}')
    assert not accepts(model, schema(constraints, PERSON), '{   "name":"a","age":1,"tags":[]}')


def joined(parts: list[tuple[str, str]], mark: str) -> tuple[str, str]:
    """Parts in sequence or as alternatives, in GBNF and as a regular expression."""
    return (
        f"({f' {mark} '.join(grammar for grammar, _ in parts)})",
        f"(?:{mark.join(expression for _, expression in parts)})",
    )


ATOMS = [("[ab]", "[ab]"), ("[^a]", "[^a]"), (".", "."), ('"a"', "a"), ('""', "(?:)")]
ATOMS += [('"ab"', "(?:ab)"), ('"ba"', "(?:ba)"), ("[a-c]", "[a-c]")]
TIMES = ["*", "+", "?", "{2}", "{0}", "{1,2}", "{2,}", "{0,0}"]
PATTERNS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.builds(joined, st.lists(inner, min_size=1, max_size=3), st.sampled_from(["", "|"])),
        st.builds(
            lambda of, times: (f"{of[0]}{times}", f"(?:{of[1]}{times})"),
            inner,
            st.sampled_from(TIMES),
        ),
    ),
    max_leaves=5,
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(pattern=PATTERNS, texts=st.lists(st.text("abc", max_size=6), min_size=5, max_size=5))
def test_a_grammar_without_recursion_is_its_regular_expression(
    model: Model, constraints: Constraints, pattern: tuple[str, str], texts: list[str]
):
    """Both read the same language: checked on whole texts, each decided token by token."""
    source, expression = pattern
    for text in texts:
        matches = re.fullmatch(expression, text, re.DOTALL) is not None
        assert accepts(model, gbnf(constraints, f'root ::= {source} | "!"'), text) == matches


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    temperature=st.sampled_from([0.0, 1.0, 3.0]),
    steps=st.integers(1, 12),
)
def test_whatever_the_logits_the_text_can_be_finished(
    model: Model, constraints: Constraints, seed: int, temperature: float, steps: int
):
    """Each drawn token keeps the text a beginning of something that the grammar accepts."""
    matcher = gbnf(constraints, 'root ::= "<" name ">" root* "</>"\nname ::= [a-zé]+ [0-9]?')
    sampler = Sampler(Sampling(temperature=temperature), model.end_tokens, model.piece, matcher)
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(steps):
        token = sampler.draw((rng.normal(size=model.n_vocab) * 9).astype(np.float32), drawn)
        if token in model.end_tokens:
            break
        sampler.accept(token)
        drawn.append(token)
    text = b"".join(map(model.piece, drawn)).decode(errors="ignore")
    finished = re.compile(r"(?:<[a-zé]+[0-9]?>|</>)*(?:<(?:[a-zé]+[0-9]?)?|</)?")
    assert finished.fullmatch(text)
    assert all(text[:n].count("</>") <= text[:n].count("<") for n in range(len(text)))


REFUSED = {
    'the grammar cannot be read: line 1, column 10: rule "foo"': "root ::= foo",
    "more than 40 parentheses": "root ::= " + "(" * 20_000 + '"a"' + ")" * 20_000,
    "larger than 64 KiB": "root ::= " + '"a" ' * 250_000,
    "more than 2000 alternatives": "root ::= " + "[a-z]? " * 9000,
    "too many ways": "root ::= " + " | ".join(['"a"'] * 1500),
    "too deeply nested": 'root ::= "a"' + "*" * 1900,
    "no text matches": "root ::= root",
}


@pytest.mark.parametrize("says", REFUSED)
def test_a_grammar_that_cannot_be_used_is_refused_at_once(constraints: Constraints, says: str):
    """By an error that says what is wrong, and never by the end of the process (ENGINE.md 21)."""
    began = time.process_time()
    with pytest.raises(ConstraintError, match=says) as caught:
        gbnf(constraints, REFUSED[says])
    assert time.process_time() - began < 1
    assert len(str(caught.value)) < 250


REFUSED_SCHEMAS = {
    "not JSON: line 1, column 9": '{"type":',
    "must be a JSON object": "12",
    "nested too deep": '{"items":' * 6000 + "{}" + "}" * 6000,
    "recursion limit": '{"items":' * 400 + "{}" + "}" * 400,
    "larger than 64 KiB": json.dumps({"enum": [str(n) for n in range(100_000)]}),
    "Invalid type": '{"type": "strng"}',
    "Unimplemented keys": '{"uniqueItems": true, "type": "array"}',
    "not present in a registry": '{"$ref": "http://example.com/a"}',
    "look-around": '{"type": "string", "pattern": "^(?=.*a)b$"}',
    "no text matches": '{"$ref": "#"}',
    "more than 32 patternProperties": json.dumps(
        {"patternProperties": {f"^(a|b)*{n}x(a|b){{9}}y": {} for n in range(500)}}
    ),
}


@pytest.mark.parametrize("says", REFUSED_SCHEMAS)
def test_a_schema_that_cannot_be_used_is_refused_at_once(constraints: Constraints, says: str):
    began = time.process_time()
    with pytest.raises(ConstraintError, match=says) as caught:
        constraints.compile(Constraint("json_schema", REFUSED_SCHEMAS[says]))
    assert time.process_time() - began < 1
    assert len(str(caught.value)) < 250


def chain(count: int, link: str) -> str:
    """Definitions of which each refers to the next: the compiler recurses with every one."""
    links = [f'"a{n}":{link % f"#/$defs/a{n + 1}"}' for n in range(count)]
    return f'{{"$defs":{{{",".join(links)},"a{count}":{{}}}},"$ref":"#/$defs/a0"}}'


def deep(levels: int) -> str:
    return '{"items":' * levels + '{"$ref":"%s"}' + "}" * levels


@pytest.mark.slow
@pytest.mark.parametrize(
    "source", [chain(1700, '{"$ref":"%s"}'), chain(1300, deep(1)), chain(100, deep(55))]
)
def test_the_longest_chains_of_references_do_not_exhaust_the_stack(
    constraints: Constraints, source: str
):
    """1,000 of them end a process whose thread has 8 MiB of stack."""
    assert len(source) > 50_000
    matcher = constraints.compile(Constraint("json_schema", source))
    assert matcher.followers().any()


def test_an_answer_that_does_not_match_is_an_error_of_its_request(
    model: Model, constraints: Constraints
):
    """Where llama.cpp's own grammars abort the process."""
    matcher = gbnf(constraints, 'root ::= "a"')
    with pytest.raises(MatcherError):
        matcher.accept(tokens_of(model, "b")[0])
    assert accepts(model, gbnf(constraints, 'root ::= "a"'), "a"), "another one is not hurt"


def test_a_grammar_that_grows_too_ambiguous_ends_its_request(
    model: Model, constraints: Constraints
):
    matcher = gbnf(constraints, 'root ::= s\ns ::= s s | s s s | "a" |')
    with pytest.raises(MatcherError, match="too many ways"):
        accepts(model, matcher, "a" * 1000)


def test_left_recursion_is_no_problem(model: Model, constraints: Constraints):
    assert accepts(model, gbnf(constraints, 'root ::= root "a" | "b"'), "baa")


def test_a_kind_nobody_knows_is_refused(constraints: Constraints):
    with pytest.raises(ConstraintError, match="regex"):
        constraints.compile(Constraint("regex", "a"))
