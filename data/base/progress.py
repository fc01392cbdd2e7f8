"""How long work reports its progress: a plain function, so that data/ needs neither tqdm nor Luigi."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""(done, total, note): `done` of `total` units; `note` is free text such as 'loss 2.31'."""


def silent(done: int, total: int, note: str = "") -> None:
    """The default: report nothing."""


def portion(progress: Progress, before: int, total: int) -> Progress:
    """The progress of one of several pieces of work, reported as that of all: `before` of `total` units are done."""

    def tell(done: int, _: int, note: str = "") -> None:
        progress(before + done, total, note)

    return tell
