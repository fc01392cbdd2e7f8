"""What `ask` and the page say of a model's worth."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tasks.library.model_origin import SHAPES, UNTRAINED, Judgement, described

PART = "trained on 1,000 of 40,504 pictures: not comparable with published figures"


@pytest.mark.parametrize(
    ("dataset", "judgements", "told"),
    [
        ("mine", [], ["Trained on mine; not judged."]),
        (
            "vqa-v2-mini",
            [
                Judgement("val", "open-ended", 41.5, 2650, PART),
                Judgement("val", "open-ended", 40.0, 1000, PART),
            ],
            [
                "Trained on vqa-v2-mini; 41.50 % right of 2,650 questions of val (open-ended).",
                f"Accuracy: {PART}.",
            ],
        ),
        (
            "sample",
            [Judgement("val", "open-ended", 75.0, 1200)],
            ["Trained on sample; 75.00 % right of 1,200 questions of val (open-ended).", SHAPES],
        ),
    ],
)
def test_data_set_accuracy_part_and_shapes_are_said(dataset, judgements, told):
    origin = SimpleNamespace(parameters={"dataset": dataset}, judgements=lambda: judgements)
    assert described(origin) == told


@pytest.mark.parametrize(
    ("model", "weights", "told"),
    [
        ("deeper-lstm", "random:0", [UNTRAINED]),
        ("deeper-lstm", "pretrained", []),
        ("language-only", "random:0", []),
        (None, "random:0", []),  # of a damaged file
    ],
)
def test_an_untrained_backbone_is_said(model, weights, told):
    origin = SimpleNamespace(
        parameters={"dataset": "mine", "model": model, "weights": weights}, judgements=list
    )
    assert described(origin) == ["Trained on mine; not judged.", *told]
