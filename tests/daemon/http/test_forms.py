"""What an answer must look like, as clients say it: what of it reaches the engine, and what is refused."""

import json

import pytest

from daemon.http.forms import FORM_CHARS_MAX
from engines.engine import Constraint

BODIES = {
    "/infill": {"input_prefix": "a", "input_suffix": "b"},
    "/completion": {"prompt": "a"},
    "/v1/completions": {"prompt": "a"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "a"}]},
}
SCHEMA = {"type": "object", "properties": {"b": {"type": "integer"}, "a": {"const": "é"}}}
SCHEMA_TEXT = json.dumps(SCHEMA, separators=(",", ":"))
ANY_OBJECT = Constraint("json_schema", '{"type":"object"}')


def post(serving, path, change):
    async def test(server):
        return await server.api.post(path, json=BODIES[path] | change), server.script.asks

    return serving(test)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ({}, None),
        ({"grammar": "", "json_schema": None, "response_format": {"type": "text"}}, None),
        ({"grammar": 'root ::= "a"'}, Constraint("gbnf", 'root ::= "a"')),
        ({"json_schema": SCHEMA}, Constraint("json_schema", SCHEMA_TEXT)),
        ({"json_schema": {}}, Constraint("json_schema", "{}")),
        ({"response_format": {"type": "json_object"}}, ANY_OBJECT),
        ({"response_format": {"type": "json_object", "schema": None}}, ANY_OBJECT),
        (
            {"response_format": {"type": "json_object", "schema": SCHEMA}},
            Constraint("json_schema", SCHEMA_TEXT),
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
                }
            },
            Constraint("json_schema", SCHEMA_TEXT),
        ),
    ],
)
def test_the_engine_is_told_the_form(serving, path, change, constraint):
    """Every endpoint takes every way of saying it; the order of a schema's keys is kept."""
    answer, (ask,) = post(serving, path, change)
    assert answer.status_code == 200
    assert ask.constraint == constraint


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grammar": 5}, "grammar: "),
        ({"grammar": "secret" * FORM_CHARS_MAX}, "grammar: "),
        ({"json_schema": "secret"}, "json_schema: send a JSON Schema, as an object"),
        ({"json_schema": {"secret": "x" * FORM_CHARS_MAX}}, "json_schema: the schema is longer"),
        ({"response_format": "secret"}, "response_format: send {"),
        ({"response_format": {"type": "secret"}}, "response_format: send {"),
        ({"response_format": {"type": "json_schema"}}, "response_format: send {"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": []}}}, "as an obj"),
        ({"grammar": "secret", "json_schema": SCHEMA}, "send only one of"),
        ({"json_schema": {}, "response_format": {"type": "json_object"}}, "send only one of"),
    ],
)
def test_a_form_that_cannot_be_understood_is_400_and_says_what_to_do(serving, path, change, words):
    answer, asks = post(serving, path, change)
    assert (answer.status_code, asks) == (400, [])
    assert words in answer.json()["error"]["message"]
    assert "secret" not in answer.text


def test_a_schema_with_a_number_that_json_has_not_is_400(serving):
    async def test(server):
        content = b'{"prompt": "a", "json_schema": {"minimum": NaN}}'
        headers = {"content-type": "application/json"}
        return await server.api.post("/completion", content=content, headers=headers)

    answer = serving(test)
    assert answer.status_code == 400
