"""An LSTM over left-padded questions that computes each shared state once, and is still the plain LSTM.

A question is 26 ids, zeros first, and the network reads all 26. Skipping the zeros (packing) would be another
function, because the padding moves the state. But two questions that begin with the same ids are in the same
state for as long as they agree, and the longest common beginning of all is the padding. So the questions of a
batch form a tree: one state a step while they agree, a new row where one branches off. On real questions of
7.3 tokens a batch of 256 has 5.9 distinct states a question where the plain network computes 26.

Gradients are exact too: what flows into a shared state is the sum over the questions that share it, so the
padding steps train the weights as 26 plain steps do.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.grad_input


def roomy(count: int, dtype: torch.dtype) -> int:
    """`count`, for bfloat16 with up to a sixteenth more (below 256: up to 15), so that few different numbers occur.

    oneDNN compiles code for each new shape of a bfloat16 product, which takes about ten times as long as the product
    (2 to 15 ms, seen), and the widths of trees differ from batch to batch. Rows that nobody reads are far cheaper.
    """
    if dtype != torch.bfloat16:
        return count
    grain = max(16, (1 << count.bit_length()) >> 5)
    return -(-count // grain) * grain


def lengthened(index: Tensor) -> Tensor:
    """(N,) row numbers, under autocast with zeros behind to make a `roomy` count."""
    kind = index.device.type
    if not torch.is_autocast_enabled(kind):
        return index
    return nn.functional.pad(index, (0, roomy(len(index), torch.get_autocast_dtype(kind)) - len(index)))


@dataclass(frozen=True)
class Tree:
    """Which states a batch of questions has, step after step. States are numbered step by step.

    Row j of a step goes on from row j of the step before (every state has a follower, for all questions end
    at the last step); the rows beyond those branch off the rows named in `parents`. Thus a step needs no
    gather but for its few new rows.
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
        """An array's rows of each step with those behind that make a `roomy` count, as far as there are any."""
        widths = [roomy(width, array.dtype) for width in self.widths]
        return [array[start : start + width] for start, width in zip(self.starts, widths, strict=False)]

    @property
    def last(self) -> Tensor:
        """(B,) the state in which each question ends."""
        return self.states[:, -1]


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
    # Before it branches off, a question is in the state of the nearest earlier row that already did.
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

    tokens: (B, T) the ids; words: (D,) the distinct ones; inputs: (N1,) which of these each state of `shared`
    reads. `private` is the tree of the second layer and `private_inputs` (N2,) the state of `shared` that
    each of its states reads; both None where the layers share one tree.
    """

    tokens: Tensor
    words: Tensor
    inputs: Tensor
    shared: Tree
    private: Tree | None
    private_inputs: Tensor | None

    def __len__(self) -> int:
        return len(self.tokens)


def gather_questions(tokens: np.ndarray, private: bool, device: torch.device | str = "cpu") -> Questions:
    """Plan a batch on the host and send it in one copy. tokens (B, T) int, zeros on the left.

    private: the second layer sees per-question dropout, see `grow`.
    """
    tokens = tokens.astype(np.int64)
    shared = grow(tokens, private=False)
    words, inverse = np.unique(tokens, return_inverse=True)
    inputs = _read_by(shared, torch.from_numpy(inverse.reshape(tokens.shape)))
    arrays = [torch.from_numpy(tokens), torch.from_numpy(words), inputs, shared.states, *shared.parents]
    if private:
        own = grow(tokens, private=True)
        arrays += [_read_by(own, shared.states), own.states, *own.parents]
    sent = _send(arrays, torch.device(device))
    steps = tokens.shape[1]
    tree = Tree(shared.starts, tuple(sent[4 : 4 + steps]), sent[3])
    if not private:
        return Questions(sent[0], sent[1], sent[2], tree, None, None)
    rest = sent[4 + steps :]
    return Questions(sent[0], sent[1], sent[2], tree, Tree(own.starts, tuple(rest[2:]), rest[1]), rest[0])


def _read_by(tree: Tree, inputs: Tensor) -> Tensor:
    """(B, T) what each question reads at each step, as (N,) what each state of the tree reads."""
    read = torch.empty(tree.starts[-1], dtype=torch.int64)
    read[tree.states.view(-1)] = inputs.reshape(-1)  # questions that share a state read the same
    return read


def _send(arrays: list[Tensor], device: torch.device) -> list[Tensor]:
    """The same int64 arrays on the device: for a GPU one copy for all, which nobody waits for."""
    if device.type == "cpu":
        return arrays
    flat = torch.cat([array.view(-1) for array in arrays]).pin_memory().to(device, non_blocking=True)
    pieces = flat.split([array.numel() for array in arrays])
    return [piece.view(array.shape) for piece, array in zip(pieces, arrays, strict=True)]


class LSTM(nn.Module):
    """One layer with Keras's weights: gates in the order input, forget, candidate, output; one bias a gate.

    kernel (inputs, 4 units), recurrent_kernel (units, 4 units), bias (4 units), all float32.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(inputs, 4 * units))
        self.recurrent_kernel = nn.Parameter(torch.empty(units, 4 * units))
        self.bias = nn.Parameter(torch.empty(4 * units))

    def project(self, inputs: Tensor) -> Tensor:
        """(N, inputs) to (N, 4 units): the part of the gates that needs no state, for all steps at once."""
        return torch.addmm(self.bias, inputs, self.kernel)

    def forward(self, projected: Tensor, tree: Tree) -> Tensor:
        """(N, 4 units) for the N states of `tree` to their outputs (N, units); rows behind them come out as zeros.

        Where no gradient is wanted, `projected` serves as working memory: its values are lost.
        """
        kernel = self.recurrent_kernel.to(projected.dtype)  # bfloat16 under autocast: cast once
        states: Tensor = _Steps.apply(projected, kernel, tree)
        return states


