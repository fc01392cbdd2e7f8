"""`python -m pipeline score`: the official accuracy of any results file."""

from __future__ import annotations

import argparse
from pathlib import Path

from data.base.words import show, show_json


def add_flags(parser: argparse.ArgumentParser) -> None:
    for name in ("annotations", "questions", "results"):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"official-format {name} JSON")
    parser.add_argument("--json", action="store_true", help="print JSON")


def score(flags: argparse.Namespace) -> int:
    """Official figures of anyone's results file."""
    from data.scoring.figures import format_accuracy
    from data.scoring.figures import score as official

    figures = official(flags.annotations, flags.questions, flags.results)
    show_json(figures) if flags.json else show(format_accuracy(figures))
    return 0
