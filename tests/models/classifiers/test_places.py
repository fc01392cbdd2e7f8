"""The models that attend to places, against their recipes restated in float64, a question and a place at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from data.base.errors import ModelError
from models.classifiers.architecture import Architecture
from models.classifiers.build import build
from models.classifiers.dropout import Dropout
from models.classifiers.interface import Classifier
from models.classifiers.names import CLASSIFIERS
from models.classifiers.question_rows import padded_behind, padded_in_front
from models.training.inputs import TrainingData, TrainingOptions
from models.training.loop import train

MODELS = ("saaa", "top-down", "mcan-small")
LAYERS = 2  # of MCAN's six, which are alike
KEPT = 1.25
"""What dropout multiplies by in these tests, so that a missing or misplaced one shows."""

Weights = dict[str, Tensor]
Restated = tuple[Tensor, Tensor]
"""Logits (answers,) and shares (glimpses, places)."""


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(Dropout, "forward", lambda self, x: x * KEPT if self.active else x)
    small = replace(CLASSIFIERS["mcan-small"], sizes={**CLASSIFIERS["mcan-small"].sizes, "layers": LAYERS})
    monkeypatch.setitem(CLASSIFIERS, "mcan-small", small)


def model(name: str, dropout: float = 0.5) -> Classifier:
    sizes = Architecture(
        name, 40, 6, 7, (2, 3, 10), hidden=16, joint=12, dropout=dropout, fine_tune_embeddings=True
    )
    vectors = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    vectors[0] = 0
    return build(sizes, vectors, seed=2)


def example() -> tuple[np.ndarray, Tensor]:
    """Questions of 1, 3, 14 and 20 words, and a grid for each, with a place of zeros in one."""
    rng = np.random.default_rng(3)
    tokens = np.zeros((4, 26), np.int32)
    for row, length in zip(tokens, (1, 3, 14, 20), strict=True):
        row[-length:] = rng.integers(1, 40, length)
    features = torch.from_numpy(np.maximum(rng.normal(size=(4, 2, 3, 10)), 0).astype(np.float16))
    features[1, 0, 2] = 0
    return tokens, features


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    bias = w.get(f"{name}.bias")
    return w[f"{name}.weight"] @ x + (0 if bias is None else bias)


def lstm(w: Weights, inputs: list[Tensor], units: int) -> tuple[list[Tensor], Tensor]:
    """The outputs of each step, and the last cell."""
    h = c = torch.zeros(units, dtype=torch.float64)
    outputs = []
    for x in inputs:
        gates = (
            w["lstm.weight_ih_l0"] @ x
            + w["lstm.bias_ih_l0"]
            + w["lstm.weight_hh_l0"] @ h
            + w["lstm.bias_hh_l0"]
        )
        enter, keep, new, leave = gates.chunk(4)
        c = keep.sigmoid() * c + enter.sigmoid() * new.tanh()
        h = leave.sigmoid() * c.tanh()
        outputs.append(h)
    return outputs, c


def saaa(w: Weights, words: list[int], places: Tensor, kept: float, _: float) -> Restated:
    inputs = [torch.tanh(w["embedding.weight"][word] * kept) for word in words]
    question = lstm(w, inputs, 16)[1]
    places = torch.stack([place / (place.square().sum().sqrt() + 1e-8) for place in places])
    scores = []
    for place in places:
        x = linear(w, "attend_places", place * kept) + linear(w, "attend_question", question * kept)
        scores.append(linear(w, "glimpses", x.clamp(min=0) * kept))
    shares = torch.stack(scores).softmax(dim=0).T
    seen = [(share[:, None] * places).sum(dim=0) for share in shares]
    x = linear(w, "joint", torch.cat([*seen, question]) * kept).clamp(min=0)
    return linear(w, "answers", x * kept), shares


def top_down(w: Weights, words: list[int], places: Tensor, kept: float, kept_places: float) -> Restated:
    def normed(name: str, x: Tensor) -> Tensor:
        v = w[f"{name}.weight"]
        return (w[f"{name}.length"] * v / v.square().sum().sqrt()) @ x + w[f"{name}.bias"]

    h = torch.zeros(16, dtype=torch.float64)
    for word in [0] * (14 - len(words)) + words[:14]:
        x = w["embedding.weight"][word]
        of_input = w["gru.weight_ih_l0"] @ x + w["gru.bias_ih_l0"]
        of_state = w["gru.weight_hh_l0"] @ h + w["gru.bias_hh_l0"]
        reset, update = ((of_input + of_state)[part : part + 16].sigmoid() for part in (0, 16))
        h = (1 - update) * torch.tanh(of_input[32:] + reset * of_state[32:]) + update * h
    of_question = normed("attend_question", h).clamp(min=0)
    scores = [
        normed("share", normed("attend_places", place).clamp(min=0) * of_question * kept_places)
        for place in places
    ]
    shares = torch.stack(scores).softmax(dim=0).T
    seen = (shares[0][:, None] * places).sum(dim=0)
    x = normed("question", h).clamp(min=0) * normed("picture", seen).clamp(min=0)
    return normed("answers", normed("fusion", x).clamp(min=0) * kept), shares


def mcan(w: Weights, words: list[int], places: Tensor, kept: float, _: float) -> Restated:
    def norm(name: str, x: Tensor) -> Tensor:
        mean = x.sum() / len(x)
        deviation = ((x - mean).square().sum() / (len(x) - 1)).sqrt()
        return w[f"{name}.scale"] * (x - mean) / (deviation + 1e-6) + w[f"{name}.shift"]

    def attend(name: str, asking: list[Tensor], read: list[Tensor], there: list[bool]) -> list[Tensor]:
        keys, values = (
            torch.stack([linear(w, f"{name}.{what}", one) for one in read]) for what in ("key", "value")
        )
        found = []
        for one in asking:
            query, heads = linear(w, f"{name}.query", one), []
            for part in range(8):
                head = slice(2 * part, 2 * part + 2)
                scores = keys[:, head] @ query[head] / math.sqrt(2)
                share = torch.where(torch.tensor(there), scores, -1e9).softmax(dim=0) * kept
                heads.append(share @ values[:, head])
            found.append(linear(w, f"{name}.merge", torch.cat(heads)))
        return found

    def forward(name: str, x: Tensor) -> Tensor:
        return linear(w, f"{name}.second", linear(w, f"{name}.first", x).clamp(min=0) * kept)

    def added(name: str, x: list[Tensor], more: list[Tensor]) -> list[Tensor]:
        return [norm(name, one + other * kept) for one, other in zip(x, more, strict=True)]

    def flatten(name: str, x: list[Tensor], there: list[bool]) -> Restated:
        scores = [
            forward(f"{name}.shares", one)[0] if real else torch.tensor(-1e9).double()
            for one, real in zip(x, there, strict=True)
        ]
        shares = torch.stack(scores).softmax(dim=0)
        return linear(w, f"{name}.merge", sum(s * one for s, one in zip(shares, x, strict=True))), shares[
            None
        ]

    ids = words[:14] + [0] * (14 - len(words))
    y = lstm(w, [w["embedding.weight"][word] for word in ids], 16)[0]
    is_word = [word != 0 for word in ids]
    for layer in range(LAYERS):
        name = f"of_words.{layer}"
        y = added(f"{name}.norms.0", y, attend(f"{name}.own", y, y, is_word))
        y = added(f"{name}.norms.1", y, [forward(f"{name}.feed_forward", one) for one in y])
    x = [linear(w, "place", place) for place in places]
    is_place = [bool((place != 0).any()) for place in places]
    for layer in range(LAYERS):
        name = f"of_places.{layer}"
        x = added(f"{name}.norms.0", x, attend(f"{name}.own", x, x, is_place))
        x = added(f"{name}.norms.1", x, attend(f"{name}.guided", x, y, is_word))
        x = added(f"{name}.norms.2", x, [forward(f"{name}.feed_forward", one) for one in x])
    question, picture = flatten("flatten_words", y, is_word)[0], flatten("flatten_places", x, is_place)
    return linear(w, "answers", norm("norm", question + picture[0])), picture[1]


RESTATED: dict[str, Callable[[Weights, list[int], Tensor, float, float], Restated]] = {
    "saaa": saaa,
    "top-down": top_down,
    "mcan-small": mcan,
}


def restate(name: str, w: Weights, kept: float) -> Restated:
    tokens, features = example()
    rows = [
        RESTATED[name](w, [word for word in row.tolist() if word], grid.reshape(6, 10).double(), kept, kept)
        for row, grid in zip(tokens, features, strict=True)
    ]
    return torch.stack([row[0] for row in rows]), torch.stack([row[1] for row in rows])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("training", [False, True])
def test_outputs_and_gradients_are_the_recipes(name: str, training: bool):
    module = model(name).train(training)
    tokens, features = example()
    w = {key: value.detach().double().requires_grad_() for key, value in module.named_parameters()}
    expected, expected_shares = restate(name, w, KEPT if training else 1.0)
    logits, shares = module.answer(module.encode(tokens), module.look(features))
    torch.testing.assert_close(logits.double(), expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(shares.double(), expected_shares, atol=1e-6, rtol=0)
    toward = torch.randn(expected.shape, generator=torch.Generator().manual_seed(4))
    (logits * toward).sum().backward()
    (expected * toward).sum().backward()
    for key, weight in module.named_parameters():
        wanted = w[key].grad.clone() if w[key].grad is not None else torch.zeros_like(w[key])
        if key == "embedding.weight":
            wanted[0] = 0  # padding never trains
        torch.testing.assert_close(
            weight.grad.double(), wanted, atol=1e-5, rtol=1e-5, msg=lambda m, key=key: f"{key}: {m}"
        )


def answers_of_four() -> TrainingData:
    """The four questions, each with the answers of ten humans and what they make the classes worth."""
    tokens, features = example()
    humans = np.array([[2] * 6 + [3] * 3 + [-1], [0] * 10, [5, 4] * 5, [1] + [-1] * 9], np.int32)
    classes = np.array([[2, 3], [0, -2], [5, 4], [1, -2]], np.int32)
    scores = np.array([[1, 0.9], [1, 0], [1, 1], [0.3, 0]], np.float32)
    return TrainingData(
        tokens, np.arange(4), features.numpy(), np.array([2, 0, 5, 1], np.int32), classes, scores, humans
    )


def recipes_loss(name: str, logits: Tensor, data: TrainingData) -> Tensor:
    """A batch's loss, a question and a class at a time."""
    loss = torch.zeros((), dtype=torch.float64)
    for row in range(4):
        for answer in range(7):
            if name == "saaa":
                share = (data.humans[row] == answer).sum() / 10
                loss = loss - share * (logits[row, answer] - logits[row].exp().sum().log()) / 4
            else:
                worth = data.soft_scores[row][data.soft_classes[row] == answer].sum()
                right = 1 / (1 + (-logits[row, answer]).exp())
                cost = -(worth * right.log() + (1 - worth) * (1 - right).log())
                loss = loss + (
                    cost if name == "mcan-small" else cost / 4
                )  # MCAN's is a sum over the batch, too
    return loss


