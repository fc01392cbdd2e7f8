"""The scenes of the embedded sample: coloured shapes, drawn so plainly that an untrained network can tell them apart.

Untrained fc7 sees size, colour and place better than form. So shapes are large and saturated, and a scene holds
either some copies of one thing or a pair of two. The background is close to ImageNet's mean colour, which the
network's transform turns into zeros: an untrained VGG, whose biases are all 0, turns zeros into zeros, so that
its features depend on the shapes alone. On pale backgrounds the features of all pictures are nearly the same
vector, and training takes far longer.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

COLOURS = {
    "red": (214, 32, 38),
    "orange": (245, 134, 18),
    "yellow": (248, 222, 40),
    "green": (34, 150, 62),
    "blue": (28, 78, 200),
    "purple": (126, 42, 160),
    "white": (252, 252, 252),
    "black": (22, 22, 24),
}
SHAPES = ("circle", "square", "triangle", "star", "heart")
MOST = 4
"""Copies in one scene: with more, each gets small."""

_BACKGROUNDS = ((124, 118, 110), (118, 118, 112), (126, 116, 104))
_SIZES = ((640, 480), (640, 480), (640, 427), (500, 375), (480, 640))
_LAYOUTS = {  # of copies, as on dice: at random places an untrained network tells shapes apart much less well
    2: ([(0.26, 0.5), (0.74, 0.5)], [(0.26, 0.26), (0.74, 0.74)]),
    3: ([(0.5, 0.26), (0.26, 0.74), (0.74, 0.74)], [(0.26, 0.26), (0.74, 0.26), (0.5, 0.74)]),
    4: ([(0.26, 0.26), (0.74, 0.26), (0.26, 0.74), (0.74, 0.74)],),
}
_PAIRS = 0.2  # share of the scenes with two different things, one on each side: these are hard, and are meant to be
_QUALITY = 90
_SMOOTH = 2  # drawn at twice the size: Pillow's own edges are jagged


@dataclass(frozen=True)
class Thing:
    """One shape; x, y and radius in parts of the picture's width, height and shorter side."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float
    angle: float

    @property
    def side(self) -> str:
        return "left" if self.x < 0.5 else "right"


@dataclass(frozen=True)
class Scene:
    """What is in a picture. `pair`: two different things, left and right; else all things are alike."""

    width: int
    height: int
    background: tuple[int, int, int]
    things: tuple[Thing, ...]
    pair: bool


def make_scene(rng: Random) -> Scene:
    """A scene with 1 to MOST copies of one thing, or with a pair. The same for the same state of `rng`."""
    width, height = rng.choice(_SIZES)
    background = rng.choice(_BACKGROUNDS)
    pair = rng.random() < _PAIRS
    if pair:
        shapes, colours = rng.sample(SHAPES, 2), rng.sample(list(COLOURS), 2)
        places, radius = [(0.26, 0.5), (0.74, 0.5)], 0.2 * width
    else:
        count = rng.randint(1, MOST)
        shapes, colours = [rng.choice(SHAPES)] * count, [rng.choice(list(COLOURS))] * count
        places, radius = _places(rng, count, width, height)
    radius = min(radius / min(width, height), 0.36)
    things = [_thing(rng, *look, radius) for look in zip(shapes, colours, places, strict=True)]
    return Scene(width, height, background, tuple(things), pair)


def _places(rng: Random, count: int, width: int, height: int) -> tuple[list[tuple[float, float]], float]:
    """Centres of `count` copies, and a radius in pixels that keeps them apart and inside."""
    if count == 1:
        return [(rng.choice((0.28, 0.72)), 0.5)], 0.24 * width
    return rng.choice(_LAYOUTS[count]), 0.21 * min(width, height)


def _thing(rng: Random, shape: str, colour: str, place: tuple[float, float], radius: float) -> Thing:
    x, y = (centre + rng.uniform(-0.02, 0.02) for centre in place)
    return Thing(shape, colour, x, y, radius * rng.uniform(0.95, 1.05), rng.uniform(-6, 6))


def draw(scene: Scene, rng: Random) -> bytes:
    """The scene as JPEG, with small differences of shade between things of one colour."""
    width, height = scene.width * _SMOOTH, scene.height * _SMOOTH
    picture = Image.new("RGB", (width, height), scene.background)
    shade = Image.new("RGB", (width, height), _shifted(scene.background, -8))
    picture.paste(shade, mask=Image.linear_gradient("L").resize((width, height)))
    pen = ImageDraw.Draw(picture)
    for thing in scene.things:
        colour = _shifted(COLOURS[thing.colour], rng.randint(-10, 10))
        pen.polygon(_outline(thing, width, height), fill=colour)
    buffer = io.BytesIO()
    picture.reduce(_SMOOTH).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _shifted(colour: tuple[int, int, int], by: int) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, value + by)) for value in colour)
    return red, green, blue


def _outline(thing: Thing, width: int, height: int) -> list[tuple[float, float]]:
    """The corners of a thing in pixels."""
    size = thing.radius * min(width, height)
    sin, cos = math.sin(math.radians(thing.angle)), math.cos(math.radians(thing.angle))
    return [
        (thing.x * width + size * (x * cos - y * sin), thing.y * height + size * (x * sin + y * cos))
        for x, y in _CORNERS[thing.shape]
    ]


def _regular(corners: int, radii: tuple[float, ...] = (1.0,)) -> list[tuple[float, float]]:
    """Corners around the origin, the first at the top, at distances that take turns."""
    angles = [2 * math.pi * k / corners - math.pi / 2 for k in range(corners)]
    return [
        (radii[k % len(radii)] * math.cos(angle), radii[k % len(radii)] * math.sin(angle))
        for k, angle in enumerate(angles)
    ]


def _heart() -> list[tuple[float, float]]:
    steps = [2 * math.pi * k / 60 for k in range(60)]
    return [
        (
            math.sin(t) ** 3,
            -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16,
        )
        for t in steps
    ]


_ARM = 0.3
_CROSS = [(_ARM, -1.0), (_ARM, -_ARM), (1.0, -_ARM), (1.0, _ARM), (_ARM, _ARM), (_ARM, 1.0)]
_CORNERS = {  # within the circle of radius 1 or close to it; y grows downward
    "circle": _regular(72),
    "square": [(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)],
    "triangle": _regular(3),
    "star": _regular(10, (1.05, 0.44)),
    "cross": _CROSS + [(-x, -y) for x, y in _CROSS],
    "heart": _heart(),
}
