"""`python -m pipeline score`: the official accuracy of any results file."""

from __future__ import annotations

import argparse
from pathlib import Path


def score(arguments: list[str]) -> int:
    """Official figures of anyone's results file."""
    parser = argparse.ArgumentParser(prog="python -m pipeline score")
    for name in ("annotations", "questions", "results"):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"official-format {name} JSON")
    parser.add_argument("--json", action="store_true", help="print JSON")
    flags = parser.parse_args(arguments)
    import json

    from data.scoring.figures import format_accuracy
    from data.scoring.figures import score as official

    figures = official(flags.annotations, flags.questions, flags.results)
    print(json.dumps(figures, indent=1) if flags.json else format_accuracy(figures))
    return 0
