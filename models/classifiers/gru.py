"""torch's GRU along a tree of shared states: the same function, each distinct state once (lstm.py says why)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.classifiers.lstm import add_rows, follow, gather_back, sigmoid_backward, tanh_backward
from models.classifiers.question_tree import Tree, rounded_up


def project(layer: nn.GRU, inputs: Tensor) -> Tensor:
    """(N, inputs) to (N, 3 units): the part of the gates that needs no state, with the biases that are only added."""
    of_inputs, _, bias, of_state = layer.parameters()
    added = of_state[: 2 * layer.hidden_size]
    return nn.functional.linear(inputs, of_inputs, bias + nn.functional.pad(added, (0, layer.hidden_size)))


def torch_gru(layer: nn.GRU, projected: Tensor, tree: Tree) -> Tensor:
    """(N, 3 units) for the N states of `tree` to their outputs (N, units) float32, rows behind them zeros."""
    _, of_state, _, bias = layer.parameters()
    kernel = of_state.to(projected.dtype).t().contiguous()
    outputs: Tensor = _Steps.apply(projected, kernel, bias[2 * layer.hidden_size :], tree)
    return outputs


class _Steps(torch.autograd.Function):
    """The recurrence along a tree, with its derivative by hand: one product for the gradient of the kernel, as for the
    LSTM. Outputs, gates and their gradients are float32 whatever the type of the matrix products.

    Gates in the order reset, update, new; `memory` is what the state gives the new one before it is reset.
    """

    @staticmethod
    def forward(ctx, projected: Tensor, kernel: Tensor, bias: Tensor, tree: Tree) -> Tensor:  # type: ignore[no-untyped-def]
        units = kernel.shape[0]
        gates = torch.empty_like(projected, dtype=torch.float32)
        states, memories = (gates.new_empty(len(gates), units) for _ in range(2))
        states[tree.starts[-1] :].zero_()
        read = states if kernel.dtype == states.dtype else torch.zeros_like(states, dtype=kernel.dtype)
        room = kernel.new_empty(2, rounded_up(max(tree.widths), kernel.dtype), 3 * units)
        products = torch.zeros(max(tree.widths), 3 * units)
        wide = tree.for_products(read)
        before = states[:0]
        with torch.autocast(projected.device.type, enabled=False):  # the types are chosen already
            for step, (inputs, gate, memory, state, short) in enumerate(
                zip(*tree.by_step(projected, gates, memories, states, read), strict=True)
            ):
                going, parents, product = len(before), tree.parents[step], products[: len(gate)]
                if step:
                    made = torch.mm(wide[step - 1], kernel, out=room[0, : len(wide[step - 1])])
                    add_rows(product.zero_(), made, going, parents, room[1], product)
                torch.add(product[:, 2 * units :], bias, out=memory)
                reset, update, new = gate.chunk(3, dim=1)
                torch.add(
                    inputs[:, : 2 * units], product[:, : 2 * units], out=gate[:, : 2 * units]
                ).sigmoid_()
                torch.addcmul(inputs[:, 2 * units :].float(), reset, memory, out=new).tanh_()
                torch.lerp(new, follow(before, parents, len(gate)), update, out=state)
                if short is not state:
                    short.copy_(state)
                before = state
        ctx.tree = tree
        ctx.save_for_backward(kernel, gates, memories, states, read)
        return states

    @staticmethod
    def backward(ctx, upstream: Tensor):  # type: ignore[no-untyped-def]
        kernel, gates, memories, states, read = ctx.saved_tensors
        tree: Tree = ctx.tree
        units = kernel.shape[0]
        into_gates, into_bias = torch.empty_like(gates), gates.new_zeros(units)
        into_gates[tree.starts[-1] :].zero_()
        inner = tree.starts[-2]  # the states that another follows
        rows = min(rounded_up(inner, kernel.dtype), len(gates))
        into_products = kernel.new_zeros(rows, 3 * units)
        arrays = tree.by_step(upstream, gates, memories, states, into_gates)
        products = into_products[:inner].split(tree.widths[:-1])
        transposed = kernel.t().contiguous()
        into_state = arrays[0][-1].clone()
        for step in range(len(tree.parents) - 1, -1, -1):
            gate, memory, _, into = (array[step] for array in arrays[1:])
            parents, width = tree.parents[step], len(gate)
            before = follow(arrays[3][step - 1], parents, width) if step else torch.zeros_like(into_state)
            reset, update, new = gate.chunk(3, dim=1)
            into_reset, into_update, into_new = into.chunk(3, dim=1)
            sigmoid_backward((before - new).mul_(into_state), update, grad_input=into_update)
            tanh_backward(into_state * (1 - update), new, grad_input=into_new)
            sigmoid_backward(into_new * memory, reset, grad_input=into_reset)
            into_product = torch.cat([into[:, : 2 * units], into_new * reset], dim=1)
            into_bias += into_product[:, 2 * units :].sum(dim=0)
            if not step:
                break
            gather_back(into_product, parents, products[step - 1])
            into_before = gather_back(into_state.mul_(update), parents, torch.empty_like(arrays[3][step - 1]))
            made = products[step - 1] @ transposed
            into_state = into_before.add_(made).add_(arrays[0][step - 1])
        return into_gates.to(kernel.dtype), read[:rows].t() @ into_products, into_bias, None
