"""The report: self-contained, harmless whatever the texts say, and right in what it counts."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import EVIL, HARM, OVERFLOW, jpeg, judged, look, printed
from PIL import Image

from data.base.words import human_seconds, human_size
from data.catalog.entries import Published
from data.pictures.thumbnails import thumbnail
from data.report import cards, views
from data.report.charts import charts, ticks
from data.report.report_data import BuiltStage, ReportData
from data.report.report_page import render_report, write_report


def prior(overall):
    return {"overall": overall, "perAnswerType": {"other": overall}}


def bounds(overall, half):
    interval = [overall - half, overall + half]
    return {"overall": interval, "perAnswerType": {"other": interval}}


def report_data(questions=None, overall=60.0, half=2.5, pictures=40, **others):
    """`half`: how far each interval reaches to both sides."""
    questions = questions or [judged(k, "red" if k % 5 else "blue") for k in range(20)]
    figures = {
        "overall": overall,
        "perAnswerType": {"other": overall},
        "perQuestionType": {"what color is the": overall},
        "baselines": {"commonest_answer": prior(20.0), "commonest_per_question_type": prior(30.0)},
        "seed": {"loss": 0.5, "exact_match": 0.6, "any_of_ten": 0.7, "loss_questions": 19},
        "metric": "official",
        "questions": len(questions),
        "intervals": {
            **bounds(overall, half),
            "perQuestionType": {"what color is the": None},
            "gains": {
                "commonest_answer": bounds(overall - 20, half),
                "commonest_per_question_type": bounds(overall - 30, half),
            },
            "pictures": pictures,
        },
        "consistency": {"pairs": 1234, "both_right": 45.5, "wordings": 9, "mean_over_wordings": 39.25},
    }
    history = [{"epoch": e, "loss": 1 / e, "exact_match": 1 - 1 / e} for e in (1, 2, 3)]
    values = {
        "dataset": "sample",
        "split": "val",
        "task": "open-ended",
        "model": "deeper-lstm",
        "accuracy": figures,
        "history": history,
        "questions": questions,
        "classes": ["red", "blue", "2", "no"],
        "parameters": {"epochs": 3},
        "stages": [
            BuiltStage("TrainModel", "train-model/a", "aa11", 61.0, 2_000_000, "cpu"),
            BuiltStage("PredictAnswers", "predict/b", "bb22", 1.0, 10, "cpu", {"model": "aa11"}, ["slow"]),
        ],
        "versions": {"python": "3.11"},
    }
    return ReportData(**values | others)


class Page(HTMLParser):
    """What a browser would find: tags with attributes, and the text outside style and script."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.inside = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.text.append(data)

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)


def page_of(data, **others):
    return render_report(data, jpeg, **others)[0]


def test_the_page_tells_the_figures():
    text = " ".join("".join(Page(page_of(report_data())).text).split())
    for told in (
        "60.00%",
        "30.00 points (95 %: +27.50 to +32.50) above",
        "95 %: 57.50 to 62.50, by 40 pictures",
        "the model +40.00 (+37.50 to +42.50)",
        "60.00 %57.50 to 62.50",
        "1,234",
        "45.50 %",
        "39.25 %",
        "commonest answer of the question's type",
        "0.500",
        "0.600",
        "0.700",
    ):
        assert told in text, told
    for told in ("TrainModel", "1 min 1 s", "2.0 MB", "aa11", "slow", "what color is the", "deeper-lstm"):
        assert told in text, told


@pytest.mark.parametrize(
    "overall, half, pictures, words",
    [
        (70.0, 5, 10, "40.00 points (95 %: +35.00 to +45.00) above"),
        (70.0, 5, 9, "Too few pictures to tell the model from a guess"),
        (70.0, 41, 900, "40.00 points (95 %: -1.00 to +81.00) is within chance"),
        (30.2, 1, 900, "Not told from a guess"),
        (10.0, 5, 900, "20.00 points below (95 %: -25.00 to -15.00)"),
    ],
)
def test_the_verdict_is_honest(overall, half, pictures, words):
    data = report_data(overall=overall, half=half, pictures=pictures)
    assert words in " ".join("".join(Page(page_of(data)).text).split())


