"""Whether a GPU can be here at all, by files and the environment, in a millisecond. torch is not imported."""

from __future__ import annotations

import ctypes
import os
import re
from importlib.util import find_spec
from pathlib import Path

NVIDIA, OTHERS = "nvidia[0-9]*", ("dxg", "nvhost-gpu", "nvmap", "kfd")
"""Under /dev: NVIDIA's cards; the GPU of Windows below WSL, of a Jetson, and of AMD."""


def why_none(device: str, dev: Path = Path("/dev")) -> str:
    """Why `device` (cuda, cuda:1, cuda:0,cuda:1) can't be had here; "" where it may be, which torch knows for sure."""
    numbers = [int(number) for number in re.findall(r"cuda:(\d+)", device)]
    if not numbers and not device.startswith("cuda"):
        return ""
    if (hidden := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None and hidden.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES = {hidden!r} hides every GPU; unset it"
    if not _built_for_gpus():
        return "this torch was built without CUDA; install the build for your driver into .venv"
    cards = len(list(dev.glob(NVIDIA)))
    if not cards:
        there = any((dev / name).exists() for name in OTHERS)
        return "" if there else f"there is no GPU here (nothing like {dev}/nvidia0)"
    if not _driver_loads():
        return "the driver's libcuda.so.1 is not here; in docker, start with --gpus all"
    seen = min(cards, len(hidden.split(",")) if hidden else cards)
    return f"GPUs here: {seen}, numbered from 0" if max(numbers, default=0) >= seen else ""


def _built_for_gpus() -> bool:
    spec = find_spec("torch")
    folders = [Path(path) / "lib" for path in (spec.submodule_search_locations or ())] if spec else []
    known = [folder for folder in folders if list(folder.glob("*torch_cpu*"))]
    return not known or any(list(folder.glob("*torch_[ch][ui][dp]*")) for folder in known)


def _driver_loads() -> bool:
    """It is loaded but not initialised: initialised, it would not survive the fork of a stage's process."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
