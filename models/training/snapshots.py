"""Snapshots of a training run: after any crash it goes on from the last finished epoch.

A snapshot is `epoch-0003.safetensors` (the weights that train and the optimiser's state) made whole by
`epoch-0003.json`, which is written last and holds the size and sha256 of the other, the history so far, and
the identity of the run. There is no random state in it: the order of the questions and the dropout masks of
each epoch start from (seed, epoch).
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from data.base.errors import DataError, ModelError
from data.base.hashes import sha256_file
from models.tensors import write_tensors

KEPT = 2  # the newest, and one more should the disk lose it
STATES = {"rmsprop": 1, "adamw": 2}  # arrays of a weight's size that each optimiser keeps
_NAME = re.compile(r"epoch-([0-9]+)\.json")
STALE = 600  # seconds after which a temporary file has no writer any more


@dataclass(frozen=True)
class Snapshot:
    """What was read back: the epochs done, one history row each, and the tensors by name."""

    epoch: int
    history: list[dict[str, float]]
    tensors: dict[str, Tensor]

    def restore(self, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Put weights and optimiser back as they were, each on its weight's device."""
        with torch.no_grad():
            for name, weight in _trained(module):
                weight.copy_(self.tensors[f"model/{name}"])
                prefix = f"optimiser/{name}/"
                found = {key: value for key, value in self.tensors.items() if key.startswith(prefix)}
                optimiser.state[weight] = {
                    key.removeprefix(prefix): value.to(weight.device) for key, value in found.items()
                }


def write_snapshot(
    folder: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    history: list[dict[str, float]],
    identity: dict[str, Any],
) -> None:
    """Write the snapshot of as many epochs as `history` has rows, then drop all but the newest ones."""
    tensors = {}
    for name, weight in _trained(module):
        tensors[f"model/{name}"] = weight.detach().cpu().contiguous()
        for key, value in optimiser.state[weight].items():
            tensors[f"optimiser/{name}/{key}"] = value.detach().cpu().contiguous()
    path = folder / f"epoch-{len(history):04d}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"epoch": len(history), "identity": identity, "history": history}

    def write(temporary: Path) -> None:
        write_tensors(tensors, temporary)  # once renamed, another run of this training may drop it
        facts.update(size=temporary.stat().st_size, sha256=sha256_file(temporary))

    _replace(path, write)
    text = json.dumps(facts, indent=1) + "\n"
    _replace(path.with_suffix(".json"), lambda temporary: temporary.write_text(text, encoding="utf-8"))
    _tidy(folder)


def read_snapshot(folder: Path, epochs: int, identity: dict[str, Any]) -> Snapshot | None:
    """The newest whole snapshot of at most `epochs` epochs, or None.

    One that was not finished or is damaged is passed over: the run ends at the same bits from an earlier one.
    Raises ModelError where the folder belongs to another run.
    """
    for path in reversed(_oldest_first(folder)):
        facts = _facts(path)
        tensors = path.with_suffix(".safetensors")
        if facts is None or facts["epoch"] > epochs:
            continue
        _same_run(folder, facts["identity"], identity)
        try:
            if tensors.stat().st_size == facts["size"] and sha256_file(tensors) == facts["sha256"]:
                return Snapshot(facts["epoch"], facts["history"], load_file(tensors))
        except (
            OSError,
            DataError,
            SafetensorError,
        ):  # another run of this training may drop it while we look
            continue
    return None


def snapshot_bytes(module: nn.Module, optimiser: str) -> int:
    """The most that snapshots take: those that are kept, and one that is being written."""
    trained = sum(4 * weight.numel() for _, weight in _trained(module))
    return (KEPT + 1) * trained * (1 + STATES[optimiser])


def _same_run(folder: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    expected = json.loads(json.dumps(expected))  # tuples as the lists that JSON has
    differ = sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))
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


def _trained(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, weight) for name, weight in module.named_parameters() if weight.requires_grad]


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a temporary sibling, bring it to the disk, and rename it over `path`; a failure leaves nothing."""
    temporary = path.with_name(f".{path.name}-{socket.gethostname()}-{os.getpid()}-{time.time_ns()}")
    try:
        write(temporary)
        for synced in (temporary, path.parent):
            if synced == path.parent:
                os.replace(temporary, path)
            handle = os.open(synced, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
    finally:
        temporary.unlink(missing_ok=True)


def _oldest_first(folder: Path) -> list[Path]:
    """The JSON files of snapshots by their epoch: as text, epoch-10000 comes before epoch-9999."""
    named = [(match, path) for path in folder.glob("epoch-*.json") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted((int(match[1]), path) for match, path in named)]


def _tidy(folder: Path) -> None:
    """Drop old snapshots, each JSON before its tensors, and what killed runs left half-written."""
    for path in _oldest_first(folder)[:-KEPT]:
        path.unlink(missing_ok=True)
        path.with_suffix(".safetensors").unlink(missing_ok=True)
    for path in folder.glob(".epoch-*"):
        with suppress(FileNotFoundError):  # its writer has just renamed it
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink()
