"""Names and values for made-up schemas: one vocabulary to train on, another to test on.

No table, label, relationship, column or field of the held-out vocabulary occurs in the training
one (``id`` and the ``_id`` ending of foreign keys excepted). Modifiers multiply the training
names (``net weight``, ``rental car``), so that the model learns to copy names from the schema
instead of remembering them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from training.example import Split


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip().replace("_", " ") for part in text.split())


@dataclass(frozen=True)
class Vocabulary:
    """The words of one split; names of several words are written with spaces."""

    nouns: tuple[str, ...]
    noun_modifiers: tuple[str, ...]
    titles: tuple[str, ...]
    texts: dict[str, tuple[str, ...]]
    numbers: tuple[str, ...]
    number_modifiers: tuple[str, ...]
    dates: tuple[str, ...]
    flags: tuple[str, ...]
    lists: dict[str, tuple[str, ...]]
    verbs: tuple[str, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    syllables: tuple[str, ...]
    #: Words for any purpose, however odd: their meaning must not matter, only their spelling.
    any_words: tuple[str, ...]
    #: How often a training name is any word, or no word at all, so that names can only be copied.
    invented_share: float

    def _pseudo_word(self, rng: Random) -> str:
        return "".join(rng.choice(self.syllables) for _ in range(rng.randint(2, 3)))

    def _any_word(self, rng: Random) -> str:
        return rng.choice(self.any_words) if rng.random() < 0.7 else self._pseudo_word(rng)

    def noun(self, rng: Random) -> str:
        """A singular noun, sometimes with a modifier: ``order``, ``spare part``."""
        if rng.random() < self.invented_share:
            return self._any_word(rng)
        noun = rng.choice(self.nouns)
        if rng.random() < 0.15 and " " not in noun:
            return f"{rng.choice(self.noun_modifiers)} {noun}"
        return noun

    def number(self, rng: Random) -> str:
        """The name of a numeric column, sometimes with a modifier: ``price``, ``net weight``."""
        if rng.random() < self.invented_share:
            return self._any_word(rng)
        name = rng.choice(self.numbers)
        if rng.random() < 0.2 and " " not in name:
            return f"{rng.choice(self.number_modifiers)} {name}"
        return name

    def title(self, rng: Random) -> str:
        """The name of a column or field that names the thing: ``name``, ``headline``."""
        return (
            self._any_word(rng) if rng.random() < self.invented_share else rng.choice(self.titles)
        )

    def text(self, rng: Random) -> str:
        """The name of a text column or field: ``city``, ``job title``."""
        if rng.random() < self.invented_share:
            return self._any_word(rng)
        return rng.choice(sorted(self.texts))

    def items(self, rng: Random, name: str) -> list[str]:
        """One to three members of a list."""
        pool = self.lists[name]
        if self.any_words and rng.random() < 0.6:
            pool = rng.choice((self.any_words, self.first_names))
        return rng.sample(pool, rng.randint(1, 3))

    def person(self, rng: Random) -> str:
        """A person's full or first name."""
        first = rng.choice(self.first_names)
        return first if rng.random() < 0.3 else f"{first} {rng.choice(self.last_names)}"

    def invented(self, rng: Random) -> str:
        """A proper name nobody has seen: ``Velmora``, ``Tarkin 40``."""
        name = self._pseudo_word(rng).capitalize()
        return f"{name} {rng.randint(2, 90)}" if rng.random() < 0.15 else name

    def value(self, rng: Random, column: str) -> str:
        """A value of a text column: one of the column's own, a person or an invented name."""
        if rng.random() < self.invented_share:
            return rng.choice(self.any_words)
        own = self.texts.get(column, ())
        if own and rng.random() < 0.8:
            return rng.choice(own)
        return self.person(rng) if rng.random() < 0.4 else self.invented(rng)


def plural(noun: str) -> str:
    """The plural of a regular English noun, and of the few irregular ones used here."""
    head, _, last = noun.rpartition(" ")
    irregular = {"person": "people", "child": "children", "shelf": "shelves", "wolf": "wolves"}
    if last in irregular:
        last = irregular[last]
    elif last.endswith("y") and last[-2] not in "aeiou":
        last = f"{last[:-1]}ies"
    elif last.endswith(("s", "x", "ch", "sh", "z")):
        last = f"{last}es"
    else:
        last = f"{last}s"
    return f"{head} {last}".strip()


