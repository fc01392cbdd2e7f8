"""How long the intervals of VQA v2's validation split take: 2,000 resamples of 214,354 questions about 40,504 pictures.

    python -m bench.intervals               # five runs
    python -m bench.intervals --questions 20000 --runs 2

Scores, pictures and types are drawn. It measures overall, three answer types and 65 question types, with the gains
over two priors, as EvaluateModel does; beside it a plain bootstrap of only the overall mean, a resample at a time.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.scoring.intervals import RESAMPLES, intervals

PLAIN = 20  # resamples of the plain way, from which the time of all is computed


def drawn(
    questions: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64], list[str], list[str], dict[str, Any]]:
    """Scores, pictures, question types, answer types, and the gains over two priors."""
    rng = np.random.default_rng(0)
    scores, prior, other = rng.choice([0.0, 0.3, 0.6, 0.9, 1.0], (3, questions), p=[0.4, 0.1, 0.1, 0.1, 0.3])
    pictures = rng.integers(0, max(1, questions * 40_504 // 214_354), questions)
    kinds = [f"type {number}" for number in rng.zipf(1.3, questions) % 65]
    answers = [("yes/no", "number", "other")[number] for number in rng.integers(0, 3, questions)]
    return scores, pictures, kinds, answers, {"prior": scores - prior, "other": scores - other}


def plain(scores: NDArray[np.float64], pictures: NDArray[np.int64]) -> list[float]:
    """Means of PLAIN resamples: the questions of each picture that was drawn, one picture after another."""
    order = np.argsort(pictures, kind="stable")
    of_picture = np.split(scores[order], np.flatnonzero(np.diff(pictures[order])) + 1)
    rng = np.random.default_rng(0)
    draws = (rng.integers(0, len(of_picture), len(of_picture)) for _ in range(PLAIN))
    return [float(np.concatenate([of_picture[place] for place in draw]).mean()) for draw in draws]


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description="Intervals of 214,354 questions.")
    parser.add_argument(
        "--questions", type=int, default=214_354, help="VQA v2's validation split has 214,354"
    )
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    made = drawn(options.questions)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ours = [_seconds(lambda: intervals(*made)) for _ in range(options.runs)]
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    slow = _seconds(lambda: plain(made[0], made[1])) * RESAMPLES / PLAIN
    print(
        f"{options.questions:,} questions, {len(np.unique(made[1])):,} pictures, {RESAMPLES:,} resamples: "
        f"{statistics.median(ours):.2f} s ({min(ours):.2f} to {max(ours):.2f}), {most:.0f} MB at the most, of which "
        f"{before:.0f} MB before; the plain way for the overall mean alone {slow:.0f} s"
    )


if __name__ == "__main__":
    main()
