"""The arguments of `ask`: which are pictures (files, folders, addresses), and which are questions."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.base.errors import DataError, listed
from data.base.words import show

if TYPE_CHECKING:
    from data.pictures.given_pictures import Given

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def pictures_and_questions(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """(pictures, questions). The first word is a picture, and what names one; DataError without a question."""
    from tasks.library.trained_model import question_texts

    pictures = [word for number, word in enumerate(words) if not number or _names_a_picture(word)]
    questions = [word for number, word in enumerate(words) if number and not _names_a_picture(word)]
    if not questions:
        raise DataError(
            f"no question about {listed(pictures, 3)}; pictures come first, then questions in quotation marks, such as "
            'ask photo.jpg "What colour is the bus?"'
        )
    questions = question_texts(questions)  # before the model is loaded
    return [name for picture in pictures for name in _expanded(picture)], questions


def _names_a_picture(word: str) -> bool:
    """Is it an address, is something there, or does it end as a picture's name does?"""
    from data.pictures.folders import is_picture

    there = bool(word) and os.path.lexists(os.path.expanduser(word))
    return there or bool(_ADDRESS.match(word)) or is_picture(os.path.basename(word))


def _expanded(name: str) -> list[str]:
    """The pictures in a folder by name, those in its folders too; anything else as it is."""
    from data.pictures.folders import folder_files, is_picture

    folder = Path(name).expanduser()
    if _ADDRESS.match(name) or not name or not os.path.isdir(folder):
        return [name]
    pictures = sorted(filter(is_picture, folder_files(folder)))
    if not pictures:
        raise DataError(f"{name}: a folder without pictures; name another one, or a picture")
    return [str(folder / picture) for picture in pictures]


def read_picture(name: str) -> Given:
    """A file, or what an address gives. DataError where it can't be had."""
    from data.pictures.given_pictures import Given, given

    if not _ADDRESS.match(name):
        return given(name)
    from data.download.one_picture import fetch_picture
    from data.download.responses import shown

    return Given(shown(name), fetch_picture(name, lambda text: show(text, file=sys.stderr)))
