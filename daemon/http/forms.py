"""What an answer must look like, in the many ways in which clients say so: a grammar, or a JSON Schema.

Each becomes text with a limit. Whether a grammar or a schema makes sense is for the engine to say.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

FORM_CHARS_MAX = 65_536
"""Of a grammar, or of a schema written as compact JSON."""
ANY_OBJECT = {"type": "object"}

_FORMATS = (
    'send {"type": "text"}, {"type": "json_object"} '
    'or {"type": "json_schema", "json_schema": {"schema": {...}}}'
)


def _schema_text(schema: Any) -> str:
    """A JSON Schema as text; an empty object is one too, and allows any value."""
    if not isinstance(schema, dict):
        raise ValueError("send a JSON Schema, as an object")  # noqa: TRY004 -- pydantic's way
    try:
        text = json.dumps(schema, separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise ValueError("a JSON Schema holds finite numbers only") from None
    if len(text) > FORM_CHARS_MAX:
        raise ValueError(f"the schema is longer than {FORM_CHARS_MAX} characters: simplify it")
    return text


def _schema_of_format(response_format: Any) -> str:
    """The schema that OpenAI's `response_format` asks for, as text; empty where any text will do.

    llama-server's clients put a schema beside `type` too, with either type.
    """
    if not isinstance(response_format, dict):
        raise ValueError(_FORMATS)  # noqa: TRY004 -- pydantic's way
    match {key: value for key, value in response_format.items() if value is not None}:
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            return _schema_text(schema)
        case {"type": "json_schema" | "json_object", "schema": schema}:
            return _schema_text(schema)
        case {"type": "json_object"}:
            return _schema_text(ANY_OBJECT)
        case {"type": "text"}:
            return ""
    raise ValueError(_FORMATS)


GrammarText = Annotated[str, Field(max_length=FORM_CHARS_MAX)]
SchemaText = Annotated[str, BeforeValidator(_schema_text)]
FormatSchemaText = Annotated[str, BeforeValidator(_schema_of_format)]
