"""What the things of `lockstep seed` look like: simple shapes on a square of 100 by 100.

A shape is its sort, its numbers and its tone. Boxes and ovals have two corners, lines and
polygons have points, and the first number of a line is its width. Tones: `m` the colour of the
thing, `d` darker, `l` lighter, `w` wood, `s` steel, `c` cream, `k` nearly black.
"""

from __future__ import annotations

from typing import Final

# Several nouns share a drawing.
SAME: Final = {
    "espresso cup": "cup",
    "tea tin": "tin",
    "green tea": "tin",
    "cake tin": "bowl",
    "mixing bowl": "bowl",
    "food bowl": "bowl",
    "soap dish": "bowl",
    "proving basket": "basket",
    "laundry basket": "basket",
    "dog bed": "basket",
    "blanket": "folded",
    "wool throw": "folded",
    "duvet cover": "folded",
    "bath towel": "folded",
    "bath mat": "folded",
    "cardigan": "shirt",
    "linen shirt": "shirt",
    "rain jacket": "shirt",
    "bedside table": "drawer unit",
    "storage box": "box",
    "desk organiser": "box",
    "paper tray": "box",
    "building blocks": "blocks",
    "puzzle": "blocks",
    "notebook": "book",
    "passport holder": "book",
    "bottle cage": "bottle",
    "water bottle": "bottle",
    "glass jar": "jar",
    "pendant light": "pendant",
    "wall light": "pendant",
    "desk lamp": "lamp",
    "floor lamp": "lamp",
    "pannier": "rucksack",
    "wash bag": "bag",
    "weekend bag": "bag",
    "bike light": "torch",
    "head torch": "torch",
    "travel adapter": "adapter",
    "stapler": "adapter",
    "cat tree": "post",
    "scratching post": "post",
    "teapot": "pot",
    "kettle": "pot",
    "watering can": "pot",
    "bread knife": "knife",
    "trowel": "knife",
    "fountain pen": "pen",
    "trekking pole": "pen",
    "pump": "pen",
    "music stand": "stand",
    "coat rack": "stand",
    "wooden train": "train",
    "marble run": "blocks",
    "dog lead": "loop",
    "scarf": "loop",
    "bird feeder": "house",
}

