"""How well real questions are answered without their pictures: language-only, the priors, and Keras 3 if wanted.

    python -m bench.language --questions Q.json --annotations A.json              # official files, .gz too
    python -m bench.language --questions Q.json --annotations A.json --keras      # side by side with Keras 3

A fifth of the images, drawn by the seed, is held out with its questions; vocabulary and answer classes are those
of the rest. No word vectors are at hand, so each word has a random one, which stays as it is. Scored by the
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

from bench.peers import EMBEDDING, keras_model
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
    classes: np.ndarray  # -1 where the consensus answer is none of the classes
    learnt: list[Annotation]
    tokens: np.ndarray
    judged: list[Annotation]


def main() -> None:
    options = arguments()
    rows: dict[str, list[float]] = {}
    for seed in range(options.seeds):
        for name, overall in run(options, seed).items():
            rows.setdefault(name, []).append(overall)
        print(
            f"seed {seed}: " + ", ".join(f"{name} {found[-1]:.2f}" for name, found in rows.items()),
            flush=True,
        )
    print(f"\n{'official accuracy, in percent':<34}{'mean':>8}{'lowest':>8}{'highest':>8}")
    for name, found in rows.items():
        print(f"{name:<34}{statistics.mean(found):>8.2f}{min(found):>8.2f}{max(found):>8.2f}")
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
    return parser.parse_args()


def run(options: argparse.Namespace, seed: int) -> dict[str, float]:
    """Overall accuracies of one seed, by name."""
    task = prepare(options.questions, options.annotations, options.answers, seed)
    priors = baselines(
        [one.multiple_choice_answer for one in task.learnt],
        [one.question_type for one in task.learnt],
        [one.answers for one in task.judged],
        [one.question_type for one in task.judged],
        [one.answer_type for one in task.judged],
    )
    found = {name.replace("_", " "): figures["overall"] for name, figures in priors.items()}
    for name, model in (("language-only", ours), ("language-only in Keras 3", theirs)):
        if model is ours or options.keras:
            best = model(task, options.epochs, options.batch_size, seed)
            answers = [task.vocabulary.answers[number] for number in best]
            found[name] = annotated_accuracy(task.judged, answers)["overall"]
    return found


def prepare(questions_file: Path, annotations_file: Path, answers: int, seed: int) -> Task:
    """Read both files and split them by image."""
    with tempfile.TemporaryDirectory() as folder:
        questions = read_questions(plain(questions_file, Path(folder)))
        annotations = in_order(read_annotations(plain(annotations_file, Path(folder))), questions)
    rng = np.random.default_rng(seed)
    images = np.unique([one.image_id for one in questions])
    held_out = set(rng.permutation(images)[: len(images) // 5].tolist())
    train = [place for place, one in enumerate(questions) if one.image_id not in held_out]
    judge = [place for place, one in enumerate(questions) if one.image_id in held_out]
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


def ours(task: Task, epochs: int, batch_size: int, seed: int) -> np.ndarray:
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
    trained = train(
        data, architecture, task.matrix, TrainingOptions(epochs, batch_size, seed=seed), device="cpu"
    )
    rows = np.zeros(len(task.tokens), np.int64)
    return predict(trained.module, task.tokens, rows, None, device="cpu").top_classes[:, 0]


def theirs(task: Task, epochs: int, batch_size: int, seed: int) -> np.ndarray:
    """(Q,) classes by the same network in Keras 3, with `fit` and `predict`."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    keras.utils.set_random_seed(seed)
    model = keras_model(task.matrix, len(task.vocabulary.answers), sees=False)
    kept = task.classes >= 0
    model.fit(task.train_tokens[kept], task.classes[kept], batch_size=batch_size, epochs=epochs, verbose=0)
    return model.predict(task.tokens, batch_size=batch_size, verbose=0).argmax(axis=1)


if __name__ == "__main__":
    from bench.one_line import in_one_line

    in_one_line(main)