@pytest.mark.parametrize("name", MODELS)
def test_one_step_of_training_is_the_recipes(name: str):
    module, data, rate = model(name, dropout=0.0), answers_of_four(), 0.01
    w = {key: value.detach().double().requires_grad_() for key, value in module.named_parameters()}
    recipes_loss(name, restate(name, w, 1.0)[0], data).backward()
    gradients = {key: value.grad for key, value in w.items()}
    gradients["embedding.weight"][0] = 0
    if name == "top-down":  # all gradients together are no longer than a quarter
        length = sum(gradient.square().sum() for gradient in gradients.values()).sqrt()
        assert length > 0.25
        gradients = {key: gradient * 0.25 / (length + 1e-6) for key, gradient in gradients.items()}
    recipe = CLASSIFIERS[name].recipe
    options = TrainingOptions(
        epochs=1,
        batch_size=4,
        learning_rate=rate,
        optimiser=recipe["optimiser"],
        schedule=recipe.get("lr_schedule", "constant"),
        target=recipe["target"],
        seed=2,
        **CLASSIFIERS[name].training,
    )
    sizes = Architecture(name, 40, 6, 7, (2, 3, 10), 16, 12, 0.0, fine_tune_embeddings=True)
    trained = train(
        data, sizes, module.embedding.weight.detach().numpy(), options, device="cpu", precision="float32"
    )
    epsilon = 1e-9 if name == "mcan-small" else 1e-8
    first = 0.25 * rate if name == "mcan-small" else rate  # MCAN warms up
    compared = 0
    for key, weight in trained.module.named_parameters():
        gradient = gradients[key]
        step = first * gradient / (gradient.abs() + epsilon)  # Adam's and Adamax's first
        clear = gradient.abs() > 1e-5  # below, float32 decides on the sign
        compared += bool(clear.any())
        torch.testing.assert_close(weight.double()[clear], (w[key] - step)[clear], atol=1e-6, rtol=0)
    assert compared > 0.7 * len(w)


