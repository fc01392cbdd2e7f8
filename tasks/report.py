"""One page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.evaluate import EvaluateModel, Judging
from tasks.stage import Stage


class Report(Judging):
    """Draws report.html: headline numbers, curves, accuracy by type, and a gallery of pictures with answers."""

    extras = ("report.html",)

    def inputs(self) -> dict[str, Stage]:
        return {"evaluation": self.clone(EvaluateModel)}

    def build(self, folder: Path) -> dict[str, Any]:
        raise NotImplementedError
