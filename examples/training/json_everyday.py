"""Training texts about everyday things, as a person would write them: people, products, events.

Each function returns what the text says, field by field, and the text. Only training uses them;
held-out questions come from the templates in ``json_wording`` with other names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from training.json_wording import Value
    from training.vocabulary import Vocabulary

Said = tuple[dict[str, "Value"], str]

#: Names a schema may give to a field, besides the field's own.
SYNONYMS = {
    "name": ("name", "name", "full_name", "person"),
    "job": ("job", "occupation", "profession", "job_title"),
    "city": ("city", "city", "location", "place"),
    "price": ("price", "price", "cost"),
    "title": ("title", "title", "name"),
    "date": ("date", "day"),
    "customer": ("customer", "client", "buyer"),
    "guests": ("guests", "number_of_guests", "people"),
}


def _job(rng: Random, words: Vocabulary) -> str:
    return rng.choice(
        (
            *words.texts["job title"],
            "software engineer",
            "baker",
            "designer",
            "journalist",
            "dentist",
            "photographer",
            "data scientist",
            "farmer",
        )
    )


def _day(rng: Random) -> str:
    return f"{rng.randint(2015, 2027)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def person(rng: Random, words: Vocabulary) -> Said:
    """A person: name, age, city, job, email, languages, married."""
    name = words.person(rng)
    age, city, job = rng.randint(18, 88), rng.choice(words.texts["city"]), _job(rng, words)
    number, provider = rng.randint(1, 99), words.invented(rng).split()[0].lower()
    email = f"{name.split()[0].lower()}{number}@{provider}.com"
    married = rng.random() < 0.5
    languages = rng.sample(words.lists["languages"], rng.randint(1, 3))
    spoken = (
        languages[0] if len(languages) == 1 else f"{', '.join(languages[:-1])} and {languages[-1]}"
    )
    a_job = f"{'an' if job[0] in 'aeiou' else 'a'} {job}"
    text = rng.choice(
        [
            f"{name} is {age} years old, lives in {city} and works as {a_job}.",
            f"{name}, {age}, is {a_job} from {city}.",
            f"My name is {name}, I am {age} and I live in {city}, where I work as {a_job}.",
            f"Meet {name}, {a_job} based in {city}. {name.split()[0]} is {age}.",
            f"{name} ({age}) works as {a_job} in {city}.",
        ]
    )
    text += rng.choice(
        [f" You can write to {email}.", f" Email: {email}.", f" The address is {email}."]
    )
    text += rng.choice(
        [" Married.", " They are married."]
        if married
        else [" Not married.", " They are single.", " Unmarried."]
    )
    text += rng.choice([f" Speaks {spoken}.", f" {name.split()[0]} speaks {spoken}."])
    return {
        "name": name,
        "age": age,
        "city": city,
        "job": job,
        "email": email,
        "married": married,
        "languages": languages,
    }, text


def product(rng: Random, words: Vocabulary) -> Said:
    """A product: name, price, brand, color, weight, in_stock."""
    name = rng.choice([words.invented(rng), rng.choice(words.nouns)])
    brand, color = rng.choice(words.texts["brand"]), rng.choice(words.texts["color"])
    price = rng.choice([rng.randint(5, 900), round(rng.uniform(1, 300), 2)])
    weight = round(rng.uniform(0.1, 30), 1)
    stock = rng.random() < 0.5
    text = rng.choice(
        [
            f"The {color} {name} by {brand} costs ${price} and weighs {weight} kg.",
            f"{brand} sells the {name} in {color} for {price} euros; it weighs {weight} kg.",
            f"For {price} dollars you get the {name} from {brand}, {color}, {weight} kg.",
        ]
    )
    text += rng.choice(
        [" It is in stock.", " Available now.", " In stock."]
        if stock
        else [" It is out of stock.", " Sold out.", " Currently not available."]
    )
    return {
        "name": name,
        "price": float(price),
        "brand": brand,
        "color": color,
        "weight": weight,
        "in_stock": stock,
    }, text


def event(rng: Random, words: Vocabulary) -> Said:
    """An event: title, date, city, guests, free, topics."""
    title = f"{words.invented(rng)} {rng.choice(['Summit', 'Meetup', 'Festival', 'Workshop'])}"
    date, city = _day(rng), rng.choice(words.texts["city"])
    guests, free = rng.randint(8, 900), rng.random() < 0.5
    topics = rng.sample(words.lists["topics"], rng.randint(1, 3))
    text = rng.choice(
        [
            f"The {title} takes place in {city} on {date} with {guests} guests.",
            f"On {date}, {guests} people will come to the {title} in {city}.",
            f"{city} hosts the {title} on {date}; {guests} guests are expected.",
        ]
    )
    text += rng.choice(
        [" Entry is free.", " It is free."]
        if free
        else [" Entry is not free.", " You need a paid ticket."]
    )
    text += f" Topics: {', '.join(topics)}."
    return {
        "title": title,
        "date": date,
        "city": city,
        "guests": guests,
        "free": free,
        "topics": topics,
    }, text


def order(rng: Random, words: Vocabulary) -> Said:
    """An order: customer, product, quantity, total, paid."""
    customer, item = words.person(rng), rng.choice(words.nouns)
    quantity, total = rng.randint(1, 40), round(rng.uniform(2, 900), 2)
    paid, date = rng.random() < 0.5, _day(rng)
    text = rng.choice(
        [
            f"{customer} ordered {quantity} x {item} for {total} in total on {date}.",
            f"On {date} {customer} bought {quantity} units of {item}, {total} dollars altogether.",
            f"Order from {customer}, {date}: {quantity} {item}, total {total}.",
        ]
    )
    text += rng.choice(
        [" Already paid.", " It has been paid."]
        if paid
        else [" Not paid yet.", " Payment is still open."]
    )
    return {
        "customer": customer,
        "product": item,
        "quantity": quantity,
        "total": total,
        "paid": paid,
        "date": date,
    }, text


def movie(rng: Random, words: Vocabulary) -> Said:
    """A movie: title, director, year, genre, rating."""
    title, director = words.invented(rng), words.person(rng)
    year, genre = rng.randint(1950, 2026), rng.choice(words.texts["genre"])
    rating = round(rng.uniform(1, 10), 1)
    text = rng.choice(
        [
            f"{title} is a {year} {genre} movie directed by {director}, rated {rating}.",
            f"{director} directed the {genre} film {title} in {year}. It is rated {rating}.",
            f"The {genre} movie {title} ({year}) by {director} has a rating of {rating}.",
        ]
    )
    return {
        "title": title,
        "director": director,
        "year": year,
        "genre": genre,
        "rating": rating,
    }, text


EVERYDAY: tuple[Callable[[Random, Vocabulary], Said], ...] = (
    person,
    person,
    product,
    event,
    order,
    movie,
)
