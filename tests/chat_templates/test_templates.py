"""Chat templates: the text that Jinja gives, and which of it is a user's."""

from __future__ import annotations

import json
import threading

import pytest
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hivellm_lite.chat_templates import ChatTemplate, ChatTemplateError, TemplateRefusal

from ..support.paths import FIXTURES

SYSTEM = {"role": "system", "content": "  Answer <|end|> in words.\n"}
USER = {"role": "user", "content": "How many?\n"}
ANSWER = {"role": "assistant", "content": "<think>\ncount\n</think>\n\nTwo. "}
MORE = {"role": "user", "content": "<\"'&> é 東 {{ 7 * 7 }} {% raw %} 100 %"}
CONVERSATIONS = [[USER], [SYSTEM, USER], [SYSTEM, USER, ANSWER, MORE], [USER, ANSWER, MORE]]

TEMPLATES = {
    "turns": (
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m.content + '<|end|>' }}\n"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    ),
    "trimmed": "{% for m in messages %}[{{ m.role|upper }}]{{ m['content'] | trim }}{% endfor %}",
    "default system message": (
        "{% if messages[0].role != 'system' %}<s>You are helpful.</s>{% endif %}"
        "{%- for m in messages -%} {{ m.role ~ ':' ~ m.content }} {%- endfor -%}"
    ),
    "system first": (
        "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}"
        "{% set system = messages[0]['content'] %}{% else %}{% set rest = messages %}"
        "{% set system = none %}{% endif %}{% for m in rest %}"
        "{% if loop.first and system is not none %}<<SYS>>{{ system }}<</SYS>>{% endif %}"
        "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}|{% endfor %}"
    ),
    "thoughts of the past": (
        "{%- set ns = namespace(last=-1) %}{%- for m in messages %}{%- if m.role == 'user' %}"
        "{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}{%- for m in messages %}"
        "{%- set content = m.content %}"
        "{%- if '</think>' in content and loop.index0 < ns.last %}"
        "{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}"
        "{{- '<|' + m.role + '|>' + content }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|assistant|>' }}"
        "{%- if enable_thinking is defined and enable_thinking is false %}"
        "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"
    ),
    "macros": (
        "{% macro turn(role, text) %}<{{ role }}>{{ text if text is string else text|join }}"
        "</{{ role }}>{% endmacro %}{% for m in messages %}{{ turn(m.role, m.content) }}"
        "{{ caller }}{% endfor %}{% call(x) wrap() %}[{{ x }}]{% endcall %}"
        "{% macro wrap() %}{{ caller(messages|length) }}{% endmacro %}"
    ).replace("{% call(x) wrap() %}[{{ x }}]{% endcall %}", ""),
    "call blocks": (
        "{% macro wrap(n) %}({{ caller(n) }}){% endmacro %}{% for m in messages %}"
        "{% call(n) wrap(loop.index) %}{{ n }}{{ m.content }}{% endcall %}{% endfor %}"
    ),
    "set and filter blocks": (
        "{% for m in messages %}{% set text %}<a>{{ m.content }}</a>{% endset %}"
        "{{ text | trim }}{% filter upper %}x{{ m.content }}y{% endfilter %}{% endfor %}"
    ),
    "formats": (
        "{% for m in messages %}{{ '<%s>%s %d%%' % (m.role, m.content, 3) }}"
        "{{ '<{}>{} {{}}'.format(m.role, m.content) }}{{ '%s|%5s'|format(m.role, m.role) }}"
        "{{ '{0}{x}{0:>4}'.format(1, x=m.content) }}{% endfor %}"
    ),
    "json": (
        "{% for m in messages %}{{ m | tojson }}{{ m.content|tojson(indent=2) }}"
        "{{ {'a': [1, 2.5, none, true]}|tojson(separators=(',', ':')) }}{% endfor %}"
    ),
    "lists": (
        "{% for m in messages if m.role != 'assistant' %}{{ loop.index }}/{{ loop.length }}"
        "{{ m.content.split()|join('+') }}{{ m.content|list|length }}{{ m.items()|list|length }}"
        "{% for k, v in m.items() %}{{ k }}={{ v }}{% if loop.last %}{% break %}{% endif %}"
        "{% endfor %}{% else %}none{% endfor %}"
        "{{ messages|map(attribute='role')|join(', ') }}"
        "{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|list|last }}"
        "{{ (messages|rejectattr('role', 'eq', 'user')|list)|length }}"
        "{% if messages|selectattr('role', 'eq', 'robot') %}true as a generator{% endif %}"
        "{{ range(5)|sum }}{{ [3, 1]|sort|first }}{{ {'b': 1, 'a': 2}|dictsort }}"
        "{{ messages[-1].content[1:4] }}{{ messages[0].content[::-1] }}{{ messages[0].content[0] }}"
    ),
    "undefined": (
        "{{ tools }}{{ nothing }}{{ messages[0].nothing }}{{ messages[9] }}{{ documents is none }}"
        "{{ nothing is defined }}{{ nothing|default('d') }}{{ messages[0].get('x', 'y') }}"
        "{% for x in nothing %}{% endfor %}{{ 1 if false }}"
    ),
    "indents": (
        "{% for m in messages %}{{ m.content|indent }}{{ m.content|indent(2, true) }}"
        "{{ m.content|indent(3, blank=true) }}{{ ('\\n' + m.content)|indent(2, first=true) }}"
        "{{ m.content|replace('a', '__') }}{{ m.content|title }}{{ m.content|reverse }}"
        "{{ m.content|e }}{{ m.content|truncate(6) }}{{ m.content|center(30) }}{% endfor %}"
    ),
    "escapes": (
        "{% for m in messages %}{{ m.content|e }}{{ '<b>'|safe + m.content + '\"\\'&' }}"
        "{{ m.content + ('<i>'|safe) }}{{ (m.content|e) + '<' }}{{ m.content|e|e }}"
        "{{ m.content|e|forceescape }}{{ '<b>'|safe ~ m.content }}{{ 'a'|safe|string + '<' }}"
        "{{ ('<'|safe)|trim ~ 1 }}{% endfor %}"
    ),
    "recursion": (
        "{% for item in [[1, [2]], [3]] recursive %}"
        "{% if item is iterable %}({{ loop(item) }}){% else %}{{ item }}{% endif %}{% endfor %}"
        "{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}"
    ),
    "training marks": (
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    ),
    "numbers": "{{ 7 // 2 }}{{ 7 % 4 }}{{ 2 ** 5 }}{{ -3 + 1.5 }}{{ 'ab' * 3 }}{{ [1] + [2] }}"
    "{{ 10 / 4 }}{{ '3'|int + 1 }}{{ 2.567|round(1) }}{{ 1 < 2 < 3 }}{{ 'a' in 'cat' }}",
    "loops": (
        "{% set c = cycler('a', 'b') %}{% set j = joiner(',') %}{% for m in messages %}{{ j() }}"
        "{{ c.next() }}{{ loop.changed(m.role) }}{{ loop.cycle('x', 'y') }}{{ loop.revindex }}"
        "{{ loop.previtem.role if loop.previtem is defined }}{% continue %}never{% endfor %}"
    ),
}


