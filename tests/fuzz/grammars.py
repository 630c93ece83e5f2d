"""Hostile grammars (GBNF)."""

from random import Random

from tests.fuzz.mutations import ODD, drawn

VALID = [
    'root ::= "a"',
    'root ::= "v" [0-9]{1,3} ("." [0-9]{1,3}){2} "-rc"?',
    (
        'root ::= (expr "=" ws term "\\n")+\nexpr ::= term ([-+*/] term)*\n'
        'term ::= num | "(" ws expr ")" ws\nnum ::= [0-9]+ ws\nws ::= [ \\t\\n]*'
    ),
    'root ::= "<" name ">" root* "</>"\nname ::= [a-z\\u00e9]+ [0-9]? # a name',
    (
        'root ::= object\nvalue ::= object | string | "null"\n'
        'object ::= "{" (string ":" value ("," string ":" value)*)? "}"\nstring ::= "\\"" [^"\\\\]* "\\""'
    ),
    'root ::= ("yes" | "no" | .){0,4}',
]


def deep(rng: Random) -> str:
    levels = rng.choice([5, 39, 41, 300, 20_000])
    opened, closed = rng.choice(
        [("(", ")"), ('("a" | ', ")"), ("(", ")*"), ("(", "){2,5}"), ("(", "")]
    )
    return "root ::= " + opened * levels + '"b"' + closed * levels


def recursive(rng: Random) -> str:
    return rng.choice(
        [
            'root ::= root "a" | "b"',
            "root ::= root",
            'root ::= root root | "a" |',
            'root ::= s\ns ::= s s | s s s | "a" |',
            'root ::= a\na ::= b "x"\nb ::= c\nc ::= a |',
            'root ::= (root? root?)* "x"?',
            'root ::= "a"* root* "a"* root? ("a"? "a"?)*',
            "root ::= .* root .* |",
        ]
    )


def repeated(rng: Random) -> str:
    many = rng.choice([2, 50, 5000, 100_000, 1_000_000, 10**9, 10**12])
    times = rng.choice(
        [f"{{{many}}}", f"{{1,{many}}}", f"{{0,{many}}}", f"{{{many},}}", f"{{{many},1}}"]
    )
    item = rng.choice(['"a"', "[^x]", ".", '("a" | "b")', '("a"?)', '("a"*)', "x", '("a"{3}){9}'])
    return f"root ::= {item}{times * rng.choice([1, 1, 2, 6])}\nx ::= {item.replace('x', 'y')}{times}\ny ::= .?"


def wide(rng: Random) -> str:
    count = rng.choice([10, 500, 1500, 1999, 2500, 20_000])
    word = rng.choice(["a", "word%d", "\\u00%02x"])
    words = (word % (n % 256) if "%" in word else word for n in range(count))
    return "root ::= " + rng.choice([" | ", " ", " |\n"]).join(f'"{w}"' for w in words)


def optional(rng: Random) -> str:
    item = rng.choice(["[a-z]?", '"a"?', '("a" | "b")*', ".*", '"a"+', "x*"])
    return f"root ::= {(item + ' ') * rng.choice([20, 300, 1000, 1900])}\nx ::= x? [a-z]?"


def chained(rng: Random) -> str:
    count = rng.choice([10, 400, 499, 2000])
    link = rng.choice(["r%d", "r%d r%d", '"a" r%d | r%d', "(r%d)*"])
    rules = [f"r{n} ::= " + link.replace("%d", str(n + 1)) for n in range(count)]
    return "\n".join(
        ["root ::= r0", *rules, f"r{count} ::= " + rng.choice(['"z"', "r0", "", "r0 | [z]"])]
    )


def broken(rng: Random) -> str:
    return rng.choice(
        [
            "",
            "root",
            "root ::=",
            'root ::= "abc',
            "root ::= [a-",
            "root ::= [z-a]",
            "root ::= []",
            "root ::= [^]",
            'root ::= "\\q"',
            'root ::= "\\x4"',
            'root ::= "\\uD800"',
            'root ::= "\\UFFFFFFFF"',
            "root ::= foo",
            "root ::= <think>",
            "root ::= (",
            'root ::= "a"{',
            'root ::= "a"{,3}',
            "root ::= |||||",
            'root ::= "\x00"',
            "root ::= [\x00-\U0010ffff]",
            'root ::= "' + rng.choice(ODD) * 400 + '"',
            "# only a remark",
            "root ::= " + "a" * 60_000,
            "\n" * 60_000 + 'root ::= "a"',
            'root ::= "a"' + "*" * rng.choice([2, 40, 1900, 3000]),
            "root ::= [" + "a-z" * 20_000 + "]",
            'root ::= "' + "a" * 60_000 + '"',
            "root ::= " + '"a" ' * 15_000,
            'root ::= "a"\n' * 400,
        ]
    )


MAKERS = [deep, recursive, repeated, wide, optional, chained, broken]


def grammar(rng: Random) -> str:
    """One hostile grammar; half of them are valid ones with damage."""
    return drawn(rng, VALID, MAKERS, valid_share=0.5, damaged_share=0.3)
