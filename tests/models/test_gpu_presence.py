"""Whether a GPU can be here, told without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from models import gpu_presence
from models.gpu_presence import why_none


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose /dev has these files, with a driver and a torch for it."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpu_presence, "_driver_loads", lambda: True)
    monkeypatch.setattr(gpu_presence, "_built_for_gpus", lambda: True)

    def ask(device, *files, visible=None):
        for name in files:
            (tmp_path / name).touch()
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        return why_none(device, tmp_path)

    return ask


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_who_asks_for_none_gets_no_answer(machine, device):
    assert machine(device, visible="") == ""


@pytest.mark.parametrize(
    "device, files, visible, why",
    [
        ("cuda", [], None, "there is no GPU here"),
        ("cuda", ["nvidiactl", "nvidia-uvm"], None, "there is no GPU here"),
        ("cuda", ["nvidia0"], None, ""),
        ("cuda", ["nvidia3"], None, ""),  # a container has the number of its host
        ("cuda:0", ["nvidia3"], None, ""),
        ("cuda:1", ["nvidia0"], None, "GPUs here: 1"),
        ("cuda:0,cuda:2", ["nvidia0", "nvidia1"], None, "GPUs here: 2"),
        ("cuda:1", ["nvidia0", "nvidia1"], "1", "GPUs here: 1"),
        ("cuda:1", ["nvidia0", "nvidia1"], "0,1", ""),
        ("cuda", ["nvidia0"], "", "hides every GPU"),
        ("cuda", ["nvidia0"], "-1", "hides every GPU"),
        ("cuda", ["kfd"], None, ""),
        ("cuda", ["dxg"], None, ""),
    ],
)
def test_cards_are_told_by_their_files(machine, device, files, visible, why):
    said = machine(device, *files, visible=visible)
    assert why in said and bool(why) == bool(said)


def test_a_driver_or_a_torch_that_is_not_for_it(machine, monkeypatch):
    monkeypatch.setattr(gpu_presence, "_driver_loads", lambda: False)
    assert "libcuda.so.1" in machine("cuda", "nvidia0")
    monkeypatch.setattr(gpu_presence, "_built_for_gpus", lambda: False)
    assert "built without CUDA" in machine("cuda", "nvidia0")


def test_this_torch_is_looked_at_without_importing_it():
    code = (
        "import sys; from models import gpu_presence as g; print(g._built_for_gpus(), 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    import torch

    assert said.split() == [str(torch.version.cuda is not None or torch.version.hip is not None), "False"]