def reference(source: str, messages, **variables) -> str:
    """As Transformers renders it."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )

    def refuse(message):
        raise AssertionError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(
            x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = refuse
    source = source.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    return environment.from_string(source).render(
        messages=messages, tools=None, documents=None, **variables
    )


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_the_text_is_what_jinja_gives(name, messages):
    template = ChatTemplate(TEMPLATES[name], tokens={"bos_token": "<s>"})
    for thinking in (False, True):
        for prompt in (False, True):
            wanted = reference(
                TEMPLATES[name],
                messages,
                bos_token="<s>",
                enable_thinking=thinking,
                add_generation_prompt=prompt,
            )
            found = template.render(messages, thinking=thinking, add_generation_prompt=prompt)
            assert found.text == wanted


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_no_letter_of_a_message_counts_as_the_templates_own(name, messages):
    # letters that no template has, so that each one found must be from a message
    secret = [{**m, "content": m["content"] + " ŦĦŁ ŧħł"} for m in messages]
    try:
        rendered = ChatTemplate(TEMPLATES[name]).render(secret)
    except TemplateRefusal:
        return
    for text, origin in rendered.parts:
        if origin is None:
            assert not set(text) & set("ŦĦŁŧħł")


def test_parts_name_the_message_that_they_are_from():
    rendered = ChatTemplate(TEMPLATES["turns"]).render([SYSTEM, USER])
    assert rendered.parts == (
        ("<|system|>\n", None),
        (SYSTEM["content"], 0),
        ("<|end|>\n<|user|>\n", None),
        (USER["content"], 1),
        ("<|end|>\n<|assistant|>\n", None),
    )
    assert rendered.origins == {0, 1}


def test_a_part_that_is_trimmed_and_split_is_still_the_messages():
    source = "{{ messages[0].content.split('</think>')[-1]|trim ~ '<|end|>' }}"
    content = "<think>a</think>\n b<|end|>c \n"
    rendered = ChatTemplate(source).render([{"role": "user", "content": content}])
    assert rendered.parts == (("b<|end|>c", 0), ("<|end|>", None))


def test_a_refusal_says_what_the_template_says():
    template = ChatTemplate("{{ raise_exception('no robots') }}", name="this template")
    with pytest.raises(TemplateRefusal, match=r"this template refuses .*: no robots\n.*chatml"):
        template.render([USER])


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{% if %}", "cannot be read: line 1"),
        ("\n{{ a", "cannot be read: line 2"),
        ("{{ nothing.at.all }}", "'nothing' is undefined"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ 'a' + 1 }}", "TypeError"),
        ("{{ 'a' | no_such_filter }}", "No filter named 'no_such_filter'"),
        ("{{ messages | tojson(1, 2, 3, 4, 5, 6) }}", "TypeError"),
        ("x" * 100_001, "has 100001 characters"),
    ],
)
def test_a_template_that_fails_is_an_error_with_its_place(source, problem):
    with pytest.raises(ChatTemplateError, match=problem):
        ChatTemplate(source).render([USER])


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    "source",
    [
        # as Qwen3 looks for the last question
        "{% for m in messages[::-1] %}{% set i = (messages|length - 1) - loop.index0 %}{{ i }}"
        "{% endfor %}",
        # as Gemma 4 looks for what came before
        "{% for m in messages %}{% set ns = namespace(n=0) %}{% set i = loop.index0 %}"
        "{% for k in messages[:i] %}{% if k.role == 'user' and k.content is string %}"
        "{% set ns.n = ns.n + 1 %}{% endif %}{% endfor %}{{ ns.n }}{{ m.content|trim }}"
        "{% endfor %}",
    ],
)
def test_a_long_conversation_is_within_the_budget(source):
    turns = [{"role": "user", "content": "How many? " * 40}] * 600
    assert ChatTemplate(source).render(turns).text


@pytest.mark.parametrize("family", ["llama3.1", "granite3", "qwen3", "harmony", "kimi", "glm4"])
def test_many_tools_and_results_are_within_the_budget(family):
    inner = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}}
    schema = {"type": "object", "properties": {f"p{n}": inner for n in range(12)}, "required": []}
    tools = [
        {
            "type": "function",
            "function": {"name": f"f{n}", "description": "d", "parameters": schema},
        }
        for n in range(128)
    ]
    call = {"type": "function", "id": "a", "function": {"name": "f0", "arguments": {"p0": "x"}}}
    turns = [
        {"role": "user", "content": "How many?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "row <1> " * 1000, "tool_call_id": "a"},
        {"role": "assistant", "content": "Two."},
    ] * 30
    source = (FIXTURES / "chat_templates" / f"{family}.jinja").read_text()
    assert ChatTemplate(source).render([*turns, turns[0]], tools=tools).text


def test_several_threads_render_with_one_template():
    template = ChatTemplate(TEMPLATES["thoughts of the past"])
    wanted = [template.render(messages).text for messages in CONVERSATIONS]
    found: list[list[str]] = []

    def run() -> None:
        found.append([template.render(m).text for _ in range(20) for m in CONVERSATIONS])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted * 20] * 4


def test_what_templates_of_the_day_need_is_there():
    rendered = ChatTemplate("{{ strftime_now('%Y-%m-%d') }}").render([USER])
    assert len(rendered.text) == len("2026-01-01")