def test_an_accuracy_of_one_picture_has_no_interval_and_no_finding():
    data = report_data()
    del data.accuracy["intervals"], data.accuracy["consistency"]
    text = " ".join("".join(Page(page_of(data)).text).split())
    assert (
        "Too few pictures" in text and "gain of +30.00 points may be chance" in text and "95 %:" not in text
    )
    assert "Consistency" not in text


def test_nothing_is_loaded_from_outside():
    page = Page(page_of(report_data()))
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base"), tag
        for name in ("src", "href", "srcset", "action", "poster"):
            assert attributes.get(name, "data:").startswith(("data:", "#")), (tag, attributes)
    assert not re.search(r"url\(|@import|https?://", page_of(report_data(), gallery=0))


def test_the_policy_allows_the_page_s_own_script_and_no_other():
    page = page_of(report_data())
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(
        a["content"] for tag, a in Page(page).tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}';" in policy


def test_html_in_any_text_is_shown_as_text():
    evil = judged(
        0,
        EVIL,
        EVIL,
        question=EVIL,
        question_type=EVIL,
        answer_type=EVIL,
        humans=[EVIL] * 9 + ["x"],
        top=[(EVIL, 1.0)],
    )
    wrong = judged(1, EVIL + "2", EVIL, question=EVIL, question_type=EVIL, answer_type=EVIL)
    data = report_data([evil, wrong])
    data.accuracy["perAnswerType"], data.accuracy["perQuestionType"] = {EVIL: 5.0}, {EVIL: 5.0}
    data = report_data(
        [evil, wrong],
        accuracy=data.accuracy,
        classes=[EVIL],
        dataset=EVIL,
        model=EVIL,
        parameters={EVIL: EVIL},
        versions={EVIL: EVIL},
        commit=EVIL,
        stages=[BuiltStage(EVIL, EVIL, EVIL, 1.0, 1, EVIL, {EVIL: EVIL}, [EVIL])],
        published=[Published(EVIL, EVIL, "val", "open-ended", 1.0), Published(EVIL, EVIL, EVIL, EVIL, 1.0)],
    )
    page = Page(page_of(data))
    assert page.count("script") == 1 and "".join(page.text).count("dataset.harmed=1") > 15
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert all(a["src"].startswith("data:image/jpeg;base64,") for tag, a in page.tags if tag == "img")


def test_a_broken_picture_leaves_a_note(tmp_path):
    facts = write_report(tmp_path / "report.html", report_data(), lambda _: b"no picture", gallery=3)
    assert facts == {"questions": 20, "gallery": 3, "pictures_unread": 3}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert Page(page).count("img") == 0 and page.count("is not a readable picture") == 3


def test_thumbnails_are_small():
    with Image.open(io.BytesIO(thumbnail(jpeg(), 100))) as picture:
        assert picture.size == (100, 75) and picture.format == "JPEG"


def test_only_the_gallery_s_pictures_are_read():
    read = []
    render_report(report_data(), lambda number: read.append(number) or jpeg(), gallery=5)
    assert len(read) == 5


def test_without_history_stages_or_wrong_answers():
    data = report_data([judged(k) for k in range(3)], history=(), stages=(), parameters={}, versions={})
    text = "".join(Page(page_of(data)).text)
    assert "Commonest confusions" not in text and "Training" not in text and "Nothing is out of reach" in text


def test_published_lines_stand_beside_the_model_only_where_they_compare():
    published = [
        Published("MCB", "train", "val", "open-ended", 60.36),
        Published("people", "-", "test", "open-ended", 83.3),
    ]
    lines = views.lines(report_data(published=published, overall=61.0))
    assert [line["label"] for line in lines["here"]][-2:] == ["MCB (published)", "this model"]
    assert lines["elsewhere"] == published[1:]


def test_a_published_line_of_another_training_split_stands_apart():
    published = [Published("more data", "trainval", "val", "open-ended", 70.0)]
    data = report_data(published=published)
    assert views.lines(data)["elsewhere"] == published and "Published on another" in page_of(data)
    assert "Published" not in page_of(report_data())