@pytest.mark.parametrize("name", ["saaa", "mcan-small"])
def test_padding_does_not_matter_where_the_recipe_masks_it(name: str):
    module, (tokens, features) = model(name).eval(), example()
    before = module(tokens, features)
    with torch.no_grad():
        module.embedding.weight[0] = 5
    torch.testing.assert_close(module(tokens, features), before, atol=1e-6, rtol=0)


def test_top_down_reads_the_zeros_in_front():
    module, (tokens, features) = model("top-down").eval(), example()
    before = module(tokens, features)
    with torch.no_grad():
        module.embedding.weight[0] = 5
    moved = (module(tokens, features) - before).abs().amax(dim=1)
    assert moved[:2].all() and not moved[2:].any()  # those of 14 words and more have no padding


def test_a_place_of_zeros_is_padding_to_mcan_alone():
    tokens, features = example()
    for name in MODELS:
        module = model(name).eval()
        shares = module.attention(module.encode(tokens), module.look(features))
        torch.testing.assert_close(shares.sum(dim=2), torch.ones(shares.shape[:2]))
        assert (shares[1, :, 2] == 0).all() == (name == "mcan-small")


@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if CLASSIFIERS[name].words])
def test_words_behind_the_recipes_last_are_not_read(name: str):
    module, (tokens, features) = model(name).eval(), example()
    other = tokens.copy()
    other[3, -6:] = 9  # the last 6 of 20 words
    assert torch.equal(module(tokens, features), module(other, features))
    other[3, -7] = 9 if tokens[3, -7] != 9 else 8
    assert not torch.equal(module(tokens, features)[3], module(other, features)[3])


