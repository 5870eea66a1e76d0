"""Grammars that several tests of the matcher use, and their automata."""

from __future__ import annotations

from hivellm_lite.gbnf.matcher import (
    Automaton,
    Configuration,
    compile_grammar,
)
from hivellm_lite.gbnf.parser import parse_grammar

JSON = r"""
root ::= ws value ws
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (member (ws "," ws member)*)? ws "}"
member ::= string ws ":" ws value
array ::= "[" ws (value (ws "," ws value)*)? ws "]"
string ::= "\"" ([^"\\\x00-\x1f] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}))* "\""
number ::= "-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)? ([eE] [-+]? [0-9]+)?
ws ::= [ \t\r\n]*
"""

AMBIGUOUS = {
    "sums": 'root ::= root op root | "(" root ")" | "n"\nop ::= "+" | "*"',
    "lists of lists": 'root ::= root root | "a"',
    "nothing anywhere": 'root ::= x root x | "a"\nx ::= "b"* | root "c"',
    "a list in two ways": 'root ::= x | x "," root\nx ::= "a" | "a" "," "a" | "(" root ")"',
    "palindromes": 'root ::= "a" root "a" | "b" root "b" | ""',
    "brackets": 'root ::= ("(" root ")" | "[" root "]")*',
    "middle recursion in two ways": 'root ::= "a" root "b" | "a" root "b" "b" | ""',
    "dangling else": 'root ::= "i" root | "i" root "e" root | "s"',
}


def automaton(text: str) -> Automaton:
    return compile_grammar(parse_grammar(text))


def after(found: Automaton, data: bytes) -> Configuration:
    configuration = found.start.advance(data)
    assert configuration is not None
    return configuration
