"""Curves of a training that held questions out, beside one that did not."""

from __future__ import annotations

from data.report.charts import charts, compared_charts

PLAIN = [{"epoch": epoch, "loss": 2.0 / epoch, "exact_match": 0.2 * epoch} for epoch in (1, 2, 3)]
HELD_OUT = [
    {**row, "held_out_loss": 2.5, "held_out_accuracy": accuracy}
    for row, accuracy in zip(PLAIN, (40.0, 61.5, 61.5), strict=True)
]


def test_what_was_held_out_has_a_curve_of_its_loss_and_a_chart_with_the_best_epoch():
    loss, match, accuracy = charts(HELD_OUT)
    assert [series["label"] for series in loss["series"]] == ["training, with dropout", "held out"]
    assert [series["kind"] for series in match["series"]] == ["training"]
    [series] = accuracy["series"]
    assert (series["label"], series["last"]) == ("held out, best after epoch 2", 61.5)
    assert accuracy["rows"][-1]["label"] == "100" and accuracy["unit"] == "percent of what was held out"
    assert [chart["title"] for chart in charts(PLAIN)] == ["Loss", "Exact match"]


def test_beside_a_training_that_held_nothing_out():
    loss, _, accuracy = compared_charts({"A": PLAIN, "B": HELD_OUT})
    assert [(series["run"], series["kind"]) for series in loss["series"]] == [
        ("A", "training"),
        ("B", "training"),
        ("B", "held-out"),
    ]
    assert [series["run"] for series in accuracy["series"]] == ["B"]