class _Steps(torch.autograd.Function):
    """The recurrence along a tree, with its derivative by hand.

    By hand, because autograd would form the gradient of the recurrent kernel once a step, 26 sums into 4 MB;
    here the steps' rows lie one behind the other and one matrix product serves them all.
    Cells, gates and their gradients are float32 whatever the type of the matrix products.
    """

    @staticmethod
    def forward(ctx, projected: Tensor, kernel: Tensor, tree: Tree) -> Tensor:  # type: ignore[no-untyped-def]
        units = kernel.shape[0]
        alone = not any(ctx.needs_input_grad) and projected.dtype == torch.float32
        gates = projected if alone else torch.empty_like(projected, dtype=torch.float32)
        cells = gates.new_empty(len(gates), units)
        states = torch.empty_like(cells, dtype=kernel.dtype)
        states[tree.starts[-1] :].zero_()
        squashed = states if alone else torch.empty_like(cells)  # tanh of the cells, which a gradient needs
        room = kernel.new_empty(2, roomy(max(tree.widths), kernel.dtype), 4 * units)
        wide = tree.for_products(states)
        cell_before = cells[:0]
        with torch.autocast(projected.device.type, enabled=False):  # the types are chosen already
            for step, (inputs, gate, cell, squash, state) in enumerate(
                zip(*tree.by_step(projected, gates, cells, squashed, states), strict=True)
            ):
                going, parents = len(cell_before), tree.parents[step]
                if step:
                    product = torch.mm(wide[step - 1], kernel, out=room[0, : len(wide[step - 1])])
                    _add(inputs, product, going, parents, room[1], gate)
                else:
                    gate.copy_(inputs)
                gate[:, : 2 * units].sigmoid_()
                gate[:, 2 * units : 3 * units].tanh_()
                gate[:, 3 * units :].sigmoid_()
                enter, keep, candidate, leave = gate.chunk(4, dim=1)
                torch.mul(enter, candidate, out=cell)
                cell[:going].addcmul_(keep[:going], cell_before)
                if going and len(parents):
                    cell[going:].addcmul_(keep[going:], cell_before.index_select(0, parents))
                torch.tanh(cell, out=squash)
                torch.mul(leave, squash, out=state)
                cell_before = cell
        ctx.tree = tree
        ctx.save_for_backward(kernel, gates, cells, squashed, states)
        return states

    @staticmethod
    def backward(ctx, upstream: Tensor):  # type: ignore[no-untyped-def]
        kernel, gates, cells, squashed, states = ctx.saved_tensors
        tree: Tree = ctx.tree
        into_gates = torch.empty_like(gates)
        inner = tree.starts[-2]  # the states that another follows
        into_gates[tree.starts[-1] :].zero_()
        width = tree.widths[-2:][0]
        read = inner - width + roomy(width, kernel.dtype)  # as far as the last step's product reads
        rows = min(roomy(read, kernel.dtype), len(gates))
        into_products = torch.empty_like(into_gates[:rows], dtype=kernel.dtype)
        into_products[inner:].zero_()
        arrays = tree.by_step(upstream, gates, cells, squashed, into_gates)
        products, wide = into_products[:inner].split(tree.widths[:-1]), tree.for_products(into_products)
        transposed = kernel.t()
        if kernel.dtype == torch.float32:
            transposed = transposed.contiguous()  # a step's few rows take longer against the view
        into_state: Tensor | None = None
        into_cell: Tensor | None = None
        for step in range(len(tree.parents) - 1, -1, -1):
            by_state, gate, _, squash, into = (array[step] for array in arrays)
            enter, keep, candidate, leave = gate.chunk(4, dim=1)
            into_enter, into_keep, into_candidate, into_leave = into.chunk(4, dim=1)
            by_state = by_state.float() if into_state is None else by_state.float() + into_state
            by_cell = by_state * leave
            tanh_backward(by_cell, squash, grad_input=by_cell)
            if into_cell is not None:
                by_cell += into_cell
            sigmoid_backward(by_cell * candidate, enter, grad_input=into_enter)
            tanh_backward(by_cell * enter, candidate, grad_input=into_candidate)
            sigmoid_backward(by_state * squash, leave, grad_input=into_leave)
            if not step:
                into_keep.zero_()  # nothing was kept before the first step
                break
            parents = tree.parents[step]
            cell_before = _follow(arrays[2][step - 1], parents)
            sigmoid_backward(cell_before.mul_(by_cell), keep, grad_input=into_keep)
            _gather_back(into, parents, products[step - 1])
            into_state = (wide[step - 1] @ transposed)[: len(products[step - 1])].float()
            into_cell = _gather_back(by_cell.mul_(keep), parents, torch.empty_like(arrays[2][step - 1]))
        return into_gates.to(kernel.dtype), states[:rows].t() @ into_products, None


def _add(inputs: Tensor, product: Tensor, going: int, parents: Tensor, room: Tensor, gate: Tensor) -> None:
    """gate = inputs + product, each row with the row that it goes on from (the first `going`) or branches off.

    room: working memory for as many rows as branch off, used again and again, since fresh memory is slow to touch.
    """
    torch.add(inputs[:going], product[:going], out=gate[:going])
    if len(parents):
        theirs = torch.index_select(product, 0, parents, out=room[: len(parents)])
        torch.add(inputs[going:], theirs, out=gate[going:])


def _follow(before: Tensor, parents: Tensor) -> Tensor:
    """A step's rows, each with its value of the step before. A new tensor."""
    return torch.cat([before, before.index_select(0, parents)]) if len(parents) else before.clone()


def _gather_back(rows: Tensor, parents: Tensor, out: Tensor) -> Tensor:
    """The transpose of `_follow`: sums in float32 over the rows that share a state of the step before."""
    going = rows[: len(out)]
    if len(parents) and out.dtype != rows.dtype:
        return out.copy_(going.clone().index_add_(0, parents, rows[len(out) :]))
    out.copy_(going)
    return out.index_add_(0, parents, rows[len(out) :]) if len(parents) else out
