"""The grammars and texts that enforcement is measured with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hivellm_lite.gbnf.library import load_grammar
from hivellm_lite.gbnf.parser import parse_grammar
from hivellm_lite.gbnf.syntax import Grammar

__all__ = ["Case", "cases"]


@dataclass(frozen=True)
class Case:
    """A grammar and a text of it."""

    name: str
    grammar: Grammar
    text: str


DEPTHS = (1, 5, 20)

SQL = (
    "SELECT c.name, SUM(o.price * o.quantity) AS total FROM customers AS c "
    "LEFT JOIN orders AS o ON o.customer_id = c.id AND o.status IN ('paid', 'sent') "
    "WHERE c.city = 'Lisbon' AND (o.price > 12.5 OR o.product LIKE 'tea%') "
    "GROUP BY c.name HAVING COUNT(o.id) > 3 ORDER BY total DESC LIMIT 10"
)
PLAIN_SQL = (
    "SELECT name, SUM(price * quantity) AS total FROM orders JOIN customers ON id = customer_id "
    "WHERE city = 'Lisbon' AND price > 12.5 OR quantity + 1 > 3 "
    "GROUP BY name ORDER BY total DESC LIMIT 10"
)
CYPHER = (
    "MATCH (p:Person {city: 'Lisbon'})-[r:KNOWS*1..3]->(f:Person) WHERE f.age > 30 AND "
    "NOT f.name STARTS WITH 'A' WITH p, count(f) AS friends, collect(f.name) AS names "
    "WHERE friends > 2 RETURN p.name, friends, names ORDER BY friends DESC LIMIT 5"
)

AMBIGUOUS_JSON = r"""
# Lists by recursion, both ends of an option alike, white space that may be nothing everywhere.
root    ::= ws value ws
value   ::= object | array | string | number | "true" | "false" | "null"
object  ::= "{" ws "}" | "{" ws pairs ws "}"
pairs   ::= pair | pair ws "," ws pairs
pair    ::= ws string ws ":" ws value ws
array   ::= "[" ws "]" | "[" ws values ws "]"
values  ::= value | value ws "," ws values
string  ::= "\"" chars "\""
chars   ::= "" | char chars
char    ::= [^"\\] | "\\" ["\\/bfnrt]
number  ::= whole | whole "." digits | "-" number
whole   ::= "0" | [1-9] digits | [1-9]
digits  ::= [0-9] | [0-9] digits
ws      ::= "" | " " ws | "\n" ws | "\t" ws
"""
"""llama.cpp takes it."""

AMBIGUOUS_SQL = r"""
# An expression that begins with itself in many rules, and white space that may be nothing.
root       ::= ws "SELECT" ws columns ws "FROM" ws tables where? group? order? limit? ws
columns    ::= column | column ws "," ws columns
column     ::= expr | expr ws "AS" ws word | "*"
tables     ::= word | tables ws "JOIN" ws word ws "ON" ws expr
where      ::= ws "WHERE" ws expr
group      ::= ws "GROUP" ws "BY" ws columns
order      ::= ws "ORDER" ws "BY" ws columns (ws ("ASC" | "DESC"))?
limit      ::= ws "LIMIT" ws number
expr       ::= logic | comparison | sum_expr | call | word | number | text | "(" ws expr ws ")"
logic      ::= expr ws ("AND" | "OR") ws expr | "NOT" ws expr
comparison ::= expr ws ("=" | "<" | ">" | "<=" | ">=" | "<>" | "LIKE") ws expr
sum_expr   ::= expr ws [-+*/] ws expr
call       ::= word "(" ws (expr (ws "," ws expr)*)? ws ")"
word       ::= [a-zA-Z_] [a-zA-Z0-9_]*
number     ::= [0-9]+ ("." [0-9]+)?
text       ::= "'" [^']* "'"
ws         ::= [ \t\n]*
"""
"""llama.cpp refuses it as it stands: left recursion, and names with ``_``."""


def nested_json(depth: int) -> str:
    value: Any = {"name": "green tea", "price": 12.5, "tags": ["a", "b"], "sold": True}
    for level in range(depth):
        value = {"level": level, "inner": [value, None]} if level % 2 else [value, -3]
    return json.dumps(value)


def cases(more_json: list[Path], more_sql: list[Path]) -> list[Case]:
    """``more_json`` and ``more_sql``: further grammars for the same texts."""
    json_grammars = [
        ("json", load_grammar("json")),
        ("ambiguous JSON", parse_grammar(AMBIGUOUS_JSON, source="ambiguous JSON")),
        *((str(path), load_grammar(path)) for path in more_json),
    ]
    sql_grammars = [
        ("ambiguous SQL", parse_grammar(AMBIGUOUS_SQL, source="ambiguous SQL")),
        *((str(path), load_grammar(path)) for path in more_sql),
    ]
    return [
        *(
            Case(f"{name}, depth {depth}", grammar, nested_json(depth))
            for name, grammar in json_grammars
            for depth in DEPTHS
        ),
        Case("sql-postgres", load_grammar("sql-postgres"), SQL),
        *(Case(name, grammar, PLAIN_SQL) for name, grammar in sql_grammars),
        Case("cypher", load_grammar("cypher"), CYPHER),
    ]
