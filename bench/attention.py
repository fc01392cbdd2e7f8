"""Training the models that attend to places, here and as their authors' loops do: samples a second, in turns.

    python bench/attention.py [--models saaa top-down mcan-small] [--device cuda] [--rounds 4] [--quick]

Sizes, batches, losses and optimisers are the recipes', over 49 places of 2,048 channels; pictures and questions are
made up. The plain loop is eager torch in float32 (bench/attention_ways.py). Each competitor is a process of its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.attention_turns import Asked, make_asked, number, plain_epoch, train_by_recipe
from bench.peers import Worker, await_round, check_device, report_round
from bench.turns import add_device, in_turns, ratios, spread

if TYPE_CHECKING:
    from models.training.history import History

MODELS = ("saaa", "top-down", "mcan-small")
PLACES = (7, 7, 2048)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="*", default=MODELS, choices=MODELS)
    parser.add_argument("--precisions", nargs="*", default=["float32", "auto"])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument(
        "--questions", type=int, default=1024, help="of a round, rounded down to whole batches"
    )
    parser.add_argument("--quick", action="store_true", help="one round of one batch")
    parser.add_argument("--worker", nargs=3, metavar=("KIND", "MODEL", "FOLDER"), help=argparse.SUPPRESS)
    add_device(parser)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.questions = 1, 1
    if options.worker:
        work(*options.worker, device=options.device)
        return
    check_device(options.device)
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            make_arrays(Path(folder), model, options.questions)
            compare(model, options, folder)


def work(kind: str, model: str, folder: str, device: str) -> None:
    """In a worker: the plain loop, or ours in the precision that `kind` names."""
    from models.openmp import spin_briefly

    spin_briefly()
    if kind == "plain":
        work_plain(Path(folder), model, device)
    else:
        work_ours(Path(folder), model, device, kind)


def compare(model: str, options: argparse.Namespace, folder: str) -> None:
    workers = [start("plain", "a plain loop", model, folder, options.device)]
    workers += [start(p, f"ours, {p}", model, folder, options.device) for p in options.precisions]
    for worker in workers:
        worker.round()  # warms up
    rates = in_turns({worker.name: worker.round for worker in workers}, options.rounds)
    for worker in workers:
        worker.end()
        print(f"{model}: {worker.name}: {spread(rates[worker.name], 1)} samples/s, {worker.memory:.2f} GB")
    plain, *others = rates
    for name in others:
        print(f"{model}: {name} / {plain}: {spread(ratios(rates[name], rates[plain]))}", flush=True)


def start(kind: str, name: str, model: str, folder: str, device: str) -> Worker:
    arguments = ["--worker", kind, model, folder, "--device", device]
    return Worker(name, sys.executable, "attention.py", arguments, {})


def make_arrays(folder: Path, model: str, questions: int) -> None:
    """Whole batches, at least one, each question with a picture of its own."""
    batch = number(model, "batch_size")
    count = max(1, questions // batch) * batch
    task = make_asked(count, count, PLACES, number(model, "answers"))
    for name, array in asdict(task).items():
        np.save(folder / f"{name}.npy", array)


def load(folder: Path) -> Asked:
    return Asked(**{name.name: np.load(folder / f"{name.name}.npy") for name in fields(Asked)})


def work_ours(folder: Path, model: str, device: str, precision: str) -> None:
    """Train with the project's own `train`, an epoch a round; it stops for the word between epochs."""
    task = load(folder)

    def each_epoch(history: History) -> None:
        report_round(history[-1]["samples_per_second"])
        if not await_round():
            raise SystemExit

    await_round()
    train_by_recipe(model, task, device, 10**6, precision=precision, each_epoch=each_epoch)


def work_plain(folder: Path, model: str, device: str) -> None:
    """The plain loop on the same samples."""
    from bench.attention_ways import PLAIN

    turn = plain_epoch(model, load(folder), device, PLAIN[model].make)
    while await_round():
        report_round(turn())


if __name__ == "__main__":
    from bench.one_line import in_one_line

    in_one_line(main)
