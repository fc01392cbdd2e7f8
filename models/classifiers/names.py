"""The models that answer questions, by name, and what each of them does not read. Standard library only.

models/classifiers/build.py has the models themselves; a test compares the two tables and what they say.
"""

from __future__ import annotations

IGNORED: dict[str, tuple[str, ...]] = {
    "deeper-lstm": (),
    "language-only": ("backbone", "layer", "weights"),  # it sees no picture
    "bag-of-words": ("hidden",),  # it has no LSTM
}
"""For each model the flags that change nothing for it: they are left out of its artifacts' fingerprints."""


def sees_pictures(model: str) -> bool:
    """Whether the model reads features of pictures at all."""
    return "backbone" not in IGNORED[model]
