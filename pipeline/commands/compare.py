"""`python -m pipeline compare A B`: two trained models side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from data.base.files import check_output, replaced
from tasks.library import evaluations
from tasks.library.trained_runs import find_run


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "first", metavar="A", help="a run as `runs` lists it: its hex digits, or the first few"
    )
    parser.add_argument("second", metavar="B", help="another")
    parser.add_argument("--out", type=Path, help="the page (default: compare-A-B.html in this folder)")


def compare(flags: argparse.Namespace) -> int:
    """Print how two trained models differ and write the page that shows it."""
    from data.report.comparison_page import format_comparison, write_comparison

    first, second = find_run(flags.first), find_run(flags.second)
    out = flags.out or Path(f"compare-{first.fingerprint[:8]}-{second.fingerprint[:8]}.html")
    check_output(out, make_folder=True)
    both, picture = evaluations.compare(first, second)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replaced(out) as path:
        facts = write_comparison(path, both, picture)
    print(format_comparison(both, facts))
    print(f"\npage: {out.resolve()}")
    return 0