def test_the_page_says_what_the_model_reads_and_how_large_it_is():
    page = page_of(report_data(network={"reads": "7 x 7 x 512", "trained parameters": "15,324,602"}))
    assert "<dd>7 x 7 x 512</dd>" in page and "<dd>15,324,602</dd>" in page


def test_a_trained_baseline_stands_among_the_lines_and_is_the_one_to_beat():
    data = report_data()
    data.accuracy["baselines"]["language_only"] = prior(55.0)
    data.accuracy["intervals"]["gains"]["language_only"] = bounds(5.0, 0.5)
    text = " ".join("".join(Page(page_of(data)).text).split())
    assert (
        "5.00 points (95 %: +4.50 to +5.50) above" in text
        and "the language-only model trained alike is right 55.00 %" in text
    )
    (row,) = views.answer_types(data)
    assert row["prior"] == 55.0


def test_each_stage_tells_when_and_from_what_it_was_built():
    stages = [
        BuiltStage(
            "TrainModel",
            "train-model/deeper-lstm-a-1f",
            "aa11",
            1.0,
            5,
            finished=0.5,
            host="there",
            version=3,
        )
    ]
    text = " ".join("".join(Page(page_of(report_data(stages=stages))).text).split())
    assert "1970-01-01 00:00 UTC on there, version 3 of the stage" in text and "deeper-lstm-a" in text


