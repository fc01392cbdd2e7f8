"""Weights as people have them: wrapped, prefixed, with another classifier. Tensors only: code in a file never runs."""

from __future__ import annotations

import logging
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from data.base.errors import ModelError
from data.base.words import visible

logger = logging.getLogger(__name__)

State = Mapping[str, torch.Tensor]

MOST_TENSORS = 50_000  # torchvision's largest networks have 2,500; an optimiser keeps two more for each
_NAME_BYTES = 200  # of a header, for each tensor
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")


def fill(
    module: nn.Module, whole: nn.Module, what: str, path: Path, rename: Callable[[str], str] = str
) -> None:
    """Give `module`, cut from `whole`, the tensors of a file, all finite; see `read_weights`."""
    tensors = read_weights(path, what, module.state_dict(), whole.state_dict(), rename)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ModelError(
                f"{path}: tensor {name} holds values that are not finite. Use another file of weights."
            )
    module.load_state_dict(tensors, strict=True, assign=True)
    module.requires_grad_(False)


def read_weights(
    path: Path, what: str, needed: State, whole: State, rename: Callable[[str], str]
) -> dict[str, torch.Tensor]:
    """The tensors of a .pth or .safetensors file that a network needs, by its own names.

    `needed`, `whole`: the state dict of the network up to the layer wanted, and of all of it; only names and shapes
    count. `rename`: from the file's names to today's. A state dict may lie in another dict, a prefix such as
    `module.` before all of its names, and what is not needed may be missing or different: a line of the log says so.
    ModelError: not a file of tensors, or the first three names that differ; nothing is taken from such a file.
    """
    if not needed:  # a layer that only moves pixels
        return {}
    states = {place: {rename(k): v for k, v in state.items()} for place, state in _state_dicts(path).items()}
    fits = [(place, prefix) for place in states for prefix in _prefixes(states[place], needed)]
    if not fits:
        raise ModelError(f"{path}: these are not the weights of {what}: {_closest(states, needed)}")
    place, prefix = fits[0]
    if others := [other for at, other in fits[1:] if at == place and prefix]:
        raise ModelError(
            f"{path}: weights of {what} are in it more than once, below {visible(prefix)} and {visible(others[0])}; "
            "save those that are meant, alone"
        )
    if remarks := _remarks(states[place], place, prefix, needed, whole):
        logger.warning("%s: read as %s: %s", visible(path), what, "; ".join(remarks))
    return {
        name: states[place].get(prefix + name, torch.zeros_like(old, device="cpu"))
        for name, old in needed.items()
    }


def _prefixes(state: State, needed: State) -> list[str]:
    """Prefixes under which every needed name is there; the shortest first."""
    anchor = next(iter(needed))
    prefixes = {name.removesuffix(anchor) for name in state if name == anchor or name.endswith(f".{anchor}")}
    return [
        prefix
        for prefix in sorted(prefixes, key=len)
        if next(_differences(state, prefix, needed), None) is None
    ]


def _differences(state: State, prefix: str, wanted: State) -> Iterator[str]:
    """What is missing or different, a name at a time."""
    for name, tensor in wanted.items():
        stored = state.get(prefix + name)
        if stored is None:
            if not name.endswith("num_batches_tracked"):  # only used in training; older files lack it
                yield f"{name} is missing"
        elif stored.shape != tensor.shape:
            yield f"{name} is {_shape(stored)}, expected {_shape(tensor)}"
        elif stored.is_floating_point() != tensor.is_floating_point():
            yield f"{name} is {stored.dtype}, expected {tensor.dtype}"


def _closest(states: Mapping[str, State], needed: State) -> str:
    """The first three differences of the state dict that has the most of the names."""
    anchor = next(iter(needed))
    tried = [
        (state, name.removesuffix(anchor))
        for state in states.values()
        for name in [*[name for name in state if name.endswith(f".{anchor}")][:20], anchor]
    ]
    differ = min((list(_differences(state, prefix, needed)) for state, prefix in tried), key=len)
    more = f" and {len(differ) - 3:,} more" if len(differ) > 3 else ""
    names = ", ".join(visible(name)[:60] for state in states.values() for name in list(state)[:3])
    return (
        f"{'; '.join(differ[:3])}{more}. It has {sum(map(len, states.values())):,} tensors, such as {names}"
    )


