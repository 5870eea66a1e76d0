"""Chat templates as programs of strangers: each ends soon, in little memory, with an error."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Sixty times doubled, a list is small in memory and endless to whoever goes through it.
LIST = (
    "{% set n = namespace(a=['x'], b=['x']) %}{% for i in range(60) %}"
    "{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}{% endfor %}"
)
TUPLE = LIST.replace("[n.a, n.a]", "(n.a, n.a)").replace("a=['x']", "a=('x',)")
DEEP = (
    "{% set n = namespace(a=['x']) %}{% for i in range(90000) %}{% set n.a = [n.a] %}{% endfor %}"
)
LONG = "{% set s = 'x' * 1000000 %}{% set t = 'x' * 1000000 %}{% for i in range(100000) %}"

HOSTILE = {
    # loops
    "loops in loops": (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    ),
    "a loop whose condition fails": (
        "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}"
    ),
    "a million": "{% for a in range(10**6) %}{% endfor %}",
    "loops in macros": (
        "{% macro f(n) %}{% for i in range(n) %}{{ f(n - 1) }}{% endfor %}{% endmacro %}{{ f(30) }}"
    ),
    "a macro that calls itself twice": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}"
    ),
    "a macro that calls itself for ever": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "call blocks": (
        "{% macro f(n) %}{% if n %}{{ caller(n - 1) }}{{ caller(n - 1) }}{% endif %}{% endmacro %}"
        "{% macro g(n) %}{% call(m) f(n) %}{{ g(m) }}{% endcall %}{% endmacro %}{{ g(60) }}"
    ),
    "a recursive loop": (
        "{% for a in [1, 2] recursive %}{% if loop.depth < 40 %}{{ loop([1, 2]) }}{% endif %}"
        "{% endfor %}"
    ),
    "much text in a loop": "{% for a in range(99999) %}" + "x" * 50_000 + "{% endfor %}",
    "many parts in a loop": "{% for a in range(99999) %}"
    + "{% if a %}{% endif %}" * 4000
    + "{% endfor %}",
    # texts and numbers
    "a text times a billion": "{{ 'x' * 10**10 }}",
    "a billion times a text": "{{ 10**10 * 'x' }}",
    "a list times a billion": "{{ [1] * 10**9 }}",
    "a power": "{{ 10 ** 10 ** 10 }}{{ 10 ** 10 ** 3 ** 3 }}",
    "a number squared sixty times": (
        "{% set n = namespace(a=3) %}{% for i in range(60) %}{% set n.a = n.a * n.a %}{% endfor %}"
    ),
    "a text doubled with +": LIST.replace("[n.a, n.a]", "n.a + n.a").replace("['x']", "'x'"),
    "a text doubled with ~": LIST.replace("[n.a, n.a]", "n.a ~ n.a").replace("['x']", "'x'"),
    "a text doubled in a block": (
        "{% set n = namespace(a='x') %}{% for i in range(60) %}{% set b %}{{ n.a }}{{ n.a }}"
        "{% endset %}{% set n.a = b %}{% endfor %}"
    ),
    "a text doubled with join": LIST.replace("[n.a, n.a]", "[n.a, n.a]|join").replace(
        "['x']", "'x'"
    ),
    "a text doubled with replace": (
        "{% set n = namespace(a='xx') %}{% for i in range(60) %}"
        "{% set n.a = n.a.replace('x', n.a) %}{% endfor %}"
    ),
    "a text doubled with format": (
        "{% set n = namespace(a='x') %}{% for i in range(60) %}"
        "{% set n.a = '{0}{0}'.format(n.a) %}{% set n.a = '%s%s' % (n.a, n.a) %}{% endfor %}"
    ),
    "one value in many fields": "{{ ('{0}' * 10000).format('x' * 100000) }}",
    "one value in many places": "{{ ('%(a)s' * 10000) % {'a': 'x' * 100000} }}",
    "a replacement for nothing": "{{ ('x' * 100000)|replace('', 'y' * 100000) }}",
    "a wide separator": "{{ range(100000)|join('y' * 100000) }}",
    "a separator between letters": "{{ ('y' * 100000).join('x' * 100000) }}",
    **{
        f"a width, {number}": "{{ " + expression + " }}"
        for number, expression in enumerate(
            (
                *("'x'|center(10**9)", "'x'.ljust(10**10)", "'x'.rjust(10**10)"),
                *("'x'.zfill(10**10)", "'x'.center(10**10)", "'x\\n'|indent(10**9, true)"),
                *("'%1000000000d' % 1", "'%.1000000000f' % 1", "'%*d' % (10**9, 1)"),
                *("'%1000000000s'|format(1)", "'{:1000000000}'.format(1)"),
                *("'{:{}}'.format(1, 10**9)", "strftime_now('%1000000000Y')"),
                *("[[1]]|tojson(indent=10**9)", "[1]|batch(10**9, 'x')|list"),
                *("[1]|slice(10**9)|list", "2|round(10**9, 'ceil')"),
            )
        )
    },
    "an indent for each line": "{{ ('a\\n' * 100000)|indent('x' * 100000) }}",
    "an indent for each element": "{{ ([1] * 100000)|tojson(indent=900) }}",
    "separators for each element": "{{ ([1] * 100000)|tojson(separators=('x' * 100000, 'y')) }}",
    "a sum of lists": "{{ ([[1]] * 100000)|sum(start=[]) }}",
    "lists that grow": (
        "{% set n = namespace(a=[]) %}{% for i in range(99999) %}"
        "{% set n.a = n.a + [range(99999)|list] %}{% endfor %}"
    ),
    "words": "{% for i in range(9999) %}{% set x = ('x ' * 1000000).split() %}{% endfor %}",
    "letters": "{{ ('x' * 10000000)|list|length }}",
    **{
        f"a long text in a loop: {expression}": LONG
        + "{% set y = "
        + expression
        + " %}{% endfor %}"
        for expression in (
            *("s == t", "'y' in s", "s[1:]", "s[::-1]", "s.upper()", "s|title", "s|trim", "s < t"),
            *("s is eq(t)", "s|wordcount", "s|reverse", "s.split('y')", "s.count('y')", "[s]|sort"),
            *("s|tojson", "s|list", "s ~ t", "s + t", "[s, t]|join", "s|replace('y', '')"),
            *(
                "{s: 1}",
                "'%s' % s",
                "'{}'.format(s)",
                "s|truncate",
                "s|e",
                "s|indent",
                "s.find('y')",
            ),
        )
    },
    # a small list that is endless to go through
    **{
        f"an endless list: {expression}": LIST + "{{ " + expression + " }}"
        for expression in (
            *("n.a", "n.a == n.b", "n.a is eq(n.b)", "n.a in [n.b]", "n.a|tojson", "n.a|string"),
            *("n.a|join", "'%s' % [n.a]", "'{}'.format(n.a)", "n.a ~ ''", "[n.a, n.b]|sort"),
            *("[n.a, n.b]|max", "[n.a, n.b]|unique|list", "[n.a]|select('eq', n.b)|list"),
            *(
                "[n.a].count(n.b)",
                "[n.a].index(n.b)",
                "raise_exception(n.a)",
                "n.a|default('')|string",
            ),
            *("{'a': n.a}.items()|list", "{'a': n.a}.values()", "n.a|groupby('x')", "n.a|e"),
            *(
                "'{!r}'.format(n.a)",
                "cycler(n.a).next()",
                "n.a|upper",
                "n.a|trim",
                "n.a|replace(1, 2)",
            ),
        )
    },
    "an endless list that changed": (
        LIST + "{% for x in [n.a, n.b] %}{{ loop.changed(x) }}{% endfor %}"
    ),
    **{
        f"an endless key: {expression}": TUPLE + "{{ " + expression + " }}"
        for expression in (
            *("{n.a: 1}", "messages[0][n.a]", "messages[0].get(n.a)", "dict([(n.a, 1)])"),
            *("n.a in {}", "[n.a, n.a]|unique|list", "n.a is in({})"),
        )
    },
    **{
        f"a deep list: {expression}": DEEP + "{{ " + expression + " }}"
        for expression in ("n.a", "n.a == [n.a]", "n.a|tojson", "[n.a]|sort", "n.a ~ ''")
    },
    # the source itself
    "parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "brackets": "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "a long sum": "{{ 1" + "+1" * 20_000 + " }}",
    "many minus signs": "{{ " + "-" * 20_000 + "1 }}",
    "many nots": "{{ " + "not " * 10_000 + "1 }}",
    "many filters": "{{ a" + "|trim" * 10_000 + " }}",
    "many attributes": "{{ a" + ".b" * 20_000 + " }}",
    "many conditions": "{{ 1" + " if 1 else 1" * 5000 + " }}",
    "nested loops": "{% for a in [1] %}" * 400 + "{% endfor %}" * 400,
    "nested ifs": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "nested macros": "{% macro a() %}" * 400 + "{% endmacro %}" * 400,
    "many elifs": "{% if 1 %}" + "{% elif 2 %}" * 5000 + "{% endif %}",
    "many digits": "{{ " + "1" * 90_000 + " }}",
    "many braces": "{{" * 40_000,
    "quotes": "{{ '" + "\\'" * 40_000 + " }}",
    "many parts": "{{a}}" * 19_000,
    # what is not there
    **{
        f"out of bounds: {expression}": "{{ " + expression + " }}{{ nothing.at.all }}"
        for expression in (
            *("''.__class__.__mro__", "''|attr('__class__')|attr('__mro__')", "cycler.__init__"),
            *("self.__init__.__globals__", "'{0.__class__}'.format(1)", "namespace.__init__"),
            *("messages|map(attribute='__class__')|list", "range.__class__", "lipsum(n=9)"),
            *("raise_exception.__globals__", "strftime_now.__self__", "loop", "messages.append(1)"),
            *(
                "messages[0].update(a=1)",
                "''.encode()",
                "x._undefined_exception",
                "dict.fromkeys('a')",
            ),
            *("('x'|attr('upper'))()", "messages.__class__", "environment", "context", "self"),
            *("'{a.__init__}'.format(a=messages)", "(1).bit_length()", "messages|random"),
        )
    },
    **{
        f"not supported: {tag[:12]}": tag
        for tag in (
            *(
                "{% include '/etc/passwd' %}",
                "{% extends '/etc/passwd' %}",
                "{% import 'a' as b %}",
            ),
            *("{% from 'a' import b %}", "{% block a %}{{ self.a() }}{% endblock %}"),
            *("{% autoescape true %}{{ a }}{% endautoescape %}", "{{ ('x ' * 9)|wordwrap(1) }}"),
        )
    },
}

SECONDS = 5
"""Of processor time, for one template; the slowest takes about one."""

MEGABYTES = 128
"""More than before, at most. Most of it is what Python takes to compile the largest template."""

CHILD = """
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from hivellm_lite.chat_templates import ChatTemplate, ChatTemplateError

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

