"""How much faster the vectorised official accuracy is than the official loops, on the same answers.

    python -m bench.score                # 121,512 questions x 10 answers, five interleaved runs: some minutes
    python -m bench.score --questions 5000 --runs 3

The answers are real ones, repeated to the size of VQA v1's validation split. Repeating alone would flatter us,
who treat each distinct string once, so every repeat after the first alters its rare answers into new ones.
Needs --data: a folder with a v2_mscoco_train2014_annotations.json[.gz].
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data.accuracy import accuracy
from data.normalisation import TABLES_FILE, normalise

TABLES = json.loads(TABLES_FILE.read_text(encoding="utf-8"))
REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "vqa_v2_real"


def reference_accuracy(
    predictions: Sequence[str],
    humans: Sequence[Sequence[str]],
    question_types: Sequence[str],
    answer_types: Sequence[str],
) -> dict[str, Any]:
    """The official rule, one question after another, nothing remembered: what the published evaluator does."""
    every: list[float] = []
    by_question_type: dict[str, list[float]] = {}
    by_answer_type: dict[str, list[float]] = {}
    for prediction, ten, question_type, answer_type in zip(
        predictions, humans, question_types, answer_types, strict=True
    ):
        score = reference_score(prediction, ten)
        every.append(score)
        by_question_type.setdefault(question_type, []).append(score)
        by_answer_type.setdefault(answer_type, []).append(score)
    return {
        "overall": _percent(every),
        "perAnswerType": {name: _percent(scores) for name, scores in by_answer_type.items()},
        "perQuestionType": {name: _percent(scores) for name, scores in by_question_type.items()},
    }


def reference_score(prediction: str, humans: Sequence[str]) -> float:
    """One question: each human in turn is left out, and the prediction is held against the others."""
    prediction = _reference_clean(prediction)
    answers = [_reference_clean(answer) for answer in humans]
    if len(set(answers)) > 1:
        prediction = _reference_words(_reference_punctuation(prediction))
        answers = [_reference_words(_reference_punctuation(answer)) for answer in answers]
    credits: list[float] = []
    for left_out in range(len(answers)):
        others = [answer for human, answer in enumerate(answers) if human != left_out]
        agreeing = [answer for answer in others if answer == prediction]
        credits.append(min(1, len(agreeing) / 3))
    return _sum(credits) / len(credits)


def _reference_clean(text: str) -> str:
    text = text.replace("\n", " ")
    text = text.replace("\t", " ")
    return text.strip()


def _reference_punctuation(given: str) -> str:
    text = given
    for mark in TABLES["punctuation"]:
        beside_space = mark + " " in given or " " + mark in given
        if beside_space or re.search(TABLES["comma_strip"], given) is not None:
            text = text.replace(mark, "")
        else:
            text = text.replace(mark, " ")
    return re.sub(TABLES["period_strip"], "", text, count=int(re.UNICODE))


def _reference_words(text: str) -> str:
    kept = []
    for word in text.lower().split():
        word = TABLES["number_words"].get(word, word)
        if word not in TABLES["articles"]:
            kept.append(word)
    for place, word in enumerate(kept):
        if word in TABLES["contractions"]:
            kept[place] = TABLES["contractions"][word]
    return " ".join(kept)


def _percent(scores: list[float]) -> float:
    return round(100 * _sum(scores) / len(scores), 2)


def _sum(numbers: list[float]) -> float:
    """One after another, as Python 2 and Python up to 3.11 add; from 3.12 on sum() compensates rounding."""
    total = 0.0
    for number in numbers:
        total += number
    return total


def realistic(folder: Path, questions: int, seed: int = 0) -> tuple[list[str], list[list[str]], list[str], list[str]]:
    """Predictions, humans, question types and answer types of `questions` questions made from the real ones."""
    annotations = _annotations(folder)
    counts = Counter(answer["answer"] for entry in annotations for answer in entry["answers"])
    rng = random.Random(seed)
    rows = []
    for number in range(questions):
        repeat, entry = divmod(number, len(annotations))
        real = annotations[entry]
        ten = [answer["answer"] for answer in real["answers"]]
        if repeat:
            ten = [answer if counts[answer] > 2 else f"{answer} {repeat}" for answer in ten]
        guess = rng.choice(ten) if rng.random() < 0.7 else rng.choice(["yes", "no", "2", "white", "on the left"])
        rows.append([guess, ten, real["question_type"], real["answer_type"]])
    # Through JSON, so that no two equal strings are one object, as in a file just read.
    predictions, humans, question_types, answer_types = zip(*json.loads(json.dumps(rows)), strict=True)
    return list(predictions), list(humans), list(question_types), list(answer_types)


def _annotations(folder: Path) -> list[dict[str, Any]]:
    packed = folder / "v2_mscoco_train2014_annotations.json.gz"
    if packed.exists():
        return json.loads(gzip.decompress(packed.read_bytes()))["annotations"]
    return json.loads((folder / packed.stem).read_text(encoding="utf-8"))["annotations"]


def _seconds(function: Callable[..., dict[str, Any]], *arguments: Any) -> tuple[float, dict[str, Any]]:
    normalise.cache_clear()  # the first scoring of a process, not the second
    start = time.perf_counter()
    figures = function(*arguments)
    return time.perf_counter() - start, figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Vectorised official accuracy against the official loops.")
    parser.add_argument("--questions", type=int, default=121_512, help="VQA v1's validation split has 121,512")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--data", type=Path, default=REAL, help="folder of the annotations")
    options = parser.parse_args()
    arguments = realistic(options.data, options.questions)
    distinct = len({answer for ten in arguments[1] for answer in ten})
    print(f"{options.questions} questions, {sum(map(len, arguments[1]))} answers, {distinct} distinct")
    loops, ours = [], []
    for run in range(options.runs):
        slow, expected = _seconds(reference_accuracy, *arguments)
        fast, figures = _seconds(accuracy, *arguments)
        if {name: figures[name] for name in expected} != expected:
            raise SystemExit(f"The figures differ: loops {expected}, vectorised {figures}")
        loops.append(slow)
        ours.append(fast)
        print(f"run {run + 1}: loops {slow:.2f} s, vectorised {fast:.3f} s, {slow / fast:.0f} times", flush=True)
    ratios = [slow / fast for slow, fast in zip(loops, ours, strict=True)]
    print(
        f"median: loops {statistics.median(loops):.2f} s, vectorised {statistics.median(ours):.3f} s; "
        f"{statistics.median(ratios):.0f} times as fast ({min(ratios):.0f} to {max(ratios):.0f}); "
        f"both say {expected['overall']:.2f} overall"
    )


if __name__ == "__main__":
    main()
