"""A trained model on disk: model.safetensors (all weights, float32) and config.json (what it fits)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load

from data.base.errors import ModelError
from models.classifiers.architecture import Architecture
from models.classifiers.build import build, skeleton
from models.classifiers.interface import Classifier
from models.later_fields import neutral_values
from models.tensors import write_tensors
from models.training.inputs import TrainingOptions

WEIGHTS, CONFIG = "model.safetensors", "config.json"
HEADER_BYTES = (
    1 << 20
)  # of names and shapes: the largest model here has a few hundred, of some 100 bytes each

Shapes = dict[str, tuple[int, ...]]


def save_model(
    folder: Path, module: Classifier, architecture: Architecture, options: Any, bound: dict[str, str]
) -> None:
    """Write the model into an existing folder.

    options: the TrainingOptions; bound: what it was trained with, by name, such as the digests of the
    vocabulary and of the answers and the feature space. The file includes the word vectors.
    """
    tensors = {
        name: weight.detach().cpu().float().contiguous() for name, weight in module.state_dict().items()
    }
    write_tensors(tensors, folder / WEIGHTS)
    config = {"architecture": asdict(architecture), "options": asdict(options), "bound": bound}
    (folder / CONFIG).write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load_model(folder: Path, expected: dict[str, str] | None = None) -> tuple[Classifier, dict[str, Any]]:
    """The model of `save_model`, in eval mode on the CPU, and its config.

    expected: what it will be used with, under the names of `bound`. Raises ModelError where they differ,
    naming which, and for files that are missing, damaged or do not fit each other.
    """
    try:
        text = (folder / CONFIG).read_bytes()
    except OSError as error:
        raise ModelError(f"{folder / CONFIG} cannot be read: {error}. Train the model again.") from error
    config = _read_config(folder / CONFIG, text)
    _check_bound(folder, config["bound"], expected or {})
    return _filled(folder, config, lambda wanted: _read_tensors(folder / WEIGHTS, wanted))


def model_of(place: Path, text: bytes, weights: bytes) -> tuple[Classifier, dict[str, Any]]:
    """The same from the contents of the two files. `place`: what errors name as their folder."""
    config = _read_config(place / CONFIG, text)
    return _filled(place, config, lambda wanted: _parse_tensors(place / WEIGHTS, weights, wanted))


def _filled(
    folder: Path, config: dict[str, Any], read: Callable[[Shapes], dict[str, torch.Tensor]]
) -> tuple[Classifier, dict[str, Any]]:
    """The model that a config describes, with the tensors that `read` gives for its names and shapes."""
    architecture = _architecture(folder, config["architecture"])
    config["options"] = neutral_values(TrainingOptions) | config["options"]
    tensors = read(
        {name: tuple(weight.shape) for name, weight in skeleton(architecture).state_dict().items()}
    )
    module = build(architecture)
    module.load_state_dict(tensors)
    return module.eval(), config


def _read_config(path: Path, text: bytes) -> dict[str, Any]:
    try:
        config = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {error}. Train the model again.") from error
    if not isinstance(config, dict) or not all(
        isinstance(config.get(k), dict) for k in ("architecture", "options", "bound")
    ):
        raise ModelError(
            f"{path} is not the config of a model: it lacks `architecture`, `options` or `bound`."
        )
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


def _architecture(folder: Path, stored: dict[str, Any]) -> Architecture:
    stored = neutral_values(Architecture) | stored
    names = {each.name for each in fields(Architecture)}
    if stored.keys() != names:
        raise ModelError(
            f"The architecture in {folder / CONFIG} has {sorted(stored)}; expected {sorted(names)}. "
            "Train the model again."
        )
    try:
        architecture = Architecture(**{**stored, "features": tuple(int(size) for size in stored["features"])})
        skeleton(architecture)
    except (TypeError, ValueError, KeyError, RuntimeError, OverflowError) as error:
        raise ModelError(f"The architecture in {folder / CONFIG} is not a model: {error!r}.") from error
    return architecture


def _read_tensors(path: Path, wanted: Shapes) -> dict[str, torch.Tensor]:
    """The weights, after names, shapes and types were compared: only then is memory taken for the model."""
    try:
        with path.open("rb") as file:
            _check_header(path, file.read(8))
        with safe_open(path, "pt") as file:
            stored = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            _check_shapes(path, stored, wanted)
            tensors = {name: file.get_tensor(name) for name in wanted}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be read: {error}. Train the model again.") from error
    return _finite(path, tensors)


def _parse_tensors(path: Path, content: bytes, wanted: Shapes) -> dict[str, torch.Tensor]:
    """The same of a file's content."""
    _check_header(path, content[:8])
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, LookupError, RuntimeError, TypeError) as error:
        raise ModelError(f"{path} cannot be read: {error}. Train the model again.") from error
    _check_shapes(path, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, wanted)
    return _finite(path, tensors)


def _check_header(path: Path, head: bytes) -> None:
    """Refuse a header of names without end before it is parsed."""
    size = int.from_bytes(head, "little")
    if size > HEADER_BYTES:
        raise ModelError(
            f"{path} cannot be read: it states a header of {size:,} bytes, and no model here has more than "
            f"{HEADER_BYTES:,}. Train the model again."
        )


def _check_shapes(path: Path, stored: Shapes, wanted: Shapes) -> None:
    differ = sorted(name for name in stored.keys() | wanted.keys() if stored.get(name) != wanted.get(name))
    if differ:
        shapes = "; ".join(
            f"{n}: {stored.get(n, 'missing')}, expected {wanted.get(n, 'none')}" for n in differ[:3]
        )
        raise ModelError(f"{path} does not fit its config in {len(differ)} weights: {shapes}.")


def _finite(path: Path, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    bad = [name for name, w in tensors.items() if w.dtype != torch.float32 or not w.isfinite().all()]
    if bad:
        raise ModelError(
            f"{path} holds weights that are not finite float32: {', '.join(bad[:3])}. Train it again."
        )
    return tensors