def snake(name: str) -> str:
    """``net weight`` → ``net_weight``."""
    return name.replace(" ", "_")


def camel(name: str) -> str:
    """``net weight`` → ``netWeight``."""
    first, *rest = name.split(" ")
    return first + "".join(word.capitalize() for word in rest)


def pascal(name: str) -> str:
    """``spare part`` → ``SparePart``."""
    return "".join(word.capitalize() for word in name.split(" "))


_ANY_WORDS = _words("""
    abbey acorn adapter admiral agenda almond ambition anthem antenna apricot apron aquarium
    arena armor aspect asset asylum atlas attic auction autumn avenue axle badge bakery_oven
    balcony ballot bamboo banner barley baron barrel basin basket bayonet beacon beaver bishop
    blanket blizzard blossom boiler bonus_card border botany bracket brigade broker bronco
    bucket buffalo bumper bunker burden butcher cabin cactus calendar camera canal candle canvas
    caravan cardinal carnival carpet carrot cavalry cavern cedar cellar census chapel chapter
    charity charter cherry chimney chorus cinema citizen clinic clover cobalt coconut collar
    colony column_height compass concert condor copper_wire coral corridor cottage council
    courier cradle crater cricket crystal cupboard curfew cushion cylinder dagger dairy
    dashboard decade degree delegate denim depot detour dialect diesel dividend dolphin domain
    donkey doorway drawer dungeon eclipse elbow embassy ember emblem emperor enclave engine
    envelope epoch equator essay estuary exhibit exile fabric falcon famine feather ferry
    festival fiddle filament fjord flannel fleet flute_case folklore foundry fountain freight
    frigate furnace fuselage galaxy gallery garrison gazette ginger goblet gorilla gradient
    granary gravel grocer guild guitar hammock handle_length hazard heater helmet herald hermit
    heron highway hinge honey horizon hostel hunter hydrant icon igloo incense index_card ingot
    invoice_line iron island ivory jacket jaguar jasmine jersey jigsaw journal juniper jury
    kayak kernel kettle kingdom kiosk kitten ladder lagoon lantern lavender ledger leopard lever
    licence lobby locket lumber machinery magnet mandate mango mantle marathon margin maroon
    mayor melody merchant meteor militia minister mirror molecule monsoon mortgage mosaic
    mustard nectar needle nickel nomad nozzle nutmeg oasis obelisk octave officer olive onion
    opera orchard orchid outpost oyster paddle palace panther parade parish parlor pasture
    pavilion pebble pelican pendulum pepper petal pigeon pillar pilot pirate plateau platoon
    plaza pollen pontoon porcelain portrait poultry prairie premier prism proverb pulley pumpkin
    puppet pyramid quarter quiver radar rafter ranger ravine ribbon ridge ritual rocket rodent
    rubber saddle salmon sanctuary sandal sapphire scaffold scholar scooter sector senator
    sermon shelter sheriff shuttle silo skeleton slipper socket sparrow spindle sponge stallion
    statue_height stirrup strait summit sundial surgeon symphony syrup tablet tavern tempo
    terrace thimble thistle thunder tiger timber toll tractor treaty tribune trolley trophy
    trumpet_case tunnel turnip tycoon umpire urchin vaccine valley vanilla vault velvet veranda
    verdict veteran vicar village vinegar viper voyage wagon walnut walrus warden weasel whisker
    widget willow windmill winter_coat witness yacht zebra zenith
""")

