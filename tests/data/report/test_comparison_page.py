"""Two models side by side: right in what it counts, silent where nothing compares, harmless whatever texts say."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
from pages import EVIL, HARM, OVERFLOW, jpeg, judged, look

from data.report import comparison_page
from data.report.charts import compared_charts
from data.report.comparison_page import (
    Comparison,
    Side,
    format_comparison,
    render_comparison,
)


def accuracy(overall, number=50.0):
    seed = {"loss": 0.5, "exact_match": overall / 100, "any_of_ten": 0.7, "loss_questions": 4}
    by_type = {"other": overall, "number": number}
    return {
        "overall": overall,
        "intervals": {"overall": [overall - 1.5, overall + 2]},
        "perAnswerType": by_type,
        "perQuestionType": {"what color is the": overall},
        "seed": seed,
    }


def side(name, overall=None, epochs=3, **others):
    parameters = {"model": "deeper-lstm", "dataset": "sample", "epochs": epochs, "hidden": 64}
    history = [{"epoch": e, "loss": 2 / e, "exact_match": 1 - 1 / e} for e in range(1, epochs + 1)]
    figures = accuracy(overall) if overall is not None else {}
    return Side(name, parameters, history, figures, made_with={"device": "cpu"}, **others)


ANSWERS = [("red", "red"), ("red", "blue"), ("blue", "red"), ("blue", "blue"), ("red", "blue")]


def drawn(number, answers, picture):
    """A question about a picture with both models' answers."""
    return tuple(judged(number, answer, image_id=picture) for answer in answers)


def both(about="sample val, open-ended", answers=ANSWERS, first=60.0, second=40.0, **others):
    pairs = [(judged(k, left), judged(k, right)) for k, (left, right) in enumerate(answers)]
    values = {
        "first": side("a-1", first),
        "second": side("b-2", second, epochs=5),
        "about": about,
        "pairs": pairs,
    }
    return Comparison(**values | others)


def test_what_differs_is_named_and_nothing_else():
    assert comparison_page.differences({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 5, "d": 4}) == [
        ("b", 2, 5),
        ("c", 3, "–"),
        ("d", "–", 4),
    ]


def test_figures_stand_side_by_side_with_the_difference():
    overall, number, other = comparison_page.figures(both())
    assert (overall["first"], overall["second"], overall["gain"]) == (60.0, 40.0, -20.0)
    assert (number["name"], number["gain"], other["name"]) == ("number", 0.0, "other")
    (kind,) = comparison_page.question_types(both())
    assert kind == overall | {"name": "what color is the", "count": 5}
    assert overall["interval"][0] < -20 < 0 < overall["interval"][1] and number["interval"] is None


def test_questions_that_one_gets_right_and_the_other_wrong_are_counted():
    outcome = comparison_page.outcomes(both())
    assert outcome["only_first"] == [1, 4] and outcome["only_second"] == [2]
    assert (outcome["both"], outcome["neither"], outcome["same"], outcome["questions"]) == (1, 1, 2, 5)
    assert (outcome["pictures"], outcome["chance"]) == (5, "unknown")


def test_questions_about_one_picture_count_as_one_draw():
    """Differences of 0, -100, 100, 0, -100 points, each a hundred times: about other pictures, or about the same."""
    alone = comparison_page.figures(both(pairs=[drawn(k, ANSWERS[k % 5], picture=k) for k in range(500)]))
    together = comparison_page.figures(
        both(pairs=[drawn(k, ANSWERS[k % 5], picture=k % 5) for k in range(500)])
    )
    few = comparison_page.figures(both())
    assert together[0]["interval"] == few[0]["interval"]
    # The mean is -20, the deviation sqrt(7000); of pictures that are drawn it is a tenth of that among 500 questions.
    margin = 1.96 * 7000**0.5 / 500**0.5
    assert alone[0]["interval"] == pytest.approx([-20 - margin, -20 + margin], abs=1)


def test_a_question_that_is_partly_right_is_no_disagreement():
    pair = (
        judged(0, "red", humans=["red"] * 8 + ["blue"] * 2),
        judged(0, "blue", humans=["red"] * 8 + ["blue"] * 2),
    )
    outcome = comparison_page.outcomes(both(pairs=[pair]))
    assert outcome["only_first"] == [] and outcome["chance"] == "unknown"


def test_three_who_agree_are_a_disagreement_wherever_they_stand():
    pairs = []
    for number, at in enumerate(combinations(range(10), 3)):
        humans = ["red" if human in at else f"other {human}" for human in range(10)]
        pairs.append((judged(number, "red", humans=humans), judged(number, "blue", humans=humans)))
    assert comparison_page.outcomes(both(pairs=pairs))["only_first"] == list(range(120))


def test_the_page_shows_both_answers_the_curves_and_the_verdict():
    page, facts = render_comparison(both(), jpeg)
    assert facts == {"questions": 5, "only_first": 2, "only_second": 1, "gallery": 3}
    assert "A is <strong>20.00 points</strong> better" in page
    assert "Over 5 questions about 5 pictures that can't be told from chance" in page
    assert page.count('data-mark="first"') == 2 and page.count('data-mark="second"') == 1
    assert page.count("data:image/jpeg;base64,") == 3
    assert "<td>epochs</td><td>3</td><td>5</td>" in page and "<td>hidden</td>" not in page
    assert page.count("<polyline") == 4 and page.count('<span class="gain">B − A</span>') == 2
    assert 'class="mark"' not in page  # nothing is known of guesses without the picture
    assert "95 %: 58.50 to 62.00<br>" in page and "95 %: 38.50 to 42.00<br>" in page


