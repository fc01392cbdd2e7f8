"""The text stages at full size against the plain way: how many times as fast, and peak resident memory.

    python -m bench.text                          # makes v2-sized files and 400,000 vectors first: some minutes
    python -m bench.text --scale 0.01 --runs 3
    python -m bench.text --data DIR               # with the files that bench.generate made there

Each job runs in its own process, so that its peak is its own, and is timed after the start of
Python (its imports count). Ours: what BuildVocabulary, EncodeQuestions and EncodeAnswers, one after another, and
BuildEmbeddings do between reading their zips and writing their files, checks and soft scores included; each reads
its zips again, as the stages do. The plain way: one script with json.load, NLTK on every question and Python
loops, which reads once, checks nothing and has no soft scores; and for the vectors every line split, every row by
np.asarray. Both ways' arrays are compared.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from data.base.errors import DataError
from data.catalog import sources

DATASET, SPLIT, ANSWERS, GLOVE = "vqa-v2", "train", 1_000, "glove.6B.300d"
PART = sources.dataset(DATASET).split(SPLIT)
QUESTIONS = (PART.questions.file, PART.members[SPLIT]["open-ended"])
ANNOTATIONS = (PART.annotations.file if PART.annotations else "", PART.annotations_member or "")


def build_vocabulary(data: Path, out: Path) -> None:
    from data.text import official_json, questions

    entries = official_json.read_questions(data / QUESTIONS[0], QUESTIONS[1])
    answered = official_json.read_annotations(data / ANNOTATIONS[0], ANNOTATIONS[1])
    vocabulary = questions.build_vocabulary(entries, answered, ANSWERS)
    (out / "vocabulary.json").write_text(vocabulary.to_json(), encoding="utf-8")


def encode_questions(data: Path, out: Path) -> None:
    from data.text import official_json, questions

    entries = official_json.read_questions(data / QUESTIONS[0], QUESTIONS[1])
    questions.write_encoded(out / "questions.h5", questions.encode(entries, _vocabulary(out)))


def encode_answers(data: Path, out: Path) -> None:
    from data.text import answers, official_json, pairing

    entries = official_json.read_questions(data / QUESTIONS[0], QUESTIONS[1])
    answered = pairing.in_order(
        official_json.read_annotations(data / ANNOTATIONS[0], ANNOTATIONS[1]), entries
    )
    answers.write_answers(out / "answers.h5", answers.encode_answers(answered, _vocabulary(out)))


def text_stages(data: Path, out: Path) -> None:
    for stage in (build_vocabulary, encode_questions, encode_answers):
        start = time.perf_counter()
        stage(data, out)
        print(
            f"    {stage.__name__} {time.perf_counter() - start:.2f} s, so far {peak_megabytes():.0f} MB at most",
            file=sys.stderr,
        )


def build_embeddings(data: Path, out: Path) -> None:
    from data.text import glove

    source = sources.glove(GLOVE)
    embeddings = glove.embedding_matrix(
        _vocabulary(out), data / source.source.file, source.member, source.dimensions
    )
    glove.write_embeddings(out / "embeddings.h5", embeddings)


def _vocabulary(out: Path) -> Any:
    from data.text.questions import Vocabulary

    return Vocabulary.from_json((out / "vocabulary.json").read_text(encoding="utf-8"))


def plain_text(data: Path, out: Path) -> None:
    """Vocabulary and arrays, question by question, as a script of one evening would do it."""
    import numpy as np
    from nltk.tokenize import NLTKWordTokenizer

    questions = _load(data, *QUESTIONS)["questions"]
    answered = {entry["question_id"]: entry for entry in _load(data, *ANNOTATIONS)["annotations"]}
    consensus = Counter(entry["multiple_choice_answer"] for entry in answered.values())
    top = sorted(consensus, key=lambda answer: (-consensus[answer], answer))[:ANSWERS]
    class_of = {answer: number for number, answer in enumerate(top)}
    tokenizer = NLTKWordTokenizer()
    for question in questions:
        question["words"] = tokenizer.tokenize(question["question"].lower())
    counts: dict[str, int] = {}
    for question in questions:
        if answered[question["question_id"]]["multiple_choice_answer"] in class_of:
            for word in question["words"][:26]:
                counts[word] = counts.get(word, 0) + 1
    listed = sorted(counts, key=lambda word: (-counts[word], word))
    id_of = {word: number + 1 for number, word in enumerate(listed)}
    tokens = np.zeros((len(questions), 26), np.int32)
    classes = np.zeros(len(questions), np.int32)
    humans = np.zeros((len(questions), 10), np.int32)
    for row, question in enumerate(questions):
        words = question["words"][:26]
        for place, word in enumerate(words):
            tokens[row, 26 - len(words) + place] = id_of.get(word, len(listed) + 1)
        entry = answered[question["question_id"]]
        classes[row] = class_of.get(entry["multiple_choice_answer"], -1)
        for human, answer in enumerate(entry["answers"]):
            humans[row, human] = class_of.get(answer["answer"], -1)
    np.savez(out / "plain_text.npz", tokens=tokens, consensus=classes, humans=humans)


def plain_vectors(data: Path, out: Path) -> None:
    """Every line split, every row an array, then the few that are asked for."""
    import numpy as np

    source = sources.glove(GLOVE)
    vectors = {}
    with zipfile.ZipFile(data / source.source.file) as archive, archive.open(source.member) as raw:
        for line in io.TextIOWrapper(raw, encoding="utf-8"):
            word, *values = line.split()
            vectors[word] = np.asarray(values, dtype="float32")
    words = [entry["word"] for entry in json.loads((out / "vocabulary.json").read_text("utf-8"))["words"]]
    matrix = np.zeros((len(words) + 2, source.dimensions), np.float32)
    for number, word in enumerate(words, 1):
        if word in vectors:
            matrix[number] = vectors[word]
    np.savez(out / "plain_vectors.npz", matrix=matrix)


def _load(data: Path, file: str, member: str) -> Any:
    with zipfile.ZipFile(data / file) as archive, archive.open(member) as raw:
        return json.load(raw)


JOBS: tuple[Callable[[Path, Path], None], ...] = (
    text_stages, plain_text, build_embeddings, plain_vectors,
)  # fmt: skip


def same_arrays(out: Path) -> None:
    """End the program if the two ways differ anywhere."""
    import numpy as np

    from data.text.answers import read_answers
    from data.text.glove import read_embeddings
    from data.text.questions import read_encoded

    text, answers = np.load(out / "plain_text.npz"), read_answers(out / "answers.h5")
    pairs = {
        "tokens": (read_encoded(out / "questions.h5").tokens, text["tokens"]),
        "consensus": (answers.consensus, text["consensus"]),
        "humans": (answers.humans, text["humans"]),
        "matrix": (
            read_embeddings(out / "embeddings.h5").matrix,
            np.load(out / "plain_vectors.npz")["matrix"],
        ),
    }
    different = [name for name, (ours, plain) in pairs.items() if not np.array_equal(ours, plain)]
    if different:
        raise SystemExit(f"The two ways differ in {', '.join(different)}.")


def peak_megabytes() -> float:
    """Most resident memory of this process. VmHWM begins anew at exec; ru_maxrss, where there is no /proc, doesn't."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def measure(job: Callable[[Path, Path], None], data: Path, out: Path) -> dict[str, float]:
    """One job in a new process: {seconds, processor, megabytes}."""
    command = [
        sys.executable,
        "-m",
        "bench.text",
        "--job",
        job.__name__,
        "--data",
        str(data),
        "--out",
        str(out),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def run_job(name: str, data: Path, out: Path) -> None:
    start, processor = time.perf_counter(), time.process_time()
    next(job for job in JOBS if job.__name__ == name)(data, out)
    seconds, used = time.perf_counter() - start, time.process_time() - processor
    print(json.dumps({"seconds": seconds, "processor": used, "megabytes": peak_megabytes()}))


def compare(data: Path, out: Path, runs: int) -> None:
    """Runs every job, and says how the plain way's seconds, and its processor seconds, compare with ours."""
    ratios: dict[tuple[str, str], list[float]] = {}
    for run in range(runs):
        measured = {}
        for job in JOBS:
            measured[job.__name__] = result = measure(job, data, out)
            print(
                f"run {run + 1}: {job.__name__:<17}{result['seconds']:8.2f} s, {result['processor']:8.2f} s of "
                f"processor, {result['megabytes']:6.0f} MB at most",
                flush=True,
            )
        same_arrays(out)
        for ours, plain in (("text_stages", "plain_text"), ("build_embeddings", "plain_vectors")):
            for what in ("seconds", "processor"):
                ratios.setdefault((ours, what), []).append(measured[plain][what] / measured[ours][what])
    for (ours, what), each in ratios.items():
        print(f"{ours}, {what}: {median(each):.1f} times as fast ({min(each):.1f} to {max(each):.1f})")
    print("Both ways gave equal arrays.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, help="folder with the zips of bench.generate; else they are made"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the official counts, when they are made")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        run_job(options.job, options.data, options.out)
        return
    with tempfile.TemporaryDirectory() as folder:
        data, out = options.data, Path(folder)
        if data is None:
            from bench import generate

            data = out
            number = int((PART.question_count or 0) * options.scale)
            generate.write_split(data, DATASET, SPLIT, number)
            generate.write_glove(data, GLOVE, int((sources.glove(GLOVE).words or 0) * options.scale))
        _check(data)
        compare(data, out, options.runs)


def _check(data: Path) -> None:
    for file in (QUESTIONS[0], ANNOTATIONS[0], sources.glove(GLOVE).source.file):
        if not (data / file).is_file():
            command = f"python -m bench.generate --out {data} --dataset {DATASET} --glove {GLOVE}"
            raise DataError(f"{data / file}: not there; to make it: {command}")


if __name__ == "__main__":
    from bench.one_line import in_one_line

    in_one_line(main)
