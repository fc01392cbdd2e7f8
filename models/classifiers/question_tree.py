"""A batch of questions as a tree: one state a step for as long as questions agree."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn


def rounded_up(count: int, dtype: torch.dtype) -> int:
    """`count`, for bfloat16 with up to a sixteenth more (below 256: up to 15), so that few different numbers occur.

    oneDNN compiles code for each new shape of a bfloat16 product, which takes about ten times as long as the product
    (2 to 15 ms, seen), and the widths of trees differ from batch to batch. Rows that nobody reads are far cheaper.
    """
    if dtype != torch.bfloat16:
        return count
    grain = max(16, (1 << count.bit_length()) >> 5)
    return -(-count // grain) * grain


def rounded_up_index(index: Tensor) -> Tensor:
    """(N,) row numbers, under autocast with zeros behind to make a count that is `rounded_up`."""
    kind = index.device.type
    if not torch.is_autocast_enabled(kind):
        return index
    return nn.functional.pad(index, (0, rounded_up(len(index), torch.get_autocast_dtype(kind)) - len(index)))


@dataclass(frozen=True)
class Tree:
    """Which states a batch of questions has, step after step. States are numbered step by step.

    Row j of a step goes on from row j of the step before (every state has a follower, for all questions end
    at the last step); the rows beyond those branch off the rows named in `parents`, and rows beyond these begin
    from nothing. So a step only gathers its few new rows.
    """

    starts: tuple[int, ...]  # the number of each step's first state, and at the end the count of all
    parents: tuple[Tensor, ...]  # for each step, the rows of the step before that new rows leave
    states: Tensor  # (B, T) int64: the state of each question after each step

    @property
    def widths(self) -> list[int]:
        """How many states each step has."""
        return [stop - start for start, stop in pairwise(self.starts)]

    def by_step(self, *arrays: Tensor) -> list[tuple[Tensor, ...]]:
        """For each array with one row a state (and maybe rows behind), its rows of each step, as views."""
        widths = self.widths
        return [array[: self.starts[-1]].split(widths) for array in arrays]

    def for_products(self, array: Tensor) -> list[Tensor]:
        """An array's rows of each step with those behind that make a count that is `rounded_up`, as far as
        there are any."""
        widths = [rounded_up(width, array.dtype) for width in self.widths]
        return [array[start : start + width] for start, width in zip(self.starts, widths, strict=False)]

    @property
    def last(self) -> Tensor:
        """(B,) the state in which each question ends."""
        return self.states[:, -1]

    @property
    def last_rows(self) -> Tensor:
        """(B,) the same as rows of the last step."""
        return self.last - self.starts[-2]


def grow(tokens: np.ndarray, private: bool) -> Tree:
    """The tree of `tokens` (B, T), zeros on the left. O(B T) numpy, no loop over questions.

    private: share only the padding. A layer behind per-question dropout needs this: there equal beginnings
    differ in their masks.
    """
    count, steps = tokens.shape
    order = np.lexsort(tokens.T[::-1])  # equal beginnings side by side, most padding first
    rows = tokens[order]
    branch = _branches(rows, private)
    fresh = np.flatnonzero(branch < steps)
    fresh = fresh[np.argsort(branch[fresh], kind="stable")]  # rows in the order in which they branch off
    slot = np.zeros(count, np.int64)
    slot[fresh] = np.arange(len(fresh))
    widths = np.bincount(branch[fresh], minlength=steps).cumsum()
    starts = np.concatenate([[0], widths.cumsum()])
    # Before it branches off, a question shares the state of the nearest earlier row that already did.
    known = np.where(branch[:, None] <= np.arange(steps), np.arange(count)[:, None], 0)
    slots = slot[np.maximum.accumulate(known, axis=0)]
    parents = slots[fresh, np.maximum(branch[fresh] - 1, 0)]
    states = np.empty((count, steps), np.int64)
    states[order] = slots + starts[:-1]
    new = np.diff(widths, prepend=0).tolist()
    leaves = list(torch.from_numpy(parents).split(new))
    leaves[0] = torch.empty(0, dtype=torch.int64)  # no step before the first
    return Tree(tuple(starts.tolist()), tuple(leaves), torch.from_numpy(states))


def _branches(rows: np.ndarray, private: bool) -> np.ndarray:
    """(B,) the step at which each sorted row leaves the row above it; T where it never does."""
    count, steps = rows.shape
    branch = np.zeros(count, np.int64)
    differs = rows != 0 if private else rows[1:] != rows[:-1]
    first = np.where(differs.any(axis=1), differs.argmax(axis=1), steps)
    branch[1:] = first[1:] if private else first
    return branch


@dataclass(frozen=True)
class Questions:
    """A batch of questions, ready for a model: index arrays only, on one device.

    words: (D,) the distinct ids; inputs: (N1,) which of these each state of `shared` reads. `private` is the tree of
    the second layer and `private_inputs` (N2,) the state of `shared` that each of its states reads; both None where
    the layers share one tree.
    """

    words: Tensor
    inputs: Tensor
    shared: Tree
    private: Tree | None
    private_inputs: Tensor | None


def gather_questions(tokens: np.ndarray, private: bool, device: torch.device | str = "cpu") -> Questions:
    """Plan a batch on the host and send it in one copy. tokens (B, T) int, zeros on the left.

    private: the second layer sees per-question dropout, see `grow`.
    """
    tokens = tokens.astype(np.int64)
    shared = grow(tokens, private=False)
    words, inverse = np.unique(tokens, return_inverse=True)
    inputs = _read_by(shared, torch.from_numpy(inverse.reshape(tokens.shape)))
    arrays = [torch.from_numpy(words), inputs, shared.states, *shared.parents]
    if private:
        own = grow(tokens, private=True)
        arrays += [_read_by(own, shared.states), own.states, *own.parents]
    sent = _send(arrays, torch.device(device))
    steps = tokens.shape[1]
    tree = Tree(shared.starts, tuple(sent[3 : 3 + steps]), sent[2])
    if not private:
        return Questions(sent[0], sent[1], tree, None, None)
    rest = sent[3 + steps :]
    return Questions(sent[0], sent[1], tree, Tree(own.starts, tuple(rest[2:]), rest[1]), rest[0])


def _read_by(tree: Tree, inputs: Tensor) -> Tensor:
    """(B, T) what each question reads at each step, as (N,) what each state of the tree reads."""
    read = torch.empty(tree.starts[-1], dtype=torch.int64)
    read[tree.states.view(-1)] = inputs.reshape(-1)  # questions that share a state read the same
    return read


def _send(arrays: list[Tensor], device: torch.device) -> list[Tensor]:
    """The same int64 arrays on the device: for a GPU in one copy, which is not waited for."""
    if device.type == "cpu":
        return arrays
    flat = torch.cat([array.view(-1) for array in arrays]).pin_memory().to(device, non_blocking=True)
    pieces = flat.split([array.numel() for array in arrays])
    return [piece.view(array.shape) for piece, array in zip(pieces, arrays, strict=True)]


def without_padding(tokens: np.ndarray) -> tuple[Tree, np.ndarray]:
    """A tree that shares nothing: each question of (B, T) begins with its first word (an empty one with a zero), and
    has rows of its own. Also the ids (N,) that its states read.

    So a layer reads questions that torch would pack, or that have dropout before it.
    """
    lengths = (tokens != 0).sum(axis=1).clip(1)
    order = np.argsort(-lengths, kind="stable")  # those that begin early come first
    there = np.arange(tokens.shape[1], 0, -1)[:, None] <= lengths[order]  # (T, B)
    steps = int(lengths.max())
    widths, ids = there.sum(axis=1)[-steps:], tokens.T[-steps:][:, order][there[-steps:]]
    numbers = there[-steps:].cumsum().reshape(steps, -1) - 1
    states = np.zeros((len(tokens), steps), np.int64)
    states[order] = np.where(there[-steps:], numbers, 0).T
    none = torch.empty(0, dtype=torch.int64)
    starts = np.concatenate([[0], widths.cumsum()]).tolist()
    return Tree(tuple(starts), (none,) * steps, torch.from_numpy(states)), ids


def side_by_side(questions: int, steps: int) -> Tree:
    """A tree that shares nothing, of questions that all have so many steps: row b of each step is question b's."""
    starts = tuple(range(0, (steps + 1) * questions, questions)) if questions else (0,) * (steps + 1)
    states = torch.arange(steps * questions).view(steps, questions).t()
    return Tree(starts, (torch.empty(0, dtype=torch.int64),) * steps, states)
