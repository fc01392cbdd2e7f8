"""What bench.gpu_check finds, row by row: a check that can't be done here is left out, one that fails says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """A line of the table; memory: the most that a check held on the GPU."""

    check: str
    result: str
    memory: str = ""
    failed: bool = False


class Report:
    """Rows in a file, written as soon as they are known: a part that runs out of time keeps what it has found."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, check: str, result: str, memory: str = "", failed: bool = False) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(Row(check, result, memory, failed))) + "\n")

    def rows(self) -> list[Row]:
        """All so far."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        return [Row(**json.loads(line)) for line in lines]

    def attempt(self, check: str, needs: tuple[str, ...], work: Callable[[], None]) -> None:
        """Do `work`, which adds its own rows; a row says why where modules are missing or it fails."""
        absent = [name for name in needs if not _imports(name)]
        if absent:
            self.add(check, f"left out: no {', '.join(absent)} here")
            return
        try:
            work()
        except Exception as error:
            self.add(check, in_a_line(error), failed=True)


def _imports(name: str) -> bool:
    """Whether a module is here and works: one that was built for another torch may raise anything."""
    try:
        import_module(name)
    except Exception:
        return False
    return True


def in_a_line(error: Exception) -> str:
    """An error's message, with its type where it is not written for users."""
    from data.base.errors import DataError, ModelError

    first, *_ = str(error).strip().splitlines() or ["no message"]
    return first if isinstance(error, DataError | ModelError) else f"{type(error).__name__}: {first}"


def table(title: str, facts: str, rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = [f"### {title}", "", facts, "", "| check | result | GPU memory |", "|---|---|---|"]
    for row in rows:
        result = f"FAILED: {row.result}" if row.failed else row.result
        cells = (cell.replace("|", "\\|") for cell in (row.check, result, row.memory))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