_TRAIN = Vocabulary(
    nouns=_words("""
        customer order product employee student teacher course book author movie actor song album
        artist city country car driver flight airport hotel room guest booking invoice payment
        supplier warehouse shipment store department project task ticket user post comment article
        patient doctor nurse appointment hospital school class team player match coach stadium
        recipe ingredient restaurant dish menu review vendor account transaction bank loan card
        house apartment tenant landlord company manager device sensor machine part factory worker
        event venue sponsor speaker member club library magazine newspaper photo video channel
        playlist game level quest item person child pet dog cat animal farm field tree plant
        flower bird fish bridge road station train bus bicycle truck package route parcel message
        email document folder file server phone laptop tool category brand item sale contract
        client lawyer case document policy claim agent candidate job interview application skill
    """),
    noun_modifiers=_words("""
        test spare rental main sales support team night summer winter city school home office
        product customer online local public private daily medical sports music training delivery
        service field travel stock guest junior senior special event partner account
    """),
    titles=_words(
        "name title name title name title full_name label username display_name headline subject "
        "alias handle heading term reference surname brand_name model_name company_name slogan "
        "legal_name short_name identifier signature tagline keyword"
    ),
    texts={
        "city": _words(
            "Berlin Paris London Madrid Rome Tokyo Boston Chicago Lisbon Vienna Prague Oslo Dublin "
            "Seattle Toronto Sydney Munich Hamburg Porto Milan New_York San_Francisco Los_Angeles"
        ),
        "country": _words(
            "Germany France Spain Italy Japan Brazil Canada Mexico India China Norway Poland USA "
            "Portugal Greece Turkey Egypt Kenya Peru United_Kingdom South_Korea"
        ),
        "status": _words("active inactive pending closed open shipped cancelled paid draft done"),
        "category": _words("books toys garden food music sports kitchen office electronics health"),
        "color": _words("red blue green black white yellow orange purple grey brown silver"),
        "type": _words("basic premium standard internal external express manual digital mobile"),
        "genre": _words("drama comedy horror jazz rock fantasy history thriller romance pop"),
        "department": _words("Sales Marketing Engineering Finance Support Legal Research HR IT"),
        "role": _words("admin editor viewer engineer analyst designer manager intern developer"),
        "gender": _words("female male"),
        "language": _words("English German French Spanish Italian Japanese Hindi Dutch Polish"),
        "brand": _words("Acme Globex Initech Umbrella Stark Wayne Hooli Soylent Vandelay"),
        "region": _words("north south east west Europe Asia Africa Bavaria Texas Tuscany"),
        "priority": _words("low medium high urgent critical"),
        "nationality": _words("German French Spanish Italian Brazilian Canadian Indian Kenyan"),
        "payment method": _words("cash card paypal transfer voucher invoice"),
        "job title": _words("accountant nurse driver teacher chef clerk plumber architect"),
        "email": (),
        "owner": (),
        "publisher": (),
        "director": (),
        "supplier": (),
        "team": (),
        "manufacturer": (),
        "contact": (),
        "address": (),
        "street": (),
        "company": (),
        "model": (),
    },
    numbers=_words("""
        price amount age salary quantity stock rating height weight year duration budget score
        capacity population distance speed area length width temperature pages votes points
        balance discount tax cost revenue profit bonus level floor seats mileage power voltage
        grade credits visits downloads views likes followers goals wins losses calories protein
        sugar size hours days items members units total fee rent credit_limit rank experience
    """),
    number_modifiers=_words("""
        total net base max min unit monthly annual initial current estimated average final
        daily weekly yearly first last extra actual
    """),
    dates=_words("created_at order_date birth_date hire_date date due_date updated_at start_date"),
    flags=_words("""
        active available in_stock verified published urgent paid public archived enabled married
        subscribed completed vegetarian refundable remote approved returned
    """),
    lists={
        "tags": _words("new sale popular vegan cheap fast quiet large small blue old family"),
        "skills": _words("Python Java SQL welding cooking painting driving writing singing"),
        "languages": _words("English German French Spanish Italian Japanese Hindi Dutch"),
        "ingredients": _words("flour sugar salt butter milk eggs rice garlic tomato basil"),
        "colors": _words("red blue green black white yellow orange purple grey"),
        "hobbies": _words("chess hiking reading swimming cycling gardening photography"),
        "cities": _words("Berlin Paris London Madrid Rome Tokyo Boston Chicago Lisbon"),
        "features": _words("wifi parking pool balcony garage heating elevator bluetooth"),
        "guests": _words("Anna Paul Maria Tom Lisa Peter Nina Oscar Julia Mark"),
        "topics": _words("sales budget hiring security design travel training marketing"),
    },
    verbs=_words("""
        acted_in works_at lives_in ordered bought wrote directed manages owns knows follows likes
        teaches attends visited rated reviewed played_for belongs_to located_in sells supplies
        produced sponsors hired reports_to treats drives uses contains created published sent
        received booked reserved joined leads supports married studied_at born_in assigned_to
    """),
    first_names=_words(
        "Anna Paul Maria Tom Lisa Peter Nina Oscar Julia Mark Emma Liam Olivia Noah Sofia Lucas "
        "Alice Bob Carol David Eva Frank Grace Henry Ines Jack Kate Leo Mia Robert Sarah John"
    ),
    last_names=_words(
        "Smith Miller Weber Rossi Garcia Silva Tanaka Brown Jones Fischer Novak Larsen Moreau "
        "Costa Keller Young Martin Wilson Taylor Schmidt Lopez Kim Clark Hanks"
    ),
    syllables=_words(
        "ba be bo da do fa fe ga go ha hi ka ko la le lo ma mo na ne no pa po ra re ro sa se so ta "
        "te to va ve vi wa ze zo mar ten dor vel lan kin ros bel tar nor sil ven"
    ),
    any_words=_ANY_WORDS,
    invented_share=0.3,
)

