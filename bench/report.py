"""How large the report of a whole split is, and how fast a browser opens it, on made-up questions of VQA v2's size.

    python -m bench.report --out report.html        # 214,354 questions, 120 pictures of noise

Prints the seconds of writing and the megabytes of the page; then, where there are Chromium, chromedriver and selenium,
the seconds until the page is loaded, until all questions can be searched, and of one search.
"""

from __future__ import annotations

import argparse
import io
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from bench.generate import ANSWERS, DISTINCT, HEADS, WORDS, Answers, Zipf, questions, words
from bench.one_line import in_one_line
from data.report.report_data import Judged, ReportData
from data.report.report_page import write_report
from data.scoring.accuracy import accuracy
from data.scoring.baselines import baselines
from data.scoring.consistency import consistency
from data.scoring.intervals import intervals

SEARCH = """
const box = document.querySelector(".filters input"), start = performance.now();
box.value = "what color red";
box.dispatchEvent(new Event("input", {bubbles: true}));
return [performance.now() - start, document.querySelector(".filters output").textContent];
"""


def made_up(number: int, seed: int = 0) -> list[Judged]:
    """Questions with ten answers each, and five guesses that are as often right as a good model's."""
    rng = random.Random(seed)
    lexicon = words(random.Random(seed), WORDS)
    distinct = questions(rng, lexicon, max(1, int(number * DISTINCT["vqa-v2"])))
    texts = distinct + Zipf(distinct, 0.7).draw(rng, number - len(distinct))
    rng.shuffle(texts)
    answers = Answers(rng, lexicon)
    return [_judged(place, text, answers.ten(), answers) for place, text in enumerate(texts)]


def _judged(place: int, text: str, ten: list[str], answers: Answers) -> Judged:
    consensus, rng = ten[0], answers.rng
    guesses = list(dict.fromkeys([*rng.sample(ten, 1), *answers.zipf.draw(rng, 9)]))[:5]
    kind = "yes/no" if consensus in ("yes", "no") else "number" if consensus.isdigit() else "other"
    head = next((head for head in HEADS if text.lower().startswith(head)), "none of the above")
    shares = sorted((rng.random() ** 4 for _ in guesses), reverse=True)
    top = [(guess, share / sum(shares)) for guess, share in zip(guesses, shares, strict=True)]
    image = place // 5 * 13 + 42
    return Judged(1000 * image + place % 5, image, text, head, kind, ten, consensus, guesses[0], top)


def report_data(judged: list[Judged]) -> ReportData:
    """A report's data with true figures of made-up answers."""
    said, humans = [question.prediction for question in judged], [question.humans for question in judged]
    kinds, types = (
        [question.question_type for question in judged],
        [question.answer_type for question in judged],
    )
    consensus, pictures = (
        [question.consensus for question in judged],
        [question.image_id for question in judged],
    )
    right = np.array([question.prediction == question.consensus for question in judged])
    figures = accuracy(said, humans, kinds, types)
    figures["baselines"] = baselines(consensus, kinds, humans, kinds, types)
    figures["intervals"] = intervals(np.asarray(right, float), pictures, kinds, types)
    figures["consistency"] = consistency(
        [question.question for question in judged], pictures, consensus, right
    )
    figures["seed"] = {"loss": 1.0, "loss_questions": len(judged), "exact_match": 0.5, "any_of_ten": 0.6}
    classes = [answer for answer, _ in Counter(consensus).most_common(min(1000, ANSWERS))]
    return ReportData("vqa-v2", "val", "open-ended", "made-up", figures, (), judged, classes)


def noise(number: int) -> bytes:
    """A picture that is as hard to compress as a photograph."""
    rng = np.random.default_rng(number)
    small = Image.fromarray(rng.integers(0, 255, (60, 80, 3), np.uint8)).resize((640, 480))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG")
    return buffer.getvalue()


def opened(page: Path) -> str:
    """What a browser takes to open the page and to search it; why not, where there is none."""
    try:
        from selenium import webdriver
    except ModuleNotFoundError:
        return "not opened: needs selenium"
    if not (driver := shutil.which("chromedriver")):
        return "not opened: needs chromium with its chromedriver"
    options = webdriver.ChromeOptions()
    for flag in ("headless", "no-sandbox", "disable-gpu"):
        options.add_argument(f"--{flag}")
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        start = time.perf_counter()
        browser.get(page.resolve().as_uri())
        loaded = time.perf_counter() - start
        while not browser.execute_script("return 'ready' in document.documentElement.dataset"):
            time.sleep(0.02)
        ready = time.perf_counter() - start
        took, told = browser.execute_script(SEARCH)
        return f"loaded after {loaded:.2f} s, ready after {ready:.2f} s, a search {took:.0f} ms ({told})"
    finally:
        browser.quit()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("report.html"))
    parser.add_argument("--questions", type=int, default=214_354)
    options = parser.parse_args()
    data = report_data(made_up(options.questions))
    start = time.perf_counter()
    write_report(options.out, data, noise)
    seconds, size = time.perf_counter() - start, options.out.stat().st_size / 1e6
    print(f"{options.questions:,} questions: written in {seconds:.1f} s, {size:.1f} MB", flush=True)
    print(opened(options.out))


if __name__ == "__main__":
    in_one_line(main)
