"""Questions to a SQLite file in plain words, with a repair loop.

    python examples/text_to_sql.py shop.db "Which customers live in London?" --base MODEL.gguf

The expert sees the tables of the file. SQLite is the judge: where it refuses a query, the expert is
asked again with some chance in its choice, a few times. The file is opened for reading only.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
from pathlib import Path

from hivellm_lite import Expert

EXPERT = Path(__file__).parent / "experts" / "sql.expert"
ATTEMPTS = 5


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("database", type=Path)
    parser.add_argument("question")
    parser.add_argument("--base", required=True)
    given = parser.parse_args()
    database = sqlite3.connect(f"{given.database.absolute().as_uri()}?mode=ro", uri=True)
    tables = "\n".join(
        sql for (sql,) in database.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
    )
    with Expert.load(EXPERT, base=given.base) as expert:
        for attempt in range(ATTEMPTS):
            chance = {"temperature": 0.0} if not attempt else {"temperature": 0.8, "seed": attempt}
            query = expert.generate(given.question, schema=tables, **chance).text
            try:
                cursor = database.execute(query)
                rows = cursor.fetchall()
            except (sqlite3.Error, sqlite3.Warning) as error:
                print(f"{query}\n  SQLite says: {error}", file=sys.stderr)
                continue
            print(query)
            print("\t".join(column[0] for column in cursor.description))
            for row in rows:
                print("\t".join(map(str, row)))
            return 0
    print(f"no query of {ATTEMPTS} was accepted", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