ChatTemplate("{{ messages }}").render([{"role": "user", "content": "Hi"}])
for name, source in json.load(sys.stdin).items():
    began, before = time.process_time(), peak()
    resource.setrlimit(resource.RLIMIT_CPU, (int(began) + SECONDS + 1, resource.RLIM_INFINITY))
    print(name, flush=True)
    try:
        rendered = ChatTemplate(source).render([{"role": "user", "content": "Hi"}])
        ended = f"gave {rendered.text[:50]!r}"
    except ChatTemplateError as error:
        ended = "" if len(str(error)) < 1000 else "a long error"
    print(json.dumps([ended, peak() - before]), flush=True)
""".replace("SECONDS", str(SECONDS))

HARMLESS = {"a power"} | ({"many elifs"} if sys.version_info >= (3, 13) else set())
"""Large to look at, and soon done. Python 3.13 compiles a chain of any length."""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on processes")
def test_hostile_templates_end_in_an_error_within_time_and_memory():
    child = subprocess.run(
        [sys.executable, "-c", CHILD], input=json.dumps(HOSTILE), capture_output=True, text=True
    )
    lines = child.stdout.splitlines()
    assert child.returncode == 0, f"ended in {lines[-1]!r}: {child.stderr[-500:]}"
    outcomes = dict(zip(lines[::2], map(json.loads, lines[1::2]), strict=True))
    assert outcomes.keys() == HOSTILE.keys()
    for name, (ended, megabytes) in outcomes.items():
        assert not ended or name in HARMLESS, f"{name} {ended}"
        assert megabytes < MEGABYTES, name
