"""Snapshots by themselves: which is the newest, and which go."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.training.snapshots import read_snapshot, write_snapshot

IDENTITY = {"seed": 1}


@pytest.fixture
def write(tmp_path):
    """Write the snapshot of an epoch whose only weight is the epoch's number."""
    module = nn.Linear(1, 1, bias=False)
    optimiser = torch.optim.RMSprop(module.parameters())
    module(torch.ones(1)).backward()
    optimiser.step()

    def write_epoch(epoch: int) -> None:
        with torch.no_grad():
            module.weight.fill_(epoch)
        write_snapshot(tmp_path, module, optimiser, [{"loss": 1.0}] * epoch, IDENTITY)

    return write_epoch


@pytest.mark.parametrize("last", [10_000, 100_000])
def test_the_newest_by_number_stay_and_are_read(write, tmp_path, last):
    for epoch in (last - 2, last - 1, last, last + 1):
        write(epoch)
        snapshot = read_snapshot(tmp_path, last + 1, IDENTITY, {})
        assert snapshot.epoch == epoch and snapshot.tensors["model/weight"].item() == epoch
    names = {path.name for path in tmp_path.glob("*.json")}
    assert names == {f"epoch-{last}.json", f"epoch-{last + 1}.json"}
    assert read_snapshot(tmp_path, last, IDENTITY, {}).epoch == last


def test_files_that_only_look_like_snapshots_are_left_alone(write, tmp_path):
    (tmp_path / "epoch-best.json").write_text("mine")
    for epoch in (1, 2, 3):
        write(epoch)
    assert read_snapshot(tmp_path, 9, IDENTITY, {}).epoch == 3
    assert (tmp_path / "epoch-best.json").read_text() == "mine"
