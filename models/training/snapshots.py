"""Snapshots of a training run: after any crash it goes on from the last finished epoch.

A snapshot is `epoch-0003.safetensors` (the weights that train and the optimiser's state; with questions held out also
the weights of the best epoch, where that is an earlier one) made whole by `epoch-0003.json`, which is written last and
holds the size and sha256 of the other, the history so far, and the identity of the run. There is no random state in it:
the order of the questions and the dropout masks of each epoch start from (seed, epoch).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from data.base.errors import DataError, ModelError
from data.base.files import atomic_write
from data.base.hashes import sha256_file
from data.base.temporary import is_left
from models.tensors import write_tensors
from models.training.choices import OPTIMISERS

KEPT = 2  # the newest, and one more in case the disk loses it
_NAME = re.compile(r"epoch-([0-9]+)\.json")


@dataclass(frozen=True)
class Snapshot:
    """What was read back: the epochs done, one history row each, and the tensors by name."""

    epoch: int
    history: list[dict[str, float]]
    tensors: dict[str, Tensor]

    def restore(self, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Put weights and optimiser back as they were, each on its weight's device."""
        with torch.no_grad():
            for name, weight in trained_weights(module):
                weight.copy_(self.tensors[f"model/{name}"])
                prefix = f"optimiser/{name}/"
                state = {key: value for key, value in self.tensors.items() if key.startswith(prefix)}
                device = {"step": weight.device if optimiser.defaults.get("fused") else torch.device("cpu")}
                optimiser.state[weight] = {
                    (key := name.removeprefix(prefix)): value.to(device.get(key, weight.device))
                    for name, value in state.items()
                }

    def best(self) -> dict[str, Tensor]:
        """The weights of the best epoch, by name: its own, where there are no others."""
        kinds = [
            prefix for prefix in ("best/", "model/") if any(name.startswith(prefix) for name in self.tensors)
        ]
        return {
            name.removeprefix(kinds[0]): value
            for name, value in self.tensors.items()
            if name.startswith(kinds[0])
        }


def write_snapshot(
    folder: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    history: list[dict[str, float]],
    identity: dict[str, Any],
    best: dict[str, Tensor] | None = None,
) -> None:
    """Write the snapshot of as many epochs as `history` has rows, then drop all but the newest ones.

    best: the weights of an earlier epoch that was judged better, so that each snapshot has all that a run needs.
    """
    tensors = {f"best/{name}": weight for name, weight in (best or {}).items()}
    for name, weight in trained_weights(module):
        tensors[f"model/{name}"] = weight.detach().cpu().contiguous()
        for key, value in optimiser.state[weight].items():
            tensors[f"optimiser/{name}/{key}"] = value.detach().cpu().contiguous()
    path = folder / f"epoch-{len(history):04d}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"epoch": len(history), "identity": identity, "history": history}

    with atomic_write(path) as temporary:
        write_tensors(tensors, temporary)  # once renamed, another run of this training may drop it
        facts.update(size=temporary.stat().st_size, sha256=sha256_file(temporary))
    with atomic_write(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    _tidy(folder)


def read_snapshot(
    folder: Path, epochs: int, identity: dict[str, Any], neutral: dict[str, Any]
) -> Snapshot | None:
    """The newest whole snapshot of at most `epochs` epochs, or None.

    neutral: the value of a part of the identity in snapshots that were written before that part existed. A snapshot
    that was not finished or is damaged is skipped: from an earlier one the run ends with the same bits.
    Raises ModelError where the folder belongs to another run.
    """
    for path in reversed(_oldest_first(folder)):
        facts = _facts(path)
        tensors = path.with_suffix(".safetensors")
        if facts is None or facts["epoch"] > epochs:
            continue
        _same_run(folder, neutral | facts["identity"], identity)
        try:
            if tensors.stat().st_size == facts["size"] and sha256_file(tensors) == facts["sha256"]:
                return Snapshot(facts["epoch"], facts["history"], load_file(tensors))
        except (
            OSError,
            DataError,
            SafetensorError,
        ):  # another run of this training may remove it meanwhile
            continue
    return None


def snapshot_bytes(module: nn.Module, optimiser: str, held_out: bool = False) -> int:
    """The most that snapshots take: those that are kept, and one that is being written."""
    trained = sum(4 * weight.numel() for _, weight in trained_weights(module))
    return (KEPT + 1) * trained * (1 + OPTIMISERS[optimiser] + held_out)


def _same_run(folder: Path, stored: dict[str, Any], expected: dict[str, Any]) -> None:
    expected = json.loads(json.dumps(expected))  # tuples as the lists that JSON has
    differ = sorted(key for key in stored.keys() | expected.keys() if stored.get(key) != expected.get(key))
    if differ:
        raise ModelError(
            f"The snapshots in {folder} come from another training run: it differs in {', '.join(differ)}. "
            "Give this run a folder of its own, or remove that one."
        )


def _facts(path: Path) -> dict[str, Any] | None:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return facts if {"epoch", "identity", "history", "size", "sha256"} <= facts.keys() else None
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


def trained_weights(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Those that training changes, by name."""
    return [(name, weight) for name, weight in module.named_parameters() if weight.requires_grad]


def _oldest_first(folder: Path) -> list[Path]:
    """The JSON files of snapshots by their epoch: as text, epoch-10000 comes before epoch-9999."""
    named = [(match, path) for path in folder.glob("epoch-*.json") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted((int(match[1]), path) for match, path in named)]


def _tidy(folder: Path) -> None:
    """Drop old snapshots, each JSON before its tensors, and what killed runs left half-written."""
    for path in _oldest_first(folder)[:-KEPT]:
        path.unlink(missing_ok=True)
        path.with_suffix(".safetensors").unlink(missing_ok=True)
    for path in (*folder.glob(".tmp-epoch-*"), *folder.glob(".epoch-*")):  # the latter of earlier versions
        if is_left(path):
            path.unlink(missing_ok=True)
