"""llama.cpp's grammars in Lark: what is written, and where a mistake is found."""

import pytest

from engines.gbnf import GbnfError, to_lark


def test_every_character_is_a_lexeme_of_its_own():
    """Lark would make one of a literal, and take as much of the text for it as it can."""
    assert to_lark('root ::= "ab"', "body") == r"body: (/\u{61}/ /\u{62}/)" + "\n"


def test_names_are_numbered():
    """In Lark a name with capital letters is a lexeme, and two names that differ in them may be one."""
    assert to_lark("root ::= dataType datatype\ndataType ::= root\ndatatype ::= root", "body") == (
        "body: r1 r2\nr1: body\nr2: body\n"
    )


@pytest.mark.parametrize(
    ("item", "lark"),
    [
        (r"[a-z_]", r"/[\u{61}-\u{7A}\u{5F}-\u{5F}]/"),
        (r"[^\n\x41-]", r"/[^\u{A}-\u{A}\u{41}-\u{41}\u{2D}-\u{2D}]/"),
        (r"[\]\u00e9\U0001F600]", r"/[\u{5D}-\u{5D}\u{E9}-\u{E9}\u{1F600}-\u{1F600}]/"),
        (r"[\uD000-\uF000]", r"/[\u{D000}-\u{D7FF}\u{E000}-\u{F000}]/"),
        (".", r"/[\u{0}-\u{10FFFF}]/"),
        ('""', '""'),
        ("root{2}", "body{2,2}"),
        ("root { 2 , }", "body{2,}"),
        ("root{,", None),
        ("root{2 3}", None),
        ("root{0}", '""'),
        ("root+*", "(body+)*"),
        ("(root\n | root)? # either", "(body | body)?"),
    ],
)
def test_an_item_is_written_in_lark(item: str, lark: str | None):
    """None: it is a mistake."""
    if lark is None:
        with pytest.raises(GbnfError, match="a repetition is written"):
            to_lark(f"root ::= {item}", "body")
    else:
        assert to_lark(f"root ::= {item}", "body") == f"body: {lark}\n"


def test_comments_and_lines_may_stand_where_llama_cpp_lets_them():
    source = '# head\r\n\nroot ::= # first\n  a |\n  # second\n  ("b"\n\n)\na ::= "x" # end'
    assert to_lark(source, "body") == "body: r1 | (/\\u{62}/)\nr1: /\\u{78}/\n"


@pytest.mark.parametrize(
    ("says", "source"),
    [
        ('line 2, column 7: rule "foo" is used but not defined', 'root ::= a\na ::= foo "x"'),
        ('no rule "root"', 'r ::= "a"'),
        ('no rule "root"', ""),
        (r'line 1, column 10: this parenthesis has no "\)"', 'root ::= ("a"'),
        ("line 1, column 13: this does not belong here", 'root ::= "a")'),
        ("line 1, column 10: this does not belong here", "root ::= *"),
        ("line 1, column 10: this has no end", 'root ::= "abc'),
        ("line 1, column 10: this has no end", "root ::= [a"),
        ('"::=" must follow the name "root"', 'root = "a"'),
        ("a rule's name is expected here", '::= "a"'),
        ("more than 40 parentheses", "root ::= " + "(" * 20_000),
        ("more than 500 rules", "".join(f"r{n} ::= r{n}\n" for n in range(600))),
        ("more than 2000 alternatives", "root ::= " + "|" * 3000),
        ("more than 100000 repetitions", 'root ::= "a"{1,1000000}'),
        ("upper bound is below", 'root ::= "a"{3,1}'),
        ("ends before it begins", "root ::= [z-a]"),
        ("set of no characters", "root ::= []"),
        ("unknown escape", 'root ::= "\\q"'),
        ("no such character", "root ::= [\ud800]"),
        ("no such character", r'root ::= "\U00110000"'),
        ("references to tokens", "root ::= <think>"),
    ],
)
def test_a_mistake_is_found_where_it_is(says: str, source: str):
    with pytest.raises(GbnfError, match=says) as caught:
        to_lark(source, "body")
    assert len(str(caught.value)) < 150
