"""Grammars that cannot be run as they are, each with its reason for its name."""

from __future__ import annotations

__all__ = ["NASTY"]

NASTY = {
    "direct left recursion": 'root ::= root "a" | "b"',
    "direct left recursion twice": 'root ::= root "a" | root "b" root | "b"',
    "recursion on both sides": 'root ::= root "a" root | "b"',
    "recursion on both sides with nothing between": 'root ::= root root | "a" | "b"',
    "recursion on both sides and nothing": 'root ::= root "a" root | "b" | ""',
    "left recursion with nothing after it": 'root ::= root | root "a" | "b"',
    "left recursion with maybe nothing after it": 'root ::= root "a"? | "b"',
    "a nullable left recursion": 'root ::= root "a" | ""',
    "a prefix operator": 'root ::= root "a" root | "c" root | "b"',
    "prefix and postfix operators": 'root ::= root "a" | "c" root | "b"',
    "prefix, infix and postfix": 'root ::= "a" root | root "b" root | root "c" | "a"',
    "indirect left recursion": 'root ::= x "a" | "b"\nx ::= root "c" | "a"',
    "indirect through a chain": 'root ::= x "a" | "b"\nx ::= y | "c"\ny ::= root "c" | x "b"',
    "indirect with every pair": (
        'root ::= x "a" | y "b" | "c"\nx ::= root "b" | y "c" | "a"\ny ::= x "c" | root "a" | "b"'
    ),
    "a nullable circle": 'root ::= x "a" | ""\nx ::= root "b" | y\ny ::= x "c" | ""',
    "satellites": (
        'root ::= cmp | logic | sum | "b"\n'
        'cmp ::= root "a" root\nlogic ::= root "c" root | "c" root\nsum ::= root "ac" root'
    ),
    "a prefix operator in its own rule": 'root ::= sum | not | "b"\nsum ::= root "a" root\n'
    'not ::= "c" (minus | root)\nminus ::= "a" root',
    "levels that call themselves": 'root ::= root "a" root | y\ny ::= y "b" y | root | "c"',
    "hidden behind white space": 'root ::= ws root "a" | "b"\nws ::= [c]*',
    "hidden behind an option": 'root ::= "a"? root "b" | "c"',
    "hidden behind two": 'root ::= x y root "c" | "b"\nx ::= "a"?\ny ::= x x | "b"',
    "hidden behind itself": 'root ::= root root "a" | "b" | ""',
    "hidden behind its own white space": 'root ::= x "c" | x root\nx ::= y? "a"?\ny ::= root "b"',
    "hidden and indirect": 'root ::= ws x "a" | "b"\nx ::= root ws | "c"\nws ::= ("a" | "c")*',
    "behind a rule for nothing": 'root ::= no root no "a" | "b" no\nno ::= "" | no',
    "in a repetition": 'root ::= (root "a")* "b" | "c"',
    "in a counted repetition": 'root ::= (root "a"){1,2} "b" | "c"',
    "in a repetition of nullable parts": 'root ::= (root? "a"?){2} "b" | "c"',
    "in nested groups": 'root ::= (("a" | root) "b" | (root | "c"))+ "a"',
    "a circle of units": 'root ::= x | "a"\nx ::= y\ny ::= root | x "b"',
    "a circle of nullable units": 'root ::= x x | "a"\nx ::= root? | "b"',
    "two circles": 'root ::= root "a" x | x\nx ::= x "b" | y\ny ::= x "c" | "a"',
    "a circle below another": 'root ::= x "a" root | root "c" | "b"\nx ::= x x "b" | "a" | ""',
    "tails that split": 'root ::= root ("a" root | "b" ("c" | root)) | "c"',
    "a nullable tail": 'root ::= root "a" root | "b"?',
    "an ambiguous list": 'root ::= item | item "a" root\nitem ::= "b" | "c" root "c"',
    "a list that may be empty": 'root ::= "" | item root\nitem ::= "b" | "a" "c"',
    "a list with two ends": 'root ::= "b" root | "b" "a" root | "b" "c" | "a"',
    "a list that ends like it goes on": 'root ::= "a" root | "a"',
    "white space by recursion": 'root ::= ws "a" ws\nws ::= "" | "b" ws | "c" ws',
    "mutual right recursion": 'root ::= "a" x | ""\nx ::= "b" root | "c" x | "a"',
    "repeated nothing": 'root ::= (ws "a"?)* "b"\nws ::= ("c" | "")*',
    "repeated nothing, at least twice": 'root ::= ("a"* "b"?){2,} "c"',
    "repeated nothing by a rule": 'root ::= (x | "c")+\nx ::= "a"? y*\ny ::= x "b" | ""',
    "options that never end": 'root ::= "a" | "b" x root | root x\nx ::= "c" x',
    "rules that nothing uses": 'root ::= "a" root | "b"\nx ::= x "a" | y\ny ::= "c"',
    "common beginnings": 'root ::= x "a" | x x "b" | x x "c" | "c"\nx ::= "a" root "b" | "c"',
    "common beginnings and ends": 'root ::= x "a" x | x "b" x | x x | "c"\nx ::= "c" root | "a"',
    "the same option twice": 'root ::= x | x | "a" x "b" | "a" x "b"\nx ::= ("c" | "c")',
    "names to be changed": 'root ::= ro_ot | ro-ot\nro_ot ::= root "a" | "b"\nro-ot ::= "c" ro_ot',
}