_TEXT: Final = {
    "pot": "o 24 36 76 84 m|o 24 36 60 84 l|r 34 30 66 40 d|o 46 22 54 30 k|p 72 50 92 38 94 44 74 64 d"
    "|a 8 40 38 76 5 90 270 d|r 28 80 72 86 d",
    "saucepan": "r 20 42 70 78 m|r 20 42 40 78 l|r 16 38 74 44 d|r 72 44 98 50 w",
    "chopping board": "r 26 18 74 88 w|r 30 22 70 84 c|o 46 24 54 32 w|l 1 36 40 64 40 w|l 1 36 52 64 52 w"
    "|r 42 60 58 74 m",
    "whisk": "l 2 50 46 34 74 50 90 66 74 50 46 s|l 2 50 46 42 74 50 90 58 74 50 46 s|l 2 50 46 50 90 s|l 7 50 14 50 46 m",
    "knife": "p 46 12 58 16 58 60 44 60 s|p 46 12 50 14 50 60 44 60 c|r 43 58 60 90 m|o 49 64 53 68 c|o 49 78 53 82 c",
    "bowl": "o 14 30 86 54 d|h 14 30 86 86 m|o 20 34 80 50 k|r 38 82 62 88 d",
    "cup": "r 26 34 68 80 m|r 26 34 42 80 l|a 60 40 86 70 5 270 90 d|o 26 28 68 40 d|o 30 30 64 38 k|o 14 78 82 88 c",
    "coffee grinder": "r 30 48 70 86 w|r 30 48 46 86 c|h2 28 28 72 70 m|l 4 50 28 50 18 76 18 s|o 72 12 82 22 k|r 42 66 58 78 d",
    "tin": "r 30 32 70 86 m|r 30 32 44 86 l|r 28 24 72 36 d|r 38 50 62 70 c|l 2 42 60 58 60 d",
    "jar": "r 30 30 70 86 l|r 34 48 66 82 m|r 32 20 68 32 w|r 34 34 40 82 c",
    "lamp": "p 36 16 64 16 78 46 22 46 m|p 36 16 46 16 40 46 22 46 l|l 4 50 46 50 82 k|r 32 80 68 86 k",
    "pendant": "l 2 50 4 50 34 k|h2 22 30 78 90 m|h2 22 30 60 90 l|o 22 56 78 64 d|o 42 56 58 70 c",
    "lantern": "a 36 8 64 36 3 180 360 k|r 30 24 70 32 d|r 34 32 66 78 c|r 34 32 38 78 d|r 62 32 66 78 d|r 30 78 70 86 d|o 44 46 56 72 m",
    "pillow": "r 16 30 84 76 m|r 16 30 60 76 l|p 14 28 24 32 20 42 d|p 86 28 76 32 80 42 d|p 14 78 24 74 20 64 d|p 86 78 76 74 80 64 d",
    "folded": "r 18 64 82 80 d|r 18 48 82 66 m|r 18 32 82 50 l|l 1 24 41 78 41 m|l 1 24 57 78 57 d|l 1 24 72 78 72 m",
    "mirror": "o 20 10 80 82 m|o 25 15 75 77 c|p 40 22 48 20 34 64 30 56 s|r 38 84 62 90 d",
    "basket": "h 16 24 84 100 w|o 16 50 84 74 d|o 22 53 78 71 m|l 2 20 80 80 80 c|l 2 26 88 74 88 c",
    "plant pot": "l 4 50 54 50 30 g|o 24 14 50 34 g|o 50 10 78 32 g|o 38 26 64 44 g|p 28 54 72 54 64 88 36 88 m|p 28 54 42 54 42 88 36 88 l|r 25 50 75 58 d",
    "garden chair": "r 32 16 68 52 m|l 3 42 18 42 50 d|l 3 50 18 50 50 d|l 3 58 18 58 50 d|r 26 52 74 60 d|l 5 30 60 26 90 w|l 5 70 60 74 90 w",
    "house": "p 18 44 50 14 82 44 d|r 28 44 72 82 m|r 28 44 44 82 l|o 42 50 58 66 k|l 3 50 68 50 76 w|r 22 82 78 86 w",
    "book": "r 28 14 76 86 m|r 28 14 36 86 d|r 42 26 68 38 c|l 2 74 18 74 82 l|l 3 62 86 62 92 d",
    "pen": "l 9 26 78 70 26 m|l 9 58 40 70 26 l|p 20 86 22 74 30 80 s|l 3 60 30 74 34 k",
    "box": "p 18 40 50 30 82 40 50 52 l|p 18 40 50 52 50 88 18 74 m|p 82 40 50 52 50 88 82 74 d|p 42 34 52 37 52 50 44 48 c",
    "adapter": "r 26 30 74 78 m|r 26 30 46 78 l|o 38 46 44 52 k|o 56 46 62 52 k|o 47 58 53 64 k|l 4 40 30 40 18 s|l 4 60 30 60 18 s",
    "torch": "r 22 36 62 66 m|r 22 36 62 48 l|p 62 36 80 26 80 76 62 66 d|o 76 28 86 74 c|o 34 46 42 54 k",
    "helmet": "h2 12 24 88 100 m|h2 12 24 60 100 l|r 12 58 88 66 d|l 4 30 34 36 56 k|l 4 50 30 50 56 k|l 4 70 34 64 56 k|l 2 24 66 44 86 70 66 k",
    "bottle": "r 36 32 64 88 m|r 36 32 46 88 l|r 40 20 60 34 d|r 44 12 56 22 k|r 36 52 64 66 c",
    "rucksack": "a 36 8 64 36 4 180 360 d|r 26 22 74 86 m|r 26 22 42 86 l|r 32 54 68 80 d|r 30 30 70 36 d|o 47 64 53 70 c",
    "tent": "p 50 18 92 82 8 82 m|p 50 18 60 82 8 82 l|p 50 34 64 82 40 82 k|l 2 50 12 50 20 w|r 4 82 96 85 g",
    "headphones": "a 18 16 82 84 6 180 360 d|r 14 48 34 80 m|r 66 48 86 80 m|r 14 48 22 80 l|r 66 48 74 80 l",
    "turntable": "r 10 26 90 82 w|o 18 30 66 78 k|o 36 48 48 60 m|o 41 53 43 55 c|l 3 80 34 76 58 60 66 s|o 74 70 82 78 d",
    "loudspeaker": "r 28 10 72 90 m|r 28 10 38 90 l|o 34 46 66 78 k|o 42 54 58 70 d|o 42 20 58 36 k",
    "stand": "l 4 50 30 50 84 w|l 4 50 84 30 92 w|l 4 50 84 70 92 w|p 22 20 78 20 84 46 16 46 m|p 22 20 48 20 46 46 16 46 l|l 3 16 46 84 46 d",
    "ukulele": "r 46 8 54 52 w|r 42 6 58 16 d|o 34 42 66 68 m|o 28 58 72 92 m|o 44 58 56 70 k|l 1 48 12 48 82 c|l 1 52 12 52 82 c|r 40 80 60 84 w",
    "train": "r 18 52 62 72 m|r 56 30 82 72 d|r 62 38 76 52 c|r 26 36 36 54 k|o 20 66 38 84 w|o 44 66 62 84 w|o 64 66 82 84 w|r 10 66 20 72 w",
    "blocks": "r 16 54 46 84 m|r 50 54 80 84 d|r 34 20 64 50 l|o 42 28 56 42 c|p 24 78 31 62 38 78 c|r 59 63 71 75 c",
    "kite": "p 50 8 78 40 50 74 22 40 m|p 50 8 50 74 22 40 l|l 1 50 8 50 74 k|l 1 22 40 78 40 k|l 2 50 74 58 82 46 88 56 94 d",
    "loop": "a 22 14 78 70 9 0 360 m|l 9 50 68 40 92 d|l 9 50 68 64 92 m",
    "shirt": "p 34 18 66 18 92 36 82 54 72 46 72 86 28 86 28 46 18 54 8 36 m|p 34 18 50 18 50 86 28 86 28 46 18 54 8 36 l|p 42 18 58 18 50 30 c|l 1 50 30 50 84 d",
    "socks": "p 26 14 46 14 46 56 30 84 14 74 26 52 m|p 56 14 76 14 76 56 60 84 44 74 56 52 d|r 26 14 46 22 c|r 56 14 76 22 c",
    "suitcase": "a 38 6 62 34 4 180 360 k|r 26 20 74 88 m|r 26 20 42 88 l|l 2 50 24 50 84 d|l 2 62 24 62 84 d|o 30 86 38 94 k|o 62 86 70 94 k",
    "bag": "a 32 14 68 68 4 180 360 d|r 12 40 88 82 m|r 12 40 40 82 l|r 12 46 88 52 d|r 44 44 56 58 c",
    "rolling pin": "l 22 28 72 72 28 w|l 14 32 68 68 32 c|l 7 14 86 24 76 m|l 7 76 24 86 14 m",
    "oven glove": "p 30 90 30 36 40 16 58 18 64 40 78 34 84 46 66 64 66 90 m|p 30 90 30 36 40 16 46 18 44 90 l|r 28 80 68 92 c",
    "cake stand": "o 12 46 88 64 l|r 46 60 54 82 m|o 30 78 70 90 d|h2 24 22 76 74 c|o 46 14 54 22 m",
    "shelf": "r 12 14 88 20 w|r 12 46 88 52 w|r 12 80 88 86 w|r 14 14 18 86 d|r 82 14 86 86 d|r 26 24 32 46 m|r 34 28 42 46 l|r 44 22 50 46 d|o 62 30 78 46 m|r 28 62 56 80 l",
    "drawer unit": "r 22 18 78 84 m|r 26 22 74 40 l|r 26 43 74 61 l|r 26 64 74 82 l|o 47 29 53 35 k|o 47 50 53 56 k|o 47 71 53 77 k|r 26 84 32 92 w|r 68 84 74 92 w",
    "post": "r 20 82 80 90 d|r 42 26 58 84 w|l 1 42 40 58 44 c|l 1 42 52 58 56 c|l 1 42 64 58 68 c|r 28 16 72 28 m|l 1 66 28 66 44 k|o 62 44 70 52 l",
}

Shape = tuple[str, tuple[float, ...], str]


def _shapes(text: str) -> tuple[Shape, ...]:
    parts = [each.split() for each in text.split("|")]
    return tuple((sort, tuple(map(float, rest[:-1])), rest[-1]) for sort, *rest in parts)


DRAWINGS: Final = {name: _shapes(text) for name, text in _TEXT.items()}


def shapes_of(noun: str) -> tuple[Shape, ...]:
    """Return the drawing of a thing."""
    return DRAWINGS[SAME.get(noun, noun)]
