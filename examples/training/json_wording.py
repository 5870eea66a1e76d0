"""How a text states the fields of a thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

Value = str | int | float | bool | list[str]
_SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def article(words: str) -> str:
    """The words with ``a`` or ``an``."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _shown(rng: Random, value: str | float) -> str:
    if isinstance(value, int) and value <= 10 and rng.random() < 0.25:
        return _SMALL[value]
    if isinstance(value, int) and value >= 1000 and rng.random() < 0.2:
        return f"{value:,}"
    return str(value)


def _flag(rng: Random, words: str, *, true: bool) -> list[str]:
    """Predicates of a boolean field, to follow the subject."""
    if words.startswith("in "):
        return [f"is {words}"] if true else [f"is not {words}", f"isn't {words}"]
    if true:
        return [f"is {words}", f"is {words}", f"is already {words}", f"is currently {words}"]
    forms = [f"is not {words}", f"is not {words}", f"isn't {words}", f"is not yet {words}"]
    return [rng.choice(forms)]


def _predicates(rng: Random, words: str, kind: str, value: Value) -> list[str]:
    """Ways to state a field after the subject (``Velmora …``)."""
    if isinstance(value, bool):
        return _flag(rng, words, true=value)
    if isinstance(value, list):
        return [f"has the {words} {_listed(value)}", f"lists {_listed(value)} as {words}"]
    shown = _shown(rng, value)
    if words in ("city", "country", "region", "province", "habitat"):
        return [
            f"is in {shown}",
            f"has {shown} as {words}",
            f"comes from {shown}",
            f"is located in {shown}",
        ]
    if words == "age" and kind != "string":
        return [f"is {shown} years old", f"is {shown} years of age", f"has an age of {shown}"]
    if words == "price" and kind != "string":
        return [f"costs {shown}", f"sells for {shown}", f"has a price of {shown}"]
    if kind == "string":
        return [
            f"has the {words} {shown}",
            f"has {shown} as {words}",
            f"has {article(words)} of {shown}",
        ]
    forms = [f"has {article(words)} of {shown}", f"has {article(words)} of {shown}"]
    if words.endswith("s"):
        forms += [f"has {shown} {words}", f"counts {shown} {words}"]
    return forms


def _sentences(rng: Random, words: str, kind: str, value: Value, owner: str) -> list[str]:
    """Whole sentences for one field; ``owner`` is ``Its`` or ``The order's``."""
    if isinstance(value, bool):
        pronoun = "It" if owner == "Its" else owner.removesuffix("'s")
        return [f"{pronoun} {one}." for one in _flag(rng, words, true=value)]
    if isinstance(value, list):
        many = _listed(value)
        return [
            f"{owner} {words} are {many}.",
            f"{words.capitalize()}: {', '.join(value)}.",
            f"{owner} {words} include {many}.",
        ]
    shown = _shown(rng, value)
    forms = [
        f"{owner} {words} is {shown}.",
        f"The {words} is {shown}.",
        f"{words.capitalize()}: {shown}.",
    ]
    if kind != "string":
        forms.append(f"Its {words} is {'listed as ' if rng.random() < 0.5 else ''}{shown}.")
    return forms


def said(
    rng: Random,
    noun: str,
    nouns: str,
    title: str,
    name: str,
    fields: list[tuple[str, str, Value]],
) -> str:
    """A text about ``name``, ``article noun``, that says all the fields."""
    opening = rng.random()
    rest = list(fields)
    if opening < 0.35 and rest:
        predicate = rng.choice(_predicates(rng, *rest.pop(0)))
        subject = rng.choice([f"The {noun} {name}", name, f"{name}, {article(noun)},"])
        text = f"{subject} {predicate}"
        if rest and rng.random() < 0.6:
            text += f" and {rng.choice(_predicates(rng, *rest.pop(0)))}"
        text += "."
    elif opening < 0.6 and len(rest) >= 2:
        first, second = rest.pop(0), rest.pop(0)
        text = (
            f"{name} is {article(noun)} that {rng.choice(_predicates(rng, *first))}"
            f" and {rng.choice(_predicates(rng, *second))}."
        )
    else:
        text = rng.choice(
            [
                f"{name} is {article(noun)}.",
                f"This {noun} is called {name}.",
                f"We have {article(noun)} named {name}.",
                f"One of our {nouns} is {name}.",
                f"The {title} of the {noun} is {name}.",
                f"{title.capitalize()}: {name}.",
                f"A new {noun} with the {title} {name} was added.",
            ]
        )
    while rest:
        owner = rng.choice(["Its", "Its", f"The {noun}'s", "Its"])
        if len(rest) >= 2 and rng.random() < 0.3:
            first, second = rest.pop(0), rest.pop(0)
            text += (
                f" It {rng.choice(_predicates(rng, *first))}"
                f" and {rng.choice(_predicates(rng, *second))}."
            )
        else:
            text += f" {rng.choice(_sentences(rng, *rest.pop(0), owner))}"
    return text
