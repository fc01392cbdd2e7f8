"""The models: their sizes, their first weights, their dropout, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.base.errors import ModelError
from models.classifiers.architecture import Architecture
from models.classifiers.build import build, parameter_table, skeleton
from models.classifiers.dropout import Dropout, seed_dropout
from models.classifiers.names import CLASSIFIERS, ignored_flags, sees_pictures

SEED_MODEL = Architecture("deeper-lstm", vocabulary=12602, embedding=300, answers=1000, features=(4096,))
SMALL = Architecture(
    "deeper-lstm", vocabulary=30, embedding=8, answers=7, features=(12,), hidden=10, joint=16
)
GRID = (2, 3, 12)


def small(name: str, **changes: object) -> Architecture:
    """A small model of this name, with features that it reads."""
    features = GRID if CLASSIFIERS[name].reads == "grid" else (12,)
    return replace(SMALL, **{"model": name, "features": features, "hidden": 16, **changes})


def pictures(name: str) -> torch.Tensor | None:
    return torch.rand(3, *small(name).features) if sees_pictures(name) else None


TOKENS = np.array([[0, 0, 0, 5, 6], [0, 1, 2, 3, 4], [0, 0, 0, 5, 7]], np.int32)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def counts(module: torch.nn.Module) -> tuple[int, int]:
    trained = sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
    return trained, sum(weight.numel() for weight in module.parameters()) - trained


def published(name: str, answers: int) -> Architecture:
    """At the sizes of its recipe, over 2,048 channels."""
    recipe = CLASSIFIERS[name].recipe
    sizes = {"hidden": int(recipe["hidden"]), "joint": int(recipe["joint"])}
    return replace(SEED_MODEL, model=name, features=(7, 7, 2048), answers=answers, **sizes)


# Every model has a row here: trainable parameters at the sizes that it was published with; the word vectors are frozen.
PARAMETERS = {
    "deeper-lstm": (SEED_MODEL, 10_559_464),
    "language-only": (replace(SEED_MODEL, model="language-only"), 6_364_136),
    "bag-of-words": (replace(SEED_MODEL, model="bag-of-words"), 6_578_152),
    "saaa": (published("saaa", 3000), 15_324_602),
    "top-down": (published("top-down", 3129), 18_880_577),
    "mcan-small": (published("mcan-small", 3129), 51_640_891),
    "mcan-large": (published("mcan-large", 3129), 195_551_291),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("size, flag", [("hidden", "hidden"), ("joint", "joint"), ("features", "backbone")])
def test_the_flags_that_a_model_is_said_to_ignore_do_not_change_it(name: str, size: str, flag: str):
    other = (*small(name).features[:-1], 5) if size == "features" else 8
    usual, changed = (build(small(name, **more)).state_dict() for more in ({}, {size: other}))
    same = all(
        torch.equal(usual[key], changed[key]) for key in usual if usual[key].shape == changed[key].shape
    )
    same = same and {key: usual[key].shape for key in usual} == {key: changed[key].shape for key in changed}
    assert same == (flag in ignored_flags(name))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_parameter_counts_at_the_published_sizes(name: str):
    architecture, trained = PARAMETERS[name]
    assert counts(skeleton(architecture)) == (trained, 3_780_600)


def test_the_table_is_the_seeds():
    module = build(SEED_MODEL, np.zeros((12602, 300), np.float32))
    table = parameter_table(module)
    lines = [line.split()[0] + " " + line.split()[-1] for line in table.splitlines()]
    assert lines == [
        "questions.embedding 3,780,600",
        "questions.lstm_1 1,665,024",
        "questions.lstm_2 2,099,200",
        "questions.dense 525,312",
        "image 4,195,328",
        "fusion 1,049,600",
        "answers 1,025,000",
        "trainable 10,559,464",
        "frozen 3,780,600",
        "total 14,340,064",
    ]


def test_first_weights_are_drawn_as_keras_draws_them():
    module = build(replace(SMALL, hidden=64, joint=128), seed=1)
    lstm = module.questions.lstm_2
    limit = (6 / (64 + 256)) ** 0.5
    assert 0.95 * limit < lstm.kernel.abs().max() <= limit
    torch.testing.assert_close(
        lstm.recurrent_kernel @ lstm.recurrent_kernel.T, torch.eye(64), atol=1e-5, rtol=0
    )
    assert lstm.bias.tolist() == [0] * 64 + [1] * 64 + [0] * 128
    limit = (6 / (128 + 128)) ** 0.5
    assert 0.95 * limit < module.fusion.weight.abs().max() <= limit
    assert not module.fusion.bias.any()


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_seed_gives_the_same_weights_whatever_was_drawn_before(name: str):
    first = build(small(name), seed=3).state_dict()
    torch.rand(5)
    again, other = (build(small(name), seed=seed).state_dict() for seed in (3, 4))
    assert all(torch.equal(first[key], again[key]) and first[key].isfinite().all() for key in first)
    assert not torch.equal(first["answers.weight"], other["answers.weight"])


@pytest.mark.parametrize("tune", [False, True])
def test_word_vectors_are_frozen_unless_fine_tuned(tune: bool):
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    module = build(replace(SMALL, fine_tune_embeddings=tune, dropout=0.0), vectors).train()
    assert np.array_equal(module.embedding.weight.detach().numpy(), vectors)
    module(TOKENS, torch.rand(3, 12)).sum().backward()
    assert (module.embedding.weight.grad is not None) == tune


def test_answers_depend_on_the_picture_only_where_the_model_looks():
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    for name in CLASSIFIERS:
        module = build(small(name), vectors).eval()
        first, second = (module(TOKENS, pictures(name)) for _ in range(2))
        assert first.shape == (3, 7)
        assert torch.equal(first, second) == (not sees_pictures(name))


@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if sees_pictures(name)])
def test_every_model_reads_features_standardised_where_it_is_trained_so(name: str):
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    plain, module = (build(small(name, standardise=on), vectors, seed=3).eval() for on in (False, True))
    mean, deviation = torch.rand(12) + 1, torch.rand(12) + 0.5
    deviation[0] = 0
    module.standardise(mean, deviation)
    raw = pictures(name)
    by_hand = (raw - mean) / torch.where(deviation > 0, deviation, 1)
    torch.testing.assert_close(module(TOKENS, raw), plain(TOKENS, by_hand), atol=1e-6, rtol=0)
    assert not torch.allclose(module(TOKENS, raw), plain(TOKENS, raw))


def test_dropout_keeps_the_mean_and_repeats_with_its_seed():
    layer = Dropout(0.3).train()
    ones = torch.ones(1001, 99)
    seed_dropout(layer, 5, torch.device("cpu"))
    first, second = layer(ones), layer(ones)
    seed_dropout(layer, 5, torch.device("cpu"))
    assert torch.equal(layer(ones), first)
    assert not torch.equal(first, second)
    assert abs((first == 0).float().mean() - 0.3) < 0.01
    assert abs(first.mean() - 1) < 0.01
    assert torch.equal(layer.eval()(ones), ones)


def test_features_that_a_model_cannot_read_are_refused():
    with pytest.raises(ModelError, match=r"deeper-lstm reads one vector a picture.*7 x 7 x 2048"):
        build(replace(SMALL, features=(7, 7, 2048)))
    build(replace(SMALL, model="language-only", features=(7, 7, 2048)))  # it does not look


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "transformer"}, "deeper-lstm, language-only, bag-of-words"),
        ({"hidden": 0}, "hidden is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_impossible_architectures_are_refused(change: dict[str, object], message: str):
    with pytest.raises(ModelError, match=message):
        build(replace(SMALL, **change))


def test_embeddings_of_another_vocabulary_are_refused():
    with pytest.raises(ModelError, match=r"31 x 8.*30 x 8"):
        build(SMALL, np.zeros((31, 8), np.float32))