def test_rows_are_turned():
    tokens = np.array([[0, 0, 0, 1, 2], [1, 2, 3, 4, 5], [0, 0, 0, 0, 0]], np.int32)
    cpu = torch.device("cpu")
    assert padded_behind(tokens, 3, cpu).tolist() == [[1, 2, 0], [1, 2, 3], [0, 0, 0]]
    assert padded_in_front(tokens, 3, cpu).tolist() == [[0, 1, 2], [1, 2, 3], [0, 0, 0]]
    assert padded_behind(tokens, 7, cpu).tolist()[:2] == [[1, 2, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 0, 0]]
    assert padded_in_front(tokens, 7, cpu).tolist()[:2] == [[0, 0, 0, 0, 0, 1, 2], [0, 0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize("name", MODELS)
def test_an_empty_question_is_answered(name: str):
    _, features = example()
    assert model(name).eval()(np.zeros((4, 26), np.int32), features).isfinite().all()


def test_a_model_without_places_has_no_attention():
    module = build(Architecture("deeper-lstm", 40, 6, 7, (10,), hidden=4, joint=4)).eval()
    assert module.attention(module.encode(example()[0]), module.look(torch.rand(4, 10))) is None


def test_heads_that_do_not_divide_the_hidden_size_are_refused():
    with pytest.raises(
        ModelError, match=r"hidden is 20; mcan-small has 8 heads, so it has to be a multiple of 8"
    ):
        build(Architecture("mcan-small", 40, 6, 7, (2, 3, 10), hidden=20))
