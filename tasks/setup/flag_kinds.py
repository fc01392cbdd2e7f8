"""Kinds of flags and of their values: each parses a text, or says in one line what was expected."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import luigi

from data.base.errors import DataError, ModelError
from data.base.hashes import file_identity
from data.catalog import sources
from data.download.local_copies import WEIGHTS as WEIGHTS_FILES
from models.backbones import names
from tasks.setup.stage_progress import StageProgress
from tasks.setup.user_errors import nearest, refuse

NO_GLOVE = "none"
"""Word vectors begin at random and are trained."""


class Flag(luigi.Parameter):
    """A flag with one value, checked while it is read: a wrong one ends in a single line."""

    in_key = True
    """Whether an artifact's path shows its value."""

    def __init__(self, kind: Callable[[str], Any], default: Any, about: str, expected: str = "") -> None:
        shown = "off" if default is False else default
        super().__init__(
            default=None, positional=False, description=f"{about} (default: {shown})".replace("%", "%%")
        )
        self.kind, self.default, self.about, self.expected = kind, default, about, expected

    def parse(self, text: Any) -> Any:
        """A command line's or a file's text to the value; ends with one line where that can't be done."""
        try:
            return self.kind(str(text))
        except ValueError as error:
            flag = self._attribute_name.replace("_", "-")
            refuse(f"--{flag} {text}: {self.expected or error}")

    def normalize(self, value: Any) -> Any:
        """The same check for a value that is given in Python."""
        return value if value is None else self.parse(self.serialize(value))

    def identity(self, value: Any, known: Path) -> Any:
        """The part of a value that decides an artifact's content. `known`: a file of known hashes."""
        return value

    def _parser_kwargs(self, name: str, task: str | None = None) -> dict[str, Any]:  # type: ignore[override]
        kwargs = super()._parser_kwargs(name, task)
        return kwargs | ({"nargs": "?", "const": "true"} if self.kind is switch else {})


class InputsFlag(Flag):
    """A flag that decides which inputs a stage has, and nothing else: they stand in its key, and it need not."""

    in_key = False


class WeightsFlag(Flag):
    """Weights of a backbone; a file is identified by its content, wherever it lies and however its path is spelt."""

    def identity(self, value: str, known: Path) -> str:
        if not value.endswith(WEIGHTS_FILES):
            return value
        try:
            with StageProgress(None, f"hashing {Path(value).name}", "bytes") as progress:
                return file_identity(Path(value), known, progress)
        except DataError as error:  # called while Luigi builds its graph, where it would print a traceback
            refuse(f"--weights {error}")


def switch(text: str) -> bool:
    """true or false."""
    if text.lower() not in ("true", "false"):
        raise ValueError("expected true or false")
    return text.lower() == "true"


def whole(least: int, most: int = 10**9) -> Callable[[str], int]:
    """A whole number between these two."""

    def parse(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise ValueError
        return number

    return parse


def real(low: float, high: float) -> Callable[[str], float]:
    """A finite number between these two."""

    def parse(text: str) -> float:
        number = float(text)
        if not (math.isfinite(number) and low <= number <= high):
            raise ValueError
        return number

    return parse


def share(text: str) -> float:
    """At least 0, below 1."""
    number = float(text)
    if not 0 <= number < 1:
        raise ValueError
    return abs(number)  # -0.0 is 0


def one_of(*names: str) -> Callable[[str], str]:
    """One of these words; the error names the nearest."""

    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"unknown; {nearest(text, list(names))}")
        return text

    return parse


def catalogued(find: Callable[[str], Any]) -> Callable[[str], str]:
    """A name of the catalog; the error lists the valid ones."""

    def parse(text: str) -> str:
        try:
            return str(find(text).name)
        except DataError as error:
            raise ValueError(str(error)) from None

    return parse


def picture_counts(text: str) -> str:
    """N or N,M, in its shortest form."""
    try:
        numbers = [whole(0)(number) for number in text.split(",", 1)]
    except ValueError:
        raise ValueError("expected N, or N,M: whole numbers up to 1000000000, 0 for all") from None
    if numbers[0] == 1:
        raise ValueError("one picture is too few to train on; expected 2 or more, or 0 for all")
    trained, judged = numbers[0], numbers[-1]
    return str(trained) if trained == judged else f"{trained},{judged}"


def limits_of(limit_pictures: str) -> tuple[int, int]:
    """How many pictures --limit-pictures leaves of the training split and of the judged one; 0: all."""
    trained, _, judged = limit_pictures.partition(",")
    return int(trained), int(judged or trained)


def vectors(text: str) -> str:
    """Word vectors of the catalog, or NO_GLOVE."""
    return text if text == NO_GLOVE else catalogued(sources.glove)(text)


def backbone_name(text: str) -> str:
    """A network that models.backbones can build."""
    try:
        names.check_backbone(text)
    except ModelError as error:
        raise ValueError(str(error)) from None
    return text


def side(text: str) -> int | str:
    """Pixels, or nothing."""
    return text and whole(1)(text)


def weights_of(text: str) -> str:
    """pretrained, random:SEED, or a file by its absolute path."""
    try:
        names.check_weights(text)
    except ModelError as error:
        raise ValueError(str(error)) from None
    if text.endswith(WEIGHTS_FILES):
        return os.path.abspath(text)
    return f"random:{int(text.removeprefix('random:'))}" if text != "pretrained" else text  # 07 is 7
