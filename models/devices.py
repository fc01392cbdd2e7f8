"""Where the arithmetic runs and in which precision: decided from what the processor reports."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.base.errors import ModelError

DEVICES = ("auto", "cpu", "cuda")
_CGROUPS, _OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
PRECISIONS = ("auto", "float32", "bfloat16")


def pick_device(name: str = "auto") -> torch.device:
    """The device for `auto`, `cpu`, `cuda`, `cuda:N`, or the first of `cuda:N,cuda:M`; `auto` takes a GPU where torch
    sees one.

    Raises ModelError for another name, or where the GPU asked for is not there.
    """
    first = name.partition(",")[0]
    kind, _, number = first.partition(":")
    if kind not in DEVICES or (number and (kind != "cuda" or not number.isdigit())):
        raise ModelError(f"device = {name}: expected auto, cpu, cuda, cuda:N or cuda:N,cuda:M.")
    if kind == "cpu" or (kind == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    count, index = torch.cuda.device_count(), int(number or 0)
    if index >= count:
        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        hidden = "" if shown is None else f", and CUDA_VISIBLE_DEVICES={shown} hides all others"
        raise ModelError(
            f"device = {first}: torch {torch.__version__} sees {count} GPU(s) here{hidden}. "
            "Set device = cpu (or auto), or install the driver and a CUDA build of torch."
        )
    return torch.device("cuda", index)


def other_gpus(name: str) -> tuple[list[str], str]:
    """The GPUs to use besides the first of `name`, and a line about those that are left out: '' where there are none.

    Where `name` has no numbers, those of the first one's model are used: others give other bits.
    """
    if ":" in name:
        return name.split(",")[1:], ""
    first, *others = (torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    alike = [f"cuda:{number}" for number, other in enumerate(others, 1) if other == first]
    unlike = [f"cuda:{number} ({other})" for number, other in enumerate(others, 1) if other != first]
    line = (
        f"left out, as unlike cuda:0 ({first}): {', '.join(unlike)}. To use others, name them in [compute] device or "
        "CUDA_VISIBLE_DEVICES."
    )
    return alike, line if unlike else ""


def pick_precision(device: torch.device, name: str = "auto") -> str:
    """`float32` or `bfloat16`; `auto` takes bfloat16 where `device` multiplies it natively.

    `getattr(torch, answer)` is the dtype. Raises ModelError for another name. Asking for bfloat16 by
    name is always granted: it is correct everywhere, and slow where the processor has to emulate it.
    """
    if name not in PRECISIONS:
        raise ModelError(f"precision = {name}: expected one of {', '.join(PRECISIONS)}.")
    if name != "auto":
        return name
    return "bfloat16" if native_bfloat16(device) else "float32"


def native_bfloat16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 itself: AVX512_BF16, AMX, Arm's BF16; GPUs from Ampere on.

    Emulated bfloat16 is slower than float32, so a processor that only supports the type does not count.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(_cpuinfo("flags", "Features").split())


def processor_name(device: torch.device) -> str:
    """What computes, for manifests: the GPU's name, or the processor's with torch's vector level."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = _cpuinfo("model name") or platform.processor() or platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


@contextmanager
def arithmetic(device: torch.device, mixed: bool) -> Iterator[None]:
    """Inside, float32 products are done in bfloat16 if that is wanted, else in float32, also on a GPU.

    mixed: matrix products take bfloat16; what stays float32 (cuDNN's LSTM) may take TF32, which has three bits more.
    """
    with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
        if device.type != "cuda":
            yield
            return
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=mixed):
            yield


def as_multiplied(x: torch.Tensor) -> torch.Tensor:
    """Of the type that matrix products take here: a float32 tensor that several of them read is cast once."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def send(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """The array on the device; a GPU gets it from pinned memory, without waiting."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def on_device(array: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Whole numbers as indices (int64) on the device; a tensor is there already."""
    if isinstance(array, torch.Tensor):
        return array.long()
    return send(array.astype(np.int64), device)


def describe_arithmetic(device: torch.device, precision: str) -> dict[str, Any]:
    """What decides the bits of a result besides what is computed: `device` by name, `precision`, CPU `threads`."""
    return {
        "device": processor_name(device),
        "precision": precision,
        "threads": torch.get_num_threads(),
    }


def _cpuinfo(*keys: str) -> str:
    """The first value that Linux gives for one of `keys` in /proc/cpuinfo; nothing on other systems."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else []:
        key, _, value = line.partition(":")
        if key.strip() in keys:
            return value.strip()
    return ""


def cpu_threads() -> int:
    """Physical cores that this process may use: its affinity less hyperthreads, capped by its cgroup's quota.

    A matrix product keeps a core's vector units full, so a second hyperthread only costs.
    """
    return max(1, min(len({_core(cpu) for cpu in _allowed()}), _quota()))


def logical_cores() -> int:
    """Cores that this process may use, hyperthreads included: its affinity, capped by its cgroup's quota."""
    return max(1, min(len(_allowed()), _quota()))


def _allowed() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _core(cpu: int) -> str:
    """The hyperthreads of the core that `cpu` belongs to, as Linux writes them; elsewhere the cpu itself."""
    siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return siblings.read_text().strip() if siblings.exists() else str(cpu)


def _quota() -> int:
    """Whole cores that cgroups grant (containers, batch systems), or a number beyond any machine's."""
    granted = [10**6.0]
    for line in _OWN_CGROUPS.read_text().splitlines() if _OWN_CGROUPS.exists() else []:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "cpu" in controllers.split(","):
            top = _CGROUPS / "cpu" if controllers else _CGROUPS
            granted += map(
                _granted, (top / str(place).lstrip("/") for place in (Path(path), *Path(path).parents))
            )
    return max(1, int(min(granted)))


def _granted(cgroup: Path) -> float:
    """Cores that one cgroup grants, of version 2 or 1; infinity where it does not say."""
    texts = [cgroup / "cpu.max"], [cgroup / "cpu.cfs_quota_us", cgroup / "cpu.cfs_period_us"]
    for files in texts:
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = " ".join(file.read_text() for file in files).split()
            return int(quota) / int(period) if int(quota) > 0 else math.inf
    return math.inf


def use_threads(threads: int = 0) -> int:
    """Give the CPU's arithmetic `threads`, by default (0) a thread for each physical core; returns their number."""
    threads = threads or cpu_threads()
    torch.set_num_threads(threads)
    return threads


@contextmanager
def exact() -> Iterator[None]:
    """Inside, a GPU's float32 is float32 (no TF32), and its results do not vary from run to run: cuDNN picks its
    algorithm by rule instead of by a race. Afterwards all settings are as before."""
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        matmul.allow_tf32 = before
