"""Questions for models whose authors used other rows than ours: fewer words, or zeros behind them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from models.devices import on_device


def padded_in_front(tokens: np.ndarray | Tensor, words: int, device: torch.device) -> Tensor:
    """(Q, 26) ids with zeros on the left to the first `words` words of each question (Q, words), zeros on the left."""
    ids = _at_least(on_device(tokens, device), words)
    width, lengths = ids.shape[1], question_lengths(ids)
    first = width - lengths.clamp(min=words)
    return ids.gather(1, first[:, None] + torch.arange(words, device=device))


def padded_behind(tokens: np.ndarray | Tensor, words: int, device: torch.device) -> Tensor:
    """(Q, 26) ids with zeros on the left to the first `words` words of each question (Q, words), zeros behind."""
    ids = _at_least(on_device(tokens, device), words)
    width, lengths = ids.shape[1], question_lengths(ids)
    places = (width - lengths)[:, None] + torch.arange(words, device=device)
    return ids.gather(1, places.clamp(max=width - 1)).masked_fill(places >= width, 0)


def question_lengths(ids: Tensor) -> Tensor:
    """(Q,): how many ids of each row are not padding."""
    return (ids != 0).sum(dim=1)


def _at_least(ids: Tensor, words: int) -> Tensor:
    return nn.functional.pad(ids, (max(0, words - ids.shape[1]), 0))
