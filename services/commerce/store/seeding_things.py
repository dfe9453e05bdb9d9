"""What `lockstep seed` sells: things, what they can be made of, and what they cost."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

MAKERS: Final = (
    "Aldermoor",
    "Brightwell",
    "Copperline",
    "Fjord & Sons",
    "Halden",
    "Kestrel",
    "Lindqvist",
)
COLOURS: Final = ("black", "cream", "forest green", "navy", "rust", "sand", "slate", "white")
STYLES: Final = (
    "Everyday",
    "Classic",
    "Compact",
    "Outdoor",
    "Premium",
    "Small",
    "Sustainable",
    "Vintage",
)
_LOOKS: Final = ("classic", "everyday", "hand-made", "large", "small", "plain", "vintage")
_PLURALS: Final = frozenset({"headphones", "socks", "building blocks"})
_CLOSINGS: Final = (
    "Made to be used every day, and mended when it needs it.",
    "Made in small numbers, so no two are quite alike.",
    "It comes without plastic, in a box that can be used again.",
    "The maker keeps spare parts for ten years.",
    "A present that stays.",
)

# Of each: its materials, and its lowest and highest price.
_KINDS: Final = {
    "Kitchen": "kettle: steel, copper, enamel 39 120; saucepan: steel, cast iron, copper 29 140;"
    " chopping board: oak, walnut, bamboo 18 70; whisk: steel, beech 8 25; bread knife: steel 25 95;"
    " mixing bowl: stoneware, steel, glass 15 49",
    "Lighting": "floor lamp: oak, steel, brass 89 320; desk lamp: steel, brass, oak 45 180;"
    " pendant light: linen, steel, glass 59 240; lantern: steel, glass, bamboo 19 75; wall light: brass, steel, ceramic 39 160",
    "Tea and Coffee": "green tea: whole-leaf, organic 7 24; teapot: ceramic, cast iron, glass 28 95;"
    " espresso cup: porcelain, stoneware, glass 9 22; coffee grinder: beech, steel 49 190; tea tin: steel, copper 8 20",
    "Bedroom": "pillow: cotton, linen, wool 25 85; duvet cover: cotton, linen 49 160; bedside table: oak, walnut, pine 90 280;"
    " blanket: wool, cotton 45 150; wool throw: merino, lambswool 59 190",
    "Bathroom": "bath towel: cotton, linen 15 49; soap dish: ceramic, oak, stone 9 29; bath mat: cotton, bamboo 19 55;"
    " mirror: oak, brass, steel 49 220; laundry basket: bamboo, willow, cotton 29 95",
    "Garden": "watering can: steel, copper 25 79; plant pot: terracotta, ceramic, concrete 9 65; garden chair: oak, acacia, steel 59 220;"
    " trowel: steel, ash 12 35; bird feeder: oak, steel 19 59",
    "Office": "notebook: recycled paper, linen-bound, leather-bound 9 35; fountain pen: steel, brass 25 140; desk organiser: oak, bamboo, felt 19 69;"
    " paper tray: oak, steel 15 49; stapler: steel 12 39",
    "Cycling": "bike light: aluminium 19 79; pannier: canvas, waxed cotton 49 140; helmet: recycled 45 150; pump: aluminium, steel 19 65;"
    " bottle cage: aluminium, bamboo 9 35",
    "Hiking": "rucksack: canvas, waxed cotton, recycled 69 220; water bottle: steel, glass 15 45; head torch: aluminium 25 89;"
    " trekking pole: aluminium, carbon 29 120; tent: cotton, recycled 149 490",
    "Music": "headphones: aluminium, walnut 79 390; turntable: walnut, oak 190 690; loudspeaker: walnut, oak 90 490;"
    " music stand: beech, steel 25 110; ukulele: mahogany, koa, spruce 59 260",
    "Toys": "wooden train: beech, maple 19 79; puzzle: birch, cardboard 12 45; building blocks: beech, maple 19 89; kite: cotton, recycled 19 59;"
    " marble run: beech, bamboo 35 120",
    "Clothing": "scarf: wool, silk, cotton 19 95; rain jacket: waxed cotton, recycled 79 260; cardigan: wool, cotton 59 180;"
    " linen shirt: washed, heavy 49 120; socks: wool, cotton, bamboo 7 22",
    "Travel": "suitcase: aluminium, canvas, leather 99 420; wash bag: canvas, leather 19 75; travel adapter: recycled 12 39;"
    " passport holder: leather, cork 12 49; weekend bag: canvas, leather 69 290",
    "Baking": "cake tin: steel, enamel 12 39; rolling pin: beech, maple, marble 12 45; proving basket: rattan, willow 12 35;"
    " oven glove: cotton, linen 9 29; cake stand: ceramic, glass, marble 25 89",
    "Storage": "shelf: oak, walnut, pine 59 320; storage box: cotton, felt, pine 15 59; coat rack: oak, steel 39 190;"
    " drawer unit: oak, pine 120 420; glass jar: cork-lidded, clip-top 6 24",
    "Pets": "dog bed: cotton, wool, canvas 39 140; cat tree: pine, sisal 49 190; food bowl: ceramic, steel 9 35; dog lead: leather, cotton 15 55;"
    " scratching post: sisal, pine 25 90",
}


@dataclass(frozen=True, slots=True)
class Thing:
    """A kind of product."""

    noun: str
    materials: tuple[str, ...]
    lowest: int
    highest: int


@dataclass(frozen=True, slots=True)
class Offer:
    """A product as its maker would offer it; the price is in minor units."""

    noun: str
    colour: str
    name: str
    description: str
    price: int


def _thing(text: str) -> Thing:
    noun, _, rest = text.strip().partition(": ")
    materials, lowest, highest = rest.rsplit(" ", 2)
    return Thing(noun, tuple(materials.split(", ")), int(lowest), int(highest))


KINDS: Final = {
    category: tuple(_thing(each) for each in text.split(";")) for category, text in _KINDS.items()
}


def offer(dice: random.Random, things: tuple[Thing, ...]) -> Offer:
    """Return one of the things, in a colour and of a material that it comes in."""
    thing, colour, maker = dice.choice(things), dice.choice(COLOURS), dice.choice(MAKERS)
    material, look = dice.choice(thing.materials), dice.choice(_LOOKS)
    kind = f"{look} {material} {thing.noun}"
    article = "" if thing.noun in _PLURALS else "An " if kind[0] in "aeiou" else "A "
    sentence = f"{article}{kind} by {maker}, in {colour}."
    return Offer(
        thing.noun,
        colour,
        f"{maker} {kind}, {colour}",
        f"{sentence[0].upper()}{sentence[1:]} {dice.choice(_CLOSINGS)}",
        _price(dice, thing),
    )


def _price(dice: random.Random, thing: Thing) -> int:
    """Return a price in minor units: most are low for their kind, and many end in 99."""
    whole = thing.lowest + (thing.highest - thing.lowest) * dice.betavariate(1.4, 3)
    return max(1, round(whole)) * 100 - dice.choice((0, 1, 1, 1, 5, 50))
