"""How much faster the vectorised official accuracy is than the official loops, on the same answers.

    python -m bench.score                # 121,512 questions x 10 answers, five interleaved runs: some minutes
    python -m bench.score --questions 5000 --runs 3

Both score what their reader gives them: the loops the records of json.load, as the published evaluator does,
and the vectorised code the typed annotations of data.text.official_json. Reading is not timed. The answers are real
ones, repeated to the size of VQA v1's validation split. Repeating alone would flatter the code that treats
each distinct string once, so every repeat after the first turns the answers that occur once into new ones: 69
thousand distinct answers, where the growth within the real ones (4,042 in 4,000 questions, 7,691 in 8,977)
leads to about 60.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from data.base.errors import DataError
from data.scoring.figures import annotated_accuracy
from data.scoring.normalisation import TABLES_FILE, normalise
from data.text.official import Annotation
from data.text.official_json import read_annotations

TABLES = json.loads(TABLES_FILE.read_text(encoding="utf-8"))
COMMA, PERIOD = (
    re.compile(TABLES[name], re.ASCII) for name in ("comma_strip", "period_strip")
)  # as Python 2
REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "vqa_v2_real"


Record = dict[str, Any]


def reference_accuracy(annotations: Sequence[Record], predictions: dict[int, str]) -> dict[str, Any]:
    """The official rule, one question after another, nothing remembered, as published."""
    every: list[float] = []
    by_question_type: dict[str, list[float]] = {}
    by_answer_type: dict[str, list[float]] = {}
    for annotation in annotations:
        score = reference_score(predictions[annotation["question_id"]], annotation["answers"])
        every.append(score)
        by_question_type.setdefault(annotation["question_type"], []).append(score)
        by_answer_type.setdefault(annotation["answer_type"], []).append(score)
    return {
        "overall": _percent(every),
        "perAnswerType": {name: _percent(scores) for name, scores in by_answer_type.items()},
        "perQuestionType": {name: _percent(scores) for name, scores in by_question_type.items()},
    }


def reference_score(prediction: str, records: Sequence[Record]) -> float:
    """One question: each human's record in turn is left out, and the prediction compared with the others."""
    prediction = _reference_clean(prediction)
    records = [{**record, "answer": _reference_clean(record["answer"])} for record in records]
    if len({record["answer"] for record in records}) > 1:
        prediction = _reference_words(_reference_punctuation(prediction))
        for record in records:
            record["answer"] = _reference_words(_reference_punctuation(record["answer"]))
    credits: list[float] = []
    for left_out in records:
        others = [record for record in records if record != left_out]
        agreeing = [record for record in others if record["answer"] == prediction]
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
        text = text.replace(mark, "" if beside_space or COMMA.search(given) is not None else " ")
    return PERIOD.sub("", text, count=int(re.UNICODE))


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
    """Python 2's round: of two equally near the one further from zero."""
    percent = Decimal(100 * _sum(scores) / len(scores))
    return float(percent.quantize(Decimal("0.01"), ROUND_HALF_UP))


def _sum(numbers: list[float]) -> float:
    """One after another, as Python 2 and Python up to 3.11 add; from 3.12 on sum() compensates rounding."""
    total = 0.0
    for number in numbers:
        total += number
    return total


def realistic(folder: Path, questions: int, seed: int = 0) -> tuple[list[Record], dict[int, str]]:
    """Annotations in the official format and predictions by question id, made from real ones."""
    real = _annotations(folder)
    counts = Counter(record["answer"] for entry in real for record in entry["answers"])
    rng = random.Random(seed)
    annotations, predictions = [], {}
    for number in range(questions):
        repeat, place = divmod(number, len(real))
        records = [dict(record) for record in real[place]["answers"]]
        for record in records:
            if repeat and counts[record["answer"]] == 1:
                record["answer"] += f" {repeat}"
        annotations.append({**real[place], "question_id": number, "answers": records})
        common = rng.choice(["yes", "no", "2", "white", "on the left"])
        predictions[number] = rng.choice(records)["answer"] if rng.random() < 0.7 else common
    return annotations, predictions


def _annotations(folder: Path) -> list[dict[str, Any]]:
    packed = folder / "v2_mscoco_train2014_annotations.json.gz"
    if packed.exists():
        return json.loads(gzip.decompress(packed.read_bytes()))["annotations"]
    if not (folder / packed.stem).exists():
        raise DataError(f"{folder}: no {packed.stem} here, nor its .gz; --data names the folder that has it")
    return json.loads((folder / packed.stem).read_text(encoding="utf-8"))["annotations"]


def _seconds(function: Callable[..., dict[str, Any]], *arguments: Any) -> tuple[float, dict[str, Any]]:
    normalise.cache_clear()  # the first scoring of a process, not the second
    start = time.perf_counter()
    figures = function(*arguments)
    return time.perf_counter() - start, figures


def _both_readers(annotations: list[Record]) -> tuple[list[Record], list[Annotation]]:
    """The annotations as json.load gives them and as data.text.official_json does, from one file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "annotations.json"
        path.write_text(json.dumps({"annotations": annotations}), encoding="utf-8")
        return json.loads(path.read_text(encoding="utf-8"))["annotations"], read_annotations(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Vectorised official accuracy against the official loops.")
    parser.add_argument(
        "--questions", type=int, default=121_512, help="VQA v1's validation split has 121,512"
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--data", type=Path, default=REAL, help="folder of the annotations")
    options = parser.parse_args()
    made, predictions = realistic(options.data, options.questions)
    records, annotations = _both_readers(made)
    distinct = len({answer for annotation in annotations for answer in annotation.answers})
    answers = sum(len(annotation.answers) for annotation in annotations)
    print(f"{len(records)} questions, {answers} answers, {distinct} distinct")
    loops, ours = [], []
    for run in range(options.runs):
        slow, expected = _seconds(reference_accuracy, records, predictions)
        fast, figures = _seconds(annotated_accuracy, annotations, list(predictions.values()))
        if {name: figures[name] for name in expected} != expected:
            raise SystemExit(f"The figures differ: loops {expected}, vectorised {figures}")
        loops.append(slow)
        ours.append(fast)
        print(
            f"run {run + 1}: loops {slow:.2f} s, vectorised {fast:.3f} s, {slow / fast:.0f} times", flush=True
        )
    ratios = [slow / fast for slow, fast in zip(loops, ours, strict=True)]
    print(
        f"median: loops {statistics.median(loops):.2f} s, vectorised {statistics.median(ours):.3f} s; "
        f"{statistics.median(ratios):.0f} times as fast ({min(ratios):.0f} to {max(ratios):.0f}); "
        f"both say {expected['overall']:.2f} overall"
    )


if __name__ == "__main__":
    from bench.one_line import in_one_line

    in_one_line(main)
