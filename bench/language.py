"""How well real questions are answered without their pictures: language-only, the priors, and optionally Keras 3.

    python -m bench.language --questions Q.json --annotations A.json              # official files, .gz too
    python -m bench.language --questions Q.json --annotations A.json --keras      # side by side with Keras 3
    python -m bench.language --questions Q.json --annotations A.json --device cuda

A fifth of the images, drawn by the seed, is held out with its questions; vocabulary and answer classes are those
of the rest. There are no word vectors, so each word gets a random one, which is not trained. Scored by the
official accuracy; each seed draws split, vectors and weights anew.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.peers import EMBEDDING, check_device, keras_model
from bench.turns import add_device
from data.scoring.baselines import baselines
from data.scoring.figures import annotated_accuracy
from data.text.answers import encode_answers
from data.text.official import Annotation
from data.text.official_json import read_annotations, read_questions
from data.text.pairing import in_order
from data.text.questions import Vocabulary, build_vocabulary, encode

PRIOR = "commonest per question type"


@dataclass(frozen=True)
class Task:
    """One split of the questions: words, classes, word vectors (V, 300), and both sides' arrays."""

    vocabulary: Vocabulary
    matrix: np.ndarray
    train_tokens: np.ndarray
    classes: np.ndarray  # -1 where the consensus answer is not a class
    learnt: list[Annotation]
    tokens: np.ndarray
    judged: list[Annotation]


def main() -> None:
    options = arguments()
    check_device(options.device)
    rows: dict[str, list[float]] = {}
    for seed in range(options.seeds):
        for name, overall in run(options, seed).items():
            rows.setdefault(name, []).append(overall)
        print(
            f"seed {seed}: " + ", ".join(f"{name} {accuracies[-1]:.2f}" for name, accuracies in rows.items()),
            flush=True,
        )
    print(f"\n{'official accuracy, in percent':<34}{'mean':>8}{'lowest':>8}{'highest':>8}")
    for name, accuracies in rows.items():
        print(f"{name:<34}{statistics.mean(accuracies):>8.2f}{min(accuracies):>8.2f}{max(accuracies):>8.2f}")
    if any(ours <= prior for ours, prior in zip(rows["language-only"], rows[PRIOR], strict=True)):
        raise SystemExit("language-only does not beat the commonest answer of the question's type")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--answers", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--keras", action="store_true", help="the same network in Keras 3 (torch backend)")
    add_device(parser, what="ours (Keras takes what its backend finds)")
    return parser.parse_args()


def run(options: argparse.Namespace, seed: int) -> dict[str, float]:
    """Overall accuracies of one seed, by name."""
    task = prepare(options.questions, options.annotations, options.answers, seed)
    priors = baselines(
        [annotation.multiple_choice_answer for annotation in task.learnt],
        [annotation.question_type for annotation in task.learnt],
        [annotation.answers for annotation in task.judged],
        [annotation.question_type for annotation in task.judged],
        [annotation.answer_type for annotation in task.judged],
    )
    overall = {name.replace("_", " "): figures["overall"] for name, figures in priors.items()}
    for name, model in (("language-only", ours), ("language-only in Keras 3", theirs)):
        if model is ours or options.keras:
            best = model(task, options, seed)
            answers = [task.vocabulary.answers[number] for number in best]
            overall[name] = annotated_accuracy(task.judged, answers)["overall"]
    return overall


def prepare(questions_file: Path, annotations_file: Path, answers: int, seed: int) -> Task:
    """Read both files and split them by image."""
    with tempfile.TemporaryDirectory() as folder:
        questions = read_questions(plain(questions_file, Path(folder)))
        annotations = in_order(read_annotations(plain(annotations_file, Path(folder))), questions)
    rng = np.random.default_rng(seed)
    images = np.unique([question.image_id for question in questions])
    held_out = set(rng.permutation(images)[: len(images) // 5].tolist())
    train = [place for place, question in enumerate(questions) if question.image_id not in held_out]
    judge = [place for place, question in enumerate(questions) if question.image_id in held_out]
    learnt = [annotations[place] for place in train]
    vocabulary = build_vocabulary([questions[place] for place in train], learnt, answers)
    matrix = rng.normal(scale=0.4, size=(len(vocabulary.words) + 2, EMBEDDING)).astype(np.float32)
    matrix[0] = 0
    return Task(
        vocabulary,
        matrix,
        encode([questions[place] for place in train], vocabulary).tokens,
        encode_answers(learnt, vocabulary).consensus,
        learnt,
        encode([questions[place] for place in judge], vocabulary).tokens,
        [annotations[place] for place in judge],
    )


def plain(path: Path, folder: Path) -> Path:
    """The file itself, or what a .gz holds."""
    if path.suffix != ".gz":
        return path
    with gzip.open(path) as packed, (folder / path.stem).open("wb") as file:
        shutil.copyfileobj(packed, file)
    return folder / path.stem


def ours(task: Task, options: argparse.Namespace, seed: int) -> np.ndarray:
    """(Q,) classes by this project's `train` and `predict`."""
    from models.openmp import spin_briefly

    spin_briefly()
    from models.classifiers.architecture import Architecture
    from models.prediction import predict
    from models.training.inputs import TrainingData, TrainingOptions
    from models.training.loop import train

    size = len(task.vocabulary.answers)
    architecture = Architecture("language-only", *task.matrix.shape, size, ())
    data = TrainingData(task.train_tokens, np.zeros(len(task.train_tokens), np.int64), None, task.classes)
    recipe = TrainingOptions(options.epochs, options.batch_size, seed=seed)
    trained = train(data, architecture, task.matrix, recipe, device=options.device)
    rows = np.zeros(len(task.tokens), np.int64)
    return predict(trained.module, task.tokens, rows, None, device=options.device).top_classes[:, 0]


def theirs(task: Task, options: argparse.Namespace, seed: int) -> np.ndarray:
    """(Q,) classes by the same network in Keras 3, with `fit` and `predict`."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    keras.utils.set_random_seed(seed)
    model = keras_model(task.matrix, len(task.vocabulary.answers), sees=False)
    kept = task.classes >= 0
    model.fit(
        task.train_tokens[kept],
        task.classes[kept],
        batch_size=options.batch_size,
        epochs=options.epochs,
        verbose=0,
    )
    return model.predict(task.tokens, batch_size=options.batch_size, verbose=0).argmax(axis=1)


if __name__ == "__main__":
    from bench.one_line import in_one_line

    in_one_line(main)
