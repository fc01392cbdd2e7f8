"""All that decides the shapes of a model."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Architecture:
    """All that decides the shapes of a model. Sizes of data are read from data, so they have no defaults."""

    model: str
    vocabulary: int  # rows of the embedding matrix, padding and unknown included
    embedding: int  # its columns
    answers: int
    features: tuple[int, ...]  # the shape of one picture's features: (4096,) for VGG's fc7
    hidden: int = 512
    joint: int = 1024
    dropout: float = 0.5
    fine_tune_embeddings: bool = False
    standardise: bool = field(default=False, metadata={"neutral": False})
