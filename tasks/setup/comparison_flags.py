"""The flags of CompareModels, in place of --model and --seed."""

from __future__ import annotations

from models.classifiers.names import CLASSIFIERS
from tasks.setup.flag_kinds import Flag
from tasks.setup.user_errors import nearest

_MOST = 1000


def _models(text: str) -> str:
    """Names with commas between, each once, in order of the alphabet: what is compared has no order."""
    names = [name.strip() for name in text.split(",")]
    if any(name not in CLASSIFIERS for name in names):
        unknown = next(name for name in names if name not in CLASSIFIERS)
        raise ValueError(f"{unknown or 'an empty name'} is unknown; {nearest(unknown, list(CLASSIFIERS))}")
    if again := next((name for name in names if names.count(name) > 1), ""):
        raise ValueError(f"{again} is there twice; expected each model once")
    return ",".join(sorted(names))


def _seeds(text: str) -> int:
    number = int(text)
    if not 1 <= number <= _MOST:
        raise ValueError
    return number


MODELS = Flag(
    _models,
    "bag-of-words,deeper-lstm,language-only",
    f"classifiers to compare, with commas between: {', '.join(CLASSIFIERS)}",
)
SEEDS = Flag(
    _seeds,
    3,
    "how often each model is trained: with the seeds 0, 1, 2, ...",
    f"expected a whole number from 1 to {_MOST}",
)
