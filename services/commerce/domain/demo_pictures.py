"""Pictures for the products of `lockstep seed`, drawn here: nobody's, and the same every time."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Final
from uuid import UUID

from PIL import Image, ImageDraw, ImageFilter

from services.commerce.domain.demo_drawings import Shape, shapes_of
from services.commerce.domain.pictures import Picture

CANVAS: Final = 1200
LARGE: Final = 600
SMALL: Final = 300
PALE: Final = 220
QUALITY: Final = 78
INSET: Final = 0.16

Colour = tuple[int, int, int]

COLOURS: Final[dict[str, Colour]] = {
    "black": (58, 60, 64),
    "cream": (226, 211, 180),
    "forest green": (64, 107, 82),
    "navy": (52, 74, 118),
    "rust": (178, 92, 58),
    "sand": (205, 172, 128),
    "slate": (112, 124, 136),
    "white": (238, 236, 230),
}
_WHITE: Final[Colour] = (255, 255, 255)
_DARK: Final[Colour] = (24, 24, 28)
_FIXED: Final[dict[str, Colour]] = {
    "w": (176, 132, 90),
    "s": (170, 176, 182),
    "c": (244, 236, 220),
    "k": (50, 50, 54),
    "g": (86, 134, 84),
}


def pictures_of(product_id: UUID, noun: str, colour: str) -> tuple[Picture, Picture]:
    """Return the picture of a product and the small one."""
    large, small = _drawn(noun, colour)
    return Picture.of(product_id, large), Picture.of(product_id, small)


@lru_cache(maxsize=1024)
def _drawn(noun: str, colour: str) -> tuple[bytes, bytes]:
    main = COLOURS[colour]
    picture = _room(_wall(main)).copy()
    thing = Image.new("RGBA", (CANVAS, CANVAS))
    draw = ImageDraw.Draw(thing)
    tones = {"m": main, "d": _mixed(main, _DARK, 0.28), "l": _mixed(main, _WHITE, 0.22), **_FIXED}
    for shape in shapes_of(noun):
        _draw(draw, shape, tones)
    picture.paste(thing, (0, 0), thing)
    return _webp(picture.reduce(CANVAS // LARGE)), _webp(picture.reduce(CANVAS // SMALL))


def _wall(main: Colour) -> Colour:
    """Return a colour on which a thing of this colour is seen."""
    return (203, 211, 214) if min(main) > PALE else _mixed(main, (246, 244, 239), 0.86)


@lru_cache(maxsize=16)
def _room(wall: Colour) -> Image.Image:
    """Return a wall and a table, with the shadow of what will stand there."""
    small = Image.new("RGB", (CANVAS // 4, CANVAS // 4), wall)
    draw = ImageDraw.Draw(small)
    side = small.width
    table = _mixed(wall, _DARK, 0.07)
    draw.rectangle((0, side * 0.74, side, side), fill=table)
    draw.ellipse(
        (side * 0.24, side * 0.74, side * 0.78, side * 0.84), fill=_mixed(table, _DARK, 0.2)
    )
    return small.filter(ImageFilter.GaussianBlur(side / 40)).resize((CANVAS, CANVAS))


def _draw(draw: ImageDraw.ImageDraw, shape: Shape, tones: dict[str, Colour]) -> None:
    sort, numbers, tone = shape
    fill = tones[tone]
    if sort == "l":
        _line(draw, _at(numbers[1:]), numbers[0], fill)
    elif sort == "p":
        draw.polygon(_at(numbers), fill=fill)
    elif sort == "a":
        width = round(numbers[4] * _scale())
        draw.arc(_at(numbers[:4]), numbers[5], numbers[6], fill=fill, width=width)
    elif sort == "o":
        draw.ellipse(_at(numbers), fill=fill)
    elif sort == "r":
        draw.rounded_rectangle(_at(numbers), radius=CANVAS / 90, fill=fill)
    else:  # the lower or the upper half of an oval
        begin, end = (0, 180) if sort == "h" else (180, 360)
        draw.pieslice(_at(numbers), begin, end, fill=fill)


def _line(
    draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], width: float, fill: Colour
) -> None:
    """Draw a line with round ends."""
    pixels = width * _scale()
    draw.line(points, fill=fill, width=round(pixels), joint="curve")
    for x, y in (points[0], points[-1]):
        half = pixels / 2
        draw.ellipse((x - half, y - half, x + half, y + half), fill=fill)


def _scale() -> float:
    return CANVAS * (1 - 2 * INSET) / 100


def _at(numbers: tuple[float, ...]) -> list[tuple[float, float]]:
    """Return points of the canvas for points of 100 by 100."""
    pixels = [CANVAS * INSET + number * _scale() for number in numbers]
    return list(zip(pixels[::2], pixels[1::2], strict=True))


def _mixed(colour: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (
        round(one * (1 - share) + two * share) for one, two in zip(colour, other, strict=True)
    )
    return red, green, blue


def _webp(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=QUALITY, method=2)
    return out.getvalue()
