"""A chat template is a program from a stranger: it gets the conversation, some time, and nothing else."""

import sys

import pytest

from engines.engine import Message
from engines.template import RENDERED_CHARS_MAX, ChatTemplate, ChatTemplateError

TALK = (Message("system", "be brief"), Message("user", "hello"))
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def render(source: str, **given: float) -> str:
    return ChatTemplate(source, bos="<s>", eos="</s>").render(TALK, **given)


def test_a_published_template():
    assert render(CHATML) == (
        "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nhello<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_the_models_own_tokens_are_written_by_the_template():
    assert render("{{ bos_token }}{{ messages[1].content }}{{ eos_token }}") == "<s>hello</s>"
    assert render("{% if tools %}never{% endif %}{{ messages|length }}") == "2"
    assert render("{% for m in messages %}{% break %}{% endfor %}x") == "x"


def test_a_template_may_refuse():
    with pytest.raises(ChatTemplateError, match="refused"):
        render("{{ raise_exception('roles must alternate') }}")


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ ''['__class__'] }}",
        "{{ ''|attr('__class__') }}",
        "{{ raise_exception.__globals__['sys'] }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ (messages|map(attribute='__class__')|list)[0].mro() }}",
        "{{ '{0.__class__.__mro__}'.format(messages) }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
    ],
)
def test_nothing_leads_out_of_the_sandbox(source: str):
    """Rule 1: an attribute that leads out is refused, or has no value."""
    try:
        text = render(source)
    except ChatTemplateError:
        return
    assert "class" not in text
    assert "root:" not in text


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.append(1) }}",
        "{{ messages[0].update(role='x') }}",
        "{{ messages.__setitem__(0, 1) }}",
    ],
)
def test_what_it_is_given_cannot_be_changed(source: str):
    """Rule 1."""
    with pytest.raises(ChatTemplateError):
        render(source)


@pytest.mark.parametrize(
    "source",
    [
        "{% set l = range(90000)|list %}{% for a in l %}{% for b in l %}{% endfor %}{% endfor %}",
        "{% macro f() %}{% for a in range(90000) %}{{ f() }}{% endfor %}{% endmacro %}{{ f() }}",
        "{% for a in range(90000) %}{% for b in range(90000) %}{% if false %}x{% endif %}{% endfor %}{% endfor %}",
    ],
)
def test_loops_in_loops_end_when_their_time_is_over(source: str):
    """Rule 2: nothing else bounds them."""
    with pytest.raises(ChatTemplateError, match=r"does not end|RecursionError"):
        render(source, time_s_max=0.02)
    assert sys.gettrace() is None or "watch" not in repr(sys.gettrace())


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'x' * 10**10 }}",
        "{{ 10**10 * 'x' }}",
        "{{ 10**(10**10) }}",
        "{{ [0] * 10**12 }}",
        "{% set n = namespace(x=9) %}{% for i in range(60) %}{% set n.x = n.x ** 60 %}{% endfor %}",
        "{{ '%999999999d' % 1 }}",
        "{% set n = namespace(x='xx') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% for i in range(90000) %}{{ 'x' * 90000 }}{% endfor %}",
        "{{ range(10**9)|list }}",
        "{% set n = namespace(x='xx') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
        "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = {1: n.x, 2: (n.x,)} %}{% endfor %}",
        "{% set n = namespace(x='x') %}{% for i in range(60) %}{% set n.x = n.x|tojson|tojson %}{% endfor %}",
        "{% set x %}{{ 'x' * 90000 }}{% endset %}{% set y %}" + "{{ x }}" * 90 + "{% endset %}",
        "{{ 'x'.ljust(10**8) }}",
        "{{ 'x'|center(10**8) }}",
        "{{ '{:>100000000}'.format(1) }}",
        "{{ ('x' * 90000).replace('x', 'y' * 90000) }}",
        "{{ ('x' * 90000)|replace('', 'y' * 90000) }}",
        "{{ ('y' * 90000).join('x' * 90000) }}",
        "{{ ('x' * 90000)|list|join('y' * 90000) }}",
        "{{ 'a\\nb'|indent(10**8) }}",
        "{{ [1]|tojson(indent=10**8) }}",
        "{{ [1]|slice(10**8)|list }}",
        "{{ 1.5|round(10**9, 'ceil') }}",
    ],
)
def test_much_of_little_is_refused(source: str):
    """Rule 3."""
    with pytest.raises(ChatTemplateError):
        render(source)


@pytest.mark.parametrize(
    "source",
    ["{% for %}", "{{ " * 500, "{{" + "(" * 3000 + ")" * 3000 + "}}", "x" * 300_000, "{{ 1 / 0 }}"],
    ids=["syntax", "open", "deep", "long", "zero"],
)
def test_a_bad_template_is_refused_in_words(source: str):
    with pytest.raises(ChatTemplateError, match="chat template"):
        render(source)


def test_what_takes_long_to_compile_ends_too():
    """Rule 2: the time holds while Jinja reads the template."""
    with pytest.raises(ChatTemplateError, match="does not end"):
        render("{{ " + "1 if " * 30_000 + "1 }}", time_s_max=0.05)


def test_what_published_templates_do_is_allowed():
    """Rule 3 is not in the way of text methods, lists, dictionaries and filters."""
    assert (
        render("{{ messages[0].content.replace('be', 'is').split(' ')|join(',') }}") == "is,brief"
    )
    assert (
        render("{{ ('a' ~ 1 ~ [1, 'b'] ~ (2,)) }}{% set a, b = 1, 2 %}{{ b }}") == "a1[1, 'b'](2,)2"
    )
    assert render("{{ {'a': [1]}|tojson(indent=4)|length }}{{ 'a\\nb'|indent(4) }}") == "30a\n    b"
    assert (
        render("{{ messages|map(attribute='role')|join('/') }}{{ 2.345|round(2) }}")
        == "system/user2.35"
    )


def test_ordinary_arithmetic_is_allowed():
    assert render("{{ 10**6 * 10**6 }}") == "1000000000000"
    assert render("{{ (1 + 2) * 3 ** 2 % 5 }}{{ '-' * 3 }}{{ [1] + [2] }}") == "2---[1, 2]"
    assert RENDERED_CHARS_MAX > 10**6