_HELD_OUT = Vocabulary(
    nouns=_words("""
        telescope glacier orchestra musician vineyard museum painting sculptor lighthouse volcano
        comet satellite astronaut mission spaceship harbor vessel captain cargo lawmaker statute
        beehive keeper quarry mineral gemstone jeweler robot circuit bakery cake dancer theater
        turbine reactor dam reservoir monastery monk castle knight tournament archer fossil
        excavation archive manuscript dragon wizard spell potion
    """),
    noun_modifiers=_words("ancient royal polar solar coastal lunar arctic hidden marine northern"),
    titles=_words("designation caption moniker codename nickname"),
    texts={
        "habitat": _words("desert tundra swamp savanna reef meadow canyon steppe"),
        "material": _words("granite marble bronze copper oak titanium linen ceramic"),
        "province": _words("Alberta Galicia Lombardy Saxony Brittany Drenthe Silesia Moravia"),
        "condition": _words("damaged restored pristine fragile stable corroded worn"),
        "era": _words("medieval baroque renaissance modern gothic victorian neolithic"),
        "shape": _words("round oval conical cubic spiral hexagonal flat"),
        "rarity": _words("common scarce unique legendary exotic"),
        "instrument": _words("violin cello flute oboe harp trumpet clarinet"),
        "curator": (),
        "patron": (),
        "inventor": (),
        "registry code": (),
        "hull class": (),
    },
    numbers=_words("""
        altitude depth humidity tonnage turnover wattage thickness diameter torque latency
        elevation rainfall premium headcount carats bedrooms doses density brightness luminosity
        pressure frequency draft harvest rotations
    """),
    number_modifiers=_words("peak gross residual nominal median hourly combined expected"),
    dates=_words("launch_date expiry_date founded_on inspection_date"),
    flags=_words("operational inhabited insured fireproof haunted licensed soluble waterproof"),
    lists={
        "inscriptions": _words("eagle crown anchor serpent laurel sun moon"),
        "crew": _words("Ada Bruno Clara Dmitri Elif Farid Greta Hugo Ivy"),
        "minerals": _words("quartz mica feldspar topaz opal jade pyrite"),
        "permits": _words("fishing mining diving filming drilling camping"),
    },
    verbs=_words("""
        orbits excavated composed guards discovered sculpted commands navigates inherited
        restored forged inspected anchored_at trained_by exhibits besieged
    """),
    first_names=_words("Ada Bruno Clara Dmitri Elif Farid Greta Hugo Ivy Joaquin Keiko Ludmila"),
    last_names=_words("Abbott Bergstrom Castellano Dubois Eriksen Ferrari Gupta Haddad Ivanova"),
    syllables=_words("mar ten dor vel lan kin ros bel tar nor sil ven"),
    any_words=(),
    invented_share=0.0,
)


def vocabulary(split: Split) -> Vocabulary:
    """The words of a split."""
    return _TRAIN if split == "train" else _HELD_OUT