def _remarks(state: State, place: str, prefix: str, needed: State, whole: State) -> list[str]:
    """What differs from torchvision's own file."""
    rest = {name: tensor for name, tensor in whole.items() if name not in needed}
    other = list(_differences(state, prefix, rest))
    foreign = [name for name in state if name.removeprefix(prefix) not in whole]
    remarks = [f"its {visible(place)} is used"] if place else []
    remarks += [f"{visible(prefix)} precedes each name"] if prefix else []
    remarks += [f"not needed: {'; '.join(other[:3])}"] if other else []
    remarks += [f"{len(foreign):,} others are left aside, such as {visible(foreign[0])}"] if foreign else []
    return remarks


def _shape(tensor: torch.Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"


# ------------------------------------------------------------------------------------------------------ the file


def _state_dicts(path: Path) -> dict[str, dict[str, torch.Tensor]]:
    """The dicts of tensors in a file by where they lie in it, the likeliest first; "" is the file itself."""
    states: dict[str, dict[str, torch.Tensor]] = {}
    _collect(_read(path), "", states)
    if not states:
        raise ModelError(f"{path}: expected a state dict, that is names with tensors.")
    order = {name: number for number, name in enumerate(("", *_WRAPPERS))}
    return dict(sorted(states.items(), key=lambda item: order.get(item[0].rpartition(".")[2], len(order))))


def _collect(value: Any, place: str, states: dict[str, dict[str, torch.Tensor]]) -> None:
    """Add what is a state dict in `value`, at most two dicts deep: {"model": {"state_dict": ...}}."""
    if not isinstance(value, dict):
        return
    named = {key: inner for key, inner in value.items() if isinstance(key, str)}
    if tensors := {key: inner for key, inner in named.items() if isinstance(inner, torch.Tensor)}:
        states[place] = tensors
    elif place.count(".") < 1:
        for key, inner in named.items():
            _collect(inner, f"{place}.{key}".lstrip("."), states)


def _read(path: Path) -> Any:
    from safetensors.torch import load_file

    if not path.is_file():
        raise ModelError(f"weights: no file {path}.")
    _check_count(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # Files as before torch 1.6, such as VGG's published ones, are not zips, which can't be mapped.
        mapped = zipfile.is_zipfile(path)
        with warnings.catch_warnings():  # about what is refused in one line
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # whatever a damaged or hostile file makes the readers raise
        raise ModelError(
            f"{path}: not a file of tensors ({_reason(error)}). Expected a state dict in .pth (read with "
            "weights_only=True) or .safetensors; to write one: torch.save(model.state_dict(), 'weights.pth')"
        ) from error


def _reason(error: Exception) -> str:
    """torch's first line; for what it refuses to unpickle only the name: its advice would run the file's code."""
    if match := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return f"it holds a {match[1]}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _check_count(path: Path) -> None:
    """Refuse a file of absurdly many tensors before they are read, each of which takes 30 µs and 2 kB."""
    with path.open("rb") as file:
        head = file.read(8)
        if path.suffix == ".safetensors":
            names = struct.unpack("<Q", head)[0] if len(head) == 8 else 0  # bytes of the header
            many = MOST_TENSORS * _NAME_BYTES < names <= path.stat().st_size  # else it is not such a file
        elif head.startswith(b"PK"):
            many = _too_many_in_zip(path)
        else:
            file.seek(0)
            many = _too_many_pickled(file)
    if many:
        raise ModelError(f"{path}: holds more than {MOST_TENSORS:,} tensors, as no network here does")


def _too_many_in_zip(path: Path) -> bool:
    """By the number of entries (one for each tensor's storage), and the length of the pickle that names the tensors."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 16) - 22))
        end = file.read()
    at = end.rfind(b"PK\x05\x06")
    if at < 0 or len(end) < at + 12 or struct.unpack_from("<H", end, at + 10)[0] > MOST_TENSORS:
        return at >= 0
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = [entry.file_size for entry in archive.infolist() if entry.filename.endswith("data.pkl")]
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):  # torch says what it is
        return False
    return sum(sizes) > MOST_TENSORS * _NAME_BYTES


def _too_many_pickled(file: Any) -> bool:
    """For the format before torch 1.6, which begins with its pickles: they are scanned, and nothing is executed."""
    operations = texts = 0  # two texts a tensor: its name and its storage's
    try:
        for _ in range(5):  # magic number, protocol, the system, the state dict, the keys of its storages
            for operation, _, _ in pickletools.genops(file):
                operations, texts = operations + 1, texts + operation.name.endswith("UNICODE")
                if texts > MOST_TENSORS * 2 or operations > MOST_TENSORS * 100:
                    return True
    except Exception:  # torch says what it is
        return False
    return False
