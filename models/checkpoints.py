"""A trained model on disk: model.safetensors (all weights, float32) and config.json (what it fits)."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from data.base.errors import ModelError
from models.classifiers.architecture import Architecture
from models.classifiers.build import MODELS, build
from models.classifiers.deeper_lstm import Classifier
from models.tensors import write_tensors

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def save_model(
    folder: Path, module: Classifier, architecture: Architecture, options: Any, bound: dict[str, str]
) -> None:
    """Write the model into an existing folder.

    options: the TrainingOptions; bound: what it was trained with, by name, such as the digests of the
    vocabulary and of the answers and the feature space. The file has the word vectors, too.
    """
    tensors = {
        name: weight.detach().cpu().float().contiguous() for name, weight in module.state_dict().items()
    }
    write_tensors(tensors, folder / WEIGHTS)
    config = {"architecture": asdict(architecture), "options": asdict(options), "bound": bound}
    (folder / CONFIG).write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load_model(folder: Path, expected: dict[str, str] | None = None) -> tuple[Classifier, dict[str, Any]]:
    """The model of `save_model`, in eval mode on the CPU, and its config.

    expected: what it is about to be used with, in the names of `bound`. Raises ModelError where they differ,
    naming which, and for files that are missing, damaged or do not fit each other.
    """
    config = _read_config(folder / CONFIG)
    _check_bound(folder, config["bound"], expected or {})
    architecture = _architecture(folder, config["architecture"])
    tensors = _read_tensors(folder / WEIGHTS, architecture)
    module = build(architecture)
    module.load_state_dict(tensors)
    return module.eval(), config


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {error}. Train the model again.") from error
    if not isinstance(config, dict) or not all(
        isinstance(config.get(k), dict) for k in ("architecture", "bound")
    ):
        raise ModelError(f"{path} is not the config of a model: it lacks `architecture` or `bound`.")
    return config


def _check_bound(folder: Path, bound: dict[str, str], expected: dict[str, str]) -> None:
    differ = [
        f"{name} (trained with {bound.get(name, 'none')}, given {value})"
        for name, value in sorted(expected.items())
        if bound.get(name) != value
    ]
    if differ:
        raise ModelError(
            f"The model in {folder} was trained with something else: {'; '.join(differ)}. Use what it was "
            "trained with, or train a model for these."
        )


def _architecture(folder: Path, found: dict[str, Any]) -> Architecture:
    names = {each.name for each in fields(Architecture)}
    if found.keys() != names:
        raise ModelError(
            f"The architecture in {folder / CONFIG} has {sorted(found)}; expected {sorted(names)}. "
            "Train the model again."
        )
    try:
        architecture = Architecture(**{**found, "features": tuple(int(size) for size in found["features"])})
        with torch.device("meta"):
            MODELS[architecture.model](architecture)
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"The architecture in {folder / CONFIG} is no model: {error!r}.") from error
    return architecture


def _read_tensors(path: Path, architecture: Architecture) -> dict[str, torch.Tensor]:
    """The weights, after names, shapes and types were compared: only then is memory taken for the model."""
    with torch.device("meta"):
        wanted = {
            name: tuple(w.shape) for name, w in MODELS[architecture.model](architecture).state_dict().items()
        }
    try:
        with safe_open(path, "pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            differ = sorted(
                name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)
            )
            if differ:
                shapes = "; ".join(
                    f"{n}: {found.get(n, 'missing')}, expected {wanted.get(n, 'none')}" for n in differ[:3]
                )
                raise ModelError(f"{path} does not fit its config in {len(differ)} weights: {shapes}.")
            tensors = {name: file.get_tensor(name) for name in wanted}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be read: {error}. Train the model again.") from error
    bad = [name for name, w in tensors.items() if w.dtype != torch.float32 or not w.isfinite().all()]
    if bad:
        raise ModelError(
            f"{path} holds weights that are not finite float32: {', '.join(bad[:3])}. Train it again."
        )
    return tensors
