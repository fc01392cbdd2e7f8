"""What can't be used of your own files, reported at once: some of it on the screen, all of it in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.base.errors import DataError, listed

_SHOWN = 20  # faults that an error message spells out
_LONGEST = 140  # characters of each of them there


class UnusableRows(DataError):
    """Rows (or questions) of one file that can't be used, each with its number and why."""

    def __init__(self, path: Path, faults: Sequence[str], rows: str, hint: str = "") -> None:
        """`rows`: of how many what ('6 rows'); `hint` ends the message."""
        self.head, self.faults, self.hint = f"{path}: {len(faults):,} of {rows} can't be used", faults, hint
        super().__init__(self.told(_SHOWN))

    def told(self, shown: int, place: str = "") -> str:
        """The message with the first `shown` faults. `place` says where all are."""
        clipped = [fault if len(fault) <= _LONGEST else f"{fault[:_LONGEST]}..." for fault in self.faults]
        return f"{self.head}{place} ({listed(clipped, shown, '; ')}){'. ' * bool(self.hint)}{self.hint}"


def refuse_together(errors: Sequence[DataError], listing: Path | None) -> None:
    """Raise one DataError for all of them, if there are any, with every fault in the file `listing`."""
    if not errors:
        return
    unusable = [error for error in errors if isinstance(error, UnusableRows)]
    place = f"; all are listed in {listing}" if listing and unusable else ""
    if listing and unusable:
        listing.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{line}\n" for error in unusable for line in (error.head, *error.faults)]
        listing.write_text("".join(lines), encoding="utf-8", errors="backslashreplace")
    shown = _SHOWN // max(len(unusable), 1)
    texts = [error.told(shown, place) if isinstance(error, UnusableRows) else str(error) for error in errors]
    raise DataError(" Also: ".join(dict.fromkeys(texts)))  # train and val may lie in one file
