"""Hostile chat templates, as a stranger's model file brings them, rendered in a process that may die of them."""

import resource
import sys
import time
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from random import Random

from engines.engine import Message
from engines.template import ChatTemplate, ChatTemplateError
from tests.fuzz.mutations import drawn

MIB = 1 << 20
RENDER_S_MAX = 0.25
"""Shorter than a worker gives, so that thousands are tried: what does not heed it would not heed the other."""
ADDRESS_BYTES_MAX = 6 << 30
"""Of the rendering process: a bomb must not hurt the machine."""
TALK = (Message("system", "be brief"), Message("user", "hello \ufeff\x00 {{ 1 }}"))
VALID = [
    (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    (
        "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{{ '[INST] ' ~ m['content']|trim ~ ' [/INST]' }}{% endfor %}"
    ),
    (
        "{%- set ns = namespace(found=false) -%}{%- for m in messages|reverse -%}{%- if not ns.found -%}"
        "{%- set ns.found = true -%}{{ m.content.split('x')[-1]|upper }}{%- endif -%}{%- endfor -%}"
    ),
    (
        "{% macro turn(m) %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endmacro %}"
        "{% for m in messages %}{{ turn(m) }}{% endfor %}"
    ),
]
MANY = ["10", "1000", "90000", "10**6", "10**8", "10**9", "10**10", "10**18"]
GROW = ["n.x + n.x", "n.x ~ n.x", "n.x * 9", "[n.x, n.x]|join", "n.x|replace('x', 'xx')", "n.x.replace('x', 'xxxx')",
        "n.x.join(n.x)", "'%s%s'|format(n.x, n.x)", "'{0}{0}'.format(n.x)", "(n.x, n.x)|string", "n.x|urlencode|urlencode",
        "n.x|indent(9) ~ n.x", "n.x|list|join('xx')", "(n.x|list + n.x|list)|join", "n.x|tojson|tojson|tojson",
        "[n.x, n.x]", "{'a': n.x, 'b': n.x}|string", "n.x|escape|escape ~ n.x", "n.x|pprint * 2"]  # fmt: skip
BOMBS = ["'x' * N", "'x'.center(N)", "'x'|center(N)", "'x'.ljust(N)", "'x'.zfill(N)", "'a\\nb'|indent(N)", "10 ** N",
         "'%*d' % (N, 1)", "'%Nd'|format(1)", "'{:>N}'.format(1)", "range(N)|list|length", "range(N)|sum", "lipsum(n=N)",
         "[0] * N", "'\\t'.expandtabs(N)", "'x'|batch(N, 'y')|list", "[1]|slice(N)|list", "2 << N", "(1.5)|round(N)",
         "'ab'|wordwrap(N)", "('x' * 90000).replace('x', 'y' * 90000)", "('x' * 90000)|replace('', 'y' * 90000)",
         "('y' * 90000).join('x' * 90000)", "(range(90000)|list * 40)|tojson(indent=N)", "'1' * 4000000|int",
         "('9' * 90000)|int * 2", "'x'.encode() * N", "joiner('x' * N)()", "cycler(*range(N)).next()", "dict(a=range(N)|list)",
         "range(N)|random", "(range(N)|list)|sort|last", "range(90000)|map('string')|map('center', N)|join|length",
         "messages|sum(start=[])", "range(N)|groupby('x')", "'x'|tojson(indent=N)", "[[[1]]]|tojson(indent=N)",
         "'{0:{1}}'.format(1, N)", "'<a>'|striptags|center(N)", "(0).to_bytes(N)", "('a ' * 90000)|title|wordcount"]  # fmt: skip
ESCAPES = ["''.__class__.__mro__", "''|attr('__class__')", "self.__init__.__globals__", "cycler.__init__.__globals__.os",
           "messages.append(1)", "lipsum.__globals__", "namespace.__init__", "messages[0].update(a=1)",
           "'{0.__class__}'.format(1)", "'%(a)s' % {'a': 1}", "caller()", "loop", "varargs", "self._TemplateReference__context",
           "(messages|map(attribute='__class__')|list)[0]", "raise_exception.__code__", "undefined.x.y", "1 / 0", "[][9]"]  # fmt: skip


def endless(rng: Random) -> str:
    inner = rng.choice(["", "x", "{{ a }}", "{% set b = a %}", "{% if false %}x{% endif %}"])
    depth, many = rng.randint(1, 6), rng.choice(MANY[1:])
    return f"{{% for a in range({many}) %}}" * depth + inner + "{% endfor %}" * depth


def recursion(rng: Random) -> str:
    return rng.choice(
        [
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}",
            "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
            "{% for a in [1] recursive %}{{ loop([1, 2]) }}{% endfor %}",
            "{% set n = namespace() %}{% set n.n = n %}{{ n }}{{ n.n.n.n }}",
            "{% set n = namespace(x=[]) %}{% for i in range(9000) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}",
            "{% set n = namespace(x=[]) %}{% for i in range(90000) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x|tojson }}",
            "{% set n = namespace(x=1) %}{% for i in range(90000) %}{% set n.x = (n.x, n.x) %}{% endfor %}{{ n.x == n.x }}",
            "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
            "{% include 'x' %}",
            "{% extends 'x' %}",
            "{% block a %}{{ self.a() }}{% endblock %}",
            "{% call f() %}{% endcall %}",
        ]
    )


