"""How long work tells how far it is: a plain function, so that neither tqdm nor Luigi is known here."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""(done, total, note): `done` of `total` units; `note` is free text such as 'loss 2.31'."""


def silent(done: int, total: int, note: str = "") -> None:
    """The default: nobody is watching."""


def portion(progress: Progress, before: int, total: int) -> Progress:
    """For one of several pieces of work, `before` units of all `total` done: tells how far all of them are."""

    def tell(done: int, _: int, note: str = "") -> None:
        progress(before + done, total, note)

    return tell
