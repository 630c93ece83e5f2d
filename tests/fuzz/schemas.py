"""Hostile JSON schemas, as text."""

import json
from random import Random

from tests.fuzz.mutations import mutated

VALID = [
    {"type": "object", "properties": {"a": {"type": "string", "maxLength": 8}, "b": {"type": "integer"}},
     "required": ["a"], "additionalProperties": False},
    {"type": "array", "items": {"enum": ["red", "green", 3, None]}, "minItems": 1, "maxItems": 3},
    {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "format": "date-time"}]},
    {"$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"},
    {"type": "string", "pattern": "^[a-z]+(-[0-9]{2,4})?$"},
    {"type": "object", "patternProperties": {"^x_": {"type": "boolean"}}, "minProperties": 1},
]  # fmt: skip
PATTERNS = [
    "(a+)+$", "^(a|aa)*b$", "(.*)*(.*)*x", "(x{1,1000}){1,1000}", "(((((a{9}){9}){9}){9}){9}){9}", "(?=a)b",
    "\\1", "[", "(", "a{99999999}", "(?:a?){500}a{500}", ".{0,100000}x", "[^\\x00]{1000,}", "\\p{L}+", "(?i)ß*",
    "(a|b)*a(a|b){12}", "(a|b)*a(a|b){24}", "(.*a){20}", "^(?!x).*$", "\\ud800", "(|a|b|)*", "$^", "((a*)*)*",
    "[a-z]{1,3}(,[a-z]{1,3}){0,4000}", "(\\w{1,50}\\s?){1,200}", "\u0000", "(?P<n>a)(?P=n)",
]  # fmt: skip
NUMBERS = [
    0,
    -1,
    1,
    3,
    2**31,
    2**63,
    10**30,
    1e308,
    -1e308,
    0.1,
    1e-300,
    float("nan"),
    float("inf"),
    "3",
    None,
]
TYPES = [
    "string",
    "integer",
    "number",
    "object",
    "array",
    "boolean",
    "null",
    "strng",
    None,
    7,
    ["string", "null"],
    [],
]
KEYWORDS = [
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems",
    "maxItems", "minProperties", "maxProperties", "minContains", "x-guidance", "nullable", "whatever", "uniqueItems",
]  # fmt: skip


def self_referring(rng: Random) -> object:
    to = rng.choice(
        [
            "#",
            "#/$defs/a",
            "#/$defs/b",
            "#/nowhere",
            "http://example.com/x",
            "#/%24defs/a",
            "",
            "#a",
            7,
        ]
    )
    inner: object = {"$ref": to}
    for _ in range(rng.randint(0, 3)):
        inner = rng.choice([{"allOf": [inner, inner]}, {"anyOf": [inner, inner]}, {"items": inner}, {"not": inner},
                            {"properties": {"p": inner}, "required": ["p"]}, {"oneOf": [inner, {"type": "null"}]},
                            {"allOf": [inner, {"type": "object"}]}])  # fmt: skip
    return {
        "$defs": {"a": inner, "b": {"$ref": "#/$defs/a"}},
        "anyOf": [inner, {"$ref": "#/$defs/b"}],
    }


def large(rng: Random) -> object:
    many = rng.choice([10, 400, 2000, 6000])
    return rng.choice(
        [
            {"enum": [f"{'w' * (n % 40)}{n}" for n in range(many)]},
            {"enum": list(range(many))},
            {"properties": {f"p{n}": {"type": "integer"} for n in range(many)}},
            {
                "properties": {f"p{n}": {} for n in range(many)},
                "required": [f"p{n}" for n in range(many)],
            },
            {"anyOf": [{"const": n} for n in range(many)]},
            {"oneOf": [{"type": "string", "maxLength": n} for n in range(many)]},
            {"allOf": [{"minimum": n} for n in range(many)]},
            {
                "allOf": [
                    {"anyOf": [{"minimum": n}, {"multipleOf": n + 1}]} for n in range(min(many, 30))
                ]
            },
            {"patternProperties": {f"^p{n}.*": {} for n in range(min(many, 40))}},
            {"type": ["string"] * many},
            {"const": "x" * many * 8},
            {"prefixItems": [{"type": "integer"}] * many, "type": "array"},
        ]
    )


def patterned(rng: Random) -> object:
    pattern = rng.choice(PATTERNS) * rng.choice([1, 1, 1, 2, 20])
    return rng.choice(
        [
            {"type": "string", "pattern": pattern},
            {
                "type": "string",
                "pattern": pattern,
                "minLength": 3,
                "maxLength": rng.choice([4, 10**6]),
            },
            {"type": "object", "patternProperties": {pattern: {"type": "null"}, "^a": {}}},
            {"allOf": [{"type": "string", "pattern": pattern}, {"pattern": rng.choice(PATTERNS)}]},
            {"type": "array", "items": {"type": "string", "pattern": pattern}, "minItems": 3},
        ]
    )


def bounded(rng: Random) -> object:
    chosen = {key: rng.choice(NUMBERS) for key in rng.sample(KEYWORDS, rng.randint(1, 6))}
    return {"type": rng.choice(TYPES), **chosen}


def deep(rng: Random) -> object:
    value: object = rng.choice([{"type": "integer"}, {}, True, {"$ref": "#"}])
    for _ in range(rng.choice([3, 50, 90, 200])):
        value = rng.choice([{"items": value}, {"properties": {"a": value}, "required": ["a"]}, {"anyOf": [value]},
                            {"allOf": [value, {}]}, {"additionalProperties": value}, {"oneOf": [value, False]},
                            {"type": "array", "prefixItems": [value], "minItems": 1}])  # fmt: skip
    return value


def exploding(rng: Random) -> object:
    """Each definition names the next one twice."""
    count, how = rng.choice([8, 20, 30, 300]), rng.choice(["allOf", "anyOf", "oneOf", "properties"])
    names = [{"$ref": f"#/$defs/d{n + 1}"} for n in range(count)]
    defs: dict[str, object] = {
        f"d{n}": {how: {"a": to, "b": to} if how == "properties" else [to, {**to}]}
        for n, to in enumerate(names)
    }
    defs[f"d{count}"] = {"type": "string", "minLength": 1}
    return {"$defs": defs, "$ref": "#/$defs/d0"}


def odd(rng: Random) -> object:
    return rng.choice([12, [], "x", None, {}, True, {"type": {}}, {"properties": []}, {"items": 3}, {"enum": []},
                       {"enum": {}}, {"required": "a"}, {"$ref": None}, {"pattern": 7}, {"anyOf": {}}, {"allOf": []},
                       {"const": {"a": [{}] * 50}}, {"x-guidance": {"item_separator": "("}}, {"": {}}, {"\u0000": 1},
                       {"format": "nothing"}, {"type": "array", "minItems": 10**9}, {"type": "string", "minLength": 10**6},
                       {"type": "integer", "multipleOf": 10**15}, {"type": "number", "multipleOf": 1e-30},
                       {"type": "integer", "minimum": -(10**60), "maximum": 10**60}])  # fmt: skip


MAKERS = [self_referring, large, patterned, bounded, deep, exploding, odd]


def schema(rng: Random) -> str:
    """One hostile schema; a third of them are valid ones with damage."""
    if rng.random() < 0.34:
        return mutated(rng, json.dumps(rng.choice(VALID)))
    text = json.dumps(rng.choice(MAKERS)(rng), ensure_ascii=rng.random() < 0.5)
    return mutated(rng, text) if rng.random() < 0.2 else text