def growth(rng: Random) -> str:
    rounds = rng.choice([10, 30, 60, 9000])
    return (
        f"{{% set n = namespace(x='xy') %}}{{% for i in range({rounds}) %}}"
        f"{{% set n.x = {rng.choice(GROW)} %}}{{% endfor %}}{rng.choice(['', '{{ n.x }}', '{{ n.x|length }}'])}"
    )


def bomb(rng: Random) -> str:
    return "{{ " + rng.choice(BOMBS).replace("N", rng.choice(MANY)) + " }}"


def escape(rng: Random) -> str:
    return "{{ " + rng.choice(ESCAPES) + rng.choice(["", "|list", "()", ".x", "|string"]) + " }}"


def deep(rng: Random) -> str:
    levels = rng.choice([10, 90, 1000, 30_000])
    opened, closed = rng.choice(
        [("(", ")"), ("[", "]"), ("-", ""), ("not ", ""), ("1+", ""), ("1 if ", ""), ("{1:", "}")]
    )
    blocks = rng.choice(["if x", "for a in [1]", "filter upper", "set z", "autoescape true"])
    if rng.random() < 0.3:
        return f"{{% {blocks} %}}" * levels + f"{{% end{blocks.split()[0]} %}}" * levels
    return "{{ " + opened * levels + "1" + closed * levels + " }}"


MAKERS = [endless, recursion, growth, bomb, bomb, escape, deep]


def template(rng: Random) -> str:
    """One hostile template; a third of them are valid ones with damage."""
    return drawn(rng, VALID, MAKERS, valid_share=0.34, damaged_share=0.2)


@dataclass(frozen=True)
class Rendered:
    """What became of a template. `refusal` is empty where it was rendered; `grown_bytes` of the process's peak."""

    refusal: str
    took_s: float
    grown_bytes: int
    chars: int


class Renderer:
    """A process that renders, started anew when it has died."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._ours, theirs = get_context("spawn").Pipe()
        self._process = get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def render(self, source: str, limit_s: float) -> Rendered | str:
        """Render; where nothing came back in time or at all, the process is replaced, and "hung" or "died" returned."""
        self._ours.send(source.encode("utf-8", "replace").decode())
        try:
            if self._ours.poll(limit_s):
                return self._ours.recv()
        except EOFError:
            self._replace()
            return "died"
        self._replace()
        return "hung"

    def _replace(self) -> None:
        self.close()
        self._start()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._ours.close()


def _serve(line: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES_MAX, ADDRESS_BYTES_MAX))
    while True:
        source = line.recv()
        began, peak = time.perf_counter(), _peak_bytes()
        refusal, text = "", ""
        try:
            text = ChatTemplate(source, bos="<s>", eos="</s>").render(TALK, time_s_max=RENDER_S_MAX)
        except ChatTemplateError as error:
            refusal = str(error)
        line.send(Rendered(refusal, time.perf_counter() - began, _peak_bytes() - peak, len(text)))


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
