"""Two experts on one small model: ask a database in plain words, fill in a JSON form, swap, batch.

Run it with ``make demo``.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hivellm_lite import ExpertManager, InferenceResult

EXPERTS = Path(__file__).parent / "experts"

SCHEMA = """\
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers(id), \
product TEXT, price REAL);"""

CUSTOMERS = [(1, "Ada", "London"), (2, "Linus", "Helsinki"), (3, "Grace", "New York"),
             (4, "Alan", "London"), (5, "Margaret", "Boston")]  # fmt: skip
ORDERS = [(1, 1, "keyboard", 89.0), (2, 3, "compiler", 240.0), (3, 1, "notebook", 4.5),
          (4, 2, "kernel", 0.0), (5, 4, "bicycle", 310.0), (6, 3, "headset", 59.9)]  # fmt: skip

QUESTIONS = (
    "Which customers live in London?",
    "How many orders did each customer place?",
    "What are the three most expensive orders?",
)

FORM = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "city": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
    },
    "required": ["name", "city", "age"],
}
CITIES = ["London", "Boston", "Helsinki", "New York", "Paris", "Berlin", "Oslo", "Rome"]
SENTENCE = "My name is Grace, I am 37 years old and I live in New York."


def colour(text: str, code: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"


def ask(manager: ExpertManager, name: str, question: str, **options: Any) -> InferenceResult:
    """Print the question, stream the answer, return the result."""
    print(f"{colour('?', '1;33')} {question}\n{colour('>', '1;32')} ", end="", flush=True)
    with manager.generate_stream(name, question, **options) as stream:
        for piece in stream:
            print(colour(piece, "36"), end="", flush=True)
    print()
    assert stream.result is not None
    return stream.result


def shop() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    database.executescript(SCHEMA)
    database.executemany("INSERT INTO customers VALUES (?, ?, ?)", CUSTOMERS)
    database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", ORDERS)
    database.execute("PRAGMA query_only = ON")
    return database


def show_rows(database: sqlite3.Connection, query: str) -> None:
    try:
        cursor = database.execute(query)
    except sqlite3.Error as error:
        print(f"    SQLite says: {error}")
        return
    names = [column[0] for column in cursor.description]
    rows = [[str(value) for value in row] for row in cursor]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    for line in [names, ["─" * width for width in widths], *rows]:
        cells = zip(line, widths, strict=True)
        print("    " + "  ".join(f"{cell:<{width}}" for cell, width in cells))
    print()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--base", type=Path, required=True, help="SmolLM2-135M-Instruct GGUF")
    base = arguments.parse_args().base

    from hivellm_lite import ExpertManager

    with (
        tempfile.TemporaryDirectory() as cache,  # its own, to show what a first use costs
        ExpertManager(base=base, cache_dir=cache) as manager,
    ):
        loading = {}
        for name in ("sql", "json"):
            started = time.perf_counter()
            manager.load_expert(name, EXPERTS / f"{name}.expert")
            loading[name] = time.perf_counter() - started

        print(colour("\nAsk a database", "1"), f"— expert-sql on {base.name}\n")
        print("\n".join(f"    {line}" for line in SCHEMA.splitlines()), end="\n\n")
        database = shop()
        results = []
        for question in QUESTIONS:
            results.append(ask(manager, "sql", question, schema=SCHEMA))
            show_rows(database, results[-1].text)

        print(colour("Fill a form", "1"), "— expert-json, a DoRA, swapped in on the same base;")
        print("the answer can only be JSON that follows the schema\n")
        filled = ask(manager, "json", SENTENCE, schema=json.dumps(FORM), json_schema=FORM)
        results.append(filled)
        for name, value in json.loads(filled.text).items():
            print(f"    {name:<5} {value!r}")

        again = manager.generate("sql", QUESTIONS[0], schema=SCHEMA)
        questions = [f"Which customers live in {city}?" for city in CITIES]
        started = time.perf_counter()
        one_by_one = [manager.generate("sql", each, schema=SCHEMA) for each in questions]
        between = time.perf_counter()
        together = manager.generate_batch("sql", questions, schema=SCHEMA)
        ended = time.perf_counter()
        assert [one.text for one in together] == [one.text for one in one_by_one]

        speed = sum(result.completion_tokens for result in results) / sum(
            result.completion_tokens / result.tokens_per_second for result in results
        )
        swap = again.time_to_first_token * 1000
        gain = (between - started) / (ended - between)
        print(colour("\nWhat it took", "1"))
        for label, text in (
            ("load the base, unpack and convert SQL", f"{loading['sql'] * 1000:6.0f} ms"),
            ("unpack and convert JSON, same base", f"{loading['json'] * 1000:6.0f} ms"),
            ("swap back to SQL, to the first token", f"{swap:6.0f} ms"),
            ("generation", f"{speed:6.1f} tokens/s"),
            (f"{len(questions)} questions together", f"{gain:6.1f} × as fast as one by one"),
        ):
            print(f"    {label:<40}{text}")
        print("\nNow ask your own question:\n")
        print(
            f"    .venv/bin/hivellm-lite run {os.path.relpath(EXPERTS / 'sql.expert')} \\\n"
            f'        "Which city has the most customers?" --base {base} \\\n'
            '        --schema "CREATE TABLE customers (id INTEGER, name TEXT, city TEXT);"\n'
        )


if __name__ == "__main__":
    main()
