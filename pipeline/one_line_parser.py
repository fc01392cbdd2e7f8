"""Command lines whose mistakes end in one line that names the nearest flag; flags can't be abbreviated."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from data.base.words import nearest

WRONG = 2
"""Exit code of a command line that can't be read, as argparse has it."""


class OneLineParser(argparse.ArgumentParser):
    """argparse's, except for its messages about mistakes."""

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **(options | {"allow_abbrev": False}))

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        flags, rest = self.parse_known_args(args, namespace)
        self.refuse_unknown(rest)
        return flags

    def refuse_unknown(self, rest: Sequence[str]) -> None:
        """End with one line if words are left that no flag takes."""
        unknown = [word for word in rest if word.startswith("-")] or list(rest)
        if unknown:
            self.error(self.about_unknown(unknown[0].partition("=")[0]))

    def about_unknown(self, word: str) -> str:
        """What is wrong with a word that is not a flag."""
        known = sorted(self.flags())
        if not word.startswith("-"):
            return f"unexpected '{word}'; put a value after its flag, and several words in quotation marks"
        if word in known:
            return f"{word} is in the wrong place; write it after the command"
        if full := [flag for flag in known if flag.startswith(word)]:
            return f"{word} is abbreviated; write {' or '.join(full)}"
        near = nearest(word, known)
        return f"unknown flag {word}; " + (f"did you mean {near}?" if near else "--help lists the flags")

    def flags(self) -> list[str]:
        """Every flag by its full name, without Luigi's --Stage-flag, which are refused."""
        names = self._option_string_actions
        return [name for name in names if name.startswith("--") and not name[2:3].isupper()]

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"error: {' '.join(message.split())}\n")
