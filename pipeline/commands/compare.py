"""`python -m pipeline compare A B`: two trained models side by side, or any number."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from data.base.errors import DataError
from data.base.files import check_output, replaced
from data.base.words import show
from tasks.library import evaluations
from tasks.library.several_runs import compare_runs
from tasks.library.trained_runs import Run, find_run

SHOWN = 4  # runs in the name of a page


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="two runs or more as `runs` lists them: their hex digits, or the first few",
    )
    parser.add_argument("--out", type=Path, help="the page (default: compare-A-B.html in this folder)")


def compare(flags: argparse.Namespace) -> int:
    """Print how trained models differ, and write a page that shows it."""
    runs = _found(flags.runs)
    out = flags.out or Path(f"compare-{'-'.join(run.fingerprint[:8] for run in runs[:SHOWN])}.html")
    check_output(out, make_folder=True)
    page, said = _two(*runs) if len(runs) == 2 else _several(runs)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replaced(out) as path:
        path.write_text(page, encoding="utf-8")
    show(said, "", f"page: {out.resolve()}")
    return 0


def _found(names: list[str]) -> list[Run]:
    if len(names) < 2:
        raise DataError(
            f"compare takes two runs or more, not {names[0]} alone; python -m pipeline runs lists them"
        )
    runs = [find_run(name) for name in names]
    if len(runs) > 2 and (again := next((run for run in runs if runs.count(run) > 1), None)):
        raise DataError(f"{again.name} is named twice; name each run once")
    return runs


def _two(first: Run, second: Run) -> tuple[str, str]:
    """The page, and what is printed."""
    from data.report.comparison_page import format_comparison, render_comparison
    from data.report.models_page import rows

    both, picture = evaluations.compare(first, second)
    if both.pairs and first.fingerprint != second.fingerprint:
        both = replace(both, several=rows(*compare_runs([first, second])))
    page, facts = render_comparison(both, picture)
    return page, format_comparison(both, facts)


def _several(runs: list[Run]) -> tuple[str, str]:
    from data.base.words import Lines
    from data.report.models_page import format_models, render_models

    comparison, made = compare_runs(runs)
    left_out = [f"left out: {name} {why}" for name, why in comparison["left_out"].items()]
    return render_models(comparison, made), Lines(format_models(comparison), *left_out)