def test_a_difference_beyond_chance_is_called_so():
    answers = [("blue", "red")] * 30 + [("red", "red")] * 20
    pairs = [drawn(k, both_answers, picture=k) for k, both_answers in enumerate(answers)]
    page, _ = render_comparison(both(pairs=pairs, first=40.0, second=100.0), jpeg)
    assert "B is <strong>60.00 points</strong> better" in page
    assert "beyond chance over 50 questions about 50 pictures, for this seed" in page
    assert page.count('<span class="up">+60.00</span>') == 3  # overall, the answer type, the question type
    few = [drawn(k, both_answers, picture=k % 9) for k, both_answers in enumerate(answers)]
    page, _ = render_comparison(both(pairs=few, first=40.0, second=100.0), jpeg)
    assert "50 questions about 9 pictures that can't be told from chance" in page and "beyond" not in page
    assert '<span class="up">' not in page and '<span class="">+60.00</span>' in page
    alike = [drawn(k, ("red", "blue") if k % 2 else ("blue", "red"), picture=k) for k in range(50)]
    page, _ = render_comparison(both(pairs=alike, first=50.0, second=50.0), jpeg)
    assert "within chance over 50 questions about 50 pictures" in page


def test_the_best_guess_is_marked_on_the_bars_of_both():
    data = both()
    for model, guess in ((data.first, 12.5), (data.second, 25.0)):
        model.accuracy["baselines"] = {
            "commonest_answer": {"overall": guess, "perAnswerType": {"other": guess}}
        }
    marks = re.findall(r'class="mark" x="([\d.]+)%"', render_comparison(data, jpeg)[0])
    assert marks == ["12.50", "25.00"] * 2


def test_with_few_answers_no_words_speak_of_ten_or_three():
    pairs = [(judged(k, "red", humans=["red"]), judged(k, "blue", humans=["red"])) for k in range(3)]
    data = both(pairs=pairs)
    data.first.accuracy["metric"] = data.second.accuracy["metric"] = "few-answers"
    page, _ = render_comparison(data, jpeg)
    assert "Right: it is the answer that was given" in page and "any of ten" not in page
    assert "at least three" not in page and "any answer given" in page


def test_curves_of_two_trainings_share_one_chart():
    loss, match = compared_charts({"A": side("a", epochs=2).history, "B": side("b", epochs=8).history})
    assert [series["place"] for series in loss["series"]] == ["first", "second"]
    assert loss["columns"][-1]["label"] == "8" and match["title"] == "Exact match"
    # Both begin at the same place; the shorter ends where its last epoch is on the longer's axis.
    short, long = (series["points"].split() for series in loss["series"])
    assert short[:2] == long[:2] and len(short) == 2 and len(long) == 8


def test_where_nothing_compares_no_difference_is_given():
    remark = "A was judged on sample and B on vqa-v1."
    data = both(about="", pairs=(), remarks=[remark])
    page, facts = render_comparison(data, jpeg)
    assert remark in page and "can't be ranked" in page and "points</strong>" not in page
    assert "Where they disagree" not in page and facts["questions"] == 0
    text = format_comparison(data, facts)
    assert remark in text and "-20.00" not in text and "60.00" in text


def test_a_model_that_was_not_judged_has_a_dash():
    data = both(about="", pairs=(), second=None)
    page, facts = render_comparison(data, jpeg)
    assert "soft" in page and "–" in format_comparison(data, facts)
    assert "Accuracy" not in render_comparison(both(about="", pairs=(), first=None, second=None), jpeg)[0]


def test_the_text_has_the_figures():
    data = both()
    text = format_comparison(data, render_comparison(data, jpeg)[1])
    assert "epochs: 3 → 5" in text and re.search(r"^ +A +B +B − A +95 % from +to$", text, re.MULTILINE)
    low, high = comparison_page.figures(data)[0]["interval"]
    assert text.splitlines()[6].split() == [
        "overall",
        "60.00",
        "40.00",
        "-20.00",
        f"{low:+.2f}",
        f"{high:+.2f}",
    ]
    assert "of 5 questions A alone is right on 2, B alone on 1" in text


def test_a_browser_shows_html_as_text_and_filters(tmp_path):
    evil = {"question": EVIL, "question_type": EVIL, "answer_type": EVIL}
    pair = (judged(9, EVIL, EVIL, top=[(EVIL, 1.0)], **evil), judged(9, "blue", EVIL, **evil))
    data = both()
    data = both(pairs=[*data.pairs, pair], first=60.0, remarks=[EVIL])
    (tmp_path / "page.html").write_text(render_comparison(data, jpeg)[0], encoding="utf-8")
    assert look(tmp_path / "page.html", HARM) == ["", 1]
    script = """
    const form = page.querySelector(".filters");
    form.elements.namedItem("mark").value = "first";
    form.elements.namedItem("mark").dispatchEvent(new view.Event("input", {bubbles: true}));
    return [page.querySelectorAll(".card:not([hidden])").length, form.querySelector("output").textContent,
            [...page.querySelectorAll(".card h3")].some((title) => title.textContent.includes("<script>"))];
    """
    assert look(tmp_path / "page.html", script) == [3, "3 of 4 found", True]
    wide, page = look(tmp_path / "page.html", OVERFLOW, 390)
    assert wide <= page