def test_the_gallery_takes_turns_and_avoids_the_same_picture():
    right = [True] * 90 + [False] * 10
    kinds = ["yes/no", "other"] * 50
    pictures = [k // 2 for k in range(100)]
    chosen = cards.choose(right, kinds, pictures, 20)
    assert chosen == cards.choose(right, kinds, pictures, 20) and len(set(chosen)) == 20
    assert sum(right[k] for k in chosen) == 10
    assert sum(kinds[k] == "other" for k in chosen) == 10
    assert len(cards.choose(right, kinds, pictures, 500)) == 100


def test_reach_counts_what_the_classes_cannot_say():
    questions = [
        judged(0, consensus="red"),
        judged(1, consensus="mauve"),
        judged(2, consensus="teal", humans=["teal"] * 8 + ["blue"] * 2),
        judged(3, consensus="Red.", humans=["Red."] * 6 + ["blue"] * 4),
    ]
    reach = views.reach(questions, ["red", "blue"])
    assert reach["outside"] == 3 and reach["share"] == 75 and reach["classes"] == 2
    assert reach["best"] == pytest.approx(100 * (1 + 0 + 0.6 + 1) / 4)


def test_confusions_are_counted_with_an_example():
    questions = [judged(k, "blue", "red") for k in range(3)] + [judged(9, "red", "blue"), judged(10)]
    rows = views.confusions(questions, [False, False, False, False, True])
    assert [(row["consensus"], row["prediction"], row["count"]) for row in rows] == [
        ("red", "blue", 3),
        ("blue", "red", 1),
    ]
    assert rows[0]["share"] == 75 and rows[0]["example"] == "What color is the star?"


@pytest.mark.parametrize(
    ("agreeing", "asked", "mark"),
    [
        (3, 10, "right"),
        (2, 10, "partly"),
        (3, 12, "right"),
        (1, 1, "right"),
        (2, 3, "partly"),
        (0, 10, "wrong"),
    ],
)
def test_three_who_agree_are_right_wherever_they_stand(agreeing, asked, mark):
    """Added in some orders, the score of three of ten is a bit below 0.9."""
    questions = [
        judged(k, "red", humans=["red" if human in at else f"other {human}" for human in range(asked)])
        for k, at in enumerate(combinations(range(asked), agreeing))
    ]
    page = Page(page_of(report_data(questions)))
    assert {found["data-mark"] for _, found in page.tags if found.get("data-mark")} == {mark}


@pytest.mark.parametrize(
    ("agreeing", "asked", "words"),
    [
        (10, 10, "✓ right"),
        (5, 10, "✓ right"),
        (4, 10, "✓ accepted (4 of 10 said so)"),
        (3, 10, "✓ accepted (3 of 10 said so)"),
        (2, 10, "≈ partly right (2 of 10 said so)"),
        (0, 10, "✗ wrong"),
        (1, 1, "✓ right"),
        (3, 9, "✓ accepted (3 of 9 said so)"),
    ],
)
def test_what_most_people_did_not_say_is_accepted_and_not_right(agreeing, asked, words):
    humans = ["red"] * agreeing + [f"other {k}" for k in range(asked - agreeing)]
    text = " ".join("".join(Page(page_of(report_data([judged(0, "red", humans=humans)]))).text).split())
    assert words in text and (words == "✓ right") == ("✓ right" in text)


def test_every_question_is_in_the_page_with_each_text_once():
    questions = [judged(k, "red", image_id=2**60 + k) for k in range(3)] + [
        judged(9, EVIL, humans=["b", "a", "a"])
    ]
    page = page_of(report_data(questions), gallery=1)
    (table,) = re.findall(r'<pre id="judged" hidden>([A-Za-z0-9+/=]+)</pre>', page)
    found = json.loads(gzip.decompress(base64.b64decode(table)))
    texts = found["texts"]
    assert len(texts) == len(set(texts)) and [texts[k] for k in found["prediction"]] == ["red"] * 3 + [EVIL]
    assert found["id"] == [0, 1, 2, 9] and found["image"][:1] == [str(2**60)] and found["image"][3] == 2
    assert found["people"][3] == [texts.index("a"), 2, texts.index("b"), 1]
    assert found["top"][0][:2] == [texts.index("red"), 700]
    assert [found["outcomes"][k] for k in found["outcome"]] == [["right", "✓ right"]] * 3 + [
        ["wrong", "✗ wrong"]
    ]
    assert page == page_of(report_data(questions), gallery=1)


def test_each_confusion_has_pictures_and_the_page_no_more_than_it_may():
    questions = [judged(k, "blue", "red") for k in range(40)] + [judged(k, "2", "two") for k in range(40, 42)]
    wrong = views.confusions(questions, [False] * 42)
    chosen = cards.shown([False] * 42, questions, wrong, 12)
    assert {0, 1, 40, 41} <= set(chosen) and len(chosen) <= 12


def test_with_few_answers_a_question_no_words_speak_of_ten_or_three():
    questions = [judged(k, humans=["red"]) for k in range(3)]
    data = report_data(questions)
    data.accuracy["metric"] = "few-answers"
    text = " ".join("".join(Page(page_of(data)).text).split())
    assert "any of ten" not in text and "any answer given" in text and "at least three" not in text
    assert "Right: it is the answer that was given." in text and "1 person:" in text
    for most, words in ((2, "all who answered gave the answer"), (9, ", or three of them")):
        assert cards.enough_people("few-answers", most).endswith(words)


def test_one_is_not_said_in_the_plural():
    data = report_data([judged(0, humans=["red"])], classes=["red"], stages=report_data().stages[:1])
    data.accuracy["questions"] = data.accuracy["intervals"]["pictures"] = 1
    data.accuracy["seed"]["loss_questions"] = 1
    text = " ".join("".join(Page(page_of(data)).text).split())
    assert "accuracy, 1 question" in text and "by 1 picture " in text and "1 stage, " in text
    assert not re.search(r"\b1 (questions|pictures|stages|people|types|answer classes)\b", text)


def test_the_best_guess_is_marked_on_every_bar_of_an_accuracy():
    data = report_data()
    data.accuracy["baselines"]["commonest_answer"]["perQuestionType"] = {"what color is the": 12.5}
    data.accuracy["baselines"]["commonest_per_question_type"]["perQuestionType"] = {"what color is the": 25.0}
    marks = re.findall(r'class="mark" x="([\d.]+)%"', page_of(data))
    assert marks == [
        "30.00",
        "30.00",
        "30.00",
        "25.00",
    ]  # this model, the bound, the answer type, the question type


def test_the_page_says_when_and_by_what_it_was_made():
    data = report_data(command="luigi --module pipeline RunAll --dataset 'my own'", finished=0.5)
    text = "".join(Page(page_of(data)).text)
    assert "judged 1970-01-01 00:00 UTC" in text and data.command in text
    assert "judged" not in "".join(Page(page_of(report_data())).text).partition("Beside")[0]


def test_what_the_picture_is_worth_is_told_where_it_is_known():
    data = report_data()
    assert "What the picture is worth" not in page_of(data)
    for other, (worth, bounds) in {"exchanged": (26.5, [20.0, 33.0]), "mean_picture": (-1.25, None)}.items():
        told = {"overall": 60 - worth, "worth": {"overall": worth}, "intervals": {"overall": bounds}}
        data.accuracy.setdefault("picture_worth", {})[other] = told
    text = " ".join("".join(Page(page_of(data)).text).split())
    assert re.search(r"another question's picture worth \+26\.50 \(\+20\.00 to \+33\.00\) *33\.50 %", text)
    assert re.search(r"the mean picture worth -1\.25 *61\.25 %", text)


def test_every_section_is_in_the_contents():
    page = page_of(report_data())
    links = re.findall(r'<li><a href="#(\w+)">([^<]+)</a></li>', page.replace("&#39;", "'"))
    assert links == re.findall(r'<h2 id="(\w+)">([^<]+)</h2>', page) and len(links) == 9


@given(st.floats(1e-6, 1e6))
def test_ticks_are_few_and_cover(high):
    marks = ticks(0.0, high)
    assert marks[0] == 0 and marks[-1] >= high * (1 - 1e-6) and 2 <= len(marks) <= 7


def test_curves_leave_out_what_is_not_a_number():
    history = [
        {"epoch": e, "loss": loss, "exact_match": 0.5} for e, loss in ((1, 2.0), (2, float("nan")), (3, 1.0))
    ]
    loss, _ = charts(history)
    assert len(loss["series"][0]["points"].split()) == 2 and "nan" not in str(loss["rows"])
    assert charts([{"epoch": 1, "loss": 0.0, "exact_match": 0.0}])


@pytest.mark.parametrize(
    "size, text", [(12, "12 bytes"), (1500, "1.5 kB"), (13510573713, "13.5 GB"), (0, "0 bytes")]
)
def test_sizes(size, text):
    assert human_size(size) == text


@pytest.mark.parametrize(
    "seconds, text", [(0.04, "0.0 s"), (59.99, "1 min 0 s"), (250, "4 min 10 s"), (9000, "2 h 30 min")]
)
def test_durations(seconds, text):
    assert human_seconds(seconds) == text


FILTER = """
const form = page.querySelector(".filters");
const set = (name, value) => {
  form.elements.namedItem(name).value = value;
  form.elements.namedItem(name).dispatchEvent(new view.Event("input", {bubbles: true}));
};
const shown = () => [...page.querySelectorAll(".card:not([hidden]) h3")].map((title) => title.textContent);
const all = shown().length;
const seen = {};
for (const [name, value] of [["mark", "wrong"], ["answers", "number"], ["questions", "how many"],
                             ["confidence", "0.8,1"], ["text", "STAR red"]]) {
  set(name, value);
  seen[name] = [shown().length, form.querySelector("output").textContent];
  form.reset();
  set("mark", "");
}
set("order", "least");
return {all, seen, first: page.querySelector(".card .percent").textContent, visible: !form.hidden};
"""


def test_a_browser_filters_and_sorts_the_gallery(tmp_path):
    number = {"answer_type": "number", "question_type": "how many", "question": "How many?"}
    questions = [judged(k, top=[("red", 0.9)]) for k in range(4)]
    questions += [judged(4 + k, "blue", top=[("blue", 0.3)]) for k in range(3)]
    questions += [judged(7, "2", "2", top=[("2", 0.6)], **number)]
    write_report(tmp_path / "report.html", report_data(questions), jpeg)
    found = look(tmp_path / "report.html", FILTER)
    assert found["all"] == 8 and found["visible"] and found["first"] == "30"
    assert {name: seen for name, (seen, _) in found["seen"].items()} == {
        "mark": 3,
        "answers": 1,
        "questions": 1,
        "confidence": 4,
        "text": 7,
    }
    assert found["seen"]["mark"][1] == "3 of 8 found"


PAGES = """
const form = page.querySelector(".filters"), said = () => form.querySelector("output").textContent;
const pager = page.querySelector(".pager"), at = () => pager.querySelector("output").textContent;
const cards = () => [...page.querySelectorAll(".gallery .card")];
const first = [said(), cards().length, at()];
pager.querySelector("[name=next]").click();
pager.querySelector("[name=next]").click();
const last = [cards().length, at(), pager.querySelector("[name=next]").disabled];
const box = form.elements.namedItem("text");
box.value = "ZEBRA";
box.dispatchEvent(new view.Event("input", {bubbles: true}));
const text = cards().map((card) => card.textContent.replace(/\\s+/g, " ").trim());
page.querySelector(".pick").click();
const pair = [said(), form.elements.namedItem("pair").textContent, cards()[0].querySelectorAll("img").length];
form.elements.namedItem("pair").click();
return {first, last, text, pair, all: said(), harmed: page.documentElement.dataset.harmed ?? ""};
"""


def test_a_browser_finds_all_questions_turns_pages_and_shows_a_confusion(tmp_path):
    questions = [judged(k, "red" if k % 2 else EVIL) for k in range(29)]
    questions.append(
        judged(99, "zebra", humans=["zebra"] * 3 + ["horse"] * 7, question=EVIL, consensus="horse")
    )
    write_report(tmp_path / "report.html", report_data(questions), jpeg, gallery=6)
    found = look(tmp_path / "report.html", PAGES)
    assert found["first"] == ["30 found", 12, "page 1 of 3"] and found["last"] == [6, "page 3 of 3", True]
    (card,) = found["text"]
    for words in (" ".join(EVIL.split()), "✓ accepted (3 of 10 said so)", "10 people:", "horse ×7 zebra ×3"):
        assert words in card
    assert "scores 90 %" in card and "70 %" in card and "<1 %" in card and "question 99" in card
    assert found["pair"] == ["15 of 30 found", f"people say red, the model says {EVIL} ✕", 1]
    assert found["all"] == "30 found" and not found["harmed"]


def test_all_pictures_are_printed(tmp_path):
    questions = [judged(k, image_id=k) for k in range(20)]
    write_report(tmp_path / "report.html", report_data(questions), lambda k: jpeg(10 * k), gallery=15)
    assert printed(tmp_path / "report.html").count(b"/Subtype /Image") == 15


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_page(tmp_path, width):
    long = "supercalifragilistic" * 6
    questions = [judged(k, long, question=long, question_type=long) for k in range(3)]
    write_report(tmp_path / "report.html", report_data(questions, parameters={"weights": long}), jpeg)
    wide, page = look(tmp_path / "report.html", OVERFLOW, width)
    assert wide <= page and abs(page - width) <= 20


def evil_report():
    evil = judged(0, EVIL, EVIL, question=EVIL, question_type=EVIL, answer_type=EVIL, top=[(EVIL, 1.0)])
    return report_data(
        [evil, judged(1, EVIL + "2", EVIL, question=EVIL)], classes=[EVIL], dataset=EVIL, model=EVIL
    )


def test_a_browser_shows_html_and_script_as_text(tmp_path):
    report = tmp_path / "report.html"
    write_report(report, evil_report(), jpeg)
    assert look(report, HARM) == ["", 1]
    text = look(report, "return page.querySelector('.card h3').textContent;")
    assert text == EVIL


def test_the_browser_would_show_a_page_that_lets_script_through(tmp_path):
    """The check above can fail: with the escaping and the policy undone, the same texts do their harm."""
    report = tmp_path / "report.html"
    write_report(report, evil_report(), jpeg)
    page = re.sub(r"<meta http-equiv=[^>]*>", "", report.read_text(encoding="utf-8"))
    report.write_text(page.replace("&lt;", "<").replace("&gt;", ">").replace("&#34;", '"'), encoding="utf-8")
    harmed, scripts = look(report, HARM)
    assert harmed in ("1", "2") and scripts > 1


def test_a_page_may_run_no_script_but_its_own(tmp_path):
    """Were a text not escaped, the page's policy would still stop it."""
    report = tmp_path / "report.html"
    write_report(report, report_data(), jpeg)
    page = report.read_text(encoding="utf-8")
    report.write_text(page.replace("<main>", f"<main>{EVIL.removeprefix('</script>')}"), encoding="utf-8")
    assert look(report, HARM) == ["", 2]
