"""Makes the corpora of the grammars for data: CSV, JSON, JSON without white space, ISO 8601.

The judges are Python's csv, json and datetime and, for durations, the library isodate. Each is
restricted to what the first lines of the grammar describe.

    pip install isodate==0.7.2
    python scripts/make_grammar_corpus_data.py
"""

from __future__ import annotations

import csv
import io
import json
import random
import re
from datetime import date, datetime, time, timedelta
from typing import Any, NoReturn

import isodate
from grammar_corpora import changed_characters, hand_written, near_misses, write_corpus

Random = random.Random
WORDS = ("Ann", "Zoë", "new york", "東京", "a;b", "it's", "x=1", "😀", "0.5", "-3", "2024-01-31")
QUOTED = ("a,b", 'say "hi"', "two\nlines", "", '"', ",", "\r\n")


def no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=no_constant)
    except ValueError:
        return False
    return True


def is_compact_json(text: str) -> bool:
    """JSON without white space outside strings."""
    return is_json(text) and not re.search(r"\s", re.sub(r'"(?:[^"\\]|\\.)*"', "", text))


def is_csv(text: str) -> bool:
    """The strict reader accepts it, and only fields that begin with a quote contain quotes."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        return False
    bare = re.sub(r'(?<![^,\r\n])"(?:[^"]|"")*"', "", text)
    return bool(rows) and '"' not in bare and "\r" not in bare.replace("\r\n", "\n")


def is_iso(text: str) -> bool:
    """One of the forms in the grammar's first lines, with values that exist."""
    digits = re.sub(r"[0-9]", "0", text)
    try:
        if re.fullmatch(r"0000-00-00", digits):
            date.fromisoformat(text)
        elif re.fullmatch(r"00:00(:00(\.0+)?)?", digits):
            time.fromisoformat(text)
        elif re.fullmatch(r"0000-00-00T00:00(:00(\.0+)?)?(Z|[-+]00:00)?", digits):
            datetime.fromisoformat(text)
        elif text.startswith("P"):
            isodate.parse_duration(text)
            # isodate accepts these, ISO 8601 does not
            return not (text.endswith(("P", "T")) or re.search("W.|[YMD].*W", text))
        else:
            return bool(re.fullmatch(r"-?[0-9][0-9.eE+-]*", text)) and is_json(text)
    except (ValueError, OverflowError):  # isodate's error is a ValueError
        return False
    return True


def some_value(rng: Random, depth: int = 0) -> Any:
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind < 2:
        return rng.choice((*WORDS, *QUOTED, "\\", "/", "\t"))
    if kind < 4:
        return rng.choice((0, -1, 17, 2.5, -1e-7, 1e300, 12345678901234567890))
    if kind < 6:
        return rng.choice((None, True, False))
    if kind < 7:
        return [some_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(WORDS): some_value(rng, depth + 1) for _ in range(rng.randrange(4))}


def some_table(rng: Random) -> str:
    out = io.StringIO()
    quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC))
    writer = csv.writer(out, quoting=quoting, lineterminator=rng.choice(("\n", "\r\n")))
    width = rng.randrange(1, 5)
    for _ in range(rng.randrange(1, 5)):
        writer.writerow([rng.choice((*WORDS, *QUOTED, 7)) for _ in range(width)])
    return out.getvalue()


def some_moment(rng: Random) -> str:
    moment = datetime(1, 1, 1) + timedelta(microseconds=rng.randrange(315 * 10**15))
    forms = (
        moment.date().isoformat(),
        moment.time().isoformat(),
        moment.isoformat(timespec="minutes"),
        f"{moment.isoformat(timespec='seconds')}Z",
        f"{moment.isoformat(timespec='milliseconds')}+05:30",
    )
    return rng.choice(forms)


def main() -> None:
    rng = Random(1)

    values = [some_value(rng) for _ in range(150)]
    compact = [json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values]
    compact += hand_written("json-valid.jsonl")
    spaced = [json.dumps(value, indent=rng.choice((None, 1, 2, 4))) for value in values]
    wrong = hand_written("json-invalid.jsonl")
    missed = near_misses(compact, is_json, changed_characters, 150, rng)
    write_corpus("json", is_json, [*compact, *spaced], [*wrong, *missed])
    wrong += [text for text in spaced if not is_compact_json(text)]
    missed = near_misses(compact, is_compact_json, changed_characters, 150, rng)
    write_corpus("json-compact", is_compact_json, compact, [*wrong, *missed])

    tables = [*hand_written("csv-valid.jsonl"), *(some_table(rng) for _ in range(120))]
    missed = near_misses(tables, is_csv, changed_characters, 150, rng)
    write_corpus("csv", is_csv, tables, [*hand_written("csv-invalid.jsonl"), *missed])

    moments = [*hand_written("iso-valid.jsonl"), *(some_moment(rng) for _ in range(120))]
    missed = near_misses(moments, is_iso, changed_characters, 200, rng)
    write_corpus("iso", is_iso, moments, [*hand_written("iso-invalid.jsonl"), *missed])


if __name__ == "__main__":
    main()
