"""How a network is shown a picture: its size, how pixels are resized, and how they are normalised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

INTERPOLATIONS = ("bilinear", "bicubic")


class Frame(NamedTuple):
    """What decoding has to know: pixels a side, and which of INTERPOLATIONS."""

    size: int
    interpolation: str = "bilinear"


@dataclass(frozen=True)
class View:
    """A network's own, as its weights were trained. mean, std: of red, green and blue between 0 and 1.

    Questions are asked about all of a picture, so the whole picture is shown, its proportions not kept; libraries cut
    its margins off to classify what is in the middle.
    """

    frame: Frame
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def at(self, size: int | None) -> View:
        """The same for pictures of another size; None changes nothing."""
        return replace(self, frame=self.frame._replace(size=size)) if size else self

    def __str__(self) -> str:
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        size, interpolation = self.frame
        return (
            f"upright RGB (transparency over white), the whole picture resized to {size}x{size} "
            f"(antialiased {interpolation} on uint8), /255, minus mean ({mean}), divided by std ({std})"
        )
